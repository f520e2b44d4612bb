//! Times of the words of a speech, for callers that show or cut a text at the word that is heard.
//!
//! The model gives no times. The ends of sentences are known from the receipt. Inside a sentence a
//! word gets a share of the voiced time by its characters, so pauses fall between words and not
//! into them. All times of words are estimates.

use std::ops::Range;

use csm_shared::audio::SAMPLE_RATE;
use csm_shared::job::SentenceReceipt;
use csm_shared::text::split_sentences;

/// Length of a step of the loudness, in milliseconds.
const STEP_MS: u64 = 10;
/// Samples of a step.
const STEP_SAMPLES: usize = (SAMPLE_RATE as u64 * STEP_MS / 1_000) as usize;
/// Mean square of a voiced step, as a part of the mean square of the loudest: -35 dB.
const VOICED_PART: f64 = 3.2e-4;
/// Weight of the gap behind a word, in characters.
const GAP_CHARS: usize = 1;

/// Word of a text and its estimated time, in milliseconds of the speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct WordTime {
    /// The word as the caller wrote it, with its punctuation and without blanks.
    pub(crate) word: String,
    /// Start of the word.
    pub(crate) start_ms: u64,
    /// End of the word.
    pub(crate) end_ms: u64,
}

/// Loudness of a speech over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loudness {
    /// Mean square of each whole step.
    steps: Vec<f64>,
    /// Sum of squares of the step that has begun, and its samples.
    begun: (f64, usize),
    samples: u64,
}

impl Loudness {
    /// Adds samples at 24 kHz.
    pub(crate) fn push(&mut self, samples: &[i16]) {
        self.samples += samples.len() as u64;
        for &sample in samples {
            self.begun.0 += f64::from(sample) * f64::from(sample);
            self.begun.1 += 1;
            if self.begun.1 == STEP_SAMPLES {
                self.steps.push(self.begun.0 / STEP_SAMPLES as f64);
                self.begun = (0.0, 0);
            }
        }
    }

    /// Returns the length of the speech, in milliseconds.
    pub(crate) const fn duration_ms(&self) -> u64 {
        self.samples * 1_000 / SAMPLE_RATE as u64
    }

    /// Estimates the times of the words of `text`, whose `sentences` the receipt lists. Times ascend
    /// and stay within the speech.
    pub(crate) fn word_times(&self, text: &str, sentences: &[SentenceReceipt]) -> Vec<WordTime> {
        let words: Vec<&str> = text.split_whitespace().collect();
        let whole = 0..self.duration_ms();
        let spans: Vec<_> = sentences.iter().map(|sentence| span(sentence, whole.end)).collect();
        let lengths = sentence_lengths(text, sentences, &words);
        let mut times = Vec::with_capacity(words.len());
        let mut rest = &words[..];
        for (length, span) in lengths.into_iter().zip(spans) {
            let (these, others) = rest.split_at(length.min(rest.len()));
            self.place(these, span, &mut times);
            rest = others;
        }
        let from = times.last().map_or(0, |word: &WordTime| word.end_ms);
        self.place(rest, from..whole.end.max(from), &mut times);
        times
    }

    /// Adds the times of the words of one span.
    fn place(&self, words: &[&str], span: Range<u64>, times: &mut Vec<WordTime>) {
        let loudest = self.steps.iter().copied().fold(0.0, f64::max);
        let is_voiced = |step: u64| self.steps.get(step as usize).is_some_and(|&square| square > VOICED_PART * loudest);
        let voiced: Vec<u64> =
            (span.start / STEP_MS..span.end.div_ceil(STEP_MS)).filter(|&step| is_voiced(step)).collect();
        let weight = |word: &str| word.chars().count() + GAP_CHARS;
        let all = words.iter().map(|word| weight(word)).sum::<usize>().saturating_sub(GAP_CHARS).max(1);
        // Without a voiced step, time is shared as it is.
        let at = |chars: usize| match voiced.get((chars * voiced.len() / all).min(voiced.len().saturating_sub(1))) {
            Some(step) => (step * STEP_MS).clamp(span.start, span.end),
            None => span.start + (span.end - span.start) * chars.min(all) as u64 / all as u64,
        };
        let mut chars = 0;
        for word in words {
            let (start_ms, end) = (at(chars), chars + word.chars().count());
            let end_ms = if end >= all { span.end } else { at(end) }.max(start_ms);
            times.push(WordTime { word: (*word).to_owned(), start_ms, end_ms });
            chars += weight(word);
        }
    }
}

fn span(sentence: &SentenceReceipt, end: u64) -> Range<u64> {
    let start = sentence.start_ms.min(end);
    start..(sentence.start_ms + sentence.duration_ms).clamp(start, end)
}

