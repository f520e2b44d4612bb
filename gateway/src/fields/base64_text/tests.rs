//! Base64 in the forms that clients send, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::*;

/// Bytes whose base64 has all characters of the alphabet.
fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(0x9e37_79b9) >> 11) as u8).collect()
}

/// Breaks a text into lines of a width.
fn lines(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap());
    lines.collect::<Vec<_>>().join(end)
}

#[test]
fn the_forms_of_all_clients_are_the_same_bytes() {
    for length in [1, 2, 3, 4, 5, 57, 58, 3 * BLOCK / 4, 3 * BLOCK / 4 + 1, 3 * BLOCK / 4 + 2, 10_000] {
        let bytes = bytes(length);
        let plain = STANDARD.encode(&bytes);
        for text in [
            plain.clone(),
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
            format!("{plain}\n"),
            format!("\r\n \t{plain} \r\n"),
            lines(&plain, 76, "\r\n"),
            lines(&plain, 64, "\n"),
            lines(&plain, 76, " "),
            lines(&plain, 79, "\n   "),
            lines(&plain, 1, "\n"),
            format!("data:audio/wav;base64,{plain}"),
            format!("DATA:;BASE64,{}\n", lines(&URL_SAFE_NO_PAD.encode(&bytes), 76, "\n")),
            format!(" data:audio/webm;codecs=opus; base64 ,{plain}"),
        ] {
            assert_eq!(decode_base64(&text), Ok(bytes.clone()), "{length} bytes: {}", &text[..text.len().min(200)]);
        }
    }
}

#[test]
fn half_of_the_padding_is_enough() {
    assert_eq!(decode_base64("AA="), Ok(vec![0]));
    assert_eq!(decode_base64("AA=\n="), Ok(vec![0]));
}

#[test]
fn refusals_name_the_character_and_its_place() {
    let stray = |char, place| Base64Error::Stray { char, place };
    for (text, error) in [
        ("", Base64Error::Empty),
        (" \r\n", Base64Error::Empty),
        ("data:audio/wav;base64,", Base64Error::Empty),
        ("@@@", stray('@', 1)),
        ("AAAA\r\nAA!A", stray('!', 9)),
        ("AAAAé", stray('é', 5)),
        ("AAAA\u{a0}AAAA", stray('\u{a0}', 5)),
        ("\u{feff}AAAA", stray('\u{feff}', 1)),
        ("data:audio/wav;name=é;base64,AA.AA", stray('.', 32)),
        ("AAAA%2BAA", stray('%', 5)),
        ("AAAA\\nAAAA", stray('\\', 5)),
        ("AA+A_AAA", Base64Error::OtherAlphabet { char: '_', place: 5 }),
        ("-AAA/AAA", Base64Error::OtherAlphabet { char: '/', place: 5 }),
        ("AA==AAAA", Base64Error::Padding { place: 3 }),
        ("AAA=\nAAAA", Base64Error::Padding { place: 4 }),
        ("AAAA=", Base64Error::Padding { place: 5 }),
        ("AA===", Base64Error::Padding { place: 3 }),
        ("AAA==", Base64Error::Padding { place: 4 }),
        ("==", Base64Error::Padding { place: 1 }),
        ("A", Base64Error::CutOff { symbols: 1 }),
        ("A===", Base64Error::CutOff { symbols: 1 }),
        ("AAAA\nAAAA\nA", Base64Error::CutOff { symbols: 9 }),
        // The bits behind the last byte are not zero, so something followed.
        ("AAAAAB", Base64Error::CutOff { symbols: 6 }),
        ("AAAAAAB=", Base64Error::CutOff { symbols: 7 }),
    ] {
        assert_eq!(decode_base64(text), Err(error), "{text:?}");
    }
}

/// A form turns each `+` into a blank. Without its characters the rest would be other bytes.
#[test]
fn a_blank_that_may_have_been_a_plus_is_refused() {
    for (text, place) in [("AA AAAAA", 3), ("AAA =", 4), ("AAAA AA  AA\n", 8), ("AAAA\n AAA A", 10)] {
        assert_eq!(decode_base64(text), Err(Base64Error::Blank { place }), "{text:?}");
    }
    let text = STANDARD.encode(bytes(10_000)).replace('+', " ");
    assert!(matches!(decode_base64(&text), Err(Base64Error::Blank { .. })));
}

#[test]
fn addresses_and_names_of_files_are_told_apart() {
    for text in ["https://example.org/a.wav", " HTTP://a", "s3://bucket/a", "file:///tmp/a.wav"] {
        assert_eq!(decode_base64(text), Err(Base64Error::Address), "{text}");
    }
    for text in ["voice.wav", "/tmp/my voice.flac", "./a.mp3", "~/a", "C:\\Users\\me\\voice", "..\\voice"] {
        assert_eq!(decode_base64(text), Err(Base64Error::FileName), "{text}");
    }
    for text in ["data:audio/wav,RIFF", "data:audio/wav;charset=utf-8,AAAA", "data:base64,AAAA", "data:AAAA"] {
        assert_eq!(decode_base64(text), Err(Base64Error::DataUrl), "{text}");
    }
    // The beginning of an MP3 file, which looks like a path.
    assert_eq!(decode_base64("//uQ"), Ok(vec![0xff, 0xfb, 0x90]));
}

#[test]
fn every_character_in_every_place_gives_bytes_or_an_error() {
    let text: Vec<char> = "data:a;base64,QUJD\nREVG\n".chars().collect();
    for char in (0..=0x17f_u32).filter_map(char::from_u32) {
        for at in 0..=text.len() {
            let mut text = text.clone();
            text.insert(at, char);
            if let Ok(bytes) = decode_base64(&text.into_iter().collect::<String>()) {
                assert_eq!(bytes, b"ABCDEF", "{char:?} at {at}");
            }
        }
    }
}
