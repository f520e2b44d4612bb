//! Variants of characters become one character, and characters without a sound are removed.
//!
//! Compatibility forms (NFKC: full-width, mathematical, circled and raised letters and digits, ligatures)
//! become plain letters. Only the forms of Latin letters, digits and units are taken, so that other
//! scripts keep their own.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::{compose, is_public_assigned};

use super::codes::figures;
use super::{begins_sentence, capital};
use crate::text::mapped_text::{MappedText, Rewriter};
use crate::text::numbers::digits;

/// Longest control sequence of a terminal, in bytes; the rest of a longer one is text.
const ESCAPE_BYTES: usize = 256;

/// Bytes of the word before raised characters that tell what they are.
const WORD_REACH: usize = 64;

/// Words in front of a raised 2 or 3 that are squared or cubed. Behind other long words the digit is
/// the mark of a footnote.
const UNITS: &[&str] = &[
    "meter",
    "meters",
    "metre",
    "metres",
    "foot",
    "feet",
    "inch",
    "inches",
    "mile",
    "miles",
    "yard",
    "yards",
    "kilometer",
    "kilometers",
    "kilometre",
    "kilometres",
    "centimeter",
    "centimeters",
    "millimeter",
    "millimeters",
];

/// Replaces characters of the same meaning by one, and runs of blanks by one space. Characters
/// without a sound are removed, and so are control sequences of terminals.
pub(super) fn characters(text: &MappedText) -> MappedText {
    let mut plain = Rewriter::new(text);
    let (source, mut at) = (text.text(), 0);
    while let Some(character) = source[at..].chars().next() {
        let (head, rest) = source.split_at(at);
        let (bytes, words) = replacement(head, character, &rest[character.len_utf8()..]);
        let bytes = character.len_utf8() + bytes;
        match words.as_deref() {
            None => {}
            Some(" ") => {
                let again = plain.made_up_to(at).ends_with(' ');
                plain.replace(at..at + bytes, if again { "" } else { " " });
            }
            Some(words) => plain.replace(at..at + bytes, words),
        }
        at += bytes;
    }
    plain.finish()
}

/// Returns the plain form of one character, as [`characters`] does.
pub(super) fn plain(character: char) -> String {
    replacement("", character, "").1.map_or_else(|| character.to_string(), Cow::into_owned)
}

/// Returns true for styled forms of Latin letters, such as full-width and mathematical ones.
pub(super) const fn is_styled(letter: char) -> bool {
    matches!(letter, '\u{2100}'..='\u{218f}' | '\u{24b6}'..='\u{24e9}' | '\u{fb00}'..='\u{fb06}'
        | '\u{ff21}'..='\u{ff5a}' | '\u{1d400}'..='\u{1d7ff}')
}

