//! Rules that turn written English into words: numbers, times, dates, money, brackets, quotes and
//! the like.
//!
//! CSM was trained on spoken forms: it stalls at brackets and misreads colons and digits. Its
//! authors advise to put the spoken form into the text (SesameAILabs/csm, issue 141).
//!
//! [`FAMILIES`] holds the rules in order. Each rule puts the matches of a pattern into words, or
//! leaves them alone. After the rules come single characters ([`signs::marks`]) and punctuation
//! ([`pauses::punctuation`]). All steps repeat until nothing changes, so that a normalised text is
//! its own normal form.

mod abbreviations;
mod figures;
mod money;
mod operators;
mod pauses;
mod signs;
mod times;

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::numbers::{MONTHS, WEEKDAYS};

/// Most rounds of the rules. In ordinary text the second round changes nothing.
const ROUNDS: usize = 8;

/// The rules, in order. Rules that need digits and signs as written come before rules that turn
/// them into words.
const FAMILIES: [&[Rule]; 9] = [
    abbreviations::RULES,
    operators::RULES,
    times::DATES,
    money::RANGES,
    figures::ROWS,
    times::CLOCK,
    money::RULES,
    figures::NUMBERS,
    signs::RULES,
];

/// A match of a rule's pattern in the text.
struct RuleMatch<'t> {
    captures: Captures<'t>,
    /// The text before the match.
    head: &'t str,
    /// The text behind the match.
    rest: &'t str,
}

impl<'t> RuleMatch<'t> {
    /// Returns a group of the pattern; empty if the group took no part.
    fn get(&self, group: usize) -> &'t str {
        self.captures.get(group).map_or("", |found| found.as_str())
    }

    fn before(&self) -> Option<char> {
        self.head.chars().next_back()
    }

    fn after(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// Returns `words` with spaces between them and letters that touch the match, as in `5km` and
    /// `mp3`.
    fn apart(&self, words: &str) -> String {
        let space = |neighbour: Option<char>| if neighbour.is_some_and(char::is_alphanumeric) { " " } else { "" };
        format!("{}{words}{}", space(self.before()), space(self.after()))
    }

    /// Returns a period if the abbreviation ends its sentence, else nothing.
    fn period(&self) -> &'static str {
        let next = self.rest.trim_start();
        let word = next.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
        let begins = word.starts_with(char::is_uppercase)
            && word.chars().nth(1).is_none_or(char::is_lowercase)
            && !WEEKDAYS.contains(&word)
            && !MONTHS.contains(&word);
        if next.is_empty() || (begins && self.rest.starts_with(char::is_whitespace)) { "." } else { "" }
    }
}

/// A function that returns the words for a match; `None` leaves the match unchanged.
type Rewrite = fn(&RuleMatch<'_>) -> Option<String>;
type Rule = (&'static str, Rewrite);

static COMPILED: LazyLock<Vec<(Regex, Rewrite)>> = LazyLock::new(|| {
    let compile = |&(pattern, say): &Rule| (Regex::new(pattern).expect("the patterns are constants, and tested"), say);
    FAMILIES.into_iter().flatten().map(compile).collect()
});

/// Returns the spoken form of a text. Numbers, times, dates, money and common abbreviations become
/// words, and brackets become commas. Quotes and emoji are removed. Blanks become single spaces,
/// and paragraphs, separated by a blank line, end like sentences.
///
/// Text whose letters are mostly not Latin comes back unchanged. Text without anything to say is
/// only trimmed. `normalise(normalise(text)) == normalise(text)`.
#[must_use]
pub fn normalise(text: &str) -> String {
    if !mostly_latin(text) {
        return text.to_owned();
    }
    let mut spoken = text.to_owned();
    for _ in 0..ROUNDS {
        let next = round(&spoken);
        if next == spoken {
            break;
        }
        spoken = next;
    }
    if spoken.chars().any(char::is_alphanumeric) { spoken } else { text.trim().to_owned() }
}

fn mostly_latin(text: &str) -> bool {
    let latin = |letter: char| letter < '\u{250}' || ('\u{1e00}'..'\u{1f00}').contains(&letter);
    let (latin, other): (Vec<char>, Vec<char>) = text.chars().filter(|c| c.is_alphabetic()).partition(|&c| latin(c));
    latin.len() >= other.len()
}

fn round(text: &str) -> String {
    let mut spoken = signs::characters(text);
    for (pattern, say) in COMPILED.iter() {
        spoken = apply(pattern, *say, &spoken);
    }
    pauses::punctuation(&signs::marks(&spoken))
}

fn apply(pattern: &Regex, say: Rewrite, text: &str) -> String {
    let (mut said, mut copied) = (String::with_capacity(text.len()), 0);
    for captures in pattern.captures_iter(text) {
        let Some(range) = captures.get(0).map(|found| found.range()) else { continue };
        let (head, found, rest) = (&text[..range.start], &text[range.clone()], &text[range.end..]);
        if let Some(words) = say(&RuleMatch { captures, head, rest }) {
            said.push_str(&text[copied..range.start]);
            if begins_sentence(head)
                && found.starts_with(|first: char| first.is_ascii_digit() || "$€£¥~<>".contains(first))
            {
                said.push_str(&capital(&words));
            } else {
                said.push_str(&words);
            }
            copied = range.end;
        }
    }
    said.push_str(&text[copied..]);
    said
}

/// Returns true if a word behind `head` begins a sentence and so has a capital. Without the
/// capital, the end of a sentence before a number would be missed.
fn begins_sentence(head: &str) -> bool {
    let before = head.trim_end_matches(|blank: char| blank.is_whitespace() || "\"'([".contains(blank));
    let between = &head[before.len()..];
    before.is_empty() || between.contains("\n\n") || (before.ends_with(['.', '!', '?']) && !between.is_empty())
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Returns true if the number before `rest` is part of a greater one, or a share: `,000`, `.5`,
/// `:30`, `/4`, `-7`, `%`.
fn goes_on(rest: &str) -> bool {
    let mut behind = rest.chars();
    let mark = behind.next();
    let row = behind.take_while(char::is_ascii_digit).count();
    match mark {
        Some('%') => true,
        Some(',') => row == 3,
        Some('.' | ':' | '/' | '-') => row > 0,
        _ => false,
    }
}
