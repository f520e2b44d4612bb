//! Rules that turn written English into words: numbers, times, dates, money, brackets, quotes and
//! the like.
//!
//! CSM was trained on spoken forms: it stalls at brackets and misreads colons and digits. Its
//! authors advise to put the spoken form into the text (SesameAILabs/csm, issue 141).
//!
//! [`FAMILIES`] holds the rules in order. Each rule puts the matches of a pattern into words, or
//! leaves them alone. After the rules come single characters ([`signs::marks`]) and punctuation
//! ([`pauses::punctuation`]). All steps repeat until nothing changes, so that a normalised text is
//! its own normal form. Every step keeps the places in the written text (see [`MappedText`]).

mod abbreviations;
mod addresses;
mod characters;
mod codes;
mod context;
mod currencies;
mod dates;
mod dimensions;
mod electronic;
mod figures;
mod html;
mod markup;
mod math;
mod measures;
mod money;
mod national;
mod operators;
mod pauses;
mod phones;
mod references;
mod roman;
mod signs;
mod times;
mod titles;
mod units;

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::mapped_text::{MappedText, Rewriter};
use super::numbers::{MONTHS, WEEKDAYS};
use super::sentence_starts::sentence_starts;

/// Most rounds of the rules. In ordinary text the second round changes nothing.
const ROUNDS: usize = 8;

/// The rules that come before the text is cut into sentences, in order.
const MARKUP: [&[Rule]; 4] = [markup::CODE, html::TAGS, markup::RULES, html::ENTITIES];

/// The other rules, in order. Rules that need digits and signs as written come before rules that turn
/// them into words.
const FAMILIES: [&[Rule]; 26] = [
    references::RULES,
    titles::RULES,
    addresses::RULES,
    electronic::RULES,
    times::ZONES,
    dates::RULES,
    codes::RULES,
    abbreviations::RULES,
    roman::RULES,
    phones::RULES,
    national::RULES,
    math::RULES,
    measures::POWERS,
    operators::RULES,
    money::RANGES,
    dimensions::RULES,
    times::RANGES,
    phones::REST,
    figures::MODELS,
    figures::RANGES,
    times::CLOCK,
    money::RULES,
    measures::RULES,
    figures::NUMBERS,
    math::NAMES,
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

    /// Returns the word in front of the match, if only blanks are between them; else nothing.
    fn word_before(&self) -> &'t str {
        last_word(self.head.trim_end())
    }

    /// Returns the word behind the match, if only blanks are between them; else nothing.
    fn word_after(&self) -> &'t str {
        let next = self.rest.trim_start();
        &next[..next.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(next.len())]
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

/// Returns the letters and digits at the end of a text.
fn last_word(text: &str) -> &str {
    &text[text.trim_end_matches(char::is_alphanumeric).len()..]
}