/// Returns the words for `character`, or `None` if it stays. The number is that of the bytes of
/// `rest` that the words stand for too.
fn replacement(head: &str, character: char, rest: &str) -> (usize, Option<Cow<'static, str>>) {
    let modified = rest.as_bytes().first().is_some_and(|byte| !byte.is_ascii());
    match character {
        '\u{1b}' | '\u{9b}' => (escape(character, rest), Some("".into())),
        '0'..='9' | '#' | '*' if modified && keycap(rest) > 0 => (keycap(rest), Some(" ".into())),
        letter if modified && letter.is_alphabetic() && rest.starts_with(is_accent) => {
            let accents = rest.find(|next| !is_accent(next)).unwrap_or(rest.len());
            let composed = rest[..accents].chars().fold(letter, |letter, next| compose(letter, next).unwrap_or(letter));
            (accents, Some(composed.to_string().into()))
        }
        // The number sign of Romance languages: `Nº 5`.
        'N' | 'n' if rest.starts_with(['º', '°']) && !head.ends_with(char::is_alphanumeric) => {
            ('º'.len_utf8(), Some(if begins_sentence(head) { "Number " } else { "number " }.into()))
        }
        '!'..='~' | '\n' => (0, None),
        '\u{2028}' | '\u{2029}' => (0, Some("\n".into())),
        silent if is_silent(silent) => (0, Some("".into())),
        // A blank that does not break can separate thousands.
        '\u{a0}' | '\u{2007}' | '\u{2009}' | '\u{202f}'
            if head.ends_with(|digit: char| digit.is_ascii_digit())
                && rest.starts_with(|digit: char| digit.is_ascii_digit()) =>
        {
            (0, None)
        }
        '→' | '⟶' | '↑' | '▲' | '↓' | '▼' if let Some(word) = arrow(head, character, rest) => {
            (0, Some(apart(head, word, rest).into()))
        }
        '♯' | '♭' if is_note(head) => {
            (0, Some(apart(head, if character == '♯' { "sharp" } else { "flat" }, rest).into()))
        }
        blank if blank.is_whitespace() || blank.is_control() || is_picture(blank) => (0, Some(" ".into())),
        digit if raised(digit).is_some() => {
            let run = rest.find(|next| raised(next).is_none()).unwrap_or(rest.len());
            let sign = std::iter::once(digit).chain(rest[..run].chars()).filter_map(raised).collect::<String>();
            (run, Some(exponent(head, &sign, &rest[run..])))
        }
        '₀'..='₉' if rest.starts_with(|next: char| next.is_ascii_digit()) => {
            (0, Some(format!("{} ", compatible(character)).into()))
        }
        // Behind the sign of a number: `-½`.
        '¼'..='¾' | '⅐'..='⅞' if head.strip_suffix('-').is_some_and(super::context::is_sign) => {
            (0, Some(compatible(character).replace('⁄', "/").into()))
        }
        odd if !is_public_assigned(odd) => (0, Some(" ".into())),
        other => (0, variant(other)),
    }
}

/// Returns the bytes of a control sequence of a terminal behind its first character.
fn escape(first: char, rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let bytes = &bytes[..bytes.len().min(ESCAPE_BYTES)];
    let (start, kind) = if first == '\u{9b}' { (0, b'[') } else { (1, bytes.first().copied().unwrap_or_default()) };
    match kind {
        b'[' => {
            let tail = &bytes[start..];
            let parameters = tail.iter().take_while(|byte| (0x20..0x40).contains(*byte)).count();
            let end = tail.get(parameters).is_some_and(|last| (0x40..0x7f).contains(last));
            start + if end { parameters + 1 } else { 0 }
        }
        // A title of the window ends with a bell, or with ESC and a backslash.
        b']' => match bytes.iter().position(|&byte| byte == 0x07 || byte == 0x1b) {
            Some(end) if bytes[end] == 0x07 => end + 1,
            Some(end) if bytes.get(end + 1) == Some(&b'\\') => end + 2,
            _ => 1,
        },
        b'(' | b')' if bytes.get(1).is_some_and(u8::is_ascii_alphanumeric) => 2,
        b'=' | b'>' | b'7' | b'8' => 1,
        _ => 0,
    }
}

/// Returns the bytes of the rest of a keycap emoji, or zero.
fn keycap(rest: &str) -> usize {
    ["\u{fe0f}\u{20e3}", "\u{20e3}"].iter().find(|cap| rest.starts_with(**cap)).map_or(0, |cap| cap.len())
}

const fn is_accent(mark: char) -> bool {
    matches!(mark, '\u{300}'..='\u{36f}')
}

/// Returns the plain form of a raised digit, sign or letter that makes an exponent.
const fn raised(character: char) -> Option<char> {
    Some(match character {
        '⁰' => '0',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁴' => '4',
        '⁵' => '5',
        '⁶' => '6',
        '⁷' => '7',
        '⁸' => '8',
        '⁹' => '9',
        '⁺' => '+',
        '⁻' => '-',
        'ⁿ' => 'n',
        _ => return None,
    })
}

/// Returns the word for an arrow between two words or numbers, or before a number. An ornament has
/// none.
fn arrow(head: &str, arrow: char, rest: &str) -> Option<&'static str> {
    let behind = rest.trim_start_matches(' ').trim_start_matches(['$', '€', '£', '+', '-']);
    let next = behind.chars().next()?;
    let between = head.trim_end_matches(' ').ends_with(|last: char| last.is_alphanumeric() || ")%°".contains(last));
    match arrow {
        '→' | '⟶' => (between && (next.is_alphanumeric() || "(∞".contains(next))).then_some("to"),
        '↑' | '▲' => (next.is_ascii_digit() || between && next.is_lowercase()).then_some("up"),
        _ => (next.is_ascii_digit() || between && next.is_lowercase()).then_some("down"),
    }
}

