//! Tests of the marks by which a caller controls the speech.

use crate::text::control::{ControlFault, Pronunciation, check, pause_alone};
use crate::text::{Pause, sentences};

/// Returns what is said, what was written, and the pauses between.
fn said(text: &str) -> Vec<(String, Pause)> {
    check(text).expect("a text that is accepted");
    sentences(text, true, &[]).into_iter().map(|sentence| (sentence.text, sentence.pause)).collect()
}

fn one(text: &str) -> String {
    said(text).into_iter().map(|(text, _)| text).collect::<Vec<_>>().join(" | ")
}

fn refused(text: &str) -> String {
    check(text).expect_err("a text that is refused").to_string()
}

#[test]
fn a_pause_is_silence_and_not_spoken() {
    let silence = |ms| Pause::Silence { ms };
    assert_eq!(
        said("One.[pause:1.5s] Two [PAUSE: 250 ms] three."),
        [("One.".into(), silence(1_500)), ("Two".into(), silence(250)), ("three.".into(), Pause::Paragraph)]
    );
    let alone = sentences("[pause:1s]One.[pause:300ms]", true, &[]);
    assert_eq!((alone[0].lead_ms, alone[0].pause), (1_000, silence(300)), "before the first and after the last word");
    assert_eq!(said("A [pause:6s] [pause:6s] b")[0].1, silence(10_000), "two pauses are one, within the limit");
    assert_eq!(
        [pause_alone(" [pause:1s] [pause:1s]\n"), pause_alone("[pause:1s] a"), pause_alone("")],
        [Some(2_000), None, None]
    );
    assert_eq!(one("The pause: 5 s. See [pauses]."), "The pause: five seconds. See, pauses.");
}

#[test]
fn a_pause_that_cannot_be_meant_is_refused() {
    for (text, mark) in
        [("a [pause:11s] b", "[pause:11s]"), ("a [pause] b", "[pause]"), ("a [pause:soon] b", "[pause:soon]")]
    {
        assert_eq!(refused(text), format!("{mark}: [pause:500ms] or [pause:1.5s], at most 10000 ms"));
        let spoken: Vec<_> = sentences(text, true, &[]).into_iter().map(|sentence| sentence.text).collect();
        assert_eq!(spoken, ["a", "b"], "a job that was accepted once does not speak it");
    }
    let spoken = sentences("a [pause: b [pause:1s] c", true, &[]);
    assert_eq!(
        spoken.iter().map(|sentence| sentence.text.as_str()).collect::<Vec<_>>(),
        ["a", "b", "c"],
        "one is not closed"
    );
    assert!(refused(" [pause:1s] ").ends_with("words to say beside the marks"));
}

#[test]
fn ssml_is_followed_and_no_tag_is_spoken() {
    assert_eq!(one("<speak>Hello <break time='1s'/> there</speak>"), "Hello | there");
    assert_eq!(said("<speak>Hello <break time='1s'/> there</speak>")[0].1, Pause::Silence { ms: 1_000 });
    assert_eq!(said("<speak>Hello <break strength=\"x-strong\"/> you</speak>")[0].1, Pause::Silence { ms: 1_000 });
    assert_eq!(one("<speak>a <break strength='none'/>b</speak>"), "a b");
    assert_eq!(
        one("<speak>The <sub alias=\"World Wide Web Consortium\">W3C</sub> met.</speak>"),
        "The World Wide Web Consortium met."
    );
    assert_eq!(
        one("<speak><voice name='x'><prosody rate='slow'>It&#39;s</prosody> R&amp;D</voice></speak>"),
        "It's R and D"
    );
    assert_eq!(
        one("<speak version='1.1' xml:lang='en'><p><s>One</s><s>Two!</s></p><p>Three</p></speak>"),
        "One. Two!\n\nThree"
    );
    assert_eq!(one("<?xml version='1.0'?> not at the start"), one("<?xml version='1.0'?> not at the start"));
    assert_eq!(one("<speak><![CDATA[a < 5]]></speak>"), "a less than five");
    for (kind, text, words) in [
        ("interpret-as='characters'", "abc1", "A B C one"),
        ("interpret-as='telephone'", "(555) 0199", "five five five, zero one nine nine"),
        ("interpret-as='ordinal'", "21", "twenty-first"),
        ("interpret-as='cardinal'", "1999", "one thousand nine hundred ninety-nine"),
        ("interpret-as='date' format='dmy'", "3/4/2026", "April third, twenty twenty-six"),
        ("interpret-as='date' format='my'", "4/2026", "April, twenty twenty-six"),
        ("interpret-as='date' format='dmy'", "3/24/2026", "March twenty-fourth, twenty twenty-six"),
        ("interpret-as='something'", "5", "five"),
    ] {
        let text = format!("<speak>So <say-as {kind}>{text}</say-as> it is</speak>");
        assert_eq!(one(&text), format!("So {words} it is"), "{kind}");
    }
}

