//! Places at which the sentences of a text begin.
//!
//! The sentence segmenter decides, and the tables here correct it for abbreviations that it does not
//! know. The decision is made on the written text: in spoken form, `fig. Three` looks like two
//! sentences.

mod list_items;

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use list_items::{items, line_ends};

/// Abbreviations in front of a number, in lower case: no sentence ends with them there.
const BEFORE_NUMBERS: &[&str] = &[
    "cor", "stat", "ss", "tr", "dkt", "cir", "supp", "str", "rom", "eph", "phil", "thess", "tim", "heb", "pet", "deut",
    "num", "josh", "sam", "kgs", "chr", "isa", "jer", "ezek", "zech", "matt", "lvl", "lv", "exs", "psa", "prov",
    "eccl", "abt", "app", "appx", "approx", "avg", "hwy", "rte", "apt", "art", "arts", "bk", "bks", "bldg", "ca", "ch",
    "chap", "chaps", "chs", "cir", "cl", "col", "cols", "def", "dept", "ed", "eds", "eq", "eqn", "eqs", "est", "ex",
    "excl", "ext", "fig", "figs", "fl", "fn", "fol", "gen", "incl", "iss", "lev", "ln", "max", "min", "misc", "no",
    "nos", "nr", "num", "op", "p", "par", "para", "paras", "pg", "pl", "pp", "prob", "prop", "pt", "pts", "qty", "ref",
    "refs", "rev", "rm", "rs", "sec", "sect", "secs", "ser", "sig", "st", "ste", "suppl", "tab", "tabs", "tel", "thm",
    "univ", "v", "ver", "vers", "vol", "vols", "vv", "wk", "ph", "fax", "tbl", "cf", "viz", "jan", "feb", "mar", "apr",
    "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "tues", "wed", "weds", "thu", "thur",
    "thurs", "fri", "sat", "sun",
];

/// Abbreviations in front of a name, in lower case: no sentence ends with them there.
const BEFORE_NAMES: &[&str] = &[
    "acad", "adj", "adm", "amb", "asst", "atty", "bp", "br", "brig", "bro", "capt", "cdr", "chas", "cmdr", "col",
    "comdr", "cpl", "cpt", "det", "dir", "dr", "edw", "ens", "fr", "gen", "geo", "gov", "hon", "insp", "jas", "jos",
    "lieut", "lt", "maj", "messrs", "mgr", "mlle", "mme", "mr", "mrs", "ms", "msgr", "mx", "mt", "mts", "ofc", "pfc",
    "pres", "prof", "pvt", "rep", "reps", "rev", "robt", "sen", "sens", "sgt", "sr", "sra", "srta", "supt", "thos",
    "treas", "ven", "vs", "wm", "cf", "viz", "ft", "pt", "st", "ala", "ariz", "ark", "calif", "colo", "conn", "del",
    "fla", "ga", "ill", "ind", "kan", "kans", "ky", "mass", "md", "mich", "minn", "miss", "mont", "neb", "nebr", "nev",
    "okla", "ont", "ore", "penn", "que", "tenn", "tex", "va", "vt", "wis", "wyo", "assn", "dept", "univ", "inst",
    "intl", "natl", "fed", "pt",
];

/// Abbreviations that often end a sentence, and the word behind. The segmenter never ends one there.
static LAST_WORD: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"\b(?:Co|Inc|Ltd|Corp|Bros|Jr|Sr|etc|al|Ph\.D|M\.D|[apAP]\.[mM]|U\.S|U\.K|D\.C)\.\s+([A-Z][a-z]*)\b")
        .expect("the pattern is a constant, and tested")
});

/// Words that begin a sentence more often than a name.
const FIRST_WORDS: &str = "A After All Although An And Another As At Because Before Both But By Each Even Every Everybody \
    Everyone Few For From Had Has He Her Here His How However I If In Is It Its Later Many Meanwhile More Most My Neither \
    Nobody None Nor Nothing Now Of On Once One Only Our Perhaps She Should Since So Some Someone Soon Still Such That The \
    Their Then There These They This Those Though Today Tomorrow Two Under Unless Until We Were What When Where Whether \
    Which While Who Why With Without Would Yesterday Yet You Your";