/// Returns `word` with spaces before and behind it, unless there are blanks.
fn apart(head: &str, word: &str, rest: &str) -> String {
    let space = |touches: bool| if touches { " " } else { "" };
    format!("{}{word}{}", space(head.ends_with(touches)), space(rest.starts_with(touches)))
}

fn touches(neighbour: char) -> bool {
    !neighbour.is_whitespace() && !",.;:!?".contains(neighbour)
}

/// Returns true if the text ends with the name of a note.
fn is_note(head: &str) -> bool {
    let name = head.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    matches!(name.as_bytes(), [b'A'..=b'G'])
}

/// Returns the words for the charge of an ion: `²⁺`, `⁻`.
fn charge(word: &str, head: &str, sign: &str) -> Option<String> {
    let ion = word.starts_with(|first: char| first.is_ascii_uppercase()) || head.ends_with([')', ']']) || word == "e";
    let figures =
        sign.strip_suffix(['+', '-']).filter(|figures| figures.bytes().all(|digit| digit.is_ascii_digit()))?;
    let name = if sign.ends_with('+') { "plus" } else { "minus" };
    let words = if figures.is_empty() { name.to_owned() } else { format!("{} {name}", digits(figures)) };
    (ion || figures.is_empty() && word.chars().count() == 1).then_some(words)
}

/// Returns the mass of an isotope in words: `¹⁴C`. A single digit at the beginning of a text is the
/// mark of a footnote, and so is any in front of a word.
fn isotope(head: &str, sign: &str, rest: &str) -> Option<String> {
    const ELEMENTS: &str = "Ac Ag Al Am Ar As Au B Ba Be Br C Ca Cd Cl Co Cr Cs Cu F Fe Ga Ge H He Hg I In Ir K Kr La \
        Li Lu Mg Mn Mo N Na Nb Nd Ne Ni O Os P Pb Pd Po Pt Pu Ra Rb Re Rn Ru S Sb Se Si Sm Sn Sr Tc Te Th Ti Tl U V W \
        Xe Y Yb Zn Zr";
    // The metastable one: `⁹⁹ᵐTc`.
    let rest = rest.strip_prefix('ᵐ').unwrap_or(rest);
    let name = rest.split(|letter: char| !letter.is_ascii_alphanumeric()).next().unwrap_or_default();
    let element =
        ELEMENTS.split_whitespace().any(|element| element == name.trim_end_matches(|end: char| end.is_ascii_digit()));
    let number = sign.bytes().all(|digit| digit.is_ascii_digit());
    let mass = sign.len() > 1 || matches!((sign, name), ("2" | "3", "H") | ("3" | "4", "He") | ("6" | "7", "Li"));
    let apart = head.ends_with(|before: char| " (-,/".contains(before)) || head.is_empty() && sign.len() > 1;
    let words = (element && number && mass && apart).then(|| figures(sign))?;
    Some(if begins_sentence(head) { capital(&words) } else { words } + " ")
}

/// Returns the words for raised characters. They are an exponent behind a number or a name, the charge
/// of an ion, the mass of an isotope, the top of a fraction, the ending of an ordinal (`2ⁿᵈ`), or the
/// mark of a footnote.
fn exponent(head: &str, sign: &str, rest: &str) -> Cow<'static, str> {
    if rest.starts_with('⁄') {
        return format!(" {sign}").into();
    }
    let near = &head[head.floor_char_boundary(head.len().saturating_sub(WORD_REACH))..];
    let word = near.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
    if let Some(words) = charge(word, head, sign) {
        return apart(head, &words, rest).into();
    }
    if let Some(words) = isotope(head, sign, rest) {
        return words.into();
    }
    let letters = word.bytes().take_while(u8::is_ascii_alphabetic).count();
    let footnote = word.is_empty() && !head.ends_with(')')
        || letters == word.len() && letters > 3 && !UNITS.contains(&word.to_lowercase().as_str());
    match sign {
        "n" if rest.starts_with(|next: char| next.is_alphabetic()) => "n".into(),
        _ if footnote => " ".into(),
        _ => format!("^{}", sign.trim_start_matches('+')).into(),
    }
}

