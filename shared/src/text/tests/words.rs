//! Tests of words and signs: addresses, codes, titles, numerals, abbreviations and markup.

use proptest::prelude::*;

use super::word_fragments::nasty;
use crate::text::{normalise, sentences};

/// Pairs of a written text and its normal form, for words and addresses.
const WORDS: &[(&str, &str)] = &[
    // links and addresses
    (
        "See https://www.example.com:8080/a/b?c=1#top, www.example.com/ and ftp://a.de/c.",
        "See example dot com colon eight zero eight zero slash a slash b question mark c equals one hash top, example dot com and ftp colon slash slash a dot de slash c.",
    ),
    (
        "Is it kyutai.fr, my_shop.com or Example.COM? The end.Then we left.",
        "Is it kyutai dot fr, my underscore shop dot com or Example dot COM? The end.Then we left.",
    ),
    (
        "youtu.be/dQw4w9WgXcQ, t.co, bit.ly/abc, about.me/jo, a.me too, https://x.com/2024/05",
        "youtu dot be, t dot co, bit dot ly slash abc, about dot me slash jo, a.me too, x dot com slash twenty twenty-four slash zero five",
    ),
    (
        "Sign up on example.us. db-1.internal, localhost:3000/api",
        "Sign up on example dot us. db dash one dot internal, localhost colon three thousand slash api",
    ),
    (
        "Mail mailto:jo.doe+x_1@mail.example.co.uk now",
        "Mail jo dot doe plus x underscore one at mail dot example dot co dot uk now",
    ),
    (
        "In /etc/app, ~/.bashrc, ./run.sh or /tmp, but not /very/ and/or 3/4",
        "In slash etc slash app, tilde slash dot bashrc, dot slash run dot sh or slash tmp, but not very and slash or three quarters",
    ),
    (
        "C:\\Users\\me\\my-file.txt, \\\\server\\share, C:\\Program Files\\App.",
        "C colon backslash Users backslash me backslash my dash file dot txt, backslash backslash server backslash share, C colon backslash Program Files backslash App.",
    ),
    (
        "src/main.rs, config.yaml, photo1.JPG, .NET, .gitignore, end.so, libx.so, 9 m.p.h. fast",
        "src slash main dot rs, config dot yaml, photo one dot JPG, dot NET, dot gitignore, end.so, libx dot so, nine m.p.h. fast",
    ),
    (
        "v1.2.3, v2.0.0-rc1, version 1.2.3.4, 192.168.0.1:80, 10.0.0.0/8",
        "version one point two point three, version two point zero point zero rc one, version one point two point three point four, one nine two dot one six eight dot zero dot one colon eighty, one zero dot zero dot zero dot zero slash eight",
    ),
    (
        "fe80::1, 00:1A:2B:3C:4D:5E, std::vec::Vec, foo.bar(x), main(), import os.path",
        "f e eight zero colon colon one, zero zero colon one A colon two B colon three C colon four D colon five E, std colon colon vec colon colon Vec, foo dot bar, x, main, import os dot path",
    ),
    (
        "@anna_b, #ThrowbackThursday, #100days, #define X, #FF8800",
        "at anna underscore b, hashtag Throwback Thursday, hashtag one hundred days, hash define X, hash F F eight eight zero zero",
    ),
    ("Use the --dry-run flag. She said --and left.", "Use the dash dash dry dash run flag. She said, and left."),
    // codes
    (
        "Order #A1-2345 and SN-00412, COVID-19, B2B, F-16s, R2-D2, ISO-9000, A1-A5, Q1-3",
        "Order number A one two three four five and SN zero zero four one two, COVID nineteen, B two B, F sixteens, R two D two, ISO nine thousand, A one to A five, Q one to three",
    ),
    (
        "mp3, 7ABC123, AB12 CDE, SW1A 1AA, K1A 0B1, FY2024, Part no. 77-B4",
        "mp three, seven ABC one two three, A B one two C D E, S W one A one A A, K one A zero B one, FY twenty twenty-four, Part number seventy-seven B four",
    ),
    ("The serial number is 4X22B. Model: XR-500.", "The serial number is four X twenty-two B. Model: XR five hundred."),
    (
        "123e4567-e89b-12d3-a456-426614174000",
        "One two three E four five six seven, E eight nine B, one two D three, A four five six, four two six six one four one seven four zero zero zero",
    ),
    (
        "Boeing 747-400, Form 1040, Route 101, Flight 1549, Channel 500, Flight 2000",
        "Boeing seven forty-seven four hundred, Form ten forty, Route one oh one, Flight fifteen forty-nine, Channel five hundred, Flight two thousand",
    ),
    ("Mid-1990s pre-2000 top-10 stay", "Mid-nineteen nineties pre-two thousand top-ten stay"),
    // titles
    (
        "Gen. Gray, Lt. Col. Ash, Sen. Will Poe, Rev. J. Ode and Mr. & Mrs. X",
        "General Gray, Lieutenant Colonel Ash, Senator Will Poe, Reverend J. Ode and Mister and Missus X",
    ),
    ("Gen. Z, Rev. B and Col. A; one more Rep. Then rest.", "Gen. Z, Rev. B and Col. A; one more Rep. Then rest."),
    ("Capt Kirk, Dr Ode and St Ives; the dr is in", "Captain Kirk, Doctor Ode and Saint Ives; the dr is in"),
    ("Ft. Worth and Mt. Rainier", "Fort Worth and Mount Rainier"),
    (
        "King Jr. spoke. Ode, Sr., and Poe Jr. Then Ann Ode, Ph.D., Esq. came",
        "King Junior spoke. Ode Senior, and Poe Junior. Then Ann Ode, PhD, Esquire came",
    ),
    ("Warner Bros. made it; the Rocky Mts. are high.", "Warner Brothers made it; the Rocky Mountains are high."),
    // addresses
    (
        "123 N. Main St., Apt. 4B, Springfield, IL 62704-1234.",
        "One twenty-three North Main Street, Apartment four B, Springfield, Illinois six two seven zero four, one two three four.",
    ),
    (
        "1600 Pennsylvania Ave. NW, 105 Oak Dr., 2000 5th St, 12345 Elm Rd.",
        "Sixteen hundred Pennsylvania Avenue Northwest, one oh five Oak Drive, two thousand fifth Street, one two three four five Elm Road.",
    ),
    (
        "He lives on Main St. He is at St. Mark's Pl. today. Wall St. fell.",
        "He lives on Main Street. He is at Saint Mark's Place today. Wall Street fell.",
    ),
    (
        "near Elm Dr. Nobody, off Hwy. 61 in New St. Louis",
        "near Elm Drive. Nobody, off Highway sixty-one in New St. Louis",
    ),
    ("S. Korea, E. coli, 5 N. Elm, J. S. Bach", "South Korea, E. coli, five North Elm, J. S. Bach"),
    (
        "Ste. 200, rm. 12, P.O. Box 123, Suite 1205, Apt #B, std::vec",
        "Suite two hundred, room twelve, PO Box one twenty-three, Suite twelve oh five, Apartment B, std colon colon vec",
    ),
    (
        "Boston, MA, and Tulsa, OK. Yes, OK. Jane Doe, MD, and Hi, ME",
        "Boston, Massachusetts, and Tulsa, Oklahoma. Yes, OK. Jane Doe, MD, and Hi, ME",
    ),
    (
        "Sen. Gray (D-MA), (R-TX-12), Portland, Ore., Miami, Fla. He left.",
        "Senator Gray, Democrat, Massachusetts, Republican, Texas, Portland, Oregon, Miami, Florida. He left.",
    ),
    (
        "zip code 02139 or 90210, Washington, DC 20500",
        "zip code zero two one three nine or nine zero two one zero, Washington, DC two zero five zero zero",
    ),
    // numerals
    (
        "Louis XIV, Henry VIII's wives, Pope Leo X, Karl V. Ode and Malcolm X",
        "Louis the fourteenth, Henry the eighth's wives, Pope Leo the tenth, Karl V. Ode and Malcolm X",
    ),
    (
        "Rocky IV, World War II, WWI, Super Bowl LVIII, Star Wars VI, Act V, page iv",
        "Rocky four, World War two, World War One, Super Bowl fifty-eight, Star Wars six, Act five, page four",
    ),
    (
        "Parts I, II and III; James I and James II; Chapters II-IV",
        "Parts one, two, and three; James the first and James the second; Chapters two to four",
    ),
    (
        "the XIX century, MCMXCIV, MIX, DI, CD, an IV drip, Start IV fluids, vitamin C",
        "the nineteenth century, nineteen ninety-four, MIX, DI, CD, an IV drip, Start IV fluids, vitamin C",
    ),
    (
        "John Smith III, Jo Wayne III, Symphony No. IX, mark X, Part I.",
        "John Smith the third, Jo Wayne III, Symphony number nine, mark X, Part one.",
    ),
    (
        "In World War I we fought. After the World War I went home.",
        "In World War One we fought. After the World War I went home.",
    ),
    // abbreviations
    (
        "Tea w/ milk, w/o sugar, b/c, n/a, N/A, c/o Ann, W/m",
        "Tea with milk, without sugar, because, not applicable, not applicable, care of Ann, W slash m",
    ),
    (
        "vol. 2, pp. 3-5, Fig. 3, eq. (4), max. 5, min. 7, est. 1999, est. 500",
        "volume two, pages three to five, Figure three, equation, four, maximum five, minimum seven, established nineteen ninety-nine, estimated five hundred",
    ),
    (
        "the 2nd ed., ed. by Ode, et al. said; dept. of art, misc. tools, a.k.a. Bo, &c.",
        "the second edition, edited by Ode, et al said; department of art, miscellaneous tools, also known as Bo, et cetera.",
    ),
    (
        "no. 5, nos. 3 and 4; he said no. 5 left. The max. I do.",
        "number five, numbers three and four; he said no. five left. The max. I do.",
    ),
    (
        "Acme Inc. rose. Ode & Co. sold, Poe Corp. too. Acme, Ltd. He left.",
        "Acme Incorporated rose. Ode and Company sold, Poe Corporation too. Acme, Limited. He left.",
    ),
    // signs
    (
        "5 ¶ 3 † № 7 §§ 3-4 © Acme™ a => b, x && y, A-Z",
        "Five paragraph three number seven sections three to four Acme a b, x and y, A to Z",
    ),
    (
        "“a” ‹b› ‘c’ d‽ ¿Qué? e―f 10〜20 ﬁne １２３ Ｗide 𝐁old ① Ⅳ ⅓ K",
        "a b c d? Qué? e, f ten to twenty fine one hundred twenty-three Wide Bold one IV one third K",
    ),
    (
        "10⁻³, x², 10¹², CO₂, log₂ 8, word¹ and it.² 2ⁿᵈ 1½",
        "Ten to the power of minus three, x squared, ten to the power of twelve, CO two, log two eight, word and it. Second one and one half",
    ),
    (
        "1\u{fe0f}\u{20e3} Hi 👨\u{200d}👩\u{200d}👧 🇺🇸 :) ;-) I <3 you, love it <3 :smile::tada: ok",
        "Hi I love you, love it less than three ok",
    ),
    (
        "e\u{301}te\u{301} a\u{202e}b\u{2066}c \u{1b}[1;31mred\u{1b}[0m \u{1b}]0;title\u{7}so [32mgreen[0m \\x1b[0mit",
        "été abc red so green it",
    ),
    // markup
    (
        "<p>One</p><p>Two <em>too</em></p>three<br/>four <img src=\"a.png\" alt=\"a dog\"> <!-- no --> <foo>x</foo>",
        "One.\n\nTwo too.\n\nthree four a dog x",
    ),
    (
        "List<int> a < b <name> <x y=\"z\">w <script>no()</script>5 &lt;b&gt; &amp;nbsp; It&#39;s &euro;5 &#x2014; AT&T;",
        "List int a less than b name w five b and nbsp; It's five euros, AT and T;",
    ),
    (
        "# A\n\nText\n===\n## B ##\nmore\n\n---\n- [x] done\n+ two\n  * three\n1) four\na) five",
        "A.\n\nText.\n\nB.\n\nmore.\n\ndone.\n\ntwo.\n\nthree.\n\nOne, four.\n\nA, five",
    ),
    (
        "> quoted **bold** and _it_ ***b*** ==m== ~~s~~ 2*3*4 a_b_c\n> [!NOTE]\n> more",
        "quoted bold and it b m s two times three times four a b c Note. more",
    ),
    (
        "[text](https://x.de/a_(b) \"t\") ![a cat](cat.png) [a][b] [[wiki|page]] f[i](x)\n\n[b]: https://x.de",
        "text a cat a page f, i, x",
    ),
    (
        "It rained.[1][2] He left [3]. See [3] and a[0] note[^1]\n\n[^1]: A note.",
        "It rained. He left. See, three, and a, zero, note.\n\nA note.",
    ),
    (
        "Settings > Privacy > Sound, x > Y\n\n| a | b |\n|---|:-:|\n| 1 | 2 |\n\n```rust\nlet x;\n```\nUse `--x` or `<b>`, `quote' it's",
        "Settings, Privacy, Sound, x greater than Y.\n\na, b.\n\nOne, two.\n\nlet x.\n\nUse dash dash x or b, quote it's",
    ),
    // states, numerals and links
    (
        "Sen. Poe (D-N.Y.) and Rep. Ode (R-Texas), 3rd Fl., Albany, N.Y. 12201, Washington, D.C. 20001",
        "Senator Poe, Democrat, New York, and Representative Ode, Republican, Texas, third Floor, Albany, New York one two two zero one, Washington, DC two zero zero zero one",
    ),
    (
        "pp. iv\u{2013}x, vols. I\u{2013}III, ¶¶ 3-4, cf. Smith, viz. this, w/out it",
        "pages four to ten, volumes one to three, paragraphs three to four, compare Smith, namely this, without it",
    ),
    (
        "file:///etc/hosts, git@github.com:foo/bar.git, https://a.de/img/logo@2x.png?w=200",
        "file colon slash slash slash etc slash hosts, git at github dot com colon foo slash bar dot git, a dot de slash img slash logo at two x dot png question mark w equals two hundred",
    ),
    ("0xFF, i7-9700K, ¯\\_(ツ)_/¯ (╯°□°)╯ growth (%)", "Zero x F F, i seven nine seven zero zero K, growth, percent"),
];

#[test]
fn words_and_signs_are_said() {
    let wrong: Vec<_> = WORDS
        .iter()
        .filter(|(written, said)| normalise(written) != *said || normalise(said) != *said)
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

    #[test]
    fn written_parts_of_words_and_signs_lose_nothing(
        text in proptest::collection::vec(prop_oneof![nasty(), "[a-z ,.]{0,200}"], 0..8).prop_map(|parts| parts.concat()),
    ) {
        let solid = |text: &str| text.split_whitespace().collect::<String>();
        let parts: String = sentences(&text, true, &[]).iter().map(|sentence| solid(&sentence.written)).collect();
        prop_assert_eq!(parts, solid(&text));
    }
}
