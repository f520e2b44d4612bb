//! Tests of normalisation and of the cut into sentences: examples, texts left alone, and properties
//! of every text.

mod control;
mod figures;
mod hunted_figures;
mod hunted_words;
mod page;
mod sentences;
mod word_fragments;
mod words;

use proptest::prelude::*;

use super::*;

/// Pairs of a written text and its normal form; those of numbers are in [`figures`].
const SAID: &[(&str, &str)] = &[
    // brackets, quotes, dashes
    (
        "The appointment (eg.  Dental or Eye), is scheduled for Thursday, May 25, 2025 at 10:30 am",
        "The appointment, for example Dental or Eye, is scheduled for Thursday, May twenty-fifth, twenty twenty-five at ten thirty AM",
    ),
    ("a [b] {c} (d)", "a, b, c, d"),
    ("(Yes.) (No!) file(s)", "Yes. No! files"),
    ("He said, “Don’t.” She said 'why'", "He said, Don't. She said why"),
    ("the dogs' bowl: \"rock 'n' roll\"", "the dogs bowl: rock n roll"),
    ("one — two–three - four -- five", "one, two, three, four, five"),
    ("well-known pre- and post-war", "well-known pre and post-war"),
    // punctuation
    ("Wait... what?! No!!!", "Wait, what? No!"),
    ("Hm… Well…", "Hm. Well."),
    ("a ,b ; c", "a, b; c"),
    ("Note: this", "Note: this"),
    ("Inc., Ltd. and U.S. stay", "Inc, Ltd. and U.S. stay"),
    // symbols and addresses
    (
        "R&D, A+B=C, 50% of 20°C, 70 °F",
        "R and D, A plus B equals C, fifty percent of twenty degrees Celsius, seventy degrees Fahrenheit",
    ),
    ("and/or *bold* _it_ <b>", "and slash or bold it"),
    ("C# and F#, #tag, C#5", "C sharp and F sharp, hashtag tag, C number five"),
    ("x < 5, 3<5 (<1) and a > b", "x less than five, three less than five, less than one, and a greater than b"),
    ("<5 of >50% and <-3", "Less than five of greater than fifty percent and less than minus three"),
    (
        "a <= 3, b ≥ 4, c != 5, d ≠ 6, e == 7",
        "a less than or equal to three, b greater than or equal to four, c is not equal to five, d is not equal to six, e equals seven",
    ),
    ("<h1>5 boxes</h1> List<int> a -> b\n> 5 said", "Five boxes.\n\nList int a to b five said"),
    ("2*3, 2 * 3 * 4, 2*x, a * b", "Two times three, two times three times four, two times x, a times b"),
    ("**5** stars* 3 f*k *5* 6", "Five stars three f k five six"),
    (
        "10^6, 10^-3, x^2, y^3, 2^n, 2^2.5, 2**8 ^_^",
        "Ten to the power of six, ten to the power of minus three, x squared, y cubed, two to the power of n, two to the power of two point five, two to the power of eight",
    ),
    (
        "~5 or ~$5 (~ 7), 5~10. ~5 ~~5~~ ~x",
        "About five or about five dollars, about seven, five to ten. About five five x",
    ),
    ("Mail to jo.doe@example.com.", "Mail to jo dot doe at example dot com."),
    (
        "See https://www.example.com/a/b?c=1, or example.org.",
        "See example dot com slash a slash b question mark c equals one, or example dot org.",
    ),
    // abbreviations
    (
        "Mr. Smith and Mrs. Smith saw Dr. Jones of St. Ives.",
        "Mister Smith and Missus Smith saw Doctor Jones of Saint Ives.",
    ),
    (
        "With Dr. Smith in Rome. In St. Louis, On Monday Dr. Smith",
        "With Doctor Smith in Rome. In Saint Louis, On Monday Doctor Smith",
    ),
    ("He lives on Main St. He does.", "He lives on Main Street. He does."),
    ("He lives on Elm Dr. Nobody knows.", "He lives on Elm Drive. Nobody knows."),
    (
        "E.g. tea, i.e. approx. a drink, etc., vs. coffee",
        "For example tea, that is approximately a drink, et cetera, versus coffee",
    ),
    (
        "Tea (e. g. green), i. e. a drink, eg. I.e. so",
        "Tea, for example green, that is a drink, for example That is so",
    ),
    ("Tea, etc. Coffee too, etc.", "Tea, et cetera. Coffee too, et cetera."),
    // blanks, emoji, controls
    ("  a \t b\u{a0}c\u{200b}d\u{7} e ", "a b cd e"),
    ("Nice 👍🏽 day ❤️ © 2026", "Nice day twenty twenty-six"),
    ("A title\n\nA line\nbroken\r\n\r\n\r\nEnd!\n", "A title.\n\nA line broken.\n\nEnd!"),
    ("Buy:\n- milk\n- 2 eggs\n1. go", "Buy.\n\nmilk.\n\nTwo eggs.\n\nOne. go"),
];

