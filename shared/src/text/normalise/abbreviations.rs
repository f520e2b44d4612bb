//! Rules for abbreviations whose meaning is certain, alone or by their place.

use super::{Rule, RuleMatch, begins_sentence, capital};

/// Rules for text whose spoken form differs from its letters.
pub(super) const RULES: &[Rule] = &[
    // A capital after a period and a blank begins a sentence: `So did I. E coli`.
    (r"\b(?:[Ee]\.g\b\.?|e\. g\.|[Ee]g\.)", |found| Some(cased(found, "for example"))),
    (r"\b(?:[Ii]\.e\b\.?|i\. e\.|[Ii]e\.)", |found| Some(cased(found, "that is"))),
    (r"(?i)\betc\b(\.?)", |found| {
        let folder = found.head.ends_with("slash ");
        (!folder).then(|| format!("et cetera{}", ended(found, found.get(1))))
    }),
    (r"(?i)\bvs\b\.?", |_| Some("versus".into())),
    (r"\b([Aa])\.k\.a\b\.?", |found| Some(cased(found, "also known as"))),
    (r"\b([0-9]+(?:st|nd|rd|th)|[Rr]evised|[Nn]ew) ed\.", |found| {
        Some(format!("{} edition{}", found.get(1), found.period()))
    }),
    (r"\b([Ee])d\. by\b", |found| Some(format!("{}dited by", found.get(1)))),
    (r"&c\.", |found| Some(format!("et cetera{}", found.period()))),
    (r"\b(?:[Ee]t) al\.", |found| Some(format!("{} al{}", &found.get(0)[..2], found.period()))),
    // A plural in brackets.
    (r"\b([A-Za-z]{2,})\((e?s)\)", plural),
    (r"\b([Aa]nd) / or\b", |found| Some(format!("{} slash or", found.get(1)))),
    (r"\([Cc]\) ?((?:19|20)[0-9]{2})\b", copyright),
    // Words shortened to a letter and a slash.
    (r"\b([WwBbNnCc])/(out|o|e|c|a|A|in|i|w)?(\.?)", slash),
    // Words in front of a number. `5 min. 30` is a time.
    (r"\b([A-Za-z]{1,6})\. ?(\(?[0-9]|[IVXLC]+\b|[ivxl]{2,}\b)", counted),
    (r"\b[Nn]o\.( ?)([0-9])", |found| (!is_answer(found)).then(|| format!("number {}", found.get(2)))),
    (r"\b([A-Za-z]{2,6})\.", shortened),
    (r"\b(Co\.|Corp\b\.?|Inc\b\.?|Ltd\b\.?)", company),
    // A hash has a meaning only behind a letter or before a number.
    (r"\b([A-GJcf])#", |found| {
        (!found.after().is_some_and(char::is_alphanumeric)).then(|| format!("{} sharp", found.get(1)))
    }),
    (r"#([0-9])", |found| {
        let space = if found.before().is_some_and(char::is_alphanumeric) { " " } else { "" };
        Some(format!("{space}number {}", found.get(1)))
    }),
];

/// Bytes before `(c)` that are searched for the `(b)` of a list.
const LIST_REACH: usize = 400;

/// Words that have a capital only because they begin a sentence or a greeting, so they name no
/// street.
const STARTERS: &str = "A About After All Although An And Are Around As Ask At Because Before Behind Both But By \
    Call Can Could Dear Did Do Does During Even Every For From Had Has Have He Hello Her Here Hi His How However I \
    If In Inside Into Is It Its Later Let Like Meet My Near No Not Now Of On Once Only Or Our Outside Over Perhaps \
    Please See She Should Since So Still Thank Thanks That The Their Then There These They This Those Though Through \
    To Today Tomorrow Toward Towards Under Unless Until Via Visit Was We Were What When Where Whether While Who Why \
    Will With Within Without Would Yes Yesterday Yet You Your";

/// Words in front of a number or a numeral: one and, if the abbreviation is a plural, many.
const COUNTED: &[(&str, &str)] = &[
    ("app", "appendix"),
    ("art", "article"),
    ("arts", "articles"),
    ("bk", "book"),
    ("ca", "circa"),
    ("c", "circa"),
    ("ch", "chapter"),
    ("chap", "chapter"),
    ("chaps", "chapters"),
    ("chs", "chapters"),
    ("eq", "equation"),
    ("eqs", "equations"),
    ("est", "established"),
    ("ex", "example"),
    ("ext", "extension"),
    ("fig", "figure"),
    ("figs", "figures"),
    ("lv", "level"),
    ("lvl", "level"),
    ("max", "maximum"),
    ("min", "minimum"),
    ("nos", "numbers"),
    ("nr", "number"),
    ("op", "opus"),
    ("p", "page"),
    ("pp", "pages"),
    ("pg", "page"),
    ("par", "paragraph"),
    ("para", "paragraph"),
    ("pt", "part"),
    ("pts", "parts"),
    ("rte", "route"),
    ("rev", "revision"),
    ("sec", "section"),
    ("secs", "sections"),
    ("sect", "section"),
    ("tel", "telephone"),
    ("ver", "version"),
    ("vol", "volume"),
    ("vols", "volumes"),
    ("prob", "problem"),
    ("thm", "theorem"),
    ("tab", "table"),
];

