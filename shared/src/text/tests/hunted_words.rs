//! Tests of words and signs that look like others: formulas, isotopes, keys, arrows, digests.

use proptest::prelude::*;

use super::assert_said;
use crate::text::normalise;

/// Pairs of a written text and its normal form.
const SAID: &[(&str, &str)] = &[
    // plurals in brackets
    ("The file(s), PDF(s), ID(s) and tax(es) are lost.", "The files, PDFs, IDs and taxes are lost."),
    (
        "Call len(s), F(s) or item(s)==x; NaCl(s) and Ca(s) are solid.",
        "Call len, s, F, s, or item, s, equals x; NaCl, s, and Ca, s, are solid.",
    ),
    // formulas
    ("Ca(OH)2 and Fe(CO)5, Al2(SO4)3", "Ca OH two and Fe CO five, Al two SO four three"),
    ("Dayton (OH) is a city. See 501(c)(3).", "Dayton, Ohio, is a city. See five oh one C three."),
    ("Ca²⁺, SO₄²⁻, Na⁺ and Cl⁻", "Ca two plus, SO four two minus, Na plus and Cl minus"),
    ("x², 10⁻³ m and x→0⁺", "x squared, ten to the power of minus three meters and x to zero plus"),
    (
        "¹⁴C is old. ²³⁵U is too, as are ³He and ⁹⁹ᵐTc.",
        "Fourteen C is old. Two three five U is too, as are three He and ninety-nine mTc.",
    ),
    ("¹See below. He said so.² Then ³Help came.", "See below. He said so. Then Help came."),
    // tests, blood and ions
    ("HIV-, ER-, PR- and HER2-", "HIV negative, ER negative, PR negative and HER two negative"),
    ("O- blood, type A- and HCO3- ions", "O negative blood, type A negative and HCO three minus ions"),
    (
        "HIV- and HCV-positive, pre- and post-war, O- and AB- donors",
        "HIV and HCV-positive, pre and post-war, O negative and AB negative donors",
    ),
    // notes
    ("C♯ minor, B♭, F♯m; a ♭ sign", "C sharp minor, B flat, F sharp m; a sign"),
    // courts, numbers, care
    (
        "(9th Cir. 1997), 2d Cir. 2001, 12 3rd Cir., Reno",
        "Ninth Circuit nineteen ninety-seven, second Circuit two thousand one, twelve third Circle, Reno",
    ),
    ("Nº 5 and nº 9 at 20 °N", "Number five and number nine at twenty degrees north"),
    ("c/o Jane Doe, c/o my aunt; he is c/o pain", "care of Jane Doe, care of my aunt; he is c slash o pain"),
    // keys
    (
        "Press # to repeat, the # key, then * to exit, or press 1 or #.",
        "Press pound to repeat, the pound key, then star to exit, or press one or pound.",
    ),
    (
        "Or use *67, then *123#. *12 items left",
        "Or use star six seven, then star one two three pound. twelve items left",
    ),
    ("A # B * C", "A B times C"),
    // arrows
    (
        "Sales ↓ 3%, costs ↑ 5%, S&P ▼ 45.2",
        "Sales down three percent, costs up five percent, S and P down forty-five point two",
    ),
    (
        "x→0, A → B, A -> B, x->0, A->B, p->next, p->Next",
        "x to zero, A to B, A to B, x to zero, A to B, p next, p Next",
    ),
    ("Menu ▼ File. Read more ↓", "Menu File. Read more"),
    // streets
    ("He lives at 5 Main Street. 3 people came.", "He lives at five Main Street. Three people came."),
    ("Meet on 5th Ave. 8 of us go.", "Meet on fifth Avenue. eight of us go."),
    (
        "5 Main St. 02139 and 7 Oak Ave. 3rd floor",
        "Five Main Street zero two one three nine and seven Oak Avenue third floor",
    ),
    // links
    (
        "https://example.com/blog/2024/how-to/this-is-a-very-long-title-that-goes-on-and-on?x=1",
        "example dot com slash blog slash twenty twenty-four slash how dash to",
    ),
    // formulas of LaTeX
    ("Let $x^2$ and $a_1 = b$.", "Let x squared and a one equals b."),
    ("$a = f_1($b); $A=$B", "dollar a equals f one, dollar b; dollar A equals dollar B"),
    (
        "It is $5 = £4 and $6, or $5_000 and US$.",
        "It is five dollars equals four pounds and six dollars, or five dollars zero zero zero and US dollar.",
    ),
    // codes
    (
        "Commit 3f2a9bc0 and 1Z999AA10123456784",
        "Commit three F two A nine B C zero and one Z nine nine nine AA one zero one two three four five six seven eight four",
    ),
    (
        "Copyright: (C) 2023, (c) 2024 Acme; f(c) 2024",
        "Copyright: twenty twenty-three, copyright twenty twenty-four Acme; f, c, twenty twenty-four",
    ),
    ("(a) 2022, (b) 2023, (c) 2024", "a, twenty twenty-two, b, twenty twenty-three, c, twenty twenty-four"),
    ("1.0.0-rc.1 and 2.1-beta", "One point zero point zero rc one and two point one beta"),
    ("and / or", "and slash or"),
    // characters without a meaning
    ("One\u{d7ff}two\u{f0000}three", "One two three"),
];

#[test]
fn words_that_look_like_others_are_said() {
    assert_said(SAID.iter().copied());
}

/// Generates texts from fragments that these rules match, dense enough that rules meet.
fn nasty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(vec![
            "(s)",
            "(es)",
            "len",
            "item",
            "Ca",
            "(OH)",
            "(CO)",
            "2",
            "3+",
            "\u{b2}",
            "\u{207a}",
            "\u{207b}",
            "\u{b9}",
            "\u{2074}",
            "C",
            "He",
            "U",
            "e",
            "HIV-",
            "O-",
            "HCO3-",
            "type A-",
            " and ",
            "-x",
            "♯",
            "♭",
            "9th",
            "2d",
            " Cir.",
            " Cir. ",
            "N",
            "º",
            "°",
            " 5",
            "c/o",
            " Jane",
            "Press ",
            "#",
            "*",
            "67",
            "key",
            " or ",
            "then ",
            "→",
            "↓",
            "↑",
            "->",
            " -> ",
            "5 Main",
            " Street",
            " Ave",
            ". ",
            "12 ",
            "https://a.de",
            "/b",
            "?c=",
            "/a1b2c3",
            "$",
            "x^2",
            "a_1",
            "\\",
            "=",
            "commit ",
            "3f2a9bc0",
            "1Z999AA1",
            "(c)",
            "(b)",
            " 2024",
            "1.0.0",
            "-rc",
            ".1",
            " / ",
            "\u{d7ff}",
            " ",
            "\n",
            "é",
            "(",
            ")",
            "\"",
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
    fn texts_that_look_like_others_have_one_normal_form(text in nasty()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once.clone(), "of {:?}", text);
    }
}
