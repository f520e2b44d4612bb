//! Rules for Roman numerals. A single `I` is the pronoun, and letters that form other words stay.

use super::{Rule, RuleMatch, goes_on};
use crate::text::numbers::{cardinal, number, ordinal};

/// Rules for numerals behind names, headings and the like.
pub(super) const RULES: &[Rule] = &[
    (r"\bWW(II|I)\b", |found| Some(format!("World War {}", if found.get(1) == "II" { "Two" } else { "One" }))),
    (r"\bWorld Wars? (I)\b", |found| {
        let article = matches!(found.word_before().to_lowercase().as_str(), "the" | "a");
        let wars = found.get(0).strip_suffix('I')?;
        (!article).then(|| format!("{wars}One"))
    }),
    (
        r"\b([IVX]+)(th|st|nd|rd)?( |-)([Cc]entur(?:y|ies)|Congress|[Dd]ynasty|Olympi[ac][ds]?|Corps|Legion)\b",
        |found| {
            let value = value(found.get(1))?;
            Some(format!("{}{}{}", ordinal(value), found.get(3), found.get(4)))
        },
    ),
    (r"\b(M[MDCLXVI]{3,})\b", |found| {
        let value = value(found.get(1)).filter(|value| (1_000..2_100).contains(value))?;
        (!goes_on(found.rest)).then(|| number(&value.to_string()))
    }),
    (r"\b([Nn])os?\. ?([IVX]{2,5}|[VX])\b", |found| Some(format!("number {}", cardinal(value(found.get(2))?)))),
    (r"\b([A-Z][a-z]+) ([IVX]+)((?:, [IVX]+)*,?) (and|or|to|through|&) (?:([A-Z][a-z]+) )?([IVX]+)\b", pair),
    (r"\b([A-Za-z]+) ([IVXLCDM]+)(?:([-–])([IVXLCDM]+))?\b", named),
    (
        r"(?x)\b((?:[Cc]hapter|[Pp]art|[Pp]age|[Ss]ection|[Aa]ct|[Ss]cene|[Vv]olume|[Bb]ook)s?)
        \ ([ivxl]{2,})(?:[-–]([ivxl]+))?\b",
        |found| {
            let last = match found.get(3) {
                "" => String::new(),
                last => format!(" to {}", cardinal(lower_value(last)?)),
            };
            Some(format!("{} {}{last}", found.get(1), cardinal(lower_value(found.get(2))?)))
        },
    ),
];

/// Words in front of a counted thing, in lower case. A single letter behind them is a numeral too.
const COUNTED: &str = "chapter chapters part parts volume volumes book books act acts scene scenes section sections \
    article articles appendix phase phases stage stages type types class grade figure table tables title level tier \
    war bowl olympiad schedule factor apollo mark mk division amendment group category episode episodes season unit \
    canto psalm sonnet symphony opus lesson step vol grades quadrant page pages vatican wrestlemania battle saturn \
    titan soyuz";
/// Words in front of an ordinal, if a name is between them and the numeral.
const CROWNED: &str = "King Queen Pope Emperor Empress Tsar Czar Kaiser Sultan Prince Princess Duke Pharaoh \
    Patriarch Shah Archduke Caliph Khedive Antipope Count Infante";
/// Names of kings, queens and popes.
const REGNAL: &str = "Adrian Albert Alexander Alfonso Amenhotep Antiochus Artaxerxes Baldwin Benedict Boniface \
    Catherine Celestine Charles Christian Clement Cleopatra Constantine Darius Edward Eric Elizabeth Felipe \
    Ferdinand Francis Franz Frederick Frederik George Gregory Gustav Haakon Harald Henry Henri Honorius Innocent \
    Isabella Ivan James John Joseph Julius Karl Leo Leopold Louis Ludwig Malcolm Margrethe Mary Maximilian Mehmed \
    Murad Napoleon Nicholas Olav Otto Paul Pedro Peter Philip Pius Ptolemy Rama Ramesses Ramses Richard Robert \
    Rudolf Selim Sixtus Stephen Suleiman Theodosius Thutmose Umberto Urban Victor Vittorio Emanuele Wilhelm William \
    Xerxes Carlos Juan Willem Amadeus Bohemond Casimir Sigismund Vladislaus Afonso";
/// Given names that families hand on: `John Smith III`.
const GIVEN: &str = "Alan Albert Alfred Andrew Arthur Benjamin Bill Bob Charles Chris Daniel David Davis Donald \
    Edward Edwin Eric Ernest Francis Frank Fred George Gregory Harold Harry Henry Howard Jack James Jeff Jim Joe \
    John Joseph Ken Kenneth Larry Lawrence Louis Mark Martin Michael Patrick Paul Peter Philip Ralph Ray Raymond \
    Richard Robert Roger Ronald Roy Sam Samuel Scott Stephen Steven Theodore Thomas Thurston Tom Trey Walter Wayne \
    William";
/// Last words of the names of works and wars, which are counted.
const WORKS: &str = "Age Arena Bowl City Civilization Club Code Combat Creed Dawn Diablo Duty Edition Effect Empires \
    Evil Fallout Fantasy Fighter Force Galaxy Game Games Godfather Ground Gear Hearts Hunter Kombat Life Men Movie \
    Mission Night Odyssey Panel Park Quest Rising Rocky Saga Scrolls Shock Souls Space Star Story Strike Tale Theft \
    Trek Turismo War Warcraft Wars World";
/// Nouns behind the short form of `intravenous`.
const DRIPS: &str = "access antibiotics bag bags catheter drip drips drug fluid fluids infusion iron line lines \
    medication morphine needle pole push saline solution therapy treatment user";