/// Abbreviations that mean the same at any place. Each is written with a period.
const SHORTENED: &[(&str, &str)] = &[
    ("approx", "approximately"),
    ("appt", "appointment"),
    ("assn", "association"),
    ("assoc", "association"),
    ("attn", "attention"),
    ("avg", "average"),
    ("bldg", "building"),
    ("cf", "compare"),
    ("dept", "department"),
    ("depts", "departments"),
    ("dist", "district"),
    ("esp", "especially"),
    ("excl", "excluding"),
    ("govt", "government"),
    ("incl", "including"),
    ("intl", "international"),
    ("max", "maximum"),
    ("mfg", "manufacturing"),
    ("mgmt", "management"),
    ("mgr", "manager"),
    ("misc", "miscellaneous"),
    ("natl", "national"),
    ("orig", "originally"),
    ("pkg", "package"),
    ("qty", "quantity"),
    ("ref", "reference"),
    ("tel", "telephone"),
    ("temp", "temperature"),
    ("univ", "university"),
    ("usu", "usually"),
    ("viz", "namely"),
    ("vol", "volume"),
    ("vols", "volumes"),
    ("ext", "extension"),
];

/// Returns true for a word that has its capital from the beginning of a sentence.
pub(super) fn begins_like_a_sentence(word: &str) -> bool {
    STARTERS.split_whitespace().any(|starter| starter == word)
}

/// Returns `words`, with a capital if the match has one.
fn cased(found: &RuleMatch<'_>, words: &str) -> String {
    if found.get(0).starts_with(char::is_uppercase) { capital(words) } else { words.to_owned() }
}

