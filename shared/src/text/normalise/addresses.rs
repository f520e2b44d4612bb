//! Rules for postal addresses: streets, flats, states and zip codes; and for states behind cities
//! and senators.

use super::abbreviations::begins_like_a_sentence;
use super::codes::in_pairs;
use super::{Rule, RuleMatch};
use crate::text::numbers::digits;

/// Rules for addresses in the order of their parts.
pub(super) const RULES: &[Rule] = &[
    // A house and its street: `123 N. Main St.`
    (
        r"(?x)\b([0-9]{1,5})([A-Z]?)\ ((?:(?:[NSEW]|N[EW]|S[EW])\b\.?\ )?)
        ((?:(?:[A-Z][a-z]+|[0-9]{1,3}(?:st|nd|rd|th)|St\.|Mt\.|Dr\.)\ ){0,3}(?:[A-Z][a-z]+|[0-9]{1,3}(?:st|nd|rd|th)))
        \ (St|Ave|Av|Blvd|Rd|Dr|Ln|Ct|Pl|Sq|Ter|Pkwy|Hwy|Cir|Tpke|Expy|Fwy|Street|Avenue|Boulevard|Road|Drive
        |Lane|Court|Place|Square|Terrace|Parkway|Highway|Circle|Way)\b(\.?)((?:\ (?:[NSEW]|N[EW]|S[EW])\b\.?)?)",
        house,
    ),
    // A circuit of the courts: `9th Cir. 1997`.
    (r"\b([0-9]{1,2}(?:st|nd|rd|th)|[23]d) Cir\b(\.?)", |found| {
        let name = found.get(1);
        let name = if name.ends_with("2d") {
            "second"
        } else if name.ends_with("3d") {
            "third"
        } else {
            name
        };
        let period = if found.get(2).is_empty() { "" } else { found.period() };
        Some(format!("{name} Circuit{period}"))
    }),
    (r"\b([A-Z][a-z]+|[0-9]{1,3}(?:st|nd|rd|th)) (Ave|Blvd|Pkwy|Hwy|Tpke|Rd|Ln)\b(\.?)", |found| {
        let period = street_period(found, found.get(3));
        (!begins_like_a_sentence(found.get(1))).then(|| format!("{} {}{period}", found.get(1), street(found.get(2))))
    }),
    (r"\b([A-Z][a-z]+(?:'s)?|[0-9]{1,3}(?:st|nd|rd|th)) (St|Dr|Ct|Pl|Sq|Cir|Ter)\b(\.?)", bare_street),
    (r"\b(Hwy|Pkwy|Blvd|Tpke)\b(\.?)", |found| {
        let period = if found.get(2).is_empty() { "" } else { found.period() };
        Some(format!("{}{period}", street(found.get(1))))
    }),
    (r"\b([NSEW])\. ([A-Z][a-z]+|[0-9]{1,3}(?:st|nd|rd|th))\b", side),
    // Parts of a building.
    (r"\b(?i:(apt|ste|bldg|rm))\b\.? ?(#?)([0-9]+[A-Z]?|[A-Z][0-9]*)\b", |found| {
        let words = match found.get(1).to_lowercase().as_str() {
            "apt" => "apartment",
            "ste" => "suite",
            "bldg" => "building",
            _ => "room",
        };
        let words = if found.get(1).starts_with(char::is_uppercase) { super::capital(words) } else { words.to_owned() };
        Some(format!("{words} {}", unit(found.get(3))))
    }),
    (r"\bP\. ?O\. ?(?:Box|box|BOX)\b", |_| Some("PO Box".into())),
    (r"\b(PO [Bb]ox|[Rr]oom|[Ss]uite|[Aa]partment|[Uu]nit) ([0-9]{3,5}[A-Z]?)\b", |found| {
        (!super::goes_on(found.rest)).then(|| format!("{} {}", found.get(1), unit(found.get(2))))
    }),
    // States.
    (r"\b([A-Z]{2}),? ([0-9]{5})(-[0-9]{4})?\b", |found| {
        let state = if found.get(1) == "DC" { "DC" } else { state(found.get(1))? };
        Some(format!("{state} {}", zip(&found.get(0)[found.get(0).len() - found.get(2).len() - found.get(3).len()..])))
    }),
    (
        r"(?x)\b((?i:zip|postal|area)(?:\ ?code)?s?|[Pp]ostcode)((?:\ is|\ are|\ was|:|\ of)?\ )
        ([0-9]{5}(?:-[0-9]{4})?)((?:,?(?:\ or|\ and|\ to)?\ [0-9]{5})*)\b",
        |found| {
            let more: Vec<_> = found
                .get(4)
                .split(' ')
                .map(|part| if part.contains(|digit: char| digit.is_ascii_digit()) { zip(part) } else { part.into() })
                .collect();
            (!super::goes_on(found.rest))
                .then(|| format!("{}{}{}{}", found.get(1), found.get(2), zip(found.get(3)), more.join(" ")))
        },
    ),
    (r"\(([DRI])-([A-Z][A-Za-z. ]{1,14}?)\.?(?:-[0-9]{1,2})?(\)|,)", |found| {
        let party = match found.get(1) {
            "D" => "Democrat",
            "R" => "Republican",
            _ => "Independent",
        };
        let short = found.get(2);
        let named = STATES.iter().map(|&(_, name)| name).find(|name| *name == short);
        Some(format!("({party}, {}{}", state(short).or(short_state(short)).or(named)?, found.get(3)))
    }),
    (r"\b([NRSW]\.[A-Z][a-z]?\.|D\.C\.),? ([0-9]{5}(?:-[0-9]{4})?)\b", |found| {
        Some(format!("{} {}", short_state(found.get(1).trim_end_matches('.')).unwrap_or("DC"), zip(found.get(2))))
    }),
    (r"\b([0-9]+(?:st|nd|rd|th)) Fl\b\.?", |found| Some(format!("{} Floor", found.get(1)))),
    (r"\b([A-Z][a-z]+), ([A-Z]{2})\b", city),
    (r"\b([A-Z][a-z]+, )([A-Z][a-z]{1,4}|[NRSW]\.[A-Z][a-z]?)\.", |found| {
        Some(format!("{}{}{}", found.get(1), short_state(found.get(2))?, found.period()))
    }),
];

