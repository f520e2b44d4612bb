//! Rules for addresses, abbreviations and titles.

use super::{Rule, RuleMatch, begins_sentence, capital};
use crate::text::numbers::{MONTHS, WEEKDAYS};

/// Rules for text whose spoken form differs from its letters.
pub(super) const RULES: &[Rule] = &[
    // Addresses. Only the host of a link is read.
    (r"[A-Za-z0-9._+-]+@(?:[A-Za-z0-9-]+\.)+[A-Za-z]{2,}\b", |found| Some(address(found.get(0)))),
    (
        r"\b(?:https?://(?:www\.)?|www\.)((?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+)(?::[0-9]+)?(?:[/?#](?:\S*[\w/=])?)?",
        |found| Some(address(found.get(1))),
    ),
    (r"\b((?:[A-Za-z0-9-]+\.)+(?:com|org|net|edu|gov|io|dev|ai|app|info|co\.uk))\b(?:/(?:\S*[\w/=])?)?", |found| {
        Some(address(found.get(1)))
    }),
    // Abbreviations with a certain meaning. A capital after a period and a blank begins a sentence:
    // `So did I. E coli`.
    (r"\b(?:[Ee]\.g\b\.?|e\. g\.|[Ee]g\.)", |found| Some(cased(found, "for example"))),
    (r"\b(?:[Ii]\.e\b\.?|i\. e\.|[Ii]e\.)", |found| Some(cased(found, "that is"))),
    (r"(?i)\betc\b(\.?)", |found| {
        Some(format!("et cetera{}", if found.get(1).is_empty() { "" } else { found.period() }))
    }),
    (r"(?i)\bvs\b\.?", |_| Some("versus".into())),
    (r"(?i)\bapprox\.", |found| Some(cased(found, "approximately"))),
    (r"\b(Mr|Mrs|Dr|Prof|St)\. ", title),
    (r"\bNo\.( ?)([0-9])", |found| (!is_answer(found)).then(|| format!("number {}", found.get(2)))),
    // A hash has a meaning only behind a letter or before a number.
    (r"\b([A-GJcf])#", |found| {
        (!found.after().is_some_and(char::is_alphanumeric)).then(|| format!("{} sharp", found.get(1)))
    }),
    (r"#([0-9])", |found| {
        let space = if found.before().is_some_and(char::is_alphanumeric) { " " } else { "" };
        Some(format!("{space}number {}", found.get(1)))
    }),
];

/// Words that have a capital only because they begin a sentence or a greeting, so they name no
/// street.
const STARTERS: &str = "A About After All Although An And Are Around As Ask At Because Before Behind Both But By Call Can \
    Could Dear Did Do Does During Even Every For From Had Has Have He Hello Her Here Hi His How However I If In Inside Into \
    Is It Its Later Let Like Meet My Near No Not Now Of On Once Only Or Our Outside Over Perhaps Please See She \
    Should Since So Still Thank Thanks That The Their Then There These They This Those Though Through To Today \
    Tomorrow Toward Towards Under Unless Until Via Visit Was We Were What When Where Whether While Who Why Will \
    With Within Without Would Yes Yesterday Yet You Your";

/// Returns `words`, with a capital if the match has one.
fn cased(found: &RuleMatch<'_>, words: &str) -> String {
    if found.get(0).starts_with(char::is_uppercase) { capital(words) } else { words.to_owned() }
}

/// Replaces a title in front of a name, as in `Dr. Jones` and `In St. Louis`, but not in
/// `Elm Dr. Nobody` or `Main St. He`.
fn title(found: &RuleMatch<'_>) -> Option<String> {
    let last = found.head.trim_end().rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    let name = last.starts_with(char::is_uppercase)
        && STARTERS.split(' ').all(|starter| starter != last)
        && !WEEKDAYS.contains(&last)
        && !MONTHS.contains(&last);
    let street = found.head.ends_with(' ') && name;
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

/// Returns true if `No.` is a whole sentence and the number begins the next:
/// `Any left? No. 10 were sold.` At the beginning of the text or of a paragraph, `No.` is a
/// heading.
fn is_answer(found: &RuleMatch<'_>) -> bool {
    let said = found.head.trim_end();
    let same_paragraph = !said.is_empty() && !found.head[said.len()..].contains("\n\n");
    same_paragraph && !found.get(1).is_empty() && begins_sentence(found.head)
}

/// Spells an address: `name@example.com` as `name at example dot com`.
fn address(text: &str) -> String {
    text.replace('.', " dot ").replace('@', " at ").replace('_', " underscore ").replace('-', " dash ")
}
