//! The rules that turn written English into words: numbers, times, dates, money, brackets, quotes and the like.
//!
//! CSM was trained on what people say. It stalls at brackets and misreads colons and digits (its makers advise to put
//! the spoken form into the text: SesameAILabs/csm, issue 141). The rules stand in [`RULES`], in order: each takes what a
//! pattern finds and says it in words, or leaves it alone. Behind them come single characters ([`mark`]) and punctuation
//! ([`pause`]). All are applied until nothing changes any more, so that a normalised text is its own normal form.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::numbers::{MONTHS, WEEKDAYS};
use super::numbers::{cardinal, clock, decimal, digits, money, number, ordinal, parse, part, plural, whole};

/// Rounds of rules at most. The second finds nothing to change in ordinary text.
const ROUNDS: usize = 8;

/// One place in the text that a rule's pattern matches.
struct Found<'t> {
    captures: Captures<'t>,
    /// The text before the match.
    head: &'t str,
    /// The text behind it.
    rest: &'t str,
}

impl<'t> Found<'t> {
    /// A group of the pattern; empty where it took no part.
    fn get(&self, group: usize) -> &'t str {
        self.captures.get(group).map_or("", |found| found.as_str())
    }

    fn before(&self) -> Option<char> {
        self.head.chars().next_back()
    }

    fn after(&self) -> Option<char> {
        self.rest.chars().next()
    }

    /// `words` in place of the match, apart from letters that touch it: `5km`, `mp3`.
    fn apart(&self, words: &str) -> String {
        let space = |neighbour: Option<char>| if neighbour.is_some_and(char::is_alphanumeric) { " " } else { "" };
        format!("{}{words}{}", space(self.before()), space(self.after()))
    }

    /// The period that an abbreviation shares with the end of its sentence.
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