/// Postal codes of the states.
const STATES: [(&str, &str); 50] = [
    ("AK", "Alaska"),
    ("AL", "Alabama"),
    ("AR", "Arkansas"),
    ("AZ", "Arizona"),
    ("CA", "California"),
    ("CO", "Colorado"),
    ("CT", "Connecticut"),
    ("DE", "Delaware"),
    ("FL", "Florida"),
    ("GA", "Georgia"),
    ("HI", "Hawaii"),
    ("IA", "Iowa"),
    ("ID", "Idaho"),
    ("IL", "Illinois"),
    ("IN", "Indiana"),
    ("KS", "Kansas"),
    ("KY", "Kentucky"),
    ("LA", "Louisiana"),
    ("MA", "Massachusetts"),
    ("MD", "Maryland"),
    ("ME", "Maine"),
    ("MI", "Michigan"),
    ("MN", "Minnesota"),
    ("MO", "Missouri"),
    ("MS", "Mississippi"),
    ("MT", "Montana"),
    ("NC", "North Carolina"),
    ("ND", "North Dakota"),
    ("NE", "Nebraska"),
    ("NH", "New Hampshire"),
    ("NJ", "New Jersey"),
    ("NM", "New Mexico"),
    ("NV", "Nevada"),
    ("NY", "New York"),
    ("OH", "Ohio"),
    ("OK", "Oklahoma"),
    ("OR", "Oregon"),
    ("PA", "Pennsylvania"),
    ("RI", "Rhode Island"),
    ("SC", "South Carolina"),
    ("SD", "South Dakota"),
    ("TN", "Tennessee"),
    ("TX", "Texas"),
    ("UT", "Utah"),
    ("VA", "Virginia"),
    ("VT", "Vermont"),
    ("WA", "Washington"),
    ("WI", "Wisconsin"),
    ("WV", "West Virginia"),
    ("WY", "Wyoming"),
];

/// Older abbreviations of the states.
const SHORT_STATES: [(&str, &str); 43] = [
    ("Ala", "Alabama"),
    ("Ariz", "Arizona"),
    ("Ark", "Arkansas"),
    ("Calif", "California"),
    ("Colo", "Colorado"),
    ("Conn", "Connecticut"),
    ("Del", "Delaware"),
    ("Fla", "Florida"),
    ("Ga", "Georgia"),
    ("Ill", "Illinois"),
    ("Ind", "Indiana"),
    ("Kan", "Kansas"),
    ("Ky", "Kentucky"),
    ("La", "Louisiana"),
    ("Mass", "Massachusetts"),
    ("Md", "Maryland"),
    ("Mich", "Michigan"),
    ("Minn", "Minnesota"),
    ("Miss", "Mississippi"),
    ("Mo", "Missouri"),
    ("Mont", "Montana"),
    ("Neb", "Nebraska"),
    ("Nev", "Nevada"),
    ("Okla", "Oklahoma"),
    ("Ore", "Oregon"),
    ("Pa", "Pennsylvania"),
    ("Tenn", "Tennessee"),
    ("Tex", "Texas"),
    ("Va", "Virginia"),
    ("Vt", "Vermont"),
    ("Wash", "Washington"),
    ("Wis", "Wisconsin"),
    ("Wyo", "Wyoming"),
    ("N.C", "North Carolina"),
    ("N.D", "North Dakota"),
    ("N.H", "New Hampshire"),
    ("N.J", "New Jersey"),
    ("N.M", "New Mexico"),
    ("N.Y", "New York"),
    ("R.I", "Rhode Island"),
    ("S.C", "South Carolina"),
    ("S.D", "South Dakota"),
    ("W.Va", "West Virginia"),
];