/// Words in front of a numeral that name no thing.
const VERBS: &str = "Start Give Begin Hang Insert Place Administer Use The A An My His Her Their Our This That \
    Vitamin Class Drug Continue Remove Peripheral And Or In On At If When";

fn listed(table: &str, word: &str) -> bool {
    table.split_whitespace().any(|listed| listed == word)
}

/// Returns the value of a numeral below 4,000 in its usual form.
fn value(numeral: &str) -> Option<u64> {
    let worth = |letter| match letter {
        b'I' => 1,
        b'V' => 5,
        b'X' => 10,
        b'L' => 50,
        b'C' => 100,
        b'D' => 500,
        _ => 1_000,
    };
    if numeral.len() > 15 || numeral.is_empty() {
        return None;
    }
    let mut value = 0_u64;
    let mut largest = 0;
    for letter in numeral.bytes().rev() {
        let worth = worth(letter);
        if worth < largest {
            value = value.checked_sub(worth)?;
        } else {
            value += worth;
        }
        largest = largest.max(worth);
    }
    (written(value) == numeral).then_some(value)
}

fn lower_value(numeral: &str) -> Option<u64> {
    value(&numeral.to_uppercase())
}

/// Returns the usual numeral of a value.
fn written(mut value: u64) -> String {
    const STEPS: [(u64, &str); 13] = [
        (1_000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut numeral = String::new();
    for (step, letters) in STEPS {
        while value >= step && value < 4_000 {
            numeral += letters;
            value -= step;
        }
    }
    numeral
}

/// Reads two numerals of the same kind: `Parts I and II`, `James I and James II`. The second shows
/// that the first is no pronoun.
fn pair(found: &RuleMatch<'_>) -> Option<String> {
    let (name, other) = (found.get(1), found.get(5));
    let (first, second) = (value(found.get(2))?, value(found.get(6))?);
    let same = other.is_empty() || other == name || listed(REGNAL, other) && listed(REGNAL, name);
    let say: fn(u64) -> String = match name {
        name if listed(COUNTED, &name.to_lowercase()) => cardinal,
        name if listed(REGNAL, name) => |value| format!("the {}", ordinal(value)),
        _ => return None,
    };
    let between: Vec<_> = found
        .get(3)
        .split(' ')
        .map(|part| {
            value(part.trim_end_matches(',')).map_or_else(|| part.to_owned(), |value| format!("{},", say(value)))
        })
        .collect();
    let other = if other.is_empty() { String::new() } else { format!("{other} ") };
    let words = format!("{name} {}{} {} {other}{}", say(first), between.join(" "), found.get(4), say(second));
    (same && found.get(6) != "I").then_some(words)
}

/// Reads the numeral behind a word: an ordinal behind the name of a person, else a number. Behind
/// any other name only numerals that form no word count: `II` to `XXXIX`.
fn named(found: &RuleMatch<'_>) -> Option<String> {
    let (word, numeral) = (found.get(1), found.get(2));
    let value = value(numeral)?;
    let touched =
        found.after().is_some_and(|after| after.is_alphanumeric() || "/_&@+".contains(after)) || goes_on(found.rest);
    // `Karl V. Ode` has an initial.
    let initial = numeral.len() == 1 && found.rest.starts_with(". ") && found.rest[2..].starts_with(char::is_uppercase);
    let abbreviated = initial || (found.rest.starts_with('.') && found.rest[1..].starts_with(char::is_uppercase));
    let joined = found.rest.starts_with('-') && found.rest[1..].starts_with(char::is_alphanumeric);
    if touched
        || abbreviated
        || joined
        || found.before().is_some_and(|before| before.is_alphanumeric() || "./-_@".contains(before))
    {
        return None;
    }
    let last = found.get(4);
    if !last.is_empty() {
        let last = self::value(last)?;
        let counted = listed(COUNTED, &word.to_lowercase());
        return counted.then(|| format!("{word} {} to {}", cardinal(value), cardinal(last)));
    }
    let short = numeral.len() == 1;
    let before = super::last_word(found.head.trim_end());
    if numeral == "I" {
        let ends = found.after().is_none_or(|after| ".:;)\n".contains(after));
        let heading = listed(COUNTED, &word.to_lowercase()) && word.starts_with(char::is_uppercase);
        return (heading && ends).then(|| format!("{word} one"));
    }
    // `mark X` and `type V` tell what to write.
    let single = matches!(numeral, "V" | "X")
        && (word.starts_with(char::is_uppercase) || listed("chapter act scene book volume phase stage", word));
    if listed(COUNTED, &word.to_lowercase()) && (!short || single) {
        return Some(format!("{word} {}", cardinal(value)));
    }
    let small = numeral.bytes().all(|letter| b"IVX".contains(&letter));
    let crowned = listed(CROWNED, before) && word.starts_with(char::is_uppercase);
    let regnal = listed(REGNAL, word) && !(word == "Malcolm" && numeral == "X") && (value < 30);
    let child = matches!(numeral, "II" | "III" | "IV" | "V")
        && word.starts_with(char::is_uppercase)
        && found.head.ends_with(' ');
    let heir = child && found.head.rsplit([' ', '\n']).skip(1).take(2).any(|given| listed(GIVEN, given));
    if small && (crowned || regnal || heir) {
        return Some(format!("{word} the {}", ordinal(value)));
    }
    let name =
        word.starts_with(char::is_uppercase) && word.len() > 1 && !listed(VERBS, word) && word != word.to_uppercase();
    let drip = numeral == "IV" && listed(DRIPS, found.word_after());
    // Any two names may be those of a person.
    let person = child && before.starts_with(char::is_uppercase) && !listed(WORKS, word) && !listed(VERBS, before);
    let kisses = matches!(numeral, "XX" | "XXX");
    (name && small && !short && !drip && !kisses && !person).then(|| format!("{word} {}", cardinal(value)))
}
