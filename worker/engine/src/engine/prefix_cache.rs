//! The prefix cache: what the model made of a context (a voice, earlier turns) is kept and copied into the next slot that
//! begins with the very same positions, instead of being computed again.
//!
//! A prompt is found by comparing all of its positions, never a hash of them, so nobody hears another caller's voice. The
//! places where segments end must be the same too: a prompt is fed in pieces that begin anew with each segment, so what
//! follows a copied prefix is computed in the very pieces that would have followed it anyway, and nothing in the result
//! tells a hit from a miss.

use crate::model::Position;

/// Prefixes kept at most, whatever their size, since each is compared when a prompt comes.
pub(super) const MAX_PREFIXES: usize = 256;

/// The least recently used go first.
pub(super) struct PrefixCache<P> {
    entries: Vec<PrefixEntry<P>>,
    limit: u64,
    /// Counts uses.
    clock: u64,
}

/// A context, or a number of whole segments at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PromptContext<'a> {
    /// All of its positions.
    pub(super) positions: &'a [Position],
    /// Where each of its segments ends; the last one ends where the positions do.
    pub(super) cuts: &'a [usize],
}

struct PrefixEntry<P> {
    positions: Vec<Position>,
    cuts: Vec<usize>,
    prefix: P,
    bytes: u64,
    used: u64,
}

impl<'a> PromptContext<'a> {
    /// The first `segments` segments.
    fn first(self, segments: usize) -> Self {
        let cuts = &self.cuts[..segments];
        Self { positions: &self.positions[..cuts.last().copied().unwrap_or(0)], cuts }
    }
}

impl<P> PrefixEntry<P> {
    fn begins(&self, context: PromptContext<'_>) -> bool {
        let segments = self.cuts.len();
        segments <= context.cuts.len()
            && context.cuts[..segments] == self.cuts
            && context.first(segments).positions == self.positions
    }
}

impl<P> PrefixCache<P> {
    /// A cache of up to `limit` bytes; of 0 bytes, it keeps nothing.
    pub(super) fn new(limit: u64) -> Self {
        Self { entries: Vec::new(), limit, clock: 0 }
    }

    /// Whether anything is ever kept.
    pub(super) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    /// The longest kept prefix of `context`, with the number of its positions.
    pub(super) fn find(&mut self, context: PromptContext<'_>) -> Option<(usize, &P)> {
        self.clock += 1;
        let fitting = self.entries.iter_mut().filter(|entry| entry.begins(context));
        let entry = fitting.max_by_key(|entry| entry.positions.len())?;
        entry.used = self.clock;
        Some((entry.positions.len(), &entry.prefix))
    }

    /// Whether the whole of `context` is kept.
    pub(super) fn holds(&self, context: PromptContext<'_>) -> bool {
        self.entries.iter().any(|entry| entry.cuts == context.cuts && entry.begins(context))
    }

    /// Whether `context`, of which the model made `bytes`, is to be kept: it is not yet, and is not larger than the limit by
    /// itself.
    pub(super) fn wants(&self, context: PromptContext<'_>, bytes: u64) -> bool {
        self.is_on() && size(context, bytes) <= self.limit && !self.holds(context)
    }

    /// Keeps what the model made of `context`, `bytes` large, if that is wanted.
    pub(super) fn keep(&mut self, context: PromptContext<'_>, prefix: P, bytes: u64) {
        if !self.wants(context, bytes) {
            return;
        }
        let bytes = size(context, bytes);
        while self.bytes() + bytes > self.limit || self.entries.len() >= MAX_PREFIXES {
            let oldest = (0..self.entries.len()).min_by_key(|&index| self.entries[index].used);
            let Some(oldest) = oldest else { break };
            self.entries.swap_remove(oldest);
        }
        self.clock += 1;
        let (positions, cuts) = (context.positions.to_vec(), context.cuts.to_vec());
        self.entries.push(PrefixEntry { positions, cuts, prefix, bytes, used: self.clock });
    }
}

/// Bytes of an entry.
fn size(context: PromptContext<'_>, bytes: u64) -> u64 {
    bytes + size_of_val(context.positions) as u64
}
