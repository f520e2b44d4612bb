//! Single characters: variants become one character, named characters become words, and characters
//! without a sound are removed.

use super::Rule;

/// Rules for signs that remain after all text with digits is in words.
pub(super) const RULES: &[Rule] = &[
    (r" ?° ?([CF])\b", |found| {
        Some(format!(" degrees {}", if found.get(1) == "C" { "Celsius" } else { "Fahrenheit" }))
    }),
    // A plural in brackets.
    (r"([A-Za-z])\(s\)", |found| Some(format!("{}s", found.get(1)))),
    // A dash between words, and hyphens in place of a dash.
    (r" -+ |--+", |_| Some(", ".into())),
];

/// Replaces characters of the same meaning by one, and runs of blanks by one space. Characters
/// without a sound are removed.
pub(super) fn characters(text: &str) -> String {
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
            '≤' => plain.push_str(" less than or equal to "),
            '≥' => plain.push_str(" greater than or equal to "),
            '≠' => plain.push_str(" is not equal to "),
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

/// Returns true for arrows, boxes, symbols and emoji.
fn is_picture(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2500}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '©' | '®' | '™')
}

/// Replaces every single character by its spoken form.
pub(super) fn marks(text: &str) -> String {
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

/// Appends the spoken form of one character. `inside` means that it stands between two letters or
/// digits.
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