/// Returns how many of the caller's words belong to each spoken sentence. The spoken text may have
/// other words than the caller's, such as those of a number.
fn sentence_lengths(text: &str, sentences: &[SentenceReceipt], words: &[&str]) -> Vec<usize> {
    if sentences.last().is_some_and(|last| last.end_char > 0) {
        return words_before_ends(text, sentences);
    }
    let written = split_sentences(text);
    if written.len() == sentences.len() {
        return written.iter().map(|sentence| sentence.split_whitespace().count()).collect();
    }
    // By characters: a word belongs to the sentence in whose share its middle lies.
    let spoken = sentences.iter().map(|sentence| sentence.text.chars().count().max(1)).sum::<usize>().max(1);
    let chars = words.iter().map(|word| word.chars().count()).sum::<usize>().max(1);
    let (mut lengths, mut share, mut from) = (Vec::with_capacity(sentences.len()), 0, 0);
    let mut middles = words.iter().map(|word| {
        let middle = from + word.chars().count() / 2;
        from += word.chars().count();
        middle as f64 / chars as f64
    });
    let mut next = middles.next();
    for sentence in sentences {
        share += sentence.text.chars().count().max(1);
        let mut length = 0;
        while next.is_some_and(|middle| middle < share as f64 / spoken as f64) {
            length += 1;
            next = middles.next();
        }
        lengths.push(length);
    }
    lengths
}

/// Counts the words of each sentence by the places of the sentences in the text. A job's text has no
/// blanks in front, unlike the caller's.
fn words_before_ends(text: &str, sentences: &[SentenceReceipt]) -> Vec<usize> {
    let (mut starts, mut before) = (Vec::new(), ' ');
    for (place, character) in text.trim_start().chars().enumerate() {
        if before.is_whitespace() && !character.is_whitespace() {
            starts.push(place);
        }
        before = character;
    }
    let counted = |end: usize| starts.partition_point(|&start| start < end);
    let ends: Vec<_> = sentences.iter().map(|sentence| counted(sentence.end_char as usize)).collect();
    let begins = [0].into_iter().chain(ends.iter().copied());
    ends.iter().zip(begins).map(|(&end, begin)| end.saturating_sub(begin)).collect()
}

#[cfg(test)]
mod tests {
    use csm_shared::job::FinishReason;

    use super::*;

    fn sentence(text: &str, start_ms: u64, duration_ms: u64) -> SentenceReceipt {
        SentenceReceipt {
            text: text.to_owned(),
            written: text.to_owned(),
            start_char: 0,
            end_char: 0,
            frames: 1,
            start_ms,
            duration_ms,
            prompt_positions: 0,
            context_positions: 0,
            max_frames: 1,
            finish_reason: FinishReason::Eos,
            retakes: Vec::new(),
            fault: None,
            seed: None,
        }
    }

    /// Returns the loudness of these parts: milliseconds, voiced or not.
    fn loudness(parts: &[(u64, bool)]) -> Loudness {
        let mut loudness = Loudness::default();
        for &(ms, voiced) in parts {
            loudness.push(&vec![if voiced { 5_000 } else { 3 }; (ms * 24) as usize]);
        }
        loudness
    }

    fn starts(times: &[WordTime]) -> Vec<(&str, u64, u64)> {
        times.iter().map(|time| (time.word.as_str(), time.start_ms, time.end_ms)).collect()
    }

    #[test]
    fn words_share_the_voiced_time_and_pauses_fall_between_them() {
        let loudness = loudness(&[(200, false), (400, true), (300, false), (500, true), (100, false)]);
        let times = loudness.word_times("Abc defg.", &[sentence("Abc defg.", 0, 1_500)]);
        assert_eq!(starts(&times), [("Abc", 200, 500), ("defg.", 900, 1_500)]);
    }

    #[test]
    fn the_words_of_a_sentence_stay_in_it() {
        let loudness = loudness(&[(2_000, true)]);
        let sentences = [sentence("One two.", 0, 500), sentence("Three.", 600, 1_400)];
        let times = loudness.word_times("One two. Three.", &sentences);
        assert_eq!(times[1].end_ms, 500);
        assert_eq!(starts(&times[2..]), [("Three.", 600, 2_000)]);
        let spoken = [sentence("In nineteen eighty-four,", 0, 1_000), sentence("one.", 1_000, 1_000)];
        let times = loudness.word_times("In 1984, 1.", &spoken);
        assert_eq!(times.len(), 3);
        assert!(times[1].start_ms < 1_000 && times[2].start_ms >= 1_000, "{times:?}");
        let place = |sentence, start_char, end_char| SentenceReceipt { start_char, end_char, ..sentence };
        let placed = [
            place(sentence("One thousand nine hundred and eighty-four.", 0, 1_000), 0, 5),
            place(sentence("It is so.", 1_000, 1_000), 6, 15),
        ];
        let times = loudness.word_times(" 1984. It is so.", &placed);
        assert!(times[0].end_ms <= 1_000 && times[1].start_ms >= 1_000, "{times:?}");
    }

    #[test]
    fn every_word_has_a_time_whatever_was_spoken() {
        for (parts, text, sentences) in [
            (vec![], "No sound at all", vec![]),
            (vec![(100, false)], "...", vec![]),
            (vec![(1_000, true)], "a b c d e", vec![sentence("a", 900, 5_000), sentence("b", 9_000, 10)]),
            (vec![(15, true)], "x y", vec![sentence("x y", 0, 15)]),
        ] {
            let loudness = loudness(&parts);
            let times = loudness.word_times(text, &sentences);
            assert_eq!(times.len(), text.split_whitespace().count());
            let end = loudness.duration_ms();
            assert!(times.iter().all(|time| time.start_ms <= time.end_ms && time.end_ms <= end), "{times:?}");
            assert!(times.is_sorted_by_key(|time| time.start_ms), "{times:?}");
        }
        assert_eq!(loudness(&[(100, true)]).word_times("", &[]), []);
    }
}
