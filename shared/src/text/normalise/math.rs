//! Rules for mathematics: superscripts, roots, equations, and the names of signs and Greek letters.

use super::context::is_sign;
use super::operators::in_equation;
use super::{Rule, RuleMatch};
use crate::text::numbers::{parse, part};

/// Rules that come before ranges, dates and units.
pub(super) const RULES: &[Rule] = &[
    (r"([0-9])(ˢᵗ|ⁿᵈ|ʳᵈ|ᵗʰ)", |found| {
        let end = match found.get(2) {
            "ˢᵗ" => "st",
            "ⁿᵈ" => "nd",
            "ʳᵈ" => "rd",
            _ => "th",
        };
        Some(format!("{}{end}", found.get(1)))
    }),
    // Superscripts become powers, and subscripts plain digits.
    (r"([0-9A-Za-zµΩ)])([⁺⁻]?[⁰¹²³⁴-⁹ⁿ]+)", |found| {
        Some(format!("{}^{}", found.get(1), plain(found.get(2))))
    }),
    // The limits of an integral.
    (r"∫_?(-?[0-9a-z]{1,3}|∞)\^(-?[0-9a-z]{1,3}|∞)", |found| {
        let limit = |text: &str| text.replace('-', "minus ");
        Some(found.spaced(&format!("the integral from {} to {} of", limit(found.get(1)), limit(found.get(2)))))
    }),
    // Derivatives.
    (r"\b([A-Za-z])('{1,2}|′{1,2}|″)\(([a-z])\)", |found| {
        let twice = found.get(2).chars().count() == 2 || found.get(2) == "″";
        Some(format!("{} {} of {}", found.get(1), if twice { "double prime" } else { "prime" }, found.get(3)))
    }),
    // A formula between the dollar signs of LaTeX.
    (r"\$([^$\s][^$\n]{0,60})\$", |found| {
        let formula = found.get(1).contains('^') && !found.get(1).ends_with(' ');
        formula.then(|| found.get(1).to_owned())
    }),
    (r"[₀-₉]+", |found| Some(plain(found.get(0)))),
    (r"\^−", |_| Some("^-".into())),
    (r"-([∛∜√])", |found| is_sign(found.head).then(|| format!(" minus {}", found.get(1)))),
    (r"([∛∜√]) ?", |found| {
        let root = match found.get(1) {
            "∛" => "cube",
            "∜" => "fourth",
            _ => "square",
        };
        Some(found.spaced(&format!("{root} root of")))
    }),
    // Scientific notation.
    (r"\b([0-9]+(?:\.[0-9]+)?)[eE]([+-]?)([0-9]{1,3})\b", |found| {
        let sure = found.get(1).contains('.') || !found.get(2).is_empty() || found.get(0).contains('e');
        let sign = if found.get(2) == "-" { "minus " } else { "" };
        let free = match found.before() {
            Some('-') => is_sign(&found.head[..found.head.len() - 1]),
            before => before != Some('.'),
        };
        (sure && free).then(|| format!("{} times ten to the power of {sign}{}", found.get(1), found.get(3)))
    }),
    // Signs between numbers, which are dashes and slashes elsewhere.
    (r"−", |found| Some(found.spaced("minus"))),
    (r"[-–/]", |found| {
        let words = if found.get(0) == "/" { "divided by" } else { "minus" };
        let digit = |letter: char| letter.is_ascii_digit();
        let top = &found.head[found.head.trim_end_matches(digit).len()..];
        let bottom = &found.rest[..found.rest.len() - found.rest.trim_start_matches(digit).len()];
        let fraction = found.get(0) == "/" && part(parse(top).unwrap_or(0), parse(bottom).unwrap_or(0)).is_some();
        let twice = found.get(0) == "-" && found.rest.strip_prefix(" -").is_some_and(|rest| rest.starts_with(digit));
        (!fraction && is_operand(found) && (twice || in_equation(found) || is_term(found))).then(|| found.spaced(words))
    }),
    (r"([0-9]) - ([0-9]+(?:\.[0-9]+)?)", |found| {
        const ASKS: [&str; 6] = ["is", "calculate", "compute", "of", "s", "equals"];
        let result = [" is ", " equals ", " = "].iter().any(|is| {
            found.rest.starts_with(is)
                && found.rest[is.len()..].starts_with(|next: char| next.is_ascii_digit() || next == '-')
        });
        let asks = result || ASKS.contains(&found.word_before_number().to_lowercase().as_str());
        asks.then(|| format!("{} minus {}", found.get(1), found.get(2)))
    }),
    // Without a blank it is the sign of an inequality: `3!=4`.
    (r"([0-9])! =", |found| Some(format!("{} factorial =", found.get(1)))),
    // Grades of schools.
    (r"\b([A-F])-", |found| {
        const BEFORE: [&str; 16] = [
            "a", "an", "got", "grade", "of", "with", "earned", "received", "from", "to", "my", "her", "his", "the",
            "solid", "or",
        ];
        let ends = found.after().is_none_or(|after| after.is_whitespace() || ".,;!?)".contains(after));
        (ends && BEFORE.contains(&found.previous_word())).then(|| format!("{} minus", found.get(1)))
    }),
];