/// A function that returns the words for a match; `None` leaves the match unchanged.
type Rewrite = fn(&RuleMatch<'_>) -> Option<String>;
type Rule = (&'static str, Rewrite);

type Compiled = Vec<CompiledRule>;

/// Rule ready to be applied.
struct CompiledRule {
    pattern: Regex,
    say: Rewrite,
    /// Whether a match begins and ends with a word.
    whole: (bool, bool),
}

static COMPILED_MARKUP: LazyLock<Compiled> = LazyLock::new(|| compiled(&MARKUP));
static COMPILED: LazyLock<Compiled> = LazyLock::new(|| compiled(&FAMILIES));

fn compiled(families: &[&[Rule]]) -> Compiled {
    const BOUNDARY: &str = r"\b";
    let compile = |&(pattern, say): &Rule| {
        // The fast engine of the library knows the ends of ASCII words alone; `CompiledRule::whole` is for the others.
        let ascii = pattern.replace(BOUNDARY, r"(?-u:\b)");
        let whole = (pattern.trim_start_matches("(?i)").starts_with(BOUNDARY), pattern.ends_with(BOUNDARY));
        CompiledRule { pattern: Regex::new(&ascii).expect("the patterns are constants, and tested"), say, whole }
    };
    families.iter().copied().flatten().map(compile).collect()
}

/// Text in its spoken form.
pub(super) struct Normalised {
    /// The spoken form, with its places in the written text.
    pub(super) spoken: MappedText,
    /// Places in the written text at which a sentence begins.
    pub(super) starts: Vec<usize>,
}

impl Normalised {
    /// Takes a text as it is written, with its sentences.
    pub(super) fn as_written(spoken: MappedText) -> Self {
        let starts = sentence_starts(spoken.text()).into_iter().map(|at| spoken.origin(at..at).start).collect();
        Self { spoken, starts }
    }
}

/// Returns the spoken form of a text. Numbers, times, dates, money and common abbreviations become
/// words, and brackets become commas. Quotes and emoji are removed. Blanks become single spaces,
/// and paragraphs, separated by a blank line, end like sentences.
///
/// Text whose letters are mostly not Latin comes back unchanged. Text without anything to say is
/// only trimmed. `normalise(normalise(text)) == normalise(text)`.
#[must_use]
pub fn normalise(text: &str) -> String {
    spoken_form(&MappedText::of(text)).spoken.text().to_owned()
}

/// Returns the spoken form of a text, as [`normalise`] does, with its sentences.
pub(super) fn spoken_form(text: &MappedText) -> Normalised {
    if !mostly_latin(text.text()) {
        return Normalised::as_written(text.clone());
    }
    let clean = apply_all(&COMPILED_MARKUP, characters::characters(text));
    let begins: Vec<_> = sentence_starts(clean.text()).into_iter().map(|at| (clean.origin(at..at).start, at)).collect();
    let figures = begins.iter().filter(|&&(_, at)| begins_with_figure(&clean.text()[at..])).map(|&(start, _)| start);
    let words = settled(clean.clone());
    let mut spoken = with_capitals(&words, figures);
    if spoken.text() != words.text() {
        // A capital can complete a pattern, as in `21Dr. Zero`.
        spoken = settled(spoken);
    }
    let starts = begins.iter().map(|&(start, _)| start).collect();
    if spoken.text().chars().any(char::is_alphanumeric) {
        return Normalised { spoken, starts };
    }
    let plain = text.text();
    let start = plain.len() - plain.trim_start().len();
    Normalised { spoken: text.slice(start..start + plain.trim().len()), starts }
}

/// Returns true unless most letters are of other scripts. A Greek letter by itself is a sign, as in
/// `π ≈ 3.14`.
fn mostly_latin(text: &str) -> bool {
    let latin = |letter: char| {
        letter < '\u{250}' || ('\u{1e00}'..'\u{1f00}').contains(&letter) || characters::is_styled(letter)
    };
    let sign = |word: &&str| word.chars().count() == 1 && word.starts_with(|letter| ('α'..='ω').contains(&letter));
    let words = text.split(|letter: char| !letter.is_alphabetic()).filter(|word| !sign(word));
    let (latin, other): (Vec<char>, Vec<char>) = words.flat_map(str::chars).partition(|&c| latin(c));
    latin.len() >= other.len()
}

/// Applies all steps until nothing changes.
fn settled(mut text: MappedText) -> MappedText {
    for _ in 0..ROUNDS {
        let said = apply_all(&COMPILED, text.clone());
        let next = characters::characters(&pauses::punctuation(&signs::marks(&said)));
        if next.text() == text.text() {
            break;
        }
        text = next;
    }
    text
}

fn apply_all(rules: &Compiled, text: MappedText) -> MappedText {
    rules.iter().fold(text, |text, rule| apply(rule, text))
}

fn apply(rule: &CompiledRule, source: MappedText) -> MappedText {
    let text = source.text();
    let mut rewriter = None;
    for captures in rule.pattern.captures_iter(text) {
        let Some(range) = captures.get(0).map(|found| found.range()) else { continue };
        let (head, rest) = (&text[..range.start], &text[range.end..]);
        // `Ste` is no word of `Stéphane`.
        let inside = |other: Option<char>| other.is_some_and(|other| !other.is_ascii() && other.is_alphanumeric());
        if (rule.whole.0 && inside(head.chars().next_back())) || (rule.whole.1 && inside(rest.chars().next())) {
            continue;
        }
        if let Some(words) = (rule.say)(&RuleMatch { captures, head, rest }) {
            rewriter.get_or_insert_with(|| Rewriter::new(&source)).replace(range, &words);
        }
    }
    rewriter.map(Rewriter::finish).unwrap_or(source)
}

/// Returns true if a sentence begins with a number, which has no capital of its own.
fn begins_with_figure(sentence: &str) -> bool {
    let bare = sentence.trim_start_matches(|before: char| before.is_whitespace() || "\"'([".contains(before));
    let signs = |sign: char| "$€£¥₹₩₿₽₺₪~<>+-.".contains(sign);
    bare.trim_start_matches(signs).starts_with(|first: char| first.is_ascii_digit())
}

/// Gives a capital to the words at these places in the written text, which ascend.
fn with_capitals(text: &MappedText, starts: impl Iterator<Item = usize>) -> MappedText {
    let mut rewriter = Rewriter::new(text);
    for start in starts {
        let rest = &text.text()[text.place_of(start)..];
        let Some(letter) = rest.trim_start().chars().next().filter(|letter| letter.is_lowercase()) else { continue };
        let at = text.text().len() - rest.trim_start().len();
        rewriter.replace(at..at + letter.len_utf8(), &letter.to_uppercase().to_string());
    }
    rewriter.finish()
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
