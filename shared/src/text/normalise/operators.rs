//! Rules for signs of arithmetic between numbers, or letters that stand for numbers. Elsewhere the
//! same signs are stars around words, tags and arrows, which have no sound.

use super::{Rule, RuleMatch, goes_on};

/// Rules for signs that join or compare two numbers, or stand before one.
pub(super) const RULES: &[Rule] = &[
    // The brackets of a tag compare nothing.
    (r"<(/?[A-Za-z][A-Za-z0-9-]*(?: [^<>\n]*=[^<>\n]*)?) ?/?>", |found| Some(format!(" {} ", found.get(1)))),
    // Assignments, and versions that are compatible with another.
    (r"([A-Za-z0-9_\])] )([-+*/%])= ?([A-Za-z0-9.-])", |found| {
        let sign = match found.get(2) {
            "-" => "minus",
            "+" => "plus",
            "*" => "times",
            "/" => "divided by",
            _ => "mod",
        };
        Some(format!("{}{sign} equals {}", found.get(1), found.get(3)))
    }),
    (r"([A-Za-z\]]) ?~=([0-9])", |found| Some(format!("{} compatible with {}", found.get(1), found.get(2)))),
    (r"\b([0-9]+) % ([0-9]+)\b", |found| {
        // `rose 10 % 2 years ago` is a share.
        let result = [" is ", " = ", " == ", " equals ", "==", ")"].iter().any(|is| found.rest.starts_with(is));
        let number = !found.before().is_some_and(|before| ".,".contains(before));
        (result && number).then(|| format!("{} mod {}", found.get(1), found.get(2)))
    }),
    (r"\b([0-9]+)%([0-9]+) ?(==)", |found| Some(format!("{} mod {}{}", found.get(1), found.get(2), found.get(3)))),
    (r"(\p{Greek})/([0-9])", |found| Some(format!("{} over {}", found.get(1), found.get(2)))),
    (r"\b([A-Za-z]) ?% ?([0-9]+|[a-z])\b", |found| {
        let free = !found.before().is_some_and(|before| "%/?=&-'.".contains(before))
            && !found.rest.starts_with(['%', '/', '&']);
        free.then(|| format!("{} mod {}", found.get(1), found.get(2)))
    }),
    // `5 / 10`, `and / or`. Verses of poems have a slash between blanks too.
    (r"([0-9]|\b[Aa]nd) / ([0-9]|or\b)", |found| Some(format!("{} slash {}", found.get(1), found.get(2)))),
    (r"\b([0-9]+|[A-Za-z])/\(([A-Za-z0-9 ]*[-+*][A-Za-z0-9 +*-]*)\)", |found| {
        is_formula(found.get(2)).then(|| format!("{} over ({})", found.get(1), found.get(2)))
    }),
    (r"\b([0-9]+|[a-z])•([0-9]+|[a-z])\b", |found| {
        let letters =
            [found.get(1), found.get(2)].iter().all(|word| word.starts_with(|l: char| l.is_ascii_lowercase()));
        (letters || in_equation(found)).then(|| format!("{} times {}", found.get(1), found.get(2)))
    }),
    (r"={3,}", |_| Some(" ".into())),
    (r"!==?", |_| Some(" is not equal to ".into())),
    (r"([<>])=", |found| {
        let arrow = found.before() == Some('<') || found.after() == Some('>');
        let order = if found.get(1) == "<" { "less" } else { "greater" };
        (!arrow).then(|| found.spaced(&format!("{order} than or equal to")))
    }),
    (r"==", |_| Some(" equals ".into())),
    (r"<", |found| compares(found).then(|| found.spaced("less than"))),
    (r">", |found| compares(found).then(|| found.spaced("greater than"))),
    (r"\*\*?", |found| {
        let words = if found.get(0) == "*" { "times" } else { "to the power of" };
        multiplies(found).then(|| found.spaced(words))
    }),
    // `e^(-x)`, `10^{-6}`, `x^(n+1)`.
    (r"\^[({](-?)([A-Za-z0-9.+*/ -]{1,24})[)}]", |found| {
        let base = found.before().is_some_and(|before| before.is_alphanumeric() || before == ')');
        let small = found.get(1).is_empty() && ["2", "3"].contains(&found.get(2));
        let words = match (small, found.get(1)) {
            (true, _) => format!("^{}", found.get(2)),
            (_, "") => format!(" to the power of {}", found.get(2)),
            _ => format!(" to the power of minus {}", found.get(2)),
        };
        base.then(|| found.before_letters(&words))
    }),
    (r"\^(?:([23])\b|-([A-Za-z])\b)?", power),
    (r"~", |found| match found.before() {
        _ if !number_follows(found.rest.trim_start_matches(' ')) => None,
        None => Some("about ".into()),
        Some(before) if before.is_ascii_digit() => Some(" to ".into()),
        Some(before) if before.is_alphanumeric() || before == '~' => None,
        Some(_) => Some("about ".into()),
    }),
];

/// Longest expression that is searched for an equals sign, in bytes.
const EXPRESSION: usize = 64;