/// Texts that normalisation leaves unchanged.
const UNCHANGED: &[&str] = &[
    "Hello from Sesame TTS!",
    "All good things take time.",
    "It's a well-known fact, isn't it? Yes: it is; NASA says so.",
    "Plan E. G was late. So did I. E coli is one. E.G. Marshall came.",
    "Ça va très bien, über alles.",
    "Rue Stéphane et éSt. Où, Noël.",
    "Привет, мир: 10:30 (утро) — «да»!",
    "時間は10:30です。（はい）",
    "مرحبا 5 (نعم)",
    "!!!",
    "...",
    "🙂",
];

/// Asserts the normal form of each written text, and that it is its own normal form.
fn assert_said(pairs: impl Iterator<Item = (&'static str, &'static str)>) {
    let wrong: Vec<_> = pairs
        .filter(|(written, said)| normalise(written) != *said || normalise(said) != *said)
        .map(|(written, said)| {
            let (now, again) = (normalise(written), normalise(said));
            format!("{written:?}\n  is said {now:?}\n  not     {said:?}, of which {again:?} is made")
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn written_forms_become_words() {
    assert_said(SAID.iter().copied());
}

#[test]
fn other_texts_are_left_alone() {
    assert_said(UNCHANGED.iter().map(|&text| (text, text)));
}

fn words(text: &str) -> Vec<&str> {
    text.split_whitespace().collect()
}

/// Generates texts from fragments that the rules match, dense enough that rules meet.
fn nasty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(vec![
            "Dr. ", "e.g.", "etc.", "am", " p.m.", "10:30", "3/4", "$", "€5", "1st", "No. ", "Nov. ", "May ", "'",
            "\"", "(", ")", " - ", "--", "-", "–", "—", "...", "\n\n", "\n- ", ".", ",", "?", ":", " ", "%", "°C", "#",
            "@", "http://", "www.", ".com", "1990s", "half", "É", "Ж", "中", "🙂", "½", "&", "_", "x", "A", "co.uk",
            "km", "kg ", "²", "⁻³", "−", "×", " x ", "√", "π", "∑", "Sun.", "Mon", "–Fri", " in.", "h", "m", "'", "2'",
            "₹", "USD ", "¢", " of ", "per ", "dial *", "zip ", "+4", "Q1", "B-", "12:30", "a ", "3/4", "\u{202f}",
            "ext. ", "ext ", "pct", "e6", "!=", "BC", "C", "F", "%", "/", "=", "'s", "<", ">", "*", "^", "~", "C#",
            "Call ", "$.5", "k", " to ", "May 5-", "E. g", " bill",
        ])
        .prop_map(str::to_owned),
        "[0-9]{1,5}",
        "[a-zA-Z]{1,4}",
        "\\PC",
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_text_has_one_normal_form(text in prop_oneof![nasty(), any::<String>()]) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once.clone(), "of {:?}", text);
        prop_assert_eq!(once.trim().is_empty(), text.trim().is_empty());
        let speakable = |text: &str| text.chars().any(char::is_alphanumeric);
        prop_assert!(speakable(&once) || !text.chars().any(|c| c.is_ascii_alphanumeric()), "{:?}", once);
    }

    #[test]
    fn no_ascii_digit_bracket_or_quote_is_left(text in nasty()) {
        let spoken = normalise(&text);
        if spoken.chars().any(char::is_alphanumeric) && spoken != text {
            prop_assert!(!spoken.contains(|c: char| c.is_ascii_digit() || "()[]{}\"".contains(c)), "{:?}", spoken);
        }
    }

    #[test]
    fn sentences_are_bounded_and_lose_nothing(
        text in proptest::collection::vec(prop_oneof![nasty(), any::<String>(), "[a-z ,.]{0,300}"], 0..8)
            .prop_map(|parts| parts.concat()),
    ) {
        let cut = sentences(&text, false, &[]);
        if text.len() <= SENTENCE_BYTES {
            prop_assert_eq!(&cut[0].text, &text);
        }
        for sentence in &cut {
            prop_assert!(sentence.text.len() <= SENTENCE_BYTES, "{:?}", sentence);
            prop_assert!(cut.len() == 1 || sentence.text.trim() == sentence.text && !sentence.text.is_empty(), "{:?}", sentence);
        }
        let all: String = cut.iter().flat_map(|sentence| words(&sentence.text)).collect();
        prop_assert_eq!(all, words(&text).concat());
        let (characters, mut end): (Vec<char>, _) = (text.chars().collect(), 0);
        for sentence in sentences(&text, true, &[]) {
            prop_assert!(sentence.text.len() <= SENTENCE_BYTES && end <= sentence.place.start, "{:?}", sentence);
            let skipped = characters[end..sentence.place.start].iter().all(|blank| blank.is_whitespace());
            let written = characters[sentence.place.clone()].iter().collect::<String>();
            prop_assert!(skipped && written == sentence.written, "{:?} has {:?}", sentence, written);
            end = sentence.place.end;
        }
        prop_assert!(characters[end..].iter().all(|blank| blank.is_whitespace()));
    }
}
