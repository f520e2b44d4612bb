//! Places at which the sentences of a text begin.
//!
//! The sentence segmenter decides, and the tables here correct it for abbreviations that it does not
//! know. The decision is made on the written text: in spoken form, `fig. Three` looks like two
//! sentences.

use std::ops::Range;

/// Abbreviations in front of a number, in lower case: no sentence ends with them there.
const BEFORE_NUMBERS: &[&str] = &[
    "abt", "app", "appx", "approx", "apt", "art", "arts", "bk", "bks", "bldg", "ca", "ch", "chap", "chaps", "chs",
    "cir", "cl", "col", "cols", "def", "dept", "ed", "eds", "eq", "eqn", "eqs", "est", "ex", "excl", "ext", "fig",
    "figs", "fl", "fn", "fol", "gen", "incl", "iss", "lev", "ln", "max", "min", "misc", "no", "nos", "nr", "num", "op",
    "p", "par", "para", "paras", "pg", "pl", "pp", "prob", "prop", "pt", "pts", "qty", "ref", "refs", "rev", "rm",
    "rs", "sec", "sect", "secs", "ser", "sig", "st", "ste", "suppl", "tab", "tabs", "tel", "thm", "univ", "v", "ver",
    "vers", "vol", "vols", "vv", "wk", "ph", "fax", "tbl", "cf", "viz", "jan", "feb", "mar", "apr", "jun", "jul",
    "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "tues", "wed", "weds", "thu", "thur", "thurs", "fri",
    "sat", "sun",
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

/// Whole sentence that looks like the abbreviation of a number.
const ANSWER: &str = "No. ";

/// Returns the places at which a sentence begins, ascending. A blank in front of a sentence belongs
/// to the sentence before.
pub(super) fn sentence_starts(text: &str) -> Vec<usize> {
    let mut starts = Vec::new();
    for paragraph in paragraphs(text) {
        let (mut at, paragraph) = (paragraph.start, &text[paragraph]);
        let from = at;
        for segment in sentencex::segment("en", paragraph) {
            let start = at + segment.len() - segment.trim_start().len();
            at += segment.len();
            let (head, rest) = (&text[from..start], &text[start..]);
            if start < at && (head.is_empty() || is_end(head, rest)) {
                starts.push(start);
                if is_answer(head, rest) {
                    starts.push(start + ANSWER.len());
                }
            }
        }
    }
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

/// Returns true if the sentence that `head` ends with does not go on in `rest`.
fn is_end(head: &str, rest: &str) -> bool {
    let Some(sentence) = head.trim_end().strip_suffix('.') else { return true };
    let letters = sentence.trim_end_matches(char::is_alphanumeric).len();
    let word = sentence[letters..].to_lowercase();
    let follows = |table: &[&str], next: fn(char) -> bool| rest.starts_with(next) && table.contains(&word.as_str());
    !follows(BEFORE_NUMBERS, |next| next.is_ascii_digit()) && !follows(BEFORE_NAMES, char::is_uppercase)
}
