//! Division of a long text into sentences, which the model speaks one after another.
//!
//! Very short sentences are joined, and very long ones are cut. Each result is called a sentence
//! here.

use std::ops::Range;

use unicode_segmentation::UnicodeSegmentation as _;

use super::control::{self, PAUSE_MS_MAX, Part, Pronunciation};
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
/// Marks that open and close.
const QUOTES: &str = "\"'”’»";
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
    /// A pause that the caller asks for.
    Silence {
        /// Length of the pause, in milliseconds.
        ms: u32,
    },
}

/// Text that the model speaks as one utterance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Text to speak, of at most [`SENTENCE_BYTES`].
    pub text: String,
    /// Part of the written text that the text stands for, without marks, and without blanks around it.
    pub written: String,
    /// Place of that part in the written text, in characters; marks count.
    pub place: Range<usize>,
    /// Silence before the text that the caller asks for, in milliseconds. Only a first sentence has
    /// any; elsewhere the pause of the sentence before stands for it.
    pub lead_ms: u32,
    /// Boundary after the text.
    pub pause: Pause,
}

/// Sentence and the part of the written text that its words stand for.
struct Piece {
    text: String,
    /// Number of the part between pauses that the sentence is in.
    part: usize,
    /// Range in the written text, in bytes.
    origin: Range<usize>,
    pause: Pause,
}

/// Cuts `text` into sentences, in order; at least one. With `normalize`, each is in its spoken form
/// (see [`normalise`](super::normalise)). Marks of the caller become pauses and words (see
/// [`control`]).
///
/// A text of up to [`SENTENCE_BYTES`] without a pause stays one sentence. A longer text loses nothing
/// but the blanks between sentences. The written text decides where sentences end, the spoken text
/// how long they are.
#[must_use]
pub fn sentences(text: &str, normalize: bool, pronunciations: &[Pronunciation]) -> Vec<Sentence> {
    let parts = control::parts(text);
    let (mut found, mut lead_ms) = (Vec::new(), 0);
    for (number, part) in parts.iter().enumerate() {
        let said = control::replaced(&part.text, pronunciations);
        let Normalised { spoken, starts } = if normalize { spoken_form(&said) } else { Normalised::as_written(said) };
        if spoken.text().chars().any(char::is_alphanumeric) || (parts.len() == 1 && !spoken.text().trim().is_empty()) {
            found.extend(pieces(&spoken, &starts).into_iter().map(|Spoken { text, range, pause }| Piece {
                text,
                part: number,
                origin: spoken.origin(range),
                pause,
            }));
        }
        let longer = |before: u32| before.saturating_add(part.pause_ms.unwrap_or_default()).min(PAUSE_MS_MAX);
        match (found.last_mut(), part.pause_ms) {
            (Some(Piece { pause: Pause::Silence { ms }, .. }), Some(_)) => *ms = longer(*ms),
            (Some(last), Some(_)) => last.pause = Pause::Silence { ms: longer(0) },
            (None, _) => lead_ms = longer(lead_ms),
            (Some(_), None) => {}
        }
    }
    if found.is_empty() {
        found.push(Piece { text: text.to_owned(), part: 0, origin: 0..text.len(), pause: Pause::Paragraph });
    }
    let mut sentences = placed(text, &parts, found);
    if let Some(first) = sentences.first_mut() {
        first.lead_ms = lead_ms;
    }
    sentences
}

/// Splits a text at the beginnings of its sentences. The parts together are the text. SSML is one
/// part.
#[must_use]
pub fn split_sentences(text: &str) -> Vec<&str> {
    if control::is_document(text) {
        return vec![text];
    }
    let mut starts = sentence_starts(text);
    if let Some(first) = starts.first_mut() {
        *first = 0;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    starts.iter().zip(ends).map(|(&start, end)| &text[start..end]).collect()
}

/// Returns the length of the beginning of `text` that is whole sentences: all but the last one,
/// which more text may continue. SSML is whole at its end.
#[must_use]
pub fn whole_sentences(text: &str) -> usize {
    if control::is_document(text) {
        return control::document_end(text).unwrap_or_default();
    }
    sentence_starts(text).pop().unwrap_or_default()
}

/// Sentence as a range of the spoken text.
struct Spoken {
    text: String,
    /// Range in the spoken text, in bytes.
    range: Range<usize>,
    pause: Pause,
}

/// Cuts the spoken text, whose sentences begin at `starts` in the written text.
fn pieces(spoken: &MappedText, starts: &[usize]) -> Vec<Spoken> {
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
        return vec![Spoken { text: text.to_owned(), range: 0..text.len(), pause: Pause::Paragraph }];
    }
    joined(pieces, text)
}

/// Appends a sentence, in several parts if it is too long.
fn cut(spoken: &MappedText, mut range: Range<usize>, pieces: &mut Vec<Spoken>) {
    let mut push = |range: Range<usize>, pause| {
        let range = trimmed(spoken.text(), range);
        if !range.is_empty() {
            pieces.push(Spoken { text: spoken.text()[range.clone()].to_owned(), range, pause });
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
fn joined(pieces: Vec<Spoken>, text: &str) -> Vec<Spoken> {
    let mut joined: Vec<Spoken> = Vec::with_capacity(pieces.len());
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

fn together(last: &Spoken, next: &Spoken) -> bool {
    let short = last.text.len() < SHORT_BYTES || (next.text.len() < SHORT_BYTES && last.pause != Pause::Paragraph);
    short && last.text.len() + 1 + next.text.len() <= SENTENCE_BYTES
}

/// Returns the pieces as sentences, with the part of the written text of each. These parts together
/// are the written text, but for marks, and blanks between them.
fn placed(whole: &str, parts: &[Part], pieces: Vec<Piece>) -> Vec<Sentence> {
    let between = |pair: &[Piece]| boundary(whole, pair[0].origin.end, pair[1].origin.start);
    let mut ends: Vec<_> = pieces.windows(2).map(between).collect();
    ends.push(whole.len());
    let (mut start, mut chars) = (0, 0);
    let mut sentences = Vec::with_capacity(pieces.len());
    for (piece, end) in pieces.into_iter().zip(ends) {
        let end = end.max(start);
        let range = trimmed(whole, start..end);
        let first = chars + whole[start..range.start].chars().count();
        let last = first + whole[range.clone()].chars().count();
        chars = last + whole[range.end..end].chars().count();
        start = end;
        let bare = &parts[piece.part].text;
        let written = bare.text()[bare.place_of(range.start)..bare.place_of(range.end)].trim().to_owned();
        let (text, place, pause) = (piece.text, first..last, piece.pause);
        sentences.push(Sentence { text, written, place, lead_ms: 0, pause });
    }
    sentences
}

/// Returns the place between two parts of the written text, `end` and `next` at the latest. Signs
/// without a sound stay with the part that they touch.
fn boundary(written: &str, end: usize, next: usize) -> usize {
    let between = written.get(end..next).unwrap_or_default();
    let (mut kept, mut blank) = (0, false);
    for (at, mark) in between.char_indices() {
        // Behind a blank, a quote begins what comes next.
        let closes = CLOSING.contains(mark) && !(blank && QUOTES.contains(mark));
        if closes {
            kept = at + mark.len_utf8();
        } else if !mark.is_whitespace() {
            break;
        }
        blank = mark.is_whitespace();
    }
    end + kept
}