/// Returns true if the numbers and single letters around the match are one side of an equation.
pub(super) fn in_equation(found: &RuleMatch<'_>) -> bool {
    let equals = |characters: &mut dyn Iterator<Item = char>| {
        let (mut letters, mut last) = (0, '0');
        for character in characters.take(EXPRESSION) {
            letters = if character.is_alphabetic() { letters + 1 } else { 0 };
            match character {
                '=' => return true,
                // A list.
                ' ' | ',' if [(',', ' '), (' ', ',')].contains(&(last, character)) => return false,
                _ if letters > 1 => return false,
                _ if letters == 1 || character.is_ascii_digit() || " .,+-–−*/×÷^()$%".contains(character) => {}
                _ => return false,
            }
            last = character;
        }
        false
    };
    equals(&mut found.rest.chars()) || equals(&mut found.head.chars().rev())
}

/// Returns true if `text` begins with a number, its sign and its currency included.
fn number_follows(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let bare = unsigned.strip_prefix(['$', '€', '£', '¥', '₹']).unwrap_or(unsigned);
    bare.strip_prefix('.').unwrap_or(bare).starts_with(|digit: char| digit.is_ascii_digit())
}

/// Returns true if `<` or `>` stands before a number, or with blanks between two words: `<5`,
/// `x > y`. A `>` that begins a line marks a quotation.
fn compares(found: &RuleMatch<'_>) -> bool {
    let joins = |before: char| before.is_alphanumeric() || ")%|".contains(before);
    if number_follows(found.rest) {
        return found
            .before()
            .is_none_or(|before| joins(before) || before.is_whitespace() || before == '(' || before == ',');
    }
    let (left, right) = (found.head.trim_end_matches(' '), found.rest.trim_start_matches(' '));
    if left.ends_with(|digit: char| digit.is_ascii_digit()) && left.len() == found.head.len() {
        let name = found.rest.split(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default();
        return name.chars().count() == 1;
    }
    let other = |letter: char| !letter.is_alphanumeric();
    let alone = |word: Option<&str>| word.is_some_and(|word| word.chars().count() == 1);
    if left.len() == found.head.len() && right.len() == found.rest.len() {
        return alone(left.rsplit(other).next()) && alone(right.split(other).next());
    }
    let between_blanks = left.len() < found.head.len() && right.len() < found.rest.len();
    let right = number_follows(right) || right.starts_with(|letter: char| letter.is_alphanumeric() || letter == '(');
    between_blanks && left.ends_with(joins) && right
}

/// Returns true if a star stands between numbers, a number and a letter, or two single letters:
/// `2*3`, `2*x`, `a * b`.
fn multiplies(found: &RuleMatch<'_>) -> bool {
    let (left, right) = (found.head.trim_end_matches(' '), found.rest.trim_start_matches(' '));
    let blanks = (found.head.len() - left.len(), found.rest.len() - right.len());
    let other = |letter: char| !letter.is_alphanumeric();
    let alone = |word: Option<&str>| word.is_some_and(|word| word.chars().count() == 1);
    let numbers = (left.ends_with(|last: char| last.is_ascii_digit() || last == ')'), number_follows(right));
    let letters = (alone(left.rsplit(other).next()), alone(right.split(other).next()));
    match (numbers, blanks) {
        ((true, true), (0, 0) | (1, 1)) => true,
        ((true, false), (0, 0) | (1, 1)) => letters.1 || is_power(found),
        ((false, true), (0, 0) | (1, 1)) => letters.0,
        ((false, false), (1, 1)) => letters.0 && letters.1,
        ((false, false), (0, 0)) => letters.0 && letters.1 && (in_equation(found) || is_product(left)),
        _ => false,
    }
}

/// Returns true if all words of a text are numbers and single letters.
pub(super) fn is_formula(text: &str) -> bool {
    let number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    text.split(|letter: char| !letter.is_alphanumeric()).all(|word| word.chars().count() < 2 || number(word))
}

/// Returns true if `left` ends with a number times a letter: `4*a`. `f*k` is no product.
fn is_product(left: &str) -> bool {
    let mut before = left.chars().rev().skip(1);
    before.next() == Some('*') && before.next().is_some_and(|last| last.is_ascii_digit())
}

/// Returns true if two stars between a number and a name are no mark of bold text: `10**other`.
fn is_power(found: &RuleMatch<'_>) -> bool {
    let line = |text: &str| text.contains("**");
    let head = found.head.rsplit('\n').next().unwrap_or_default();
    let rest = found.rest.split('\n').next().unwrap_or_default();
    let tight = found.head.ends_with(|last: char| last.is_ascii_digit()) && rest.starts_with(char::is_alphabetic);
    found.get(0) == "**" && tight && !line(head) && !line(rest)
}

/// Reads a power, such as `x^2`, `10^6` and `2^n`. Faces such as `^_^` are no powers.
fn power(found: &RuleMatch<'_>) -> Option<String> {
    if !found.before().is_some_and(|before| before.is_alphanumeric() || before == ')') {
        return None;
    }
    match found.get(1) {
        "2" if !goes_on(found.rest) => Some(" squared".into()),
        "3" if !goes_on(found.rest) => Some(" cubed".into()),
        "" => {
            if !found.get(2).is_empty() {
                return Some(format!(" to the power of minus {}", found.get(2)));
            }
            let letter = found.rest.split(|letter: char| !letter.is_alphanumeric()).next();
            let raised = number_follows(found.rest) || letter.is_some_and(|letter| letter.chars().count() == 1);
            raised.then(|| " to the power of ".into())
        }
        digit => Some(format!(" to the power of {digit}")),
    }
}
