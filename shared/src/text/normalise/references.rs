//! Rules for numbers that name a place: verses of the Bible, courts, laws, standards, cases, figures
//! and tables. The marks between such numbers are neither ranges nor ratios.

use super::codes::in_pairs;
use super::{Rule, RuleMatch};
use crate::text::numbers::{cardinal, digits, ordinal, pair, parse, whole};

/// Rules that come before names of streets, dates and abbreviations.
pub(super) const RULES: &[Rule] = &[
    // `N° 5` and `Nº 5`.
    (r"\b[Nn]° ?([0-9])", |found| Some(format!("number {}", found.get(1)))),
    (r"\b(?:([1-3]) )?([A-Z][a-z]{1,13})(\.?) ([0-9]{1,3}):([0-9]{1,3})(?: ?[-–] ?([0-9]{1,3}))?\b", verse),
    // A standard and its year.
    (
        concat!(
            r"\b((?:ISO|IEC|EN|DIN|BS|IEEE|ANSI|ASTM|UL)(?:[/ ][A-Z]{2,5})*[ -])",
            r"([0-9]{3,6})(?:-([0-9]{1,2}))?(?::((?:19|20)[0-9]{2}))?\b"
        ),
        standard,
    ),
    // A case of a European court.
    (r"\b([CT])-([0-9]{1,4})/([0-9]{2})\b", |found| {
        let number = if found.get(2).len() < 3 { whole(found.get(2)) } else { digits(found.get(2)) };
        Some(format!("{} {number} slash {}", found.get(1), pair(parse(found.get(3))?)))
    }),
    // A number in two parts. The plural has a range: `Figures 3-5`.
    (
        concat!(
            r"\b(Figure|Fig\.|Table|Room|Exhibit|Equation|Docket|Docket [Nn]o\.|Public Law|Public Law [Nn]o\.|",
            r"P\. ?L\.|Pub\. ?L\.|Pub\. ?L\. [Nn]o\.) ([0-9]{1,3})[-–]([0-9]{1,4})\b"
        ),
        |found| {
            let more = super::goes_on(found.rest) || found.rest.starts_with('–');
            let name = found.get(1).replace("No.", "number").replace("no.", "number");
            (!more).then(|| format!("{name} {} dash {}", in_pairs(found.get(2)), in_pairs(found.get(3))))
        },
    ),
    // Paragraphs of the tax law: `401(k)`, `501(c)(3)`.
    (r"\b([45][0-9]{2})\(([a-z])\)(?:\(([0-9]{1,2})\))?", |found| {
        let more = parse(found.get(3)).map(|number| format!(" {}", cardinal(number))).unwrap_or_default();
        let letter = found.get(2).to_uppercase();
        let free = found.before().is_none_or(|before| before.is_whitespace() || "(§".contains(before));
        free.then(|| found.before_letters(&format!("{} {letter}{more}", in_pairs(found.get(1)))))
    }),
    // Wireless networks.
    (r"\b802\.11(?:([a-z])([a-z])?\b)?", |found| {
        let version = found.rest.strip_prefix('.').is_some_and(|rest| rest.starts_with(|d: char| d.is_ascii_digit()));
        let whole = !version && !found.rest.starts_with(char::is_alphanumeric);
        let letters = [found.get(1), found.get(2)].map(str::to_uppercase).join(" ");
        whole.then(|| format!("eight oh two point eleven {letters}").trim_end().to_owned())
    }),
];

/// Books of the Bible: their names and short forms. A short form with an exclamation mark is another
/// word or a name too, so it needs its period.
const BOOKS: &str = "Genesis:Gen,Gn Exodus:Ex!,Exod Leviticus:Lev Numbers:Num! Deuteronomy:Deut,Dt Joshua:Josh! \
    Judges:Judg Ruth: Samuel:Sam! Kings:Kgs Chronicles:Chr,Chron Ezra: Nehemiah:Neh Esther:Esth Job: \
    Psalm:Ps Psalms:Pss Proverbs:Prov Ecclesiastes:Eccl Solomon: Isaiah:Isa Jeremiah:Jer Lamentations:Lam \
    Ezekiel:Ezek Daniel:Dan! Hosea:Hos Joel: Amos: Obadiah:Obad Jonah: Micah:Mic! Nahum:Nah Habakkuk:Hab \
    Zephaniah:Zeph Haggai:Hag Zechariah:Zech Malachi:Mal! Matthew:Matt!,Mt! Mark:Mk Luke:Lk John:Jn Acts: Romans:Rom \
    Corinthians:Cor Galatians:Gal! Ephesians:Eph Philippians:Phil! Colossians:Col! Thessalonians:Thess Timothy:Tim! \
    Titus: Philemon:Phlm Hebrews:Heb James:Jas Peter:Pet! Jude: Revelation:Rev!";

/// Returns the name of a book of the Bible, given as its name or as a short form.
fn book(word: &str, dotted: bool) -> Option<&'static str> {
    BOOKS.split_whitespace().find_map(|book| {
        let (name, short) = book.split_once(':')?;
        let known = |short: &str| match short.strip_suffix('!') {
            Some(short) => dotted && short == word,
            None => short == word,
        };
        ((word == name && !dotted) || short.split(',').any(known)).then_some(name)
    })
}

/// Reads a place in the Bible: `1 Cor. 13:4-8`. A time of day behind a name has `AM` or `PM`.
fn verse(found: &RuleMatch<'_>) -> Option<String> {
    let name = book(found.get(2), !found.get(3).is_empty())?;
    // A time has zeros there.
    if found.get(4).starts_with('0') || found.get(5).starts_with('0') {
        return None;
    }
    let half = found
        .rest
        .trim_start()
        .get(..2)
        .is_some_and(|half| ["am", "pm", "a.", "p."].contains(&half.to_lowercase().as_str()));
    if half || found.rest.starts_with(':') || found.rest.starts_with(|next: char| next.is_alphanumeric()) {
        return None;
    }
    let number = match found.get(1) {
        "" => String::new(),
        number => format!("{} ", super::capital(&ordinal(parse(number)?))),
    };
    let to = match found.get(6) {
        "" => String::new(),
        last => format!(" to {}", whole(last)),
    };
    Some(format!("{number}{name} {} {}{to}", whole(found.get(4)), whole(found.get(5))))
}

/// Reads a standard: `ISO 9001:2015`, `EN 60950-1`. Without a part and a year it is a number as any
/// other.
fn standard(found: &RuleMatch<'_>) -> Option<String> {
    let (part, year) = (found.get(3), found.get(4));
    if (part.is_empty() && year.is_empty()) || super::goes_on(found.rest) {
        return None;
    }
    let part = if part.is_empty() { String::new() } else { format!(" dash {}", whole(part)) };
    let year = if year.is_empty() { String::new() } else { format!(" {}", crate::text::numbers::number(year)) };
    Some(format!("{}{}{part}{year}", found.get(1), whole(found.get(2))))
}
