//! Text made of another one by replacements, with the place in the other text of each of its bytes.

use std::ops::Range;

/// Bytes of the written text that a byte of a [`MappedText`] stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Origin {
    start: u32,
    end: u32,
}

/// Text made of a written one, in the same order. Each byte keeps its place in the written text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct MappedText {
    text: String,
    /// Origin of each byte of the text. The starts ascend, and so do the ends.
    origins: Vec<Origin>,
}

impl MappedText {
    /// Makes the written text itself: each character stands for itself.
    pub(super) fn of(written: &str) -> Self {
        let origin = |(start, character): (usize, char)| {
            let end = start + character.len_utf8();
            std::iter::repeat_n(Origin { start: place(start), end: place(end) }, end - start)
        };
        Self { text: written.to_owned(), origins: written.char_indices().flat_map(origin).collect() }
    }

    /// Returns the text.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the range of the written text that a range of this text stands for. An empty range
    /// stands for the place in front of the character behind it.
    pub(super) fn origin(&self, range: Range<usize>) -> Range<usize> {
        let start = self.origins.get(range.start).or(self.origins.last());
        let start = start.map_or(0, |origin| if range.start < self.origins.len() { origin.start } else { origin.end });
        let end = range.end.checked_sub(1).filter(|&last| last >= range.start);
        let end = end.and_then(|last| self.origins.get(last)).map_or(start, |origin| origin.end);
        start as usize..end.max(start) as usize
    }

    /// Returns the first place of this text that stands for the written text from `written` on.
    pub(super) fn place_of(&self, written: usize) -> usize {
        let at = self.origins.partition_point(|origin| (origin.start as usize) < written);
        (at..self.text.len()).find(|&at| self.text.is_char_boundary(at)).unwrap_or(self.text.len())
    }

    /// Returns true if the text on both sides of `at` stands for the same written characters.
    pub(super) fn is_inside_replacement(&self, at: usize) -> bool {
        at > 0 && self.origins.get(at).is_some_and(|origin| *origin == self.origins[at - 1])
    }

    /// Returns the part of the text in `range`, with its origins.
    pub(super) fn slice(&self, range: Range<usize>) -> Self {
        Self { text: self.text[range.clone()].to_owned(), origins: self.origins[range].to_vec() }
    }

    /// Appends a part of another text of the same written one, which comes behind this one.
    pub(super) fn push_part(&mut self, other: &Self, range: Range<usize>) {
        self.text.push_str(&other.text[range.clone()]);
        self.origins.extend_from_slice(&other.origins[range]);
    }

    /// Appends words that stand for a range of the written text, which comes behind this one.
    pub(super) fn push_words(&mut self, words: &str, written: Range<usize>) {
        let origin = Origin { start: place(written.start), end: place(written.end) };
        self.text.push_str(words);
        self.origins.extend(std::iter::repeat_n(origin, words.len()));
    }

    /// Removes the text from `at` on.
    pub(super) fn truncate(&mut self, at: usize) {
        self.text.truncate(at);
        self.origins.truncate(at);
    }
}

/// Writer of a new text out of a [`MappedText`], from its start to its end.
pub(super) struct Rewriter<'t> {
    source: &'t MappedText,
    made: MappedText,
    /// Bytes of the source that are copied or replaced.
    done: usize,
}

impl<'t> Rewriter<'t> {
    /// Begins at the start of `source`.
    pub(super) fn new(source: &'t MappedText) -> Self {
        let bytes = source.text.len();
        let made = MappedText { text: String::with_capacity(bytes), origins: Vec::with_capacity(bytes) };
        Self { source, made, done: 0 }
    }

    /// Copies the source up to `end` and returns the text that is made so far.
    pub(super) fn made_up_to(&mut self, end: usize) -> &str {
        self.copy_to(end);
        &self.made.text
    }

    /// Copies the source up to `range`, and puts `words` in place of `range`. Ranges ascend.
    ///
    /// What range and words have in common at both ends keeps its own origins.
    pub(super) fn replace(&mut self, range: Range<usize>, words: &str) {
        self.copy_to(range.start);
        let found = &self.source.text[range.clone()];
        let start = common(found.char_indices(), words.chars());
        let (found, words) = (&found[start..], &words[start..]);
        let reversed =
            found.char_indices().rev().map(|(at, character)| (found.len() - at - character.len_utf8(), character));
        let end = common(reversed, words.chars().rev());
        self.copy_to(range.start + start);
        self.push(range.start + start..range.end - end, &words[..words.len() - end]);
        self.done = range.end - end;
        self.copy_to(range.end);
    }

    /// Copies the rest of the source and returns the text that is made.
    pub(super) fn finish(mut self) -> MappedText {
        self.copy_to(self.source.text.len());
        self.made
    }

    fn copy_to(&mut self, end: usize) {
        if self.done < end {
            self.made.text.push_str(&self.source.text[self.done..end]);
            self.made.origins.extend_from_slice(&self.source.origins[self.done..end]);
            self.done = end;
        }
    }

    fn push(&mut self, range: Range<usize>, words: &str) {
        self.made.push_words(words, self.source.origin(range));
    }
}

/// Returns the bytes of the characters that both begin with; the first come with their offsets.
fn common(found: impl Iterator<Item = (usize, char)>, words: impl Iterator<Item = char>) -> usize {
    found
        .zip(words)
        .take_while(|((_, found), word)| found == word)
        .last()
        .map_or(0, |((at, last), _)| at + last.len_utf8())
}

/// Returns a place in a written text; texts beyond 4 GB do not occur.
fn place(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