/// First words of the names of cities that have several.
const CITY_HEADS: &str = "New San Los Las Fort Saint Santa Salt Kansas El Palm Baton Little Long West East North \
    South Grand Ann Cedar Des Green Virginia Colorado Oklahoma Jersey Iowa Lake Mount College Silver Ocean Bowling \
    Jefferson Ellicott Fall Cape Martha State King Glen Coral Sioux Rapid Bel";
/// Answers and calls in front of a word in capitals.
const ANSWERS: &str = "Yes Yeah Yep No Nope Well Sure Fine Right Okay Alright Hey Oh Hello Hi Wow Sorry Thanks Hm \
    Hmm Look Listen So Now Then Great Good Mom Dad Please Man Boy Um Uh God Trust Believe Help Join";
/// Names of saints in front of which `St.` is no street.
const SAINTS: &str = "Albans Andrew Andrews Anne Anthony Augustine Bernard Catherine Catharines Clair Cloud Croix \
    Francis George Germain Helena Helens Ives James John Joseph Jude Kitts Lawrence Louis Lucia Luke Mark Martin \
    Mary Michael Moritz Nicholas Pancras Patrick Paul Peter Petersburg Pius Stephen Thomas Tropez Vincent";
/// Words in front of a street.
const ON_STREETS: &str = "on at to along off of down from near across and between onto up via corner over";

fn listed(table: &str, word: &str) -> bool {
    table.split_whitespace().any(|listed| listed == word)
}

fn short_state(short: &str) -> Option<&'static str> {
    SHORT_STATES.iter().find(|(known, _)| *known == short).map(|&(_, name)| name)
}

fn state(code: &str) -> Option<&'static str> {
    STATES.iter().find(|(short, _)| *short == code).map(|&(_, name)| name)
}

/// Reads a zip code digit by digit.
fn zip(code: &str) -> String {
    code.split('-')
        .map(|part| format!("{}{}", digits(part), if part.ends_with(',') { "," } else { "" }))
        .collect::<Vec<_>>()
        .join(", ")
}

fn street(short: &str) -> &str {
    match short {
        "St" => "Street",
        "Ave" | "Av" => "Avenue",
        "Blvd" => "Boulevard",
        "Rd" => "Road",
        "Dr" => "Drive",
        "Ln" => "Lane",
        "Ct" => "Court",
        "Pl" => "Place",
        "Sq" => "Square",
        "Ter" => "Terrace",
        "Pkwy" => "Parkway",
        "Hwy" => "Highway",
        "Cir" => "Circle",
        "Tpke" => "Turnpike",
        "Expy" => "Expressway",
        "Fwy" => "Freeway",
        whole => whole,
    }
}

fn direction(short: &str) -> &'static str {
    match short.trim_end_matches('.') {
        "N" => "North",
        "S" => "South",
        "E" => "East",
        "W" => "West",
        "NE" => "Northeast",
        "NW" => "Northwest",
        "SE" => "Southeast",
        "SW" => "Southwest",
        _ => "",
    }
}

/// Reads the name of a room or a flat: `4B`, `B`, `205`.
fn unit(text: &str) -> String {
    let letters = text.trim_matches(|digit: char| digit.is_ascii_digit());
    let figure = text.trim_matches(|letter: char| letter.is_ascii_alphabetic());
    let figure = if figure.is_empty() { String::new() } else { in_pairs(figure) };
    let words = if text.starts_with(letters) { format!("{letters} {figure}") } else { format!("{figure} {letters}") };
    words.trim().to_owned()
}