/// Most bytes of the beginning of a sentence that only tells the hour.
const OPENING_BYTES: usize = 30;

/// Whole sentence that looks like the abbreviation of a number.
const ANSWER: &str = "No. ";

/// Returns the places at which a sentence begins, ascending. A blank in front of a sentence belongs
/// to the sentence before.
pub(super) fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    for paragraph in paragraphs(text) {
        let inner = starts_within(&text[paragraph.clone()]);
        starts.extend(inner.into_iter().map(|start| paragraph.start + start));
    }
    starts
}

/// Returns the places at which the sentences of a paragraph begin.
fn starts_within(paragraph: &str) -> Vec<usize> {
    let items = items(paragraph);
    let mut starts: Vec<_> = items.iter().map(|item| item.start).collect();
    starts.extend(line_ends(paragraph, &items));
    let words = LAST_WORD.captures_iter(paragraph).filter_map(|found| found.get(1));
    let words = words.filter(|word| FIRST_WORDS.split(' ').any(|first| first == word.as_str()));
    starts.extend(words.map(|word| word.start()));
    let (mut at, mut begun) = (0, 0);
    for segment in sentencex::segment("en", paragraph) {
        let start = at + segment.len() - segment.trim_start().len();
        at += segment.len();
        let (head, rest) = (&paragraph[begun..start], &paragraph[start..]);
        if start < at && (head.is_empty() || is_end(head, rest)) {
            starts.push(start);
            begun = start;
            if is_answer(head, rest) {
                starts.push(start + ANSWER.len());
            }
        }
    }
    // The mark of an item ends no sentence.
    let behind_mark = |start: usize| {
        items.iter().any(|item| item.start < start && paragraph[item.start..start].trim_end().len() <= item.len())
    };
    starts.retain(|&start| !behind_mark(start));
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// Returns the range of the parts between blank lines, without blanks around them.
pub(super) fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut start, mut end) = (Vec::new(), 0, 0);
    for line in text.split_inclusive('\n') {
        if line.trim().is_empty() {
            found.push(start..end);
            start = end + line.len();
        }
        end += line.len();
    }
    found.push(start..end);
    found.into_iter().map(|range| trimmed(text, range)).filter(|range| !range.is_empty()).collect()
}

/// Returns the range without blanks at its ends.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let start = range.start + text[range.clone()].len() - text[range.clone()].trim_start().len();
    start..start + text[range].trim().len()
}

/// Returns true if `rest` begins with the answer to the question before it, and a number begins the
/// next sentence: `Any left? No. 10 were sold.`
fn is_answer(head: &str, rest: &str) -> bool {
    let number = rest.strip_prefix(ANSWER).is_some_and(|next| next.starts_with(|next: char| next.is_ascii_digit()));
    number && head.trim_end().ends_with('?')
}

/// Returns true if the sentence `head` does not go on in `rest`.
fn is_end(head: &str, rest: &str) -> bool {
    if rest.starts_with(['.', '!', '?', ',', ';', ':']) {
        return false;
    }
    let Some(sentence) = head.trim_end().strip_suffix('.') else { return true };
    let letters = sentence.trim_end_matches(char::is_alphanumeric).len();
    let word = sentence[letters..].to_lowercase();
    let next = rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let title = rest[next.len()..].starts_with('.') && BEFORE_NAMES.contains(&next.to_lowercase().as_str());
    let hour = word == "m" && sentence[..letters].ends_with(['a', 'p', 'A', 'P', '.']);
    let follows = |table: &[&str], next: fn(char) -> bool| rest.starts_with(next) && table.contains(&word.as_str());
    let goes_on = follows(BEFORE_NUMBERS, |next| next.is_ascii_digit()) || follows(BEFORE_NAMES, char::is_uppercase);
    // `At 4 a.m. Mr. Ode left`, but `He came at 4 p.m. Mr. Ode left`.
    // The zone of a time.
    let zone = hour && (2..=4).contains(&next.len()) && next.bytes().all(|byte| byte.is_ascii_uppercase());
    let opening = hour && title && head.len() < OPENING_BYTES;
    !(goes_on || zone || opening)
}
