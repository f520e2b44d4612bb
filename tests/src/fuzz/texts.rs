//! Texts of callers, from the written form to sentences.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use csm_shared::job::limits::TEXT_CHARS;
use csm_shared::text::control::check;
use csm_shared::text::{SENTENCE_BYTES, Sentence, normalise, sentences};
use serde_json::Value;

use super::fuzz_run::FuzzTarget;
use super::without_digits;

/// Longest time for one text, in a build for tests on a busy machine.
const TEXT_LIMIT: Duration = Duration::from_secs(2);

/// Reader of texts.
pub(super) struct Texts;

impl FuzzTarget for Texts {
    const NAME: &'static str = "texts";
    const INPUT_BYTES_MAX: usize = TEXT_CHARS.max as usize;
    const PEAK_BYTES_MAX: usize = 64 * 1024 * 1024;
    const WORDS: &'static [&'static str] = &[
        "<speak>",
        "</speak>",
        "<break time='1s'/>",
        "<say-as interpret-as='date' format='mdy'>",
        "</say-as>",
        "&amp;",
        "[pause:1s]",
        "$",
        "1,234.56",
        "10:30",
        "5/8",
        "http://",
        "@",
        "**",
        "\n- ",
        "IV",
        "No. ",
        "Dr. ",
        "km/h",
        "\u{202e}",
        "２",
        "½",
        "⁻³",
        "🙂",
        "«",
        "。",
        "،",
        "\u{1b}[31m",
        "&#x41;",
        "| a |",
        "2025-09-28",
        "+1 (415) 555-2671",
    ];

    fn corpus(&self) -> anyhow::Result<Vec<Vec<u8>>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("inputs/text");
        let entries = fs::read_dir(&folder).with_context(|| folder.display().to_string())?;
        let mut paths: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
        paths.sort();
        let lists: Vec<_> = paths.iter().map(fs::read).collect::<Result<_, _>>()?;
        let lines = lists.iter().flat_map(|list| list.split(|&byte| byte == b'\n')).filter(|line| !line.is_empty());
        let written = |line: &[u8]| {
            let line: Value = serde_json::from_slice(line)?;
            line["written"].as_str().map(|text| text.as_bytes().to_vec()).context("a line without `written`")
        };
        lines.map(written).collect()
    }

    async fn read(&self, input: Vec<u8>) -> Result<String, String> {
        let text = String::from_utf8_lossy(&input).into_owned();
        let begun = Instant::now();
        for normalize in [true, false] {
            let found = sentences(&text, normalize, &[]);
            places_ascend(&text, &found)?;
        }
        let once = normalise(&text);
        if normalise(&once) != once {
            return Err("a text with two normal forms".to_owned());
        }
        if begun.elapsed() > TEXT_LIMIT {
            return Err(format!("{} ms for a text", begun.elapsed().as_millis()));
        }
        Ok(check(&text).err().map_or_else(|| "accepted".to_owned(), |fault| without_digits(&fault.expected)))
    }
}

/// Checks that each sentence is within its limit, and that their places in the text ascend.
fn places_ascend(text: &str, sentences: &[Sentence]) -> Result<(), String> {
    let mut end = 0;
    for Sentence { text: spoken, place, .. } in sentences {
        if spoken.len() > SENTENCE_BYTES && sentences.len() > 1 {
            return Err(format!("a sentence of {} bytes", spoken.len()));
        }
        if place.start < end || place.end < place.start {
            return Err(format!("a sentence at {place:?} behind {end}"));
        }
        end = place.end;
    }
    let chars = text.chars().count();
    if end > chars { Err(format!("a sentence up to {end} of {chars} characters")) } else { Ok(()) }
}