/// Rules for signs that have a name of their own.
pub(super) const NAMES: &[Rule] = &[
    (r"\bd([xyt])/d([xyt])\b", |found| Some(format!("d{} over d{}", found.get(1), found.get(2)))),
    (r"(?:[Ss]um )?∑( of)?", |found| {
        let said = if found.get(0).starts_with(['S', 's']) { &found.get(0)[..3] } else { "the sum" };
        Some(found.spaced(&format!("{said} of")))
    }),
    (r"∫{2,}(?: of\b)?", |found| {
        let count = found.get(0).chars().filter(|&sign| sign == '∫').count();
        let kind = ["double ", "triple "].get(count - 2).unwrap_or(&"");
        Some(found.spaced(&format!("the {kind}integral of")))
    }),
    (r"∫ of\b", |found| Some(found.spaced("the integral of").trim_end().to_owned())),
    (r"[∞∏∫∂∇∈∉∪∩⊂⊃∴∝∅≡≅∀∃‰‱∠⊥∥∧∨¬∆∓]", |found| {
        Some(found.spaced(sign(found.get(0))?))
    }),
    (r"[\p{Greek}µ]", |found| {
        let greek = |letter: char| ('\u{370}'..='\u{3ff}').contains(&letter);
        let alone = !found.before().is_some_and(greek) && !found.after().is_some_and(greek);
        if alone { Some(found.spaced(letter(found.get(0))?)) } else { None }
    }),
];

/// Returns superscript or subscript figures as plain ones.
fn plain(text: &str) -> String {
    let digit = |letter: char| match letter {
        '⁰' => '0',
        '¹' => '1',
        '²' => '2',
        '³' => '3',
        '⁴'..='⁹' => char::from_digit(letter as u32 - '⁰' as u32, 10).unwrap_or(letter),
        '₀'..='₉' => char::from_digit(letter as u32 - '₀' as u32, 10).unwrap_or(letter),
        '⁻' => '-',
        'ⁿ' => 'n',
        other => other,
    };
    text.chars().filter(|&letter| letter != '⁺').map(digit).collect()
}

/// Returns true if a sign stands between two numbers, or letters that stand for numbers.
fn is_operand(found: &RuleMatch<'_>) -> bool {
    let (left, right) = (found.head.trim_end_matches(' '), found.rest.trim_start_matches(' '));
    let other = |letter: char| !letter.is_alphanumeric();
    let number = |word: Option<&str>| {
        word.is_some_and(|word| word.chars().count() == 1 || word.starts_with(|digit: char| digit.is_ascii_digit()))
    };
    let blanks = (left.len() < found.head.len(), right.len() < found.rest.len());
    blanks.0 == blanks.1
        && (left.ends_with(')') || number(left.rsplit(other).next()))
        && (right.starts_with('(') || number(right.strip_prefix('-').unwrap_or(right).split(other).next()))
}

/// Returns true if a minus stands next to a power or a product: `b^2 - 4*a*c`.
fn is_term(found: &RuleMatch<'_>) -> bool {
    let (left, right) = (found.head.trim_end_matches(' '), found.rest.trim_start_matches(' '));
    let power = left.strip_suffix(char::is_alphanumeric).is_some_and(|left| left.ends_with('^'));
    let factor = right.trim_start_matches(char::is_alphanumeric);
    let product = factor.len() < right.len() && factor.starts_with(['*', '^']) && !factor.starts_with("**");
    found.get(0) != "/" && (power || product) && found.head.len() > left.len()
}

fn sign(character: &str) -> Option<&'static str> {
    Some(match character {
        "∞" => "infinity",
        "∏" => "the product of",
        "∫" => "the integral of",
        "∂" => "partial",
        "∇" => "nabla",
        "∈" => "is in",
        "∉" => "is not in",
        "∪" => "union",
        "∩" => "intersection",
        "⊂" => "is a subset of",
        "⊃" => "is a superset of",
        "∴" => "therefore",
        "∝" => "is proportional to",
        "∅" => "the empty set",
        "≡" => "is identical to",
        "≅" => "is congruent to",
        "∀" => "for all",
        "∃" => "there exists",
        "‰" => "per mille",
        "‱" => "per ten thousand",
        "∠" => "angle",
        "⊥" => "is perpendicular to",
        "∥" => "is parallel to",
        "∧" => "and",
        "∨" => "or",
        "¬" => "not",
        "∆" => "delta",
        "∓" => "minus or plus",
        _ => return None,
    })
}

/// Returns the name of a Greek letter.
fn letter(character: &str) -> Option<&'static str> {
    const NAMES: [(&str, &str); 25] = [
        ("αΑ", "alpha"),
        ("βΒ", "beta"),
        ("γΓ", "gamma"),
        ("δΔ", "delta"),
        ("εΕϵ", "epsilon"),
        ("ζΖ", "zeta"),
        ("ηΗ", "eta"),
        ("θΘϑ", "theta"),
        ("ιΙ", "iota"),
        ("κΚ", "kappa"),
        ("λΛ", "lambda"),
        ("μΜ", "mu"),
        ("νΝ", "nu"),
        ("ξΞ", "xi"),
        ("οΟ", "omicron"),
        ("πΠ", "pi"),
        ("ρΡ", "rho"),
        ("σςΣ", "sigma"),
        ("τΤ", "tau"),
        ("υΥ", "upsilon"),
        ("φΦϕ", "phi"),
        ("χΧ", "chi"),
        ("ψΨ", "psi"),
        ("ωΩ", "omega"),
        ("µ", "mu"),
    ];
    NAMES.iter().find(|(letters, _)| letters.contains(character)).map(|&(_, name)| name)
}