/// Returns the usual characters for a variant of them, or the words of a character that has a name.
fn variant(character: char) -> Option<Cow<'static, str>> {
    let words = match character {
        '“' | '”' | '„' | '‟' | '«' | '»' | '‹' | '›' | '＂' | '〝' | '〞' | '〟' | '❝' | '❞' | '「' | '」' | '『'
        | '』' => "\"",
        '‘' | '’' | '‚' | '‛' | '´' | 'ʼ' | 'ʹ' | '＇' | '‵' | '❛' | '❜' => "'",
        '\u{2010}' | '\u{2011}' | '﹣' | '－' => "-",
        '\u{2012}' => "–",
        '―' | '⸺' | '⸻' | '﹘' => "—",
        '〜' | '∼' => "~",
        '…' | '⋯' => "...",
        '‥' => "..",
        '‽' | '⁈' => "?!",
        '⁉' => "!?",
        '‼' => "!!",
        '⁇' => "??",
        '¡' | '¿' => "",
        '⁄' | '∕' => "/",
        '∶' => ":",
        '∗' | '⁎' => "*",
        '⟨' | '【' | '〔' | '〖' => "(",
        '⟩' | '】' | '〕' | '〗' => ")",
        'º' => "°",
        '÷' => " divided by ",
        '±' => " plus or minus ",
        '≈' => " about ",
        '≤' => " less than or equal to ",
        '≥' => " greater than or equal to ",
        '≠' => " is not equal to ",
        '№' => " number ",
        '▪' | '‣' | '·' | '●' | '◦' | '⁃' => "•",
        '¼'..='¾' | '⅐'..='⅞' => return Some(format!(" {}", compatible(character).replace('⁄', "/")).into()),
        '⅟' => " 1/",
        '\u{33a0}'..='\u{33a4}' => return Some(format!("{}^2", compatible(character).trim_end_matches('2')).into()),
        '\u{33a5}'..='\u{33a6}' => return Some(format!("{}^3", compatible(character).trim_end_matches('3')).into()),
        '①'..='⓿' => return Some(format!(" {} ", compatible(character)).into()),
        _ if is_compatible(character) => return Some(compatible(character).into()),
        _ => return None,
    };
    Some(words.into())
}

/// Returns true for compatibility forms of Latin letters, digits, punctuation and units.
const fn is_compatible(character: char) -> bool {
    is_styled(character)
        || matches!(character, 'ª' | 'ſ' | '\u{132}'..='\u{133}' | '\u{149}'
            | '\u{1c4}'..='\u{1cc}' | '\u{1f1}'..='\u{1f3}'
            | '\u{2b0}'..='\u{2b8}' | '\u{1d2c}'..='\u{1d6a}' | '\u{1d78}' | '\u{1d9b}'..='\u{1dbf}'
            | '\u{2070}'..='\u{209c}' | '\u{3371}'..='\u{33df}' | '\u{ff01}'..='\u{ff5e}' | '\u{ffe0}'..='\u{ffe6}')
}

fn compatible(character: char) -> String {
    std::iter::once(character).nfkc().collect()
}

/// Returns true for characters that join, direct or choose the form of others.
const fn is_silent(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e01ef}')
}

/// Returns true for arrows, boxes, symbols and emoji, and for characters that mean nothing.
const fn is_picture(character: char) -> bool {
    matches!(character, '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{245f}' | '\u{2500}'..='\u{27bf}'
        | '\u{2800}'..='\u{28ff}' | '\u{2b00}'..='\u{2bff}' | '\u{e000}'..='\u{f8ff}' | '\u{1f000}'..='\u{1fbff}'
        | '©' | '®' | '™' | '℠' | '℗' | '†' | '‡' | '※' | '⁂' | '\u{fffc}' | '\u{fffd}')
}
