//! Single characters: variants become one character, named characters become words, and characters
//! without a sound are removed.

use super::Rule;
use crate::text::mapped_text::{MappedText, Rewriter};

/// Rules for signs that remain after all text with digits is in words.
pub(super) const RULES: &[Rule] = &[
    // A plural in brackets.
    (r"([A-Za-z])\(s\)", |found| Some(format!("{}s", found.get(1)))),
    // A dash between words, and hyphens in place of a dash.
    (r" -+ |--+", |_| Some(", ".into())),
];

/// Replaces characters of the same meaning by one, and runs of blanks by one space. Characters
/// without a sound are removed.
pub(super) fn characters(text: &MappedText) -> MappedText {
    let mut plain = Rewriter::new(text);
    for (at, character) in text.text().char_indices() {
        let range = at..at + character.len_utf8();
        match character {
            ' '..='~' if character != ' ' && character != '`' => {}
            '\n' => {}
            '\u{2028}' | '\u{2029}' => plain.replace(range, "\n"),
            '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' => {
                plain.replace(range, "");
            }
            '\u{fe00}'..='\u{fe0f}' | '\u{20e3}' | '\u{e0000}'..='\u{e007f}' => plain.replace(range, ""),
            // A blank that does not break can separate thousands.
            '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}' if between_digits(text.text(), &range) => {}
            blank if blank.is_whitespace() || blank.is_control() || is_picture(blank) => {
                let again = plain.made_up_to(at).ends_with(' ');
                plain.replace(range, if again { "" } else { " " });
            }
            other => {
                if let Some(words) = variant(other) {
                    plain.replace(range, words);
                }
            }
        }
    }
    plain.finish()
}

fn between_digits(text: &str, place: &std::ops::Range<usize>) -> bool {
    let digit = |letter: char| letter.is_ascii_digit();
    text[..place.start].ends_with(digit) && text[place.end..].starts_with(digit)
}

/// Returns the usual characters for a variant of them, or the words of a character that has a name.
fn variant(character: char) -> Option<&'static str> {
    Some(match character {
        '“' | '”' | '„' | '‟' | '«' | '»' | '＂' | '`' => "\"",
        '‘' | '’' | '‚' | '‛' | '´' => "'",
        '\u{2010}' | '\u{2011}' => "-",
        '\u{2012}' => "–",
        '―' => "—",
        '…' => "...",
        '½' => " 1/2",
        '¼' => " 1/4",
        '¾' => " 3/4",
        '⅐' => " 1/7",
        '⅑' => " 1/9",
        '⅒' => " 1/10",
        '⅓' => " 1/3",
        '⅔' => " 2/3",
        '⅕' => " 1/5",
        '⅖' => " 2/5",
        '⅗' => " 3/5",
        '⅘' => " 4/5",
        '⅙' => " 1/6",
        '⅚' => " 5/6",
        '⅛' => " 1/8",
        '⅜' => " 3/8",
        '⅝' => " 5/8",
        '⅞' => " 7/8",
        '\u{2044}' | '\u{2215}' => "/",
        '÷' => " divided by ",
        '±' => " plus or minus ",
        '≈' => " about ",
        '≤' => " less than or equal to ",
        '≥' => " greater than or equal to ",
        '≠' => " is not equal to ",
        '▪' | '‣' | '·' | '●' | '◦' => "•",
        _ => return None,
    })
}

/// Returns true for arrows, boxes, symbols and emoji.
fn is_picture(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}' | '\u{2500}'..='\u{27bf}'
        | '\u{2b00}'..='\u{2bff}' | '\u{1f000}'..='\u{1faff}' | '©' | '®' | '™')
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
        '\'' => "",
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
        '₹' => " rupee ",
        '₩' => " won ",
        '¢' => " cent ",
        '×' => " times ",
        '²' => " squared ",
        '³' => " cubed ",
        '′' | '″' => "",
        '"' | '-' | '/' | '#' | '*' | '_' | '~' | '^' | '|' | '\\' | '<' | '>' | '•' => " ",
        _ => return None,
    })
}
