//! Signs that remain after the other rules: they become words or pauses, or are removed.

use super::{Rule, RuleMatch};
use crate::text::mapped_text::{MappedText, Rewriter};

/// Rules for signs that remain after all text with digits is in words.
pub(super) const RULES: &[Rule] = &[
    (r" ?° ?([CF])\b", |found| {
        Some(format!(" degrees {}", if found.get(1) == "C" { "Celsius" } else { "Fahrenheit" }))
    }),
    // A Greek letter that stands for itself.
    (r"[\x{391}-\x{3c9}\x{3d5}\x{3f5}]", greek),
    // A plural in brackets.
    (r"([A-Za-z])\(s\)", |found| Some(format!("{}s", found.get(1)))),
    // A dash between words, and hyphens in place of a dash.
    (r" -+ |--+", |_| Some(", ".into())),
];

/// Names a Greek letter that is no part of a word: `2π`, `α-rays`.
fn greek(found: &RuleMatch<'_>) -> Option<String> {
    const NAMES: [&str; 25] = [
        "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu", "xi",
        "omicron", "pi", "rho", "sigma", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    ];
    let of_a_word = |next: Option<char>| next.is_some_and(|next| ('\u{370}'..='\u{3ff}').contains(&next));
    let letter = found.get(0).chars().next()?.to_lowercase().next()?;
    let name = match letter {
        'ϕ' => "phi",
        'ϵ' => "epsilon",
        letter => NAMES.get((letter as usize).checked_sub('α' as usize)?)?,
    };
    (!of_a_word(found.before()) && !of_a_word(found.after())).then(|| found.apart(name))
}

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
        '°' => " degrees ",
        '$' => " dollar ",
        '€' => " euro ",
        '£' => " pound ",
        '¥' => " yen ",
        '"' | '-' | '/' | '#' | '*' | '_' | '~' | '^' | '|' | '\\' | '<' | '>' | '•' => " ",
        _ => return None,
    })
}
