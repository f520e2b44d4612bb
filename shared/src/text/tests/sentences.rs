//! Tests of the cut into sentences.

use unicode_segmentation::UnicodeSegmentation as _;

use crate::text::{Pause, SENTENCE_BYTES, sentences};

/// Least bytes of a sentence in a long text, if its neighbours leave room.
const SHORT: usize = 40;

fn sentences_of(text: &str) -> Vec<(String, Pause)> {
    sentences(text, false, &[]).into_iter().map(|sentence| (sentence.text, sentence.pause)).collect()
}

#[test]
fn a_short_text_is_one_sentence_as_it_is() {
    let text = "One. Two!\n\nThree? ".repeat(13);
    assert_eq!(text.len(), 234);
    assert_eq!(sentences_of(&text), [(text, Pause::Paragraph)]);
    assert_eq!(sentences("", false, &[]).len(), 1);
}

#[test]
fn a_long_text_is_cut_where_sentences_end() {
    let (first, second) =
        ("The quick brown fox of Dr. Jones jumps over the lazy dog.", "Does it, at 3.5 miles an hour?");
    let last = "It does so every single day of the week, come rain or come shine, and nobody has ever seen it fail.";
    let text = format!("{first} {second} {last}\n\n{last}");
    let cut = sentences_of(&text);
    let expected = [
        (format!("{first} {second}"), Pause::Sentence),
        (last.to_owned(), Pause::Paragraph),
        (last.to_owned(), Pause::Paragraph),
    ];
    assert_eq!(cut, expected, "the short second sentence goes with the first");
}

#[test]
fn a_heading_goes_with_its_paragraph() {
    let body = "A paragraph that is long enough to be a piece of its own, as most of them are.";
    let cut = sentences_of(&format!("Chapter one.\n\n{body}\n\nNo.\n\n{body} {body} {body}"));
    let expected = [
        (format!("Chapter one. {body}"), Pause::Paragraph),
        (format!("No. {body}"), Pause::Sentence),
        (body.to_owned(), Pause::Sentence),
        (body.to_owned(), Pause::Paragraph),
    ];
    assert_eq!(cut, expected);
}

#[test]
fn an_endless_sentence_is_cut_at_the_best_place() {
    let clauses = "and then they went on and on and on, ".repeat(24);
    for (sentence, pause) in &sentences_of(clauses.trim_end())[..2] {
        assert!(sentence.ends_with(',') && *pause == Pause::Clause, "{sentence:?}");
    }
    let marks = format!("{}; but it {}, and", "went on and ".repeat(10), "went on and ".repeat(6));
    assert!(sentences_of(&format!("{marks} {marks}"))[0].0.ends_with(';'), "rather than at a comma");
    for dash in [" — ", " – ", " - "] {
        let text = format!("{}{dash}so {}", "on and ".repeat(15).trim_end(), "they went, ".repeat(20));
        assert!(sentences_of(&text)[0].0.ends_with(dash.trim()), "{dash:?}");
    }
    let early = format!("Well, {}", "word ".repeat(60));
    assert!(sentences_of(&early)[0].0.len() > 200, "a mark near the beginning is no good place");
    let bare = "word ".repeat(100);
    assert!(sentences_of(&bare).iter().all(|(sentence, _)| sentence.ends_with("word") && sentence.len() >= SHORT));
    let solid = sentences_of(&"x".repeat(500));
    assert_eq!(solid.iter().map(|(sentence, _)| sentence.len()).collect::<Vec<_>>(), [240, 219, 41]);
    let wide = "これは長い文です。".repeat(30);
    for (sentence, _) in sentences_of(&wide) {
        assert!(sentence.ends_with('。') && sentence.len() <= SENTENCE_BYTES, "{sentence}");
    }
}

#[test]
fn an_abbreviation_is_no_place_to_cut() {
    let start =
        "On the morning of the second day all of the clerks who had been let in went up to the third floor of the";
    for (name, whole) in [
        ("U.S. Treasury building, nobody", "Treasury building,"),
        ("house of J. R. R. Tolkien, who", "R. Tolkien,"),
        ("shop of Smith Ltd. Partners, where", "Ltd. Partners,"),
    ] {
        let text = format!("{start} {name} {}", "had ever seen so many of them there before".repeat(4));
        let first = &sentences_of(&text)[0].0;
        assert!(first.ends_with(whole), "{first:?}");
    }
    let bare = format!(
        "{start} same old and very tall house that once was that of the kings of the U.S. {}",
        "Treasury ".repeat(9)
    );
    let cut = sentences_of(&bare);
    assert!(cut.len() > 1 && !cut[0].0.ends_with('.'), "{cut:?}");
}

#[test]
fn a_sentence_has_its_part_of_the_written_text() {
    let money = "She paid $1,234.50 for it on 3 May, and \"nobody\" knew why.";
    let text = format!("  {money}\n\n- {money} {money}  {money}");
    let found = sentences(&text, true, &[]);
    let characters: Vec<char> = text.chars().collect();
    for sentence in &found {
        assert_eq!(characters[sentence.place.clone()].iter().collect::<String>(), sentence.written);
        assert!(sentence.text.starts_with("She paid one thousand two hundred thirty-four dollars"), "{sentence:?}");
    }
    let written: Vec<_> = found.iter().map(|sentence| sentence.written.as_str()).collect();
    assert_eq!(written, [money, &format!("- {money}"), money, money]);
}

#[test]
fn an_abbreviation_before_a_number_or_a_name_ends_no_sentence() {
    let around = "The morning ferry left the island later than usual because the fog had not yet lifted from the water and \
                  the captain, who had made the crossing a thousand times before in every kind of weather, wanted land.";
    for phrase in ["fig. 3", "no. 4", "Rs. 1000", "Ms. Ode", "pp. 3-5", "Atty. Gen. Ode", "Tel. 736-5000", "Mass. Ode"]
    {
        let text =
            format!("{around} He told us once that we would find what is in {phrase} and that it was there. {around}");
        for normalize in [true, false] {
            assert_eq!(sentences(&text, normalize, &[]).len(), 3, "{phrase}, {normalize}");
        }
    }
}

#[test]
fn no_cut_is_inside_a_character() {
    let thai = "สวัสดีครับวันนี้อากาศดีมากและเราจะไปตลาดด้วยกันที่กรุงเทพ".repeat(4);
    let family = "👨‍👩‍👧‍👦".repeat(30);
    for text in [&thai, &family] {
        let whole: Vec<_> = text.graphemes(true).collect();
        let parts = sentences(text, false, &[]);
        let cut: Vec<_> = parts.iter().flat_map(|sentence| sentence.text.graphemes(true)).collect();
        assert!(parts.len() > 1 && cut == whole);
    }
}

#[test]
fn scripts_have_their_own_marks() {
    let arabic = "قال الرجل إنه ذهب إلى السوق في الصباح، ثم عاد إلى البيت قبل الظهر، ".repeat(4);
    for sentence in &sentences(arabic.trim(), false, &[])[..1] {
        assert!(sentence.text.ends_with('،'), "{sentence:?}");
    }
    let japanese = "彼は「もう遅いから帰ろう。」と言った。それから二人は駅まで歩いた。".repeat(6);
    let cut = sentences(&japanese, false, &[]);
    assert_eq!(
        cut.iter().map(|sentence| sentence.text.as_str()).collect::<String>(),
        japanese,
        "joined without blanks"
    );
    assert!(cut.iter().all(|sentence| sentence.text.matches('「').count() == sentence.text.matches('」').count()));
}