/// Returns the period behind the abbreviation of a street if it ends the sentence. A number behind
/// it begins the next one, unless it is a zip code or a floor.
fn street_period(found: &RuleMatch<'_>, dot: &str) -> &'static str {
    let next = found.word_after();
    let digits = next.bytes().take_while(u8::is_ascii_digit).count();
    let number = found.rest.starts_with(' ') && digits > 0 && digits == next.len() && digits != 5;
    match dot {
        "" => "",
        _ if number => ".",
        _ => found.period(),
    }
}

fn house(found: &RuleMatch<'_>) -> Option<String> {
    let (names, kind) = (found.get(4), found.get(5));
    let part = found.before().is_some_and(|before| "$€£¥.,:/-#".contains(before));
    // A saint or a doctor behind a name that ends: `5 Main St. Louis`.
    let saint = kind == "St" && listed(SAINTS, found.word_after()) && found.get(7).is_empty();
    if part || saint || names.split(' ').any(begins_like_a_sentence) {
        return None;
    }
    let side = direction(found.get(3).trim());
    let other_side = direction(found.get(7).trim());
    let period = match found.get(7) {
        // Behind a whole word, a period ends the sentence.
        "" if street(kind) == kind => found.get(6),
        "" => street_period(found, found.get(6)),
        side if side.ends_with('.') => found.period(),
        _ => "",
    };
    let words = [
        in_pairs(found.get(1)),
        found.get(2).to_owned(),
        side.to_owned(),
        names.to_owned(),
        street(kind).to_owned(),
        other_side.to_owned(),
    ];
    let words: Vec<_> = words.into_iter().filter(|word| !word.is_empty()).collect();
    Some(format!("{}{period}", words.join(" ")))
}

/// Reads a street without a house, if the words before tell of a place: `on Main St. He`.
fn bare_street(found: &RuleMatch<'_>) -> Option<String> {
    let (name, kind) = (found.get(1), found.get(2));
    if found.get(3).is_empty() && found.rest.starts_with(" ") && found.word_after().starts_with(char::is_uppercase) {
        return None;
    }
    let numbered = name.starts_with(|digit: char| digit.is_ascii_digit());
    let mut before = found.head.trim_end().rsplit(' ');
    let told = |word: Option<&str>| word.is_some_and(|word| listed(ON_STREETS, &word.to_lowercase()));
    let first = before.next();
    let second = first.is_some_and(|word| word.starts_with(char::is_uppercase)) && told(before.next());
    let saint = kind == "St" && listed(SAINTS, found.word_after());
    // Behind a name, the other short forms mean nothing else.
    let next = found.word_after();
    let clear = matches!(kind, "Pl" | "Sq" | "Ct") && found.get(3) == "."
        || kind == "St" && found.rest.starts_with(' ') && next.starts_with(char::is_lowercase);
    if saint || begins_like_a_sentence(name) || !(numbered || clear || told(first) || second) {
        return None;
    }
    Some(format!("{name} {}{}", street(kind), street_period(found, found.get(3))))
}

/// Reads a side of the world in front of a street or a land: `N. Main`, `S. Korea`.
fn side(found: &RuleMatch<'_>) -> Option<String> {
    const LANDS: &str = "Africa America Asia Carolina Dakota Europe Ireland Korea Virginia Yorkshire Sudan";
    const STREETS: &str = "Street Avenue Boulevard Road Drive Lane Court Place Highway St Ave Blvd Rd Dr Ln Ct";
    let name = found.get(2);
    let numbered = found.word_before().ends_with(|digit: char| digit.is_ascii_digit()) && found.head.ends_with(' ');
    let street = listed(STREETS, found.word_after());
    let apart = found.before().is_none_or(|before| before.is_whitespace() || before == '(');
    let sure = listed(LANDS, name) || ((numbered || street) && !begins_like_a_sentence(name));
    (apart && sure).then(|| format!("{} {name}", direction(found.get(1))))
}

/// Reads a state behind its city. Codes that are also degrees or words stay behind what may be a
/// person or a greeting: `Jane Doe, MD`, `Yes, OK`.
fn city(found: &RuleMatch<'_>) -> Option<String> {
    let (name, code) = (found.get(1), found.get(2));
    let state = state(code)?;
    let before = super::last_word(found.head.trim_end());
    let second = found.head.ends_with(' ') && before.starts_with(char::is_uppercase) && !begins_like_a_sentence(before);
    let person = second && !listed(CITY_HEADS, before);
    let degree = matches!(code, "MD" | "MA" | "MS" | "PA" | "DE" | "VA");
    let word = matches!(code, "OK" | "HI" | "OH" | "ME" | "IN" | "OR");
    let ends = found.after().is_none_or(|after| ",.;:!?)\n".contains(after));
    let greeting = begins_like_a_sentence(name) || listed(ANSWERS, name) || (word && !ends);
    let placed =
        listed("in from near to of at", before) || listed("Tulsa Norman City Edmond Lawton Stillwater Broken", name);
    let answer = code == "OK" && !placed;
    let more = found.after().is_some_and(|after| after.is_alphanumeric() || "-&/+".contains(after));
    let other = greeting || answer || more || (person && degree);
    (!other).then(|| format!("{name}, {state}"))
}