#[test]
fn ssml_that_is_not_well_formed_is_refused() {
    assert!(refused("<speak>Hello <break time='1s'> there</speak>").starts_with("</speak>: well-formed SSML ("));
    assert!(refused("<speak>Hello").contains("</speak> at the end"));
    assert!(
        refused("<speak>&nbsp;</speak>")
            .starts_with("&nbsp;</speak>: well-formed SSML (an entity of XML, such as &amp;")
    );
    assert!(refused("<speak>a <break time='20s'/></speak>").contains("at most 10000 ms"));
    assert!(refused("<speak>a <break time='soon'/></speak>").contains("500ms or 1.5s"));
    assert!(refused("<speak> </speak>").ends_with("words to say beside the marks"));
    let deep = format!("<speak>{}a{}</speak>", "<b>".repeat(40), "</b>".repeat(40));
    assert!(refused(&deep).contains("at most 32 elements inside each other"));
    let entity = "<speak><!DOCTYPE s [<!ENTITY a \"b\">]>&a;</speak>";
    assert!(refused(entity).contains("SSML without a document type"), "{}", refused(entity));
}

#[test]
fn marks_are_found_in_every_guise() {
    for text in
        ["<speak>a [pause:1s] b</speak>", "a [ pause : 1s ] b", "a ［pause:1s］ b", "<speak>a &#91;pause:1s] b</speak>"]
    {
        assert_eq!(one(text), "a | b", "{text}");
    }
    let prologs = ["<?xml version=\"1.0\"?>\n<speak>", "\u{feff}<!-- c --> <speak>", "<SPEAK xml:lang='en'>"];
    for (prolog, end) in prologs.into_iter().zip(["</speak>", "</speak>", "</SPEAK>"]) {
        assert_eq!(one(&format!("{prolog}a <break time='1s'/> b{end}")), "a | b", "{prolog}");
    }
    assert!(refused("<!DOCTYPE speak><speak>a</speak>").contains("without a document type"));
    for text in ["<speak>Hi</speak> more", "<speak>Hi</speak><speak>Two</speak>", "<speak a=b>c</speak>", "<speak"] {
        assert!(refused(text).contains("well-formed SSML"), "{text}");
    }
    assert_eq!(one("<speak><say-as interpret-as='digits'>-5.5</say-as></speak>"), "Minus five point five");
    assert_eq!(
        one("<speak><say-as interpret-as='telephone'>1-800-FLOWERS</say-as></speak>"),
        "one, eight zero zero, FLOWERS"
    );
    assert_eq!(one("<speak><say-as interpret-as='characters'><b>a-ß</b></say-as></speak>"), "A dash ß");
    assert_eq!(one("`[pause:1s]` Hi [pause:1s] 👍"), "Hi");
}

#[test]
fn a_word_is_said_as_the_caller_wants() {
    let pronunciations = [
        ("GIF", "jif"),
        ("New York", "the city"),
        ("C++", "see plus plus"),
        ("New", "old"),
        (".NET", "dot net"),
        ("C", "see"),
    ]
    .map(|(word, say)| Pronunciation { word: word.into(), say: say.into() });
    let spoken = sentences("A gif, GIFs; New York has new 5 C++, C#, ASP.NET.", true, &pronunciations);
    assert_eq!(spoken[0].text, "A jif, GIFs; the city has old five see plus plus, C sharp, ASP dot NET.");
    assert_eq!(spoken[0].written, "A gif, GIFs; New York has new 5 C++, C#, ASP.NET.");
}

#[test]
fn places_count_the_marks_and_written_text_has_none() {
    let text = "<speak>It costs $5. <break time='1s'/> It's &lt; 6.</speak>";
    let found = sentences(text, true, &[]);
    assert_eq!(
        found.iter().map(|sentence| sentence.written.as_str()).collect::<Vec<_>>(),
        ["It costs $5.", "It's < 6."]
    );
    let characters: Vec<char> = text.chars().collect();
    let place = characters[found[0].place.clone()].iter().collect::<String>();
    assert!(place.contains("It costs $5.") && !place.contains("It's"), "{place}");
    assert_eq!(ControlFault { mark: "m".into(), expected: "e".into() }.to_string(), "m: e");
}
