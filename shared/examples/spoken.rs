//! Reads texts and prints their sentences as the model gets them: a JSON object on each line.
//!
//! A line of the input is `{"text": "It costs $5.", "normalize": true}`. The answer is
//! `{"sentences": [{"text": "It costs five dollars.", "written": "It costs $5.", "start_char": 0,
//! "end_char": 12}], "ms": 0.1}`, with the time that the text took, or `{"error": ...}` for marks that
//! cannot be meant.

use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use csm_shared::text::control::check;
use csm_shared::text::{Sentence, sentences};
use serde::Deserialize;
use serde_json::json;

/// Text to divide.
#[derive(Deserialize)]
struct Line {
    text: String,
    #[serde(default = "yes")]
    normalize: bool,
}

const fn yes() -> bool {
    true
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    for line in input.lines() {
        let Line { text, normalize } = serde_json::from_str(&line?)?;
        if let Err(fault) = check(&text) {
            writeln!(output, "{}", json!({"error": fault.to_string()}))?;
            continue;
        }
        let begun = Instant::now();
        let found = sentences(&text, normalize, &[]);
        let ms = begun.elapsed().as_secs_f64() * 1_000.0;
        let sentence = |Sentence { text, written, place, .. }: Sentence| json!({"text": text, "written": written, "start_char": place.start, "end_char": place.end});
        let found: Vec<_> = found.into_iter().map(sentence).collect();
        writeln!(output, "{}", json!({"sentences": found, "ms": ms}))?;
    }
    Ok(())
}
