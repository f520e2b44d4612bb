//! Times of the characters of a text.

use serde_json::{Value, json};

use crate::word_times::WordTime;

/// Characters of a text and their estimated times, in milliseconds.
///
/// The characters are the caller's own, with a blank for each white space, and a blank at the end.
/// Clients take a word for complete when a blank follows it. The times have no gaps: a character
/// lasts until the next one starts, and the last one until the text ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alignment {
    chars: Vec<char>,
    starts: Vec<u64>,
    end: u64,
}

impl Alignment {
    /// Spreads the times of `words`, which are those of `text`, over its characters. The text takes
    /// `length_ms` in all.
    pub(super) fn of(text: &str, words: &[WordTime], length_ms: u64) -> Self {
        let mut chars: Vec<char> = text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).collect();
        if chars.last().is_some_and(|&last| last != ' ') {
            chars.push(' ');
        }
        let (mut starts, mut from, mut words) = (Vec::with_capacity(chars.len()), 0, words.iter().peekable());
        for run in chars.chunk_by(|a, b| (*a == ' ') == (*b == ' ')) {
            let blank = run.first() == Some(&' ');
            let until = match words.peek() {
                Some(word) if blank => word.start_ms,
                Some(word) => word.end_ms,
                None => length_ms,
            };
            let start = if blank { from } else { words.next().map_or(from, |word| word.start_ms) };
            let start = start.clamp(from, length_ms);
            let until = until.clamp(start, length_ms);
            let length = until - start;
            starts.extend((0..run.len() as u64).map(|place| start + length * place / run.len() as u64));
            from = until;
        }
        Self { chars, starts, end: length_ms }
    }

    /// Moves all times to `offset_ms` later.
    pub(super) fn later(mut self, offset_ms: u64) -> Self {
        self.starts.iter_mut().for_each(|start| *start += offset_ms);
        self.end += offset_ms;
        self
    }

    /// Returns the member of a message.
    pub(super) fn document(&self) -> Value {
        let ends = self.starts.iter().copied().skip(1).chain([self.end]);
        let durations: Vec<u64> = self.starts.iter().zip(ends).map(|(start, end)| end - start).collect();
        json!({"chars": self.chars, "charStartTimesMs": self.starts, "charDurationsMs": durations})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: &str, start_ms: u64, end_ms: u64) -> WordTime {
        WordTime { word: word.to_owned(), start_ms, end_ms }
    }

    fn numbers(document: &Value, name: &str) -> Vec<u64> {
        document[name].as_array().into_iter().flatten().filter_map(Value::as_u64).collect()
    }

    #[test]
    fn characters_share_the_time_of_their_word_and_blanks_the_pause() {
        let document = Alignment::of("Ab\nde.", &[word("Ab", 20, 60), word("de.", 100, 160)], 200).document();
        assert_eq!(document["chars"], json!(["A", "b", " ", "d", "e", ".", " "]));
        assert_eq!(numbers(&document, "charStartTimesMs"), [20, 40, 60, 100, 120, 140, 160]);
        assert_eq!(numbers(&document, "charDurationsMs"), [20, 20, 40, 20, 20, 20, 40]);
        let later = Alignment::of("Ab", &[word("Ab", 20, 60)], 70).later(1_000).document();
        assert_eq!(numbers(&later, "charStartTimesMs"), [1_020, 1_040, 1_060]);
        assert_eq!(numbers(&later, "charDurationsMs"), [20, 20, 10]);
    }

    #[test]
    fn times_ascend_and_end_with_the_text_whatever_the_words_are() {
        let words = [word("a", 90, 80), word("b", 10, 500)];
        for (text, words, length) in [
            ("  a  b  ", &words[..], 100),
            ("a b", &words, 0),
            ("a b c d", &words, 300),
            ("...", &[], 100),
            (" ", &[], 7),
            ("", &[], 0),
        ] {
            let document = Alignment::of(text, words, length).document();
            let (starts, durations) = (numbers(&document, "charStartTimesMs"), numbers(&document, "charDurationsMs"));
            assert_eq!(starts.len(), durations.len());
            assert!(starts.is_sorted(), "{text}: {starts:?}");
            if let (Some(start), Some(duration)) = (starts.last(), durations.last()) {
                assert_eq!(start + duration, length, "{text}: {starts:?}");
            }
        }
    }
}
