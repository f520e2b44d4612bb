//! Rules for digits that are read one by one: telephone numbers, cards, accounts, codes and zip
//! codes.

use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{digits, whole};

/// Rules for telephone numbers and other rows of groups. They come before thousands, dates and
/// ranges.
pub(super) const RULES: &[Rule] = &[
    // With the code of a country.
    (r"\+([0-9]{1,3}(?:(?:[ .-]|[ .-]?\(|\)[ .-]?)?[0-9]+){1,7})", |found| {
        let count = found.get(1).bytes().filter(u8::is_ascii_digit).count();
        let groups = found.get(1).contains([' ', '.', '-', '(']);
        let free = found.before().is_none_or(|before| !before.is_alphanumeric());
        (free && (7..=15).contains(&count) && (groups || count > 9)).then(|| format!("plus {}", row(found.get(1))))
    }),
    // With the area in brackets.
    (r"(?:\b1[ .-]?)?\(([0-9]{2,5})\)[ .-]?[0-9]{2,4}(?:[ .-]?[0-9]{2,4}){1,3}\b", |found| {
        let count = found.get(0).bytes().filter(u8::is_ascii_digit).count();
        let area = found.get(1).starts_with('0') || found.get(1).len() == 3;
        (area && (8..=12).contains(&count)).then(|| row(found.get(0)))
    }),
    // Of North America.
    (r"\b(?:1[ .-])?[0-9]{3}([ ./-])[0-9]{3}([ .-])[0-9]{4}\b", |found| {
        ((found.get(1) == found.get(2) || found.get(1) == "/") && !joined(found)).then(|| row(found.get(0)))
    }),
    (r"\b(?:(1)[ .-])?(8[0-9]{2}|900)-([A-Z][A-Z0-9-]{2,9})\b", |found| {
        let country = if found.get(1).is_empty() { "" } else { "one, " };
        Some(format!("{country}{}, {}", digits(found.get(2)), found.get(3).replace('-', " ")))
    }),
    (r"\b[0-9]{2,8}(?:[ -][0-9]{2,8})+\b", groups),
    (r"\b(?:0[0-9]{1,4}(?:[.-][0-9]{2,8}){1,4}|[0-9]{2}(?:\.[0-9]{2}){4})\b", |found| {
        let count = found.get(0).bytes().filter(u8::is_ascii_digit).count();
        let date = found.get(0).split(['.', '-']).map(str::len).eq([2, 2, 4]);
        ((8..=12).contains(&count) && !date && !joined(found)).then(|| row(found.get(0)))
    }),
    (r"\b[0-9]{3,}\b", solid),
    (r"\b([Dd]ial|[Pp]ress|[Ee]nter) \*([0-9]*)", |found| {
        Some(format!("{} star {}", found.get(1), digits(found.get(2))).trim_end().to_owned())
    }),
    (r"\b([Ee]xtension) ([0-9]{1,6})\b", |found| Some(format!("{} {}", found.get(1), extension(found.get(2))))),
    (r",? ?\b(?:ext|Ext|EXT|extn)\b\.? ?:? ?([0-9]{1,6})\b", |found| {
        Some(format!(", extension {}", extension(found.get(1))))
    }),
    (r"([a-z]) ?x ?([0-9]{2,6})\b", |found| {
        const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
        let last = found.head.rsplit(' ').next().map(|head| format!("{head}{}", found.get(1)));
        let number =
            found.head.split_whitespace().rev().nth(1).is_some_and(|word| DIGITS.contains(&word.trim_end_matches(',')));
        (number && last.is_some_and(|last| DIGITS.contains(&last.as_str())))
            .then(|| format!("{}, extension {}", found.get(1), extension(found.get(2))))
    }),
    (r"\b([0-9]{3}-[0-9]{4}) ?(?:x|ext\.?) ?([0-9]{1,6})\b", |found| {
        (!joined(found)).then(|| format!("{}, extension {}", row(found.get(1)), extension(found.get(2))))
    }),
    // Zip codes behind a state.
    (
        concat!(
            r"\b(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|",
            r"UT|V[AT]|W[AIVY]|Alabama|Alaska|Arizona|Arkansas|California|Colorado|Connecticut|Delaware|Florida|Georgia|",
            r"Hawaii|Idaho|Illinois|Indiana|Iowa|Kansas|Kentucky|Louisiana|Maine|Maryland|Massachusetts|Michigan|Minnesota|",
            r"Mississippi|Missouri|Montana|Nebraska|Nevada|Hampshire|Jersey|Mexico|York|Carolina|Dakota|Ohio|Oklahoma|",
            r"Oregon|Pennsylvania|Island|Tennessee|Texas|Utah|Vermont|Virginia|Washington|Wisconsin|Wyoming)",
            r"\.?,? ([0-9]{5}(?:-[0-9]{4})?)\b"
        ),
        |found| {
            let count = found.rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(char::is_lowercase))
                || goes_on(found.rest);
            let name = &found.get(0)[..found.get(0).len() - found.get(1).len()];
            (!count || name.len() <= 4).then(|| format!("{name}{}", row(found.get(1))))
        },
    ),
    (r"\b([0-9]{5})-([0-9]{4})\b", |found| {
        (found.get(1).starts_with('0') || told_code(found.head)).then(|| row(found.get(0)))
    }),
];

