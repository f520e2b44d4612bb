//! Examples of signs, units and references that look like something else.

use proptest::prelude::*;

use super::assert_said;
use crate::text::normalise;

/// Pairs of a written text and its normal form.
const HUNTED: &[(&str, &str)] = &[
    // signs of numbers and letters
    (
        "Assert that 3!=4, a1!=b2 and 5!==4, but 5! = 120.",
        "Assert that three is not equal to four, a one is not equal to b two and five is not equal to four, but five factorial equals one hundred twenty.",
    ),
    (
        "It reads \"-5\" or '-12', x=-5 and y=-2x-3.",
        "It reads minus five or minus twelve, x equals minus five and y equals minus two x minus three.",
    ),
    (
        "In {-1,-2}, |-5| = 5, T:-5 and 5 - -3 = 8.",
        "In, minus one, minus two, minus five equals five, T: minus five and five minus minus three equals eight.",
    ),
    (
        "The roots of f(-x) = -x are -½, -π/2 and -√2, from -∞ to ∞.",
        "The roots of f, minus x, equals minus x are minus one half, minus pi over two and minus square root of two, from minus infinity to infinity.",
    ),
    ("The sum -(a+b) is z; a note -(see below) is none.", "The sum minus, a plus b, is z; a note, see below, is none."),
    (
        "–3 or –$5 of $-12.50 and €-5",
        "minus three or minus five dollars of minus twelve dollars and fifty cents and minus five euros",
    ),
    (
        "Rows 5 –7, 5$-10$, 5'-6' tall, ls -l, tar -x, a :-3 face",
        "Rows five to seven, five dollars to ten dollars, five feet to six tall, ls l, tar x, a face",
    ),
    (
        "e^-x, e^(-x), x^(n+1), 2^(-3), 10^{-6}, x^{2} and $y^2$ for $5",
        "e to the power of minus x, e to the power of minus x, x to the power of n plus one, two to the power of minus three, ten to the power of minus six, x squared and y squared for five dollars",
    ),
    ("It is -1e5, or A-1e5.", "It is minus one times ten to the power of five, or A-one e five."),
    // arithmetic
    (
        "x -= 2, y *= 3, z /= 4 and numpy~=1.24",
        "x minus equals two, y times equals three, z divided by equals four and numpy compatible with one point two four",
    ),
    (
        "10 % 3 is 1, it rose 10 % 2 years ago, n%2==0, 7%3==1, but 10 % of 5 % 10 %",
        "Ten mod three is one, it rose ten percent two years ago, n mod two equals zero, seven mod three equals one, but ten percent of five percent ten percent",
    ),
    (
        "If a<b and |y| > 3 then Python >=3.8,<4.0.",
        "If a less than b and y greater than three then Python greater than or equal to three point eight, less than four point zero.",
    ),
    (
        "a*b*c = d, b^2 - 4*a*c, 10**other, 5·3 = 15; f*k, 10**other**, 5·3",
        "a times b times c equals d, b squared minus four times a times c, ten to the power of other, five times three equals fifteen; f k, ten other, five three",
    ),
    (
        "Do 3 / 4, and / or, 1/(x+1), w/(non-fat); roses / violets",
        "Do three slash four, and slash or, one over, x plus one, with, non-fat; roses violets",
    ),
    ("x in [0,1] or {0,1}, but 0,5 kg", "x in, zero, one, or, zero, one, but zero point five kilograms"),
    ("f'(x) = 2x and f''(x) = 2", "f prime of x equals two x and f double prime of x equals two"),
    ("∫₀¹ x dx = ½ and ∫ of it", "the integral from zero to one of x dx equals one half and the integral of it"),
    // units that are none
    (
        "He hit 40 HR; 14 SEC schools; 35.2 MPG; 500 ML; but 5 KM, 12 OZ and 40 MPH",
        "He hit forty HR; fourteen SEC schools; thirty-five point two MPG; five hundred ML; but five kilometers, twelve ounces and forty miles per hour",
    ),
    (
        "Use 5W-30 oil, 10 W-2 forms, 2 V6 engines, 10 t-tests, 4 L-shaped, but 5L-10L and 60 W",
        "Use five W-thirty oil, ten W two forms, two V six engines, ten t-tests, four L-shaped, but five liters to ten liters and sixty watts",
    ),
    ("The Fed raised rates by 25bps.", "The Fed raised rates by twenty-five basis points."),
    ("A modem of 9600 bps.", "A modem of nine thousand six hundred bits per second."),
    ("It has 25 bps.", "It has twenty-five bps."),
    (
        "The timeout is 30s. It takes 20s, within 30s, a 90s timeout, 45s.",
        "The timeout is thirty seconds. It takes twenty seconds, within thirty seconds, a ninety-second timeout, forty-five seconds.",
    ),
    (
        "In the 1990s, the 80s, a delay in her 30s, 747s, 400s, HTTP 500s, 2x4s and $20s",
        "In the nineteen nineties, the eighties, a delay in her thirties, seven hundred forty-sevens, four hundreds, HTTP five hundreds, two by fours and twenties",
    ),
    (
        "100m people, 40m barrels, the 100m hurdles",
        "One hundred million people, forty million barrels, the one hundred meters hurdles",
    ),
    (
        "3M makes 4K monitors for 3M users and 4K followers.",
        "Three M makes four K monitors for three million users and four thousand followers.",
    ),
    ("Wi-Fi 802.11ac and 802.11", "Wi-Fi eight oh two point eleven A C and eight oh two point eleven"),
    (
        "PT/INR 2.5, EUR/USD 1.08 and INR 5",
        "PT slash INR two point five, EUR slash USD one point zero eight and five rupees",
    ),
    ("b^2 - 4ac and 40ac of land", "b squared minus four ac and forty acres of land"),
    ("12 V. 10 A of it", "Twelve volts. ten A of it"),
    // durations and scales
    (
        "The marathon record is 2:00:35. At 2:00:35 it ends.",
        "The marathon record is two hours thirty-five seconds. At two o'clock and thirty-five seconds it ends.",
    ),
    (
        "The 4:00 mile with 10:00 left, but the 3:00 left at 10:00 left",
        "The four-minute mile with ten minutes left, but the three o'clock left at ten o'clock left",
    ),
    ("A 1:24 model and a 1:50 scale at 1:30.", "A one to twenty-four model and a one to fifty scale at one thirty."),
    // references
    ("9th Cir. 1997 on 9th St. in Rome", "Ninth Circuit nineteen ninety-seven on ninth Street in Rome"),
    (
        "Rev. 22:21, Ex. 20:3, Gen. 1:1, Isa. 53:5, 1 Cor. 13:4-8, Psalm 23:1-6; Dan 3:15, Mark 3:00, Mark 3:15 PM",
        "Revelation twenty-two twenty-one, Exodus twenty three, Genesis one one, Isaiah fifty-three five, First Corinthians thirteen four to eight, Psalm twenty-three one to six; Dan three fifteen, Mark three o'clock, Mark three fifteen PM",
    ),
    (
        "Figure 3-2, Table 4-1, Room 3-105, Public Law 111-148, Docket No. 15-2, but Figures 3-5",
        "Figure three dash two, Table four dash one, Room three dash one oh five, Public Law one eleven dash one forty-eight, Docket number fifteen dash two, but Figures three to five",
    ),
    (
        "ISO 9001:2015, EN 60950-1, ISO 9001, C-123/45, C-6/64",
        "ISO nine thousand one twenty fifteen, EN sixty thousand nine hundred fifty dash one, ISO nine thousand one, C one two three slash forty-five, C six slash sixty-four",
    ),
    (
        "The `n+1' rule, a goal in 90+3', but a 6' wall",
        "The n plus one rule, a goal in ninety plus three, but a six-foot wall",
    ),
    ("Nº 5 or nº 9, but 40° N", "Number five or number nine, but forty degrees north"),
    ("OOO 3/4-3/8, until 5/6", "OOO March fourth to March eighth, until May sixth"),
    (
        "4.8/5, 20240105, 20240105 people, Q1'24, 1998--2001, 5--3, 401(k), 501(c)(3)",
        "Four point eight out of five, two zero two four zero one zero five, twenty million two hundred forty thousand one hundred five people, Q one twenty-four, nineteen ninety-eight to two thousand one, five, three, four oh one K, five oh one C three",
    ),
    (
        "500 MG for 24 HRS, it ran 120s for 300s",
        "Five hundred milligrams for twenty-four hours, it ran one hundred twenty seconds for three hundred seconds",
    ),
    (
        "∫∫ and ∫∫∫ and 404(a), but 1,500(a)",
        "the double integral of and the triple integral of and four oh four A, but one thousand five hundred, a",
    ),
];

