//! Division of a long text into sentences, which the model speaks one after another.
//!
//! Very short sentences are joined, and very long ones are cut. Each result is called a sentence
//! here.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::mapped_text::MappedText;
use super::normalise::{Normalised, spoken_form};
use super::sentence_starts::{paragraphs, sentence_starts, trimmed};

/// Longest sentence, in bytes of UTF-8: about 16 s of English speech. The time that a script takes
/// to speak follows its bytes better than its characters, and a byte is at most one token.
pub const SENTENCE_BYTES: usize = 240;
/// A sentence shorter than this many bytes is joined to its neighbour, because the model speaks one
/// or two words alone badly.
const SHORT_BYTES: usize = 40;
/// Least length in bytes of a part cut off a long sentence; earlier places are not considered.
const LEAST_BYTES: usize = SENTENCE_BYTES / 3;
/// Marks that close what stands before them.
const CLOSING: &str = "\"')]}”’»」』）】.!?。！？";

/// Kind of boundary after a sentence, which sets the length of the pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A boundary inside a sentence.
    Clause,
    /// The end of a sentence.
    Sentence,
    /// The end of a paragraph.
    Paragraph,
    /// The end of a turn of a dialogue, with a pause of its own.
    Turn {
        /// Length of the pause, in milliseconds.
        ms: u32,
    },
}

/// Text that the model speaks as one utterance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Text to speak, of at most [`SENTENCE_BYTES`].
    pub text: String,
    /// Part of the written text that the text stands for, without blanks around it.
    pub written: String,
    /// Place of that part in the written text, in characters.
    pub place: Range<usize>,
    /// Boundary after the text.
    pub pause: Pause,
}

/// Sentence as a range of the spoken text.
struct Piece {
    text: String,
    /// Range in the spoken text, in bytes.
    range: Range<usize>,
    pause: Pause,
}

/// Cuts `text` into sentences, in order; at least one. With `normalize`, each is in its spoken form
/// (see [`normalise`](super::normalise)).
///
/// A text of up to [`SENTENCE_BYTES`] stays one sentence. A longer text loses nothing but the blanks
/// between sentences. The written text decides where sentences end, the spoken text how long they
/// are.
#[must_use]
pub fn sentences(text: &str, normalize: bool) -> Vec<Sentence> {
    let written = MappedText::of(text);
    let Normalised { spoken, starts } = match normalize {
        true => spoken_form(&written),
        false => Normalised { starts: sentence_starts(text), spoken: written },
    };
    let pieces = pieces(&spoken, &starts);
    placed(text, &spoken, pieces)
}

/// Splits a text at the beginnings of its sentences. The parts together are the text.
#[must_use]
pub fn split_sentences(text: &str) -> Vec<&str> {
    let mut starts = sentence_starts(text);
    if let Some(first) = starts.first_mut() {
        *first = 0;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).collect()
}

/// Returns the length of the beginning of `text` that is whole sentences: all but the last one,
/// which more text may continue.
#[must_use]
pub fn whole_sentences(text: &str) -> usize {
    sentence_starts(text).pop().unwrap_or_default()
}

/// Cuts the spoken text, whose sentences begin at `starts` in the written text.
fn pieces(spoken: &MappedText, starts: &[usize]) -> Vec<Piece> {
    let text = spoken.text();
    let mut pieces = Vec::new();
    if text.len() > SENTENCE_BYTES {
        let starts: Vec<_> = starts.iter().map(|&start| spoken.place_of(start)).collect();
        for paragraph in paragraphs(text) {
            let inner = starts.iter().copied().filter(|&start| paragraph.start < start && start < paragraph.end);
            let ends = inner.clone().chain([paragraph.end]);
            for (start, end) in [paragraph.start].into_iter().chain(inner).zip(ends) {
                cut(spoken, trimmed(text, start..end), &mut pieces);
            }
            if let Some(last) = pieces.last_mut() {
                last.pause = Pause::Paragraph;
            }
        }
    }
    if pieces.is_empty() {
        return vec![Piece { text: text.to_owned(), range: 0..text.len(), pause: Pause::Paragraph }];
    }
    joined(pieces, text)
}

/// Appends a sentence, in several parts if it is too long.
fn cut(spoken: &MappedText, mut range: Range<usize>, pieces: &mut Vec<Piece>) {
    let mut push = |range: Range<usize>, pause| {
        let range = trimmed(spoken.text(), range);
        if !range.is_empty() {
            pieces.push(Piece { text: spoken.text()[range.clone()].to_owned(), range, pause });
        }
    };
    while range.len() > SENTENCE_BYTES {
        // Keeps the last part from being short; one byte is for the blank.
        let most = SENTENCE_BYTES.min(range.len() - SHORT_BYTES - 1);
        let at = best_cut(spoken, range.clone(), most);
        push(range.start..at, Pause::Clause);
        range = trimmed(spoken.text(), at..range.end);
    }
    push(range, Pause::Sentence);
}

