//! Tests of words and signs: addresses, codes, titles, numerals, abbreviations and markup.

use proptest::prelude::*;

use super::super::normalise;

/// Pairs of a written text and its normal form, for words and addresses.
const WORDS: &[(&str, &str)] = &[
    ("x", "x"),
];

/// Generates texts from fragments that the rules of words and signs match, dense enough that rules meet.
fn nasty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(vec![
            "<b>", "</b>", "<br/>", "<p>", "<!--", "-->", "&amp;", "&#39;", "&lt;", "&nbsp;", "&", ";", "`", "```", "~~",
            "**", "_", "# ", "\n# ", "\n> ", "\n- ", "\n* ", "\n| ", " | ", "|\n", "---\n", "[1]", "[^1]", "[x](y.z)", "![", "](",
            ":)", "<3", " I ", "II", "VI", "Part ", "Henry ", "King ", "World War ", "Chapter ", "MMXX", "No. ", "no. ", "St. ",
            "Main ", "Dr. ", "Ave. ", "123 ", "Apt. 4B", ", MA", ", OK", "(D-MA)", "02139", "zip ", "w/", "w/o", "b/c", "n/a",
            "etc.", "vol. ", "min. ", "est. ", "Inc.", "Co.", "& ", "Lt. ", "Col. ", "Mr. ", "Jr.", "Ph.D.", "#", "#A1-2",
            "A1", "B-2", "COVID-19", "B2B", "-", "example.de", "www.", "https://", "x.com/a", "?q=1", "@", "a@b.de", "/etc/x",
            "C:\\", "~/.x", ".NET", "v1.2", "10.0.0.1", "::1", "a::b", "f()", "x.py", "²", "⁻³", "½", "①", "ﬁ", "Ⅳ", "１",
            "\u{1b}[31m", "\u{1b}", "[0m", "\u{301}", "\u{200d}", "👍🏽", "1\u{fe0f}\u{20e3}", "“", "”", "…", "—", " ", "\n", "\n\n",
            "Smith", "The", ".", ",", "é", "Ж", "中", "5", "a", "Z",
        ])
        .prop_map(str::to_owned),
        "[0-9]{1,5}",
        "[a-zA-Z]{1,4}",
        "\\PC",
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

#[test]
fn words_and_signs_are_said() {
    let wrong: Vec<_> = WORDS.iter().filter(|(written, said)| normalise(written) != *said || normalise(said) != *said)
        .map(|(written, said)| format!("{written:?}\n  is said {:?}\n  not     {said:?}", normalise(written)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn words_and_signs_have_one_normal_form(text in nasty()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once.clone(), "of {:?}", text);
        let said = normalise(&format!("So it is {text}"));
        if !text.chars().any(|letter| letter > '\u{2ff}' && letter.is_alphabetic()) {
            let sign = |c: char| c.is_ascii_digit() || "()[]{}\"<>#*|`".contains(c);
            prop_assert!(!said.contains(sign), "{:?} of {:?}", said, text);
        }
    }
}
