//! Signs that remain after the other rules: they become words or pauses, or are removed.

use super::Rule;
use crate::text::mapped_text::{MappedText, Rewriter};

/// Rules for signs that remain after all text with digits is in words.
pub(super) const RULES: &[Rule] = &[
    (r"§§ ?", |_| Some(" sections ".into())),
    (r"¶¶ ?", |_| Some(" paragraphs ".into())),
    (r"&&", |_| Some(" and ".into())),
    (r" \|\| ", |_| Some(" or ".into())),
    (r"=>", |_| Some(" ".into())),
    (r"\b([Aa])[-–]([Zz])\b", |found| Some(format!("{} to {}", found.get(1), found.get(2)))),
    // A dash between words, and hyphens in place of a dash.
    (r" -+ |--+", |_| Some(", ".into())),
];

/// Replaces every single character by its spoken form.
pub(super) fn marks(text: &MappedText) -> MappedText {
    let mut said = Rewriter::new(text);
    let mut characters = text.text().char_indices().peekable();
    let mut before = ' ';
    while let Some((at, character)) = characters.next() {
        let after = characters.peek().map_or(' ', |&(_, after)| after);
        if let Some(words) = mark(character, before.is_alphanumeric() && after.is_alphanumeric()) {
            said.replace(at..at + character.len_utf8(), words);
        }
        before = character;
    }
    said.finish()
}

/// Returns the spoken form of a character, or `None` if it stays. `inside` means that the character
/// stands between two letters or digits.
const fn mark(character: char, inside: bool) -> Option<&'static str> {
    Some(match character {
        '\'' | '-' if inside => return None,
        '`' if inside => "'",
        '\'' | '`' => "",
        '"' if !inside => "",
        '(' | ')' | '[' | ']' | '{' | '}' | '—' | '–' => " , ",
        '/' if inside => " slash ",
        '&' => " and ",
        '@' => " at ",
        '%' => " percent ",
        '+' => " plus ",
        '=' => " equals ",
        '§' => " section ",
        '¶' => " paragraph ",
        '°' => " degrees ",
        '$' => " dollar ",
        '€' => " euro ",
        '£' => " pound ",
        '¥' => " yen ",
        '₹' => " rupee ",
        '₩' => " won ",
        '¢' => " cent ",
        '×' => " times ",
        '′' | '″' => "",
        '"' | '-' | '/' | '#' | '*' | '_' | '~' | '^' | '|' | '\\' | '<' | '>' | '•' | '¯' => " ",
        _ => return None,
    })
}