/// Rules for the rows that dates and ranges leave.
pub(super) const REST: &[Rule] = &[
    (r"\b[0-9]+(?:-[0-9]+){2,}\b", |found| Some(row(found.get(0)))),
    (r"\b(?:([0-9]{3}) )?([0-9]{3})-([0-9]{4})\b", phone),
    (r"\b(?:[2-9]11|112|999|988)\b", emergency),
];

/// Reads groups of digits digit by digit.
fn row(groups: &str) -> String {
    let groups = groups.split(|letter: char| !letter.is_ascii_digit()).filter(|group| !group.is_empty());
    groups.map(digits).collect::<Vec<_>>().join(", ")
}

/// Reads an extension: two digits as a number, others digit by digit.
fn extension(text: &str) -> String {
    if text.len() == 2 { whole(text) } else { digits(text) }
}

/// Returns true if the match is part of a longer row or sum.
fn joined(found: &RuleMatch<'_>) -> bool {
    found.before().is_some_and(|before| "$€£¥₹.,:/-–_#+".contains(before)) || goes_on(found.rest)
}

/// Reads groups that cannot be one number, nor several: `1300 555 027`, `4111 1111 1111 1111`,
/// `020 7946 0958`. Years in a row and numbers with thousands are left, unless the word in front
/// tells that they are a code.
fn groups(found: &RuleMatch<'_>) -> Option<String> {
    let text = found.get(0);
    let groups: Vec<_> = text.split([' ', '-']).collect();
    let count = text.bytes().filter(u8::is_ascii_digit).count();
    if joined(found) || found.head.ends_with(|before: char| before.is_alphanumeric()) {
        return None;
    }
    let numbered = is_numbered(found.head) || NUMBERED.contains(&last_word(found.head).to_lowercase().as_str());
    if (told_code(found.head) || numbered) && count > 5 || (told_to_call(found.head) && count >= 6) {
        return Some(row(text));
    }
    let mixed = text.contains(' ') && text.contains('-');
    let hyphens = text.contains('-') && !mixed;
    let thousands = groups[0].len() <= 3 && groups[1..].iter().all(|group| group.len() == 3);
    let years = groups.iter().all(|group| group.len() == 4 && (group.starts_with("19") || group.starts_with("20")));
    let zero = groups[0].starts_with('0');
    let long = groups.len() > 2 && count >= 9 && groups.iter().any(|group| group.len() > 2);
    let sure = (zero && (8..=12).contains(&count)) || (long && !thousands && !years);
    (sure && !hyphens).then(|| row(text))
}