/// What is said instead of a match; `None` leaves it as it is.
type Say = fn(&Found<'_>) -> Option<String>;
type Rule = (&'static str, Say);

/// Patterns and what is said instead, in order.
const RULES: &[Rule] = &[
    // Items of a list begin paragraphs of their own.
    (r"\n *(?:[-*•–—]+ +|([0-9]{1,2}[.)] ))", |found| Some(format!("\n\n{}", found.get(1)))),
    // Addresses. Of a link only the host is said.
    (r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b", |found| Some(address(found.get(0)))),
    (
        r"\b(?:https?://(?:www\.)?|www\.)((?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+)(?::[0-9]+)?(?:[/?#](?:\S*[\w/=])?)?",
        |found| Some(address(found.get(1))),
    ),
    (r"\b((?:[A-Za-z0-9-]+\.)+(?:com|org|net|edu|gov|io|dev|ai|app|info|co\.uk))\b(?:/(?:\S*[\w/=])?)?", |found| {
        Some(address(found.get(1)))
    }),
    // Abbreviations whose meaning is certain.
    (r"(?i)\b(?:e\. ?g\b\.?|eg\.)", |found| Some(cased(found, "for example"))),
    (r"(?i)\b(?:i\. ?e\b\.?|ie\.)", |found| Some(cased(found, "that is"))),
    (r"(?i)\betc\b(\.?)", |found| {
        Some(format!("et cetera{}", if found.get(1).is_empty() { "" } else { found.period() }))
    }),
    (r"(?i)\bvs\b\.?", |_| Some("versus".into())),
    (r"(?i)\bapprox\.", |found| Some(cased(found, "approximately"))),
    (r"\b(Mr|Mrs|Dr|Prof|St)\. ", title),
    (r"(?:\bNo\. ?|#)([0-9])", |found| Some(format!("number {}", found.get(1)))),
    // Dates.
    (r"\b([0-9]{4})-([0-9]{2})-([0-9]{2})\b", iso_date),
    (r"\b(Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\b\.? ([0-9])", |found| {
        let month = MONTHS.iter().find(|month| month.starts_with(&found.get(1)[..3]))?;
        Some(format!("{month} {}", found.get(2)))
    }),
    (
        r"\b(January|February|March|April|May|June|July|August|September|October|November|December) ([0-9]{1,2})(?:st|nd|rd|th)?\b",
        month_day,
    ),
    // Rows of digits that are no number.
    (r"\(([0-9]{3})\) ?([0-9]{3}-[0-9]{4})\b", |found| Some(format!("{}-{}", found.get(1), found.get(2)))),
    (r"\b[0-9]+(?:-[0-9]+){2,}\b|\b[0-9]{3}-[0-9]{4}\b", |found| {
        let groups: Vec<_> = found.get(0).split('-').map(digits).collect();
        Some(groups.join(", "))
    }),
    // Ranges and signs.
    (r"([0-9]%?)(?:-| ?– ?)([$€£]?[0-9])", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
    (r"-([$€£]?\.?[0-9])", |found| {
        let free = found.before().is_none_or(|before| before.is_whitespace() || "([".contains(before));
        free.then(|| format!("minus {}", found.get(1)))
    }),
    // Times.
    (r"([0-9]) ?(?:([AaPp])[Mm]\b|([AaPp])\. ?[Mm]\b\.?)", |found| {
        let letter = if found.get(2).is_empty() { found.get(3) } else { found.get(2) };
        let period = if found.get(0).ends_with('.') { found.period() } else { "" };
        Some(format!("{} {}M{period}", found.get(1), letter.to_uppercase()))
    }),
    (r"\b([0-9]{1,2}):([0-5][0-9])(?::([0-5][0-9]))?(?: ([AP]M)\b)?", time),
    (r"\b([0-9]+):([0-9]+)\b", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
    // Money.
    (
        r"(?:\bUS)?([$€£¥]) ?([0-9]+(?:,[0-9]{3})*)(?:\.([0-9]+))?(?: ?(thousand|million|billion|trillion|bn|[kKmMB])\b)?",
        |found| Some(found.apart(&money(found.get(1), found.get(2), found.get(3), found.get(4)))),
    ),
    (r"([0-9]+(?:,[0-9]{3})*)(?:\.([0-9]+))? ?([€£¥])", |found| {
        Some(found.apart(&money(found.get(3), found.get(1), found.get(2), "")))
    }),
    // Other numbers.
    (r"\b([0-9]+(?:,[0-9]{3})*)(?:st|nd|rd|th)\b", |found| Some(ordinal(parse(found.get(1))?))),
    (r"\b([0-9]+0)'?s\b", |found| Some(plural(&number(found.get(1))))),
    (r"\b([0-9]{1,2})/([0-9]{1,2})\b", fraction),
    (r"[0-9]+(?:\.[0-9]+){2,}", |found| {
        let parts: Vec<_> = found.get(0).split('.').map(whole).collect();
        Some(found.apart(&parts.join(" point ")))
    }),
    (r"([0-9]+(?:,[0-9]{3})*)?\.([0-9]+)", |found| {
        let whole_part = found.get(1);
        let free = !whole_part.is_empty() || found.before().is_none_or(char::is_whitespace);
        free.then(|| found.apart(&decimal(whole_part, found.get(2))))
    }),
    (r"[0-9]+(?:,[0-9]{3})*", |found| Some(found.apart(&number(found.get(0))))),
    (r" ?° ?([CF])\b", |found| {
        Some(format!(" degrees {}", if found.get(1) == "C" { "Celsius" } else { "Fahrenheit" }))
    }),
    // Plurals in brackets.
    (r"([A-Za-z])\(s\)", |found| Some(format!("{}s", found.get(1)))),
    // A dash between words, and hyphens that stand for one.
    (r" -+ |--+", |_| Some(", ".into())),
];

static COMPILED: LazyLock<Vec<(Regex, Say)>> = LazyLock::new(|| {
    let compile = |&(pattern, say): &Rule| (Regex::new(pattern).expect("the patterns are constants, and tested"), say);
    RULES.iter().map(compile).collect()
});

/// The text as it is said: numbers, times, dates, money and common abbreviations in words, brackets as commas, no quotes,
/// no emoji, single spaces, and a blank line between paragraphs, which end like sentences.
///
/// Text whose letters are mostly of another script than Latin comes back unchanged, and so does one without anything to
/// say, trimmed. `normalise(normalise(text)) == normalise(text)`.
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
    let mut spoken = characters(text);
    for (pattern, say) in COMPILED.iter() {
        spoken = apply(pattern, *say, &spoken);
    }
    punctuation(&marks(&spoken))
}

fn apply(pattern: &Regex, say: Say, text: &str) -> String {
    let (mut said, mut copied) = (String::with_capacity(text.len()), 0);
    for captures in pattern.captures_iter(text) {
        let Some(range) = captures.get(0).map(|found| found.range()) else { continue };
        let (head, found, rest) = (&text[..range.start], &text[range.clone()], &text[range.end..]);
        if let Some(words) = say(&Found { captures, head, rest }) {
            said.push_str(&text[copied..range.start]);
            if begins_sentence(head)
                && found.starts_with(|first: char| first.is_ascii_digit() || "$€£¥".contains(first))
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

/// Whether a word behind `head` has a capital. Without it the end of a sentence before a number would not be seen.
fn begins_sentence(head: &str) -> bool {
    let before = head.trim_end_matches(|blank: char| blank.is_whitespace() || "\"'([".contains(blank));
    let between = &head[before.len()..];
    before.is_empty() || between.contains("\n\n") || (before.ends_with(['.', '!', '?']) && !between.is_empty())
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Many characters for one meaning become one, runs of blanks one space, and what has no sound goes.
fn characters(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\u{2028}' | '\u{2029}' => plain.push('\n'),
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {}
            '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{e0000}'..='\u{e007f}' => {}
            '“' | '”' | '„' | '‟' | '«' | '»' | '″' | '＂' | '`' => plain.push('"'),
            '‘' | '’' | '‚' | '‛' | '′' | '´' => plain.push('\''),
            '\u{2010}' | '\u{2011}' | '\u{2212}' => plain.push('-'),
            '\u{2012}' => plain.push('–'),
            '―' => plain.push('—'),
            '…' => plain.push_str("..."),
            '½' => plain.push_str(" 1/2"),
            '¼' => plain.push_str(" 1/4"),
            '¾' => plain.push_str(" 3/4"),
            '²' => plain.push_str(" squared"),
            '³' => plain.push_str(" cubed"),
            '×' => plain.push_str(" times "),
            '÷' => plain.push_str(" divided by "),
            '±' => plain.push_str(" plus or minus "),
            '≈' => plain.push_str(" about "),
            '▪' | '‣' | '·' | '●' | '◦' => plain.push('•'),
            blank if blank.is_whitespace() || blank.is_control() || is_picture(blank) => {
                if !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            other => plain.push(other),
        }
    }
    plain
}

/// Arrows, boxes, symbols and emoji.
fn is_picture(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2500}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '©' | '®' | '™')
}

fn marks(text: &str) -> String {
    let mut said = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    let mut before = ' ';
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        mark(&mut said, character, before.is_alphanumeric() && after.is_alphanumeric());
        before = character;
    }
    said
}

/// What one character becomes; `inside` says that it stands between two letters.
fn mark(said: &mut String, character: char, inside: bool) {
    match character {
        '\'' | '-' if inside => said.push(character),
        '\'' => {}
        '"' if !inside => {}
        '(' | ')' | '[' | ']' | '{' | '}' | '—' | '–' => said.push_str(" , "),
        '/' if inside => said.push_str(" slash "),
        '&' => said.push_str(" and "),
        '@' => said.push_str(" at "),
        '%' => said.push_str(" percent "),
        '+' => said.push_str(" plus "),
        '=' => said.push_str(" equals "),
        '§' => said.push_str(" section "),
        '°' => said.push_str(" degrees "),
        '$' => said.push_str(" dollar "),
        '€' => said.push_str(" euro "),
        '£' => said.push_str(" pound "),
        '¥' => said.push_str(" yen "),
        '"' | '-' | '/' | '#' | '*' | '_' | '~' | '^' | '|' | '\\' | '<' | '>' | '•' => said.push(' '),
        other => said.push(other),
    }
}

/// Every run of punctuation and blanks becomes one mark and one space, or the end of a paragraph.
fn punctuation(text: &str) -> String {
    let in_run = |character: char| character.is_whitespace() || ",;:.!?".contains(character);
    let (mut said, mut rest) = (String::with_capacity(text.len()), text);
    while !rest.is_empty() {
        let (words, behind) = rest.split_at(rest.find(in_run).unwrap_or(rest.len()));
        let (run, next) = behind.split_at(behind.find(|character| !in_run(character)).unwrap_or(behind.len()));
        said.push_str(words);
        if !said.is_empty() && !run.is_empty() {
            pause(&mut said, run, next);
        }
        rest = next;
    }
    said
}

/// What a run between two words becomes; `next` is the text behind it.
fn pause(said: &mut String, run: &str, next: &str) {
    let mark = run.split_whitespace().filter_map(|group| strongest(group, next)).max_by_key(|&mark| strength(mark));
    let paragraph = run.matches('\n').count() >= 2;
    match mark {
        _ if !next.is_empty() && (run == "." || run == ":") => said.push_str(run),
        None | Some(',') if next.is_empty() => {}
        Some(mark) if next.is_empty() => said.push(mark),
        Some(mark @ ('.' | '!' | '?')) if paragraph => said.extend([mark, '\n', '\n']),
        _ if paragraph => said.push_str(".\n\n"),
        Some(mark) => said.extend([mark, ' ']),
        None => said.push(' '),
    }
}

/// The one mark of several without a blank between: `?!` asks, `.,` follows an abbreviation, dots trail off.
fn strongest(group: &str, next: &str) -> Option<char> {
    let last = group.chars().next_back()?;
    if let Some(loud) = ['?', '!'].into_iter().find(|&loud| group.contains(loud)) {
        Some(loud)
    } else if group.contains("..") {
        Some(if next.starts_with(char::is_lowercase) { ',' } else { '.' })
    } else {
        Some(last)
    }
}

fn strength(mark: char) -> Option<usize> {
    [',', ';', ':', '.', '!', '?'].iter().position(|&other| other == mark)
}

/// `words`, with a capital where the match has one.
fn cased(found: &Found<'_>, words: &str) -> String {
    if found.get(0).starts_with(char::is_uppercase) { capital(words) } else { words.to_owned() }
}

/// A title in front of a name: `Dr. Jones`, but neither `Elm Dr. Nobody` nor `Main St. He`.
fn title(found: &Found<'_>) -> Option<String> {
    let last = found.head.trim_end().rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let street = found.head.ends_with(' ') && last.starts_with(char::is_uppercase);
    let words = match found.get(1) {
        "Mr" => "Mister",
        "Mrs" => "Missus",
        "Prof" => "Professor",
        "Dr" if !street => "Doctor",
        "St" if !street => "Saint",
        _ => return None,
    };
    found.rest.starts_with(char::is_uppercase).then(|| format!("{words} "))
}

/// `name@example.com` as `name at example dot com`.
fn address(text: &str) -> String {
    text.replace('.', " dot ").replace('@', " at ").replace('_', " underscore ").replace('-', " dash ")
}

fn iso_date(found: &Found<'_>) -> Option<String> {
    let (month, day) = (parse(found.get(2))?, parse(found.get(3))?);
    let name = MONTHS.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    (1..=31).contains(&day).then(|| format!("{name} {}, {}", ordinal(day), number(found.get(1))))
}

fn month_day(found: &Found<'_>) -> Option<String> {
    let day = parse(found.get(2)).filter(|day| (1..=31).contains(day))?;
    let other = found.after().is_some_and(|after| ":/%".contains(after));
    (!other).then(|| format!("{} {}", found.get(1), ordinal(day)))
}

fn time(found: &Found<'_>) -> Option<String> {
    let (hour, minute) = (parse(found.get(1)).filter(|&hour| hour <= 24)?, parse(found.get(2))?);
    let whole = !found.after().is_some_and(|after| after.is_ascii_digit() || after == ':');
    whole.then(|| clock(hour, minute, parse(found.get(3)), found.get(4)))
}

/// Halves, thirds and other common parts; other numbers about a slash are dates, scores and hours.
fn fraction(found: &Found<'_>) -> Option<String> {
    if [found.before(), found.after()].contains(&Some('/')) {
        return None;
    }
    let (top, bottom) = (parse(found.get(1))?, parse(found.get(2))?);
    let mixed = found.head.strip_suffix(' ').is_some_and(|head| head.ends_with(|digit: char| digit.is_ascii_digit()));
    Some(match part(top, bottom) {
        Some(words) if mixed => format!("and {words}"),
        Some(words) => words,
        None if (top, bottom) == (24, 7) => "twenty-four seven".into(),
        None => format!("{} slash {}", cardinal(top), cardinal(bottom)),
    })
}