#[test]
fn signs_units_and_references_are_not_mistaken() {
    assert_said(HUNTED.iter().copied());
}

/// Generates texts from fragments that these rules match, dense enough that rules meet.
fn nasty() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        proptest::sample::select(vec![
            "-",
            "–",
            "-x",
            "-(",
            "a+b",
            ")",
            "(",
            "^",
            "^(",
            "^{",
            "}",
            "$-",
            "$",
            "½",
            "π",
            "∞",
            "√",
            "∫",
            "₀",
            "¹",
            " -= ",
            "~=",
            " % ",
            "%",
            "==",
            "!=",
            "!",
            "<",
            ">",
            "|",
            ",",
            "*",
            "**",
            " / ",
            "/(",
            "•",
            "'",
            "''",
            "`",
            "f'(x)",
            "[",
            "]",
            "HR",
            "W",
            "V",
            "A",
            "ac",
            "s",
            "m",
            "bps",
            " people",
            "K ",
            "M ",
            "Fed ",
            "delay ",
            "802.11",
            "/INR ",
            ":00",
            ":35",
            " left",
            " mile",
            " model",
            "at ",
            "record ",
            "9th Cir.",
            "Rev. ",
            "1 Cor. ",
            "13:4",
            "Figure ",
            "3-2",
            "ISO ",
            "9001:2015",
            "C-6/64",
            "N°",
            "OOO ",
            "3/4",
            "-3/8",
            "4.8/5",
            "20240105",
            "Q1'24",
            "--",
            "401(k)",
            "(3)",
            "$20s",
            " ",
            ". ",
            "\n",
            "=",
            "x",
        ])
        .prop_map(str::to_owned),
        "[0-9]{1,4}",
        "[a-zA-Z]{1,3}",
    ];
    proptest::collection::vec(part, 0..16).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn signs_units_and_references_have_one_normal_form(text in nasty()) {
        let once = normalise(&text);
        prop_assert_eq!(normalise(&once), once.clone(), "of {:?}", text);
        prop_assert!(!once.contains(|c: char| c.is_ascii_digit()) || once == text.trim(), "{:?}", once);
    }
}