/// Reads a number without groups digit by digit behind a word that tells that it is a code, and if
/// it is too long to be a count.
fn solid(found: &RuleMatch<'_>) -> Option<String> {
    let text = found.get(0);
    let joined = found.before().is_some_and(|before| "$€£¥₹.,:/-–_#+".contains(before)) || goes_on(found.rest);
    let next = found.next_word();
    let counts = found.rest.starts_with(' ')
        && next.starts_with(char::is_lowercase)
        && ((next.ends_with('s') && !["is", "was", "has", "as", "this"].contains(&next))
            || ["people", "men", "women", "children"].contains(&next));
    if joined || found.head.ends_with('\'') || text.len() > 19 {
        return None;
    }
    let stamp = text.len() == 8 && is_date(text) && !counts;
    let long = stamp || text.len() >= 10 && !text.ends_with("000");
    let called = text.len() >= 5 && told_to_call(found.head) && (!counts || [7, 10, 11].contains(&text.len()));
    let numbered = text.len() >= 4 && NUMBERED.contains(&last_word(found.head).to_lowercase().as_str()) && !counts
        || text.len() >= 4 && !counts && is_numbered(found.head);
    let dialed = ["dial", "Dial", "text", "Text"].contains(&found.previous_word()) && !counts;
    let code = told_code(found.head) && !counts;
    (long || called || dialed || code || numbered).then(|| digits(text))
}

/// Returns true if eight digits are a year, a month and a day.
fn is_date(text: &str) -> bool {
    let within = |digits: &str, most: u32| digits.parse().is_ok_and(|number| (1..=most).contains(&number));
    (text.starts_with("19") || text.starts_with("20")) && within(&text[4..6], 12) && within(&text[6..], 31)
}

/// Words whose number is no count.
const NUMBERED: &[&str] = &["acct", "badge", "invoice", "order", "otp", "passcode", "po", "ref", "reference", "ticket"];

/// Returns the last word of a text; a blank and a colon may stand behind it.
fn last_word(head: &str) -> &str {
    let head = head.trim_end_matches([' ', ':', '#']);
    head.rsplit(|letter: char| !letter.is_alphanumeric()).next().unwrap_or_default()
}

/// Returns true if `head` ends with `number` or `no.` behind the name of a thing that is numbered
/// in a register: `student number`, `check no.`.
fn is_numbered(head: &str) -> bool {
    const THINGS: &[&str] = &[
        "account",
        "acct",
        "badge",
        "booking",
        "card",
        "case",
        "check",
        "cheque",
        "claim",
        "confirmation",
        "customer",
        "employee",
        "id",
        "invoice",
        "license",
        "member",
        "membership",
        "order",
        "passport",
        "patient",
        "phone",
        "policy",
        "reference",
        "registration",
        "routing",
        "serial",
        "student",
        "tax",
        "telephone",
        "ticket",
        "tracking",
    ];
    let mut words = head.trim_end_matches([' ', ':', '#']).rsplit(' ');
    let number = words
        .next()
        .is_some_and(|last| ["number", "no.", "No.", "no", "num", "Number", "#"].contains(&last) || last.is_empty());
    let number = number || head.ends_with("# ");
    number && words.next().is_some_and(|thing| THINGS.contains(&thing.to_lowercase().as_str()))
}

/// Reads a telephone number of three and four digits, which looks like a range such as `500-1000`.
/// The digits are a telephone number behind a word that tells to call, behind a plus, or behind an
/// area code. So are digits that cannot be a range: the last part begins with a zero, or the first
/// is 555, as in films and examples.
fn phone(found: &RuleMatch<'_>) -> Option<String> {
    let international = found.head.trim_end().rsplit(' ').next().is_some_and(|last| last.starts_with('+'));
    let sure = !found.get(1).is_empty() || found.get(3).starts_with('0') || found.get(2) == "555";
    let part_of_more = found.before().is_some_and(|before| "$€£¥.,/-".contains(before)) || goes_on(found.rest);
    let phone = !part_of_more && (sure || international || told_to_call(found.head));
    phone.then(|| row(found.get(0)))
}