/// Returns the place of the best cut, at most `most` bytes behind the start of the range. A cut at
/// the end of a clause is best, then at the end of a word, then between any two characters.
fn best_cut(spoken: &MappedText, range: Range<usize>, most: usize) -> usize {
    let text = &spoken.text()[range.clone()];
    let places = text.grapheme_indices(true).map(|(at, _)| at).take_while(|&at| at <= most);
    let after = |at: usize| text[at..].chars().next();
    let ranked = places.clone().filter(|&at| at >= LEAST_BYTES).filter_map(|at| {
        let rank = rank(&text[..at], after(at)?)?;
        let apart = !spoken.is_inside_replacement(range.start + at);
        Some((if apart { rank } else { 0 }, at))
    });
    let at = ranked.max().map(|(_, at)| at).or_else(|| places.clone().filter(|&at| at > 0).last());
    range.start + at.unwrap_or_else(|| text.floor_char_boundary(most))
}

/// Rates a cut between `head` and the character `after` it, higher is better; `None` within a word.
///
/// A period is no sign of a good place. The sentence segmenter decided that the sentence goes on
/// behind it, as behind `U.S.` and `Ltd.`; such a word should stay with its name. Full-width marks
/// end sentences in scripts whose rules the segmenter does not know.
fn rank(head: &str, after: char) -> Option<u8> {
    let word = head.trim_end_matches(['"', '\'', ')', '”', '’', '」', '』', '）']);
    if CLOSING.contains(after) && word.ends_with(['。', '！', '？']) {
        return None;
    }
    let blank = after.is_whitespace();
    let dash = word.ends_with('—') || (blank && [" -", " –"].iter().any(|dash| word.ends_with(dash)));
    match word.chars().next_back()? {
        '。' | '！' | '？' => Some(5),
        '!' | '?' | '؟' if blank => Some(5),
        '；' | '：' => Some(4),
        ';' | ':' | '؛' if blank => Some(4),
        _ if dash => Some(4),
        '，' | '、' => Some(3),
        ',' | '،' if blank => Some(3),
        '.' if blank => Some(1),
        _ if blank => Some(2),
        _ => None,
    }
}

/// Joins short sentences with their neighbours if both fit. A paragraph is joined with the next
/// only if it ends with a short sentence, such as a heading. Sentences of a script without blanks
/// are joined without one.
fn joined(pieces: Vec<Piece>, text: &str) -> Vec<Piece> {
    let mut joined: Vec<Piece> = Vec::with_capacity(pieces.len());
    for piece in pieces {
        match joined.last_mut() {
            Some(last) if together(last, &piece) => {
                let blank = if text[last.range.end..piece.range.start].is_empty() { "" } else { " " };
                last.text = format!("{}{blank}{}", last.text, piece.text);
                last.range.end = piece.range.end;
                last.pause = piece.pause;
            }
            _ => joined.push(piece),
        }
    }
    joined
}

fn together(last: &Piece, next: &Piece) -> bool {
    let short = last.text.len() < SHORT_BYTES || (next.text.len() < SHORT_BYTES && last.pause != Pause::Paragraph);
    short && last.text.len() + 1 + next.text.len() <= SENTENCE_BYTES
}

/// Returns the pieces as sentences, with the part of the written text of each. The parts together
/// are the written text, but for blanks between them.
fn placed(written: &str, spoken: &MappedText, pieces: Vec<Piece>) -> Vec<Sentence> {
    let origins: Vec<_> = pieces.iter().map(|piece| spoken.origin(piece.range.clone())).collect();
    let mut ends: Vec<_> = origins.windows(2).map(|pair| boundary(written, pair[0].end, pair[1].start)).collect();
    ends.push(written.len());
    let (mut start, mut chars) = (0, 0);
    let mut sentences = Vec::with_capacity(pieces.len());
    for (piece, end) in pieces.into_iter().zip(ends) {
        let range = trimmed(written, start..end.max(start));
        let first = chars + written[start..range.start].chars().count();
        let last = first + written[range.clone()].chars().count();
        chars = last + written[range.end..end.max(range.end)].chars().count();
        let place = first..last;
        start = end.max(start);
        sentences.push(Sentence { text: piece.text, written: written[range].to_owned(), place, pause: piece.pause });
    }
    sentences
}

/// Returns the place between two parts of the written text, `end` and `next` at the latest. Signs
/// without a sound stay with the part that they touch.
fn boundary(written: &str, end: usize, next: usize) -> usize {
    let between = written.get(end..next).unwrap_or_default();
    end + between.find(char::is_whitespace).unwrap_or_else(|| {
        between.len() - between.trim_start_matches(|mark| CLOSING.contains(mark)).len()
    })
}