/// Returns the period that ends a sentence behind an abbreviation that was written with one.
fn ended(found: &RuleMatch<'_>, dot: &str) -> &'static str {
    if dot.is_empty() { "" } else { found.period() }
}

/// Reads `w/`, `w/o`, `b/c` and the like. `W/m` is a unit, and `a/c` has two meanings.
fn slash(found: &RuleMatch<'_>) -> Option<String> {
    let (letter, tail) = (found.get(1).to_lowercase(), found.get(2));
    let ends = !found.after().is_some_and(|after| after.is_alphanumeric() || after == '/');
    let free = found.before().is_none_or(|before| before.is_whitespace() || "(\"'-,".contains(before));
    let words = match (letter.as_str(), tail) {
        ("w", "o" | "out") if ends => "without",
        ("w", "e") if ends => "whatever",
        ("w", "in" | "i") if ends => "within",
        ("b", "c") if ends => "because",
        ("b", "w") if ends && found.get(1) == "b" => "between",
        ("n", "a" | "A") if ends => "not applicable",
        // Nurses write `c/o pain` for a complaint.
        ("c", "o") if ends && addressed(found) => "care of",
        // `w/ milk` and `w/milk`, but not the `W/m` of physics.
        ("w", "") if found.get(1) == "w" || found.rest.starts_with(' ') => "with ",
        ("w", start) if found.get(1) == "w" && !ends => return free.then(|| format!("with {start}{}", found.get(3))),
        _ => return None,
    };
    let words = if tail == "A" { words.to_owned() } else { cased(found, words) };
    free.then(|| format!("{words}{}", ended(found, found.get(3))))
}

/// Returns true if a name or a person stands behind the match.
fn addressed(found: &RuleMatch<'_>) -> bool {
    const PERSONS: [&str; 8] = ["the", "my", "our", "your", "his", "her", "their", "its"];
    let next = found.word_after();
    next.starts_with(char::is_uppercase) || PERSONS.contains(&next)
}

/// Reads a plural in brackets: `file(s)`. The call of a function, such as `len(s)`, and the state of
/// a substance, such as `NaCl(s)`, are none.
fn plural(found: &RuleMatch<'_>) -> Option<String> {
    const FUNCTIONS: &str = "abs atoi bool chr cos eval exp float free hash int iter len ln log lower max md min next \
        ord print puts repr round sin sorted sqrt str strlen sum tan tuple type upper";
    let word = found.get(1);
    let small = word.bytes().skip(1).all(|letter| letter.is_ascii_lowercase());
    let great = word.bytes().all(|letter| letter.is_ascii_uppercase());
    let element = word.len() == 2 && small && word.starts_with(|first: char| first.is_ascii_uppercase());
    let behind = found.rest.trim_start();
    let operator = behind.starts_with(['=', '<', '>', '+', '*', '[', '^', '→']) || behind.starts_with("!=");
    let member = found.rest.starts_with('.') && found.rest[1..].starts_with(char::is_alphabetic);
    let code = FUNCTIONS.split_whitespace().any(|function| function == word) || operator || member;
    ((small || great) && !element && !code).then(|| format!("{word}{}", found.get(2)))
}

/// Reads a mark of copyright in front of its year. Behind `(b)` it is the third of a list.
fn copyright(found: &RuleMatch<'_>) -> Option<String> {
    let near = &found.head[found.head.floor_char_boundary(found.head.len().saturating_sub(LIST_REACH))..];
    let listed = near.contains("(b)") || near.contains("(B)");
    let attached = found.before().is_some_and(char::is_alphanumeric);
    let word = super::last_word(found.head.trim_end_matches([' ', ',', ':']));
    let told = word.eq_ignore_ascii_case("copyright");
    (!listed && !attached).then(|| format!("{}{}", if told { "" } else { "copyright " }, found.get(1)))
}

/// Reads an abbreviation in front of a number. Behind a number it is a unit: `5 min. 30`.
fn counted(found: &RuleMatch<'_>) -> Option<String> {
    let (short, next) = (found.get(1), found.get(2));
    let lower = short.to_lowercase();
    let &(_, words) = COUNTED.iter().find(|&&(short, _)| short == lower)?;
    let figure = next.trim_start_matches('(').starts_with(|digit: char| digit.is_ascii_digit());
    let measured = super::last_word(found.head.trim_end()).ends_with(|digit: char| digit.is_ascii_digit());
    let numeral_behind =
        matches!(lower.as_str(), "vol" | "ch" | "chap" | "bk" | "p" | "pp" | "pt" | "art" | "sec" | "vols" | "chs");
    let joined = found.before().is_some_and(|before| before == '.' || before.is_alphanumeric());
    // `Plan C. 5 of us` ends with a name; a year stands behind `c.`, often behind a bracket.
    let name = short == "C" || short == "P" || (lower == "c" && !is_year(next, found.rest));
    if joined || measured || name || (!figure && !numeral_behind) {
        return None;
    }
    let words = if lower == "est" && !is_year(next, found.rest) { "estimated" } else { words };
    Some(format!("{} {next}", cased(found, words)))
}

/// Returns true if a digit and the text behind it are a year.
fn is_year(first: &str, rest: &str) -> bool {
    let more = rest.bytes().take_while(u8::is_ascii_digit).count();
    first.len() == 1 && "12".contains(first) && more == 3
}

/// Reads an abbreviation that means the same at any place.
fn shortened(found: &RuleMatch<'_>) -> Option<String> {
    let lower = found.get(1).to_lowercase();
    let &(_, words) = SHORTENED.iter().find(|&&(short, _)| short == lower)?;
    // A sentence can end with the words `max`, `temp` and `ref`.
    let word = matches!(lower.as_str(), "max" | "temp" | "ref" | "vol" | "vols" | "ext" | "dist" | "assoc" | "mgr");
    let goes_on = found.rest.starts_with(' ') && found.word_after().starts_with(|next: char| next.is_lowercase());
    let joined = found.before().is_some_and(|before| before == '.' || before.is_alphanumeric())
        || found.after().is_some_and(char::is_alphanumeric);
    // These words lead to the next one.
    let leads =
        matches!(lower.as_str(), "approx" | "attn" | "avg" | "cf" | "esp" | "excl" | "incl" | "orig" | "usu" | "viz");
    let period = if leads && !found.rest.trim().is_empty() { "" } else { found.period() };
    (!joined && (!word || goes_on)).then(|| format!("{}{period}", cased(found, words)))
}

/// Reads the kind of a company behind its name: `Acme Inc.`, `Ode & Co., Ltd.`
fn company(found: &RuleMatch<'_>) -> Option<String> {
    let short = found.get(1).trim_end_matches('.');
    let head = found.head.trim_end();
    let head = head.strip_suffix(',').unwrap_or(head);
    let name = super::last_word(head);
    let and = head.ends_with('&') || name == "and";
    let named = name.starts_with(char::is_uppercase)
        && !matches!(name, "Inc" | "Ltd" | "Co" | "Corp")
        && !begins_like_a_sentence(name);
    let words = match short {
        "Co" => "Company",
        "Corp" => "Corporation",
        "Inc" => "Incorporated",
        _ => "Limited",
    };
    let dot = if found.get(1).ends_with('.') { found.period() } else { "" };
    let spaced = found.head.ends_with(' ') && !found.after().is_some_and(char::is_alphanumeric);
    (spaced && (named || and)).then(|| format!("{words}{dot}"))
}

/// Returns true if `No.` is a whole sentence and the number begins the next:
/// `Any left? No. 10 were sold.` At the beginning of the text or of a paragraph, `No.` is a
/// heading.
fn is_answer(found: &RuleMatch<'_>) -> bool {
    const TOLD: [&str; 12] =
        ["said", "say", "says", "saying", "answered", "replied", "means", "meant", "vote", "voted", "yes", "told"];
    if found.get(0).starts_with('n') && TOLD.contains(&found.word_before()) {
        return true;
    }
    let said = found.head.trim_end();
    let same_paragraph = !said.is_empty() && !found.head[said.len()..].contains("\n\n");
    same_paragraph && !found.get(1).is_empty() && begins_sentence(found.head)
}
