//! Rules for titles, ranks and degrees around names.

use super::abbreviations::begins_like_a_sentence;
use super::{Rule, RuleMatch};
use crate::text::numbers::{MONTHS, WEEKDAYS};

/// Titles in front of a name, with a period.
const TITLES: &[(&str, &str)] = &[
    ("Adm", "Admiral"),
    ("Amb", "Ambassador"),
    ("Assoc", "Associate"),
    ("Asst", "Assistant"),
    ("Atty", "Attorney"),
    ("Brig", "Brigadier"),
    ("Capt", "Captain"),
    ("Cmdr", "Commander"),
    ("Cdr", "Commander"),
    ("Col", "Colonel"),
    ("Cpl", "Corporal"),
    ("Cpt", "Captain"),
    ("Det", "Detective"),
    ("Dr", "Doctor"),
    ("Drs", "Doctors"),
    ("Ens", "Ensign"),
    ("Fr", "Father"),
    ("Ft", "Fort"),
    ("Gen", "General"),
    ("Gens", "Generals"),
    ("Gov", "Governor"),
    ("Govs", "Governors"),
    ("Hon", "Honorable"),
    ("Insp", "Inspector"),
    ("Lt", "Lieutenant"),
    ("Lieut", "Lieutenant"),
    ("Maj", "Major"),
    ("Messrs", "Messrs"),
    ("Mlle", "Mademoiselle"),
    ("Mme", "Madame"),
    ("Mr", "Mister"),
    ("Mrs", "Missus"),
    ("Msgr", "Monsignor"),
    ("Mt", "Mount"),
    ("Ofc", "Officer"),
    ("Pfc", "Private First Class"),
    ("Pres", "President"),
    ("Prof", "Professor"),
    ("Profs", "Professors"),
    ("Pvt", "Private"),
    ("Rep", "Representative"),
    ("Reps", "Representatives"),
    ("Rev", "Reverend"),
    ("Rt", "Right"),
    ("Sen", "Senator"),
    ("Sens", "Senators"),
    ("Sgt", "Sergeant"),
    ("St", "Saint"),
    ("Supt", "Superintendent"),
];

/// Titles that are clear without a period.
const CLEAR: &str = "Capt Cmdr Cpl Dr Drs Lt Mr Mrs Mt Prof Sgt St Gov Sen";

/// Rules for what stands before and behind a name.
pub(super) const RULES: &[Rule] = &[
    (r"\b([A-Z][a-z]{1,6})(\.? )", title),
    (r"(, ?| )(Jr|Sr)\b(\.?)", |found| {
        let named = super::last_word(found.head).starts_with(char::is_uppercase);
        let words = if found.get(2) == "Jr" { "Junior" } else { "Senior" };
        let period = if found.get(3).is_empty() { "" } else { found.period() };
        named.then(|| format!(" {words}{period}"))
    }),
    (r"(, ?| )Esq\b(\.?)", |found| {
        let period = if found.get(2).is_empty() { "" } else { found.period() };
        Some(format!("{}Esquire{period}", found.get(1)))
    }),
    (r"\bPh\. ?D\b(\.?)", |found| {
        let period = if found.get(1).is_empty() { "" } else { found.period() };
        Some(format!("PhD{period}"))
    }),
    (r"\b(Bros|Mts)\.", |found| {
        let named = found.word_before().starts_with(char::is_uppercase);
        let words = if found.get(1) == "Bros" { "Brothers" } else { "Mountains" };
        named.then(|| format!("{words}{}", found.period()))
    }),
];

/// Replaces a title in front of a name, as in `Dr. Jones` and `In St. Louis`, but not in
/// `Elm Dr. Nobody` or `Main St. He`.
fn title(found: &RuleMatch<'_>) -> Option<String> {
    let (short, dot) = (found.get(1), found.get(2).starts_with('.'));
    let &(_, words) = TITLES.iter().find(|&&(title, _)| title == short)?;
    if !dot && !CLEAR.split(' ').any(|clear| clear == short) {
        return None;
    }
    let last = found.word_before();
    let named = last.starts_with(char::is_uppercase)
        && !begins_like_a_sentence(last)
        && !WEEKDAYS.contains(&last)
        && !MONTHS.contains(&last)
        && !TITLES.iter().any(|&(_, words)| words == last);
    let measured = last.starts_with(|digit: char| digit.is_ascii_digit());
    let behind = found.head.ends_with(' ') && (named || measured);
    if (matches!(short, "Dr" | "St") && behind) || (short == "Ft" && (measured || !dot)) || (!dot && behind) {
        return None;
    }
    named_next(short, found.rest).then(|| format!("{words} "))
}

/// Returns true if a name follows, or the second of two titles: `Mr. & Mrs. Ode`. One letter is a
/// name only with its period, because `Rev. B` and `Col. A` count.
fn named_next(short: &str, rest: &str) -> bool {
    let second = rest.strip_prefix("& ").or_else(|| rest.strip_prefix("and "));
    let next = second.unwrap_or(rest);
    let word = &next[..next.find(|letter: char| !letter.is_alphabetic()).unwrap_or(next.len())];
    let common = matches!(short, "Mr" | "Mrs" | "Dr");
    let one = word.chars().count() == 1 && !common && !next[word.len()..].starts_with('.');
    let title = TITLES.iter().any(|&(title, _)| title == word);
    let starter = !common && short != "St" && begins_like_a_sentence(word) && word != "Will";
    word.starts_with(char::is_uppercase) && !one && !starter && (second.is_none() || title)
}
