//! Division of a long text into sentences, which the model speaks one after another.
//!
//! Very short sentences are joined, and very long ones are cut. Each result is called a sentence
//! here.

/// Longest sentence, in bytes of UTF-8: about 16 s of English speech. The time that a script takes
/// to speak follows its bytes better than its characters, and a byte is at most one token.
pub const SENTENCE_BYTES: usize = 240;
/// A sentence shorter than this many bytes is joined to its neighbour, because the model speaks one
/// or two words alone badly.
const SHORT_BYTES: usize = 40;
/// Least length in bytes of a part cut off a long sentence; earlier places are not considered.
const LEAST_BYTES: usize = SENTENCE_BYTES / 3;

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
    /// Text of at most [`SENTENCE_BYTES`].
    pub text: String,
    /// Boundary after the text.
    pub pause: Pause,
}

/// Cuts `text` into sentences, in order; at least one. A text of up to [`SENTENCE_BYTES`] stays one
/// sentence, unchanged. A longer text loses nothing but the blanks between sentences.
#[must_use]
pub fn sentences(text: &str) -> Vec<Sentence> {
    let mut sentences = Vec::new();
    if text.len() > SENTENCE_BYTES {
        for paragraph in paragraphs(text) {
            let found = sentencex::segment("en", paragraph);
            for sentence in found.into_iter().map(str::trim).filter(|sentence| !sentence.is_empty()) {
                cut(sentence, &mut sentences);
            }
            if let Some(last) = sentences.last_mut() {
                last.pause = Pause::Paragraph;
            }
        }
    }
    if sentences.is_empty() {
        return vec![Sentence { text: text.to_owned(), pause: Pause::Paragraph }];
    }
    joined(sentences)
}

/// Splits a text at the beginnings of its sentences. The parts together are the text.
#[must_use]
pub fn split_sentences(text: &str) -> Vec<&str> {
    sentencex::segment("en", text)
}

/// Returns the length of the beginning of `text` that is whole sentences: all but the last one,
/// which more text may continue.
#[must_use]
pub fn whole_sentences(text: &str) -> usize {
    let found = split_sentences(text);
    let last = found.iter().map(|sentence| sentence.trim()).rfind(|sentence| !sentence.is_empty());
    last.and_then(|last| text.rfind(last)).unwrap_or_default()
}

/// Returns the parts between blank lines.
fn paragraphs(text: &str) -> Vec<&str> {
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            found.push(&text[start..end]);
            start = end + line.len();
        }
        end += line.len();
    }
    found.push(&text[start..end]);
    found.into_iter().map(str::trim).filter(|paragraph| !paragraph.is_empty()).collect()
}

/// Appends a sentence, in several parts if it is too long.
fn cut(sentence: &str, sentences: &mut Vec<Sentence>) {
    let mut rest = sentence;
    while rest.len() > SENTENCE_BYTES {
        // Keeps the last part from being short; one byte is for the blank.
        let most = SENTENCE_BYTES.min(rest.len() - SHORT_BYTES - 1);
        let (part, behind) = rest.split_at(best_cut(rest, most));
        sentences.push(Sentence { text: part.trim_end().to_owned(), pause: Pause::Clause });
        rest = behind.trim_start();
    }
    if !rest.is_empty() {
        sentences.push(Sentence { text: rest.to_owned(), pause: Pause::Sentence });
    }
}

/// Returns the byte position of the best cut, at most `most`. A cut at the end of a clause is best,
/// then at the end of a word, then anywhere.
fn best_cut(text: &str, most: usize) -> usize {
    let places = text.char_indices().take_while(|&(at, _)| at <= most).filter(|&(at, _)| at >= LEAST_BYTES);
    let ranked = places.filter_map(|(at, after)| Some((rank(&text[..at], after)?, at)));
    ranked.max().map_or_else(|| text.floor_char_boundary(most), |(_, at)| at)
}

/// Rates a cut between `head` and the character `after` it, higher is better; `None` within a word.
///
/// A period is no sign of a good place. The sentence segmenter decided that the sentence goes on
/// behind it, as behind `U.S.` and `Ltd.`; such a word should stay with its name. Full-width marks
/// end sentences in scripts whose rules the segmenter does not know.
fn rank(head: &str, after: char) -> Option<u8> {
    let word = head.trim_end_matches(['"', '\'', ')', '”', '’']);
    let blank = after.is_whitespace();
    let dash = word.ends_with('—') || (blank && [" -", " –"].iter().any(|dash| word.ends_with(dash)));
    match word.chars().next_back()? {
        '。' | '！' | '？' => Some(5),
        '!' | '?' if blank => Some(5),
        '；' | '：' => Some(4),
        ';' | ':' if blank => Some(4),
        _ if dash => Some(4),
        '，' | '、' => Some(3),
        ',' if blank => Some(3),
        '.' if blank => Some(1),
        _ if blank => Some(2),
        _ => None,
    }
}

/// Joins short sentences with their neighbours if both fit. A paragraph is joined with the next
/// only if it ends with a short sentence, such as a heading.
fn joined(sentences: Vec<Sentence>) -> Vec<Sentence> {
    let mut joined: Vec<Sentence> = Vec::with_capacity(sentences.len());
    for sentence in sentences {
        match joined.last_mut() {
            Some(last) if together(last, &sentence) => {
                last.text = format!("{} {}", last.text, sentence.text);
                last.pause = sentence.pause;
            }
            _ => joined.push(sentence),
        }
    }
    joined
}

fn together(last: &Sentence, next: &Sentence) -> bool {
    let short = last.text.len() < SHORT_BYTES || (next.text.len() < SHORT_BYTES && last.pause != Pause::Paragraph);
    short && last.text.len() + 1 + next.text.len() <= SENTENCE_BYTES
}
