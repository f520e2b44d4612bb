//! `--context FILE.wav:SPEAKER:TEXT`.

use std::path::PathBuf;
use std::str::FromStr;

use csm_shared::job::{Speaker, Text};

/// Context segment. Its parts are split at the first `:NUMBER:`, so paths and texts may hold
/// colons.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ContextArg {
    /// Recording of the segment.
    pub(crate) file: PathBuf,
    /// Speaker of the segment.
    pub(crate) speaker: Speaker,
    /// Text of the segment.
    pub(crate) text: Text,
}

impl FromStr for ContextArg {
    type Err = String;

    fn from_str(argument: &str) -> Result<Self, String> {
        let (file, number, text) = split(argument).ok_or("must be FILE.wav:SPEAKER:TEXT, the speaker a number")?;
        let speaker = number.parse().map_err(|_| format!("speaker {number} is too large"))?;
        Ok(Self {
            file: file.into(),
            speaker: Speaker::new(speaker).map_err(|error| error.to_string())?,
            text: Text::new(text).map_err(|error| error.to_string())?,
        })
    }
}

/// Returns file, number and text around the first `:NUMBER:` that leaves a file name before it.
fn split(argument: &str) -> Option<(&str, &str, &str)> {
    let colons = argument.match_indices(':').map(|(at, _)| at).filter(|&at| at > 0);
    colons.into_iter().find_map(|at| {
        let (number, text) = argument[at + 1..].split_once(':')?;
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then_some((&argument[..at], number, text))
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn parsed(argument: &str) -> (String, u32, String) {
        let context: ContextArg = argument.parse().unwrap();
        (context.file.display().to_string(), context.speaker.get(), context.text.as_str().to_owned())
    }

    fn parts(file: &str, speaker: u32, text: &str) -> (String, u32, String) {
        (file.to_owned(), speaker, text.to_owned())
    }

    #[test]
    fn colons_in_file_and_text_are_theirs() {
        assert_eq!(parsed("a.wav:0:Hello."), parts("a.wav", 0, "Hello."));
        assert_eq!(parsed("a.wav:1:At 10:30:15, she said: no."), parts("a.wav", 1, "At 10:30:15, she said: no."));
        assert_eq!(parsed("C:\\clips\\a.wav:2:Hi"), parts("C:\\clips\\a.wav", 2, "Hi"));
        assert_eq!(parsed("take:b/a.wav:3: Hi "), parts("take:b/a.wav", 3, "Hi"));
        assert_eq!(parsed("a.wav:4:5:6"), parts("a.wav", 4, "5:6"));
    }

    #[test]
    fn what_lacks_a_part_is_refused() {
        for bad in ["", "a.wav", "a.wav:0", "a.wav:Hello", "a.wav::Hello", ":0:Hello", "a.wav:-1:Hello", "a.wav:0x1:Hi"]
        {
            assert!(bad.parse::<ContextArg>().unwrap_err().contains("FILE.wav:SPEAKER:TEXT"), "{bad}");
        }
    }

    #[test]
    fn what_has_a_wrong_part_is_told_the_limit() {
        assert!("a.wav:12:Hello".parse::<ContextArg>().unwrap_err().contains("0 to 9"));
        assert!("a.wav:0: ".parse::<ContextArg>().unwrap_err().contains("1 to 4096 characters"));
        assert!("a.wav:99999999999999999999:Hi".parse::<ContextArg>().unwrap_err().contains("too large"));
    }
}
