//! The prefix cache: keeps the model's state after a context (a voice, earlier segments). The state
//! is copied into the next slot whose prompt begins with the same positions, instead of being
//! computed again.
//!
//! A lookup compares all positions, never a hash of them, so a caller never gets another caller's
//! voice. The ends of the segments must match too, because blocks begin anew with each segment. The
//! positions after a copied prefix are thus computed in the same blocks as without it. The result
//! is the same for a hit and a miss.

use crate::model::Position;

/// Largest number of cached prefixes, whatever their size, because a lookup compares each of them.
pub(super) const MAX_PREFIXES: usize = 256;

/// Cache of prefixes that evicts the least recently used.
pub(super) struct PrefixCache<P> {
    entries: Vec<PrefixEntry<P>>,
    limit: u64,
    /// Counter of uses, for the eviction order.
    clock: u64,
}

/// A context, or a number of whole segments at its beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PromptContext<'a> {
    /// All positions of these segments.
    pub(super) positions: &'a [Position],
    /// End position of each segment; the last one is the end of the positions.
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
    /// Returns the first `segments` segments.
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
    /// Returns a cache of up to `limit` bytes; with 0 bytes the cache stays empty.
    pub(super) fn new(limit: u64) -> Self {
        Self { entries: Vec::new(), limit, clock: 0 }
    }

    /// Returns whether the cache may hold anything.
    pub(super) fn is_on(&self) -> bool {
        self.limit > 0
    }

    /// Returns the bytes in use.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.iter().map(|entry| entry.bytes).sum()
    }

    /// Returns the longest cached prefix of `context`, with the number of its positions.
    pub(super) fn find(&mut self, context: PromptContext<'_>) -> Option<(usize, &P)> {
        self.clock += 1;
        let fitting = self.entries.iter_mut().filter(|entry| entry.begins(context));
        let entry = fitting.max_by_key(|entry| entry.positions.len())?;
        entry.used = self.clock;
        Some((entry.positions.len(), &entry.prefix))
    }

    /// Returns whether the whole of `context` is cached.
    pub(super) fn holds(&self, context: PromptContext<'_>) -> bool {
        self.entries.iter().any(|entry| entry.cuts == context.cuts && entry.begins(context))
    }

    /// Returns whether to cache `context`, whose state takes `bytes`: it is not cached yet, and it
    /// fits into the limit.
    pub(super) fn wants(&self, context: PromptContext<'_>, bytes: u64) -> bool {
        self.is_on() && size(context, bytes) <= self.limit && !self.holds(context)
    }

    /// Caches `prefix`, the model's state of `bytes` after `context`, if [`PrefixCache::wants`]
    /// says so.
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

/// Returns the bytes of an entry.
fn size(context: PromptContext<'_>, bytes: u64) -> u64 {
    bytes + size_of_val(context.positions) as u64
}
