//! A long text cut into what the model speaks one after another: sentences, joined where they are very short and cut
//! where they are very long. Each result is called a sentence here.

/// Longest sentence, in bytes of UTF-8: about 16 s of English speech. Bytes follow the time that a script takes better than
/// characters do, and a byte is one token at most.
pub const SENTENCE_BYTES: usize = 240;
/// A shorter sentence is joined to its neighbour: the model speaks a word or two alone badly.
const SHORT_BYTES: usize = 40;
/// Where an over-long sentence is cut, a part is at least this long if there is any place behind it.
const LEAST_BYTES: usize = SENTENCE_BYTES / 3;

/// What stands between a sentence and the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// A place inside a sentence.
    Clause,
    /// The end of a sentence.
    Sentence,
    /// The end of a paragraph.
    Paragraph,
}

/// Words that are spoken in one go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// The words, at most [`SENTENCE_BYTES`] long.
    pub text: String,
    /// What follows them.
    pub pause: Pause,
}

/// The sentences of `text` in order, at least one. A text of [`SENTENCE_BYTES`] or less is one sentence, exactly as it is; of a
/// longer one the blanks between sentences go, and nothing else.
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

/// Parts between blank lines.
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
        // The last part shall not be short; one byte is for the blank.
        let most = SENTENCE_BYTES.min(rest.len() - SHORT_BYTES - 1);
        let (part, behind) = rest.split_at(best_cut(rest, most));
        sentences.push(Sentence { text: part.trim_end().to_owned(), pause: Pause::Clause });
        rest = behind.trim_start();
    }
    if !rest.is_empty() {
        sentences.push(Sentence { text: rest.to_owned(), pause: Pause::Sentence });
    }
}

/// Bytes of the longest good beginning of a sentence, `most` of them at most: up to the end of a part of it, else of a word,
/// else as many as there are.
fn best_cut(text: &str, most: usize) -> usize {
    let places = text.char_indices().take_while(|&(at, _)| at <= most).filter(|&(at, _)| at >= LEAST_BYTES);
    let ranked = places.filter_map(|(at, after)| Some((rank(&text[..at], after)?, at)));
    ranked.max().map_or_else(|| text.floor_char_boundary(most), |(_, at)| at)
}

/// How good a place is between `head` and the character `after` it; `None` within a word.
///
/// Periods are no sign of a good place: whoever told the sentences apart ruled that this one goes on behind them, as behind
/// `U.S.` and `Ltd.`, and they are better not torn from their name. Full-width marks end sentences in scripts whose rules it
/// does not know.
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

/// Joins short sentences with their neighbours, as far as both fit. Of paragraphs only those are joined that begin with a
/// short sentence, such as a heading.
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