/// Reads an emergency number, as in `call 911` and `a 911 call`.
fn emergency(found: &RuleMatch<'_>) -> Option<String> {
    const NOUNS: [&str; 4] = ["call", "calls", "operator", "dispatcher"];
    let part_of_more = found.before().is_some_and(|before| "$€£¥.,/-".contains(before)) || goes_on(found.rest);
    let next =
        found.rest.strip_prefix(' ').and_then(|rest| rest.split(|letter: char| !letter.is_alphanumeric()).next());
    let noun = found.get(0) == "911" && next.is_some_and(|next| NOUNS.contains(&next));
    let counts = next.is_some_and(|next| next.ends_with('s') || next == "people");
    (!part_of_more && (noun || (told_to_call(found.head) && !counts))).then(|| digits(found.get(0)))
}

/// Returns true if the words before a number tell to call it: `call us at`, `tel.`,
/// `dial 555-0123 or`.
fn told_to_call(head: &str) -> bool {
    const CUES: &[&str] = &[
        "call",
        "calling",
        "cell",
        "dial",
        "dialing",
        "dialling",
        "fax",
        "helpline",
        "hotline",
        "mobile",
        "phone",
        "ring",
        "sms",
        "tel",
        "telephone",
        "text",
        "whatsapp",
    ];
    const BETWEEN: &[&str] = &[
        "and", "at", "back", "free", "her", "him", "is", "line", "me", "my", "no", "now", "number", "on", "or", "our",
        "the", "them", "to", "toll", "us",
    ];
    tells(head, CUES, BETWEEN)
}

/// Returns true if the words before a number tell that it is a code: `PIN`, `account no.`, `zip
/// code`.
fn told_code(head: &str) -> bool {
    const CUES: &[&str] = &[
        "account",
        "acct",
        "barcode",
        "card",
        "code",
        "codes",
        "confirmation",
        "id",
        "iban",
        "imei",
        "isbn",
        "otp",
        "passcode",
        "passport",
        "password",
        "pin",
        "postcode",
        "routing",
        "serial",
        "sin",
        "ssn",
        "tracking",
        "zip",
        "zipcode",
        "licence",
        "license",
    ];
    const BETWEEN: &[&str] = &[
        "and", "is", "no", "number", "or", "to", "was", "the", "a", "my", "your", "code", "with", "ending", "ends",
        "in",
    ];
    tells(head, CUES, BETWEEN)
}

/// Returns true if one of the cues is the last word of `head`, apart from words that may stand
/// between it and the number.
fn tells(head: &str, cues: &[&str], between: &[&str]) -> bool {
    const WORDS: usize = 12;
    const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    let line = head.rsplit('\n').next().unwrap_or_default();
    for token in line.split_whitespace().rev().take(WORDS) {
        let word = token.trim_matches(|letter: char| !letter.is_alphanumeric()).to_lowercase();
        let abbreviated = ["tel", "no", "acct", "ph"].contains(&word.as_str());
        let digits = word.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') || DIGITS.contains(&word.as_str());
        if token.ends_with([',', ';', '!', '?']) && !digits || (token.ends_with('.') && !abbreviated) {
            return false;
        }
        if cues.contains(&word.as_str()) {
            return true;
        }
        let bare = token.trim_matches(|letter: char| !letter.is_alphanumeric());
        let keyword = bare.len() > 2 && bare.bytes().all(|byte| byte.is_ascii_uppercase());
        if !digits && !keyword && !between.contains(&word.as_str()) {
            return false;
        }
    }
    false
}
