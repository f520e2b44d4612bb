//! Cues of a recording: who says what from when to when, as JSON, SubRip or WebVTT.
//!
//! A dialogue has a cue for each turn, any other job one for each sentence. The words are the
//! caller's own.

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use csm_shared::job::{Invalid, SentenceReceipt, TurnReceipt, VoiceName};
use serde::{Deserialize, Serialize};

/// Query of the cues.
#[derive(Debug, Deserialize)]
pub(crate) struct CuesQuery {
    format: Option<String>,
}

/// A part of a recording.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Cue {
    start_ms: u64,
    end_ms: u64,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    speaker: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    voice: Option<VoiceName>,
}

/// Returns the cues of a recording.
pub(crate) fn cues(turns: &[TurnReceipt], sentences: &[SentenceReceipt]) -> Vec<Cue> {
    if turns.is_empty() {
        let cue = |sentence: &SentenceReceipt| Cue {
            start_ms: sentence.start_ms,
            end_ms: sentence.start_ms + sentence.duration_ms,
            text: if sentence.written.is_empty() { sentence.text.clone() } else { sentence.written.clone() },
            speaker: None,
            voice: None,
        };
        return sentences.iter().map(cue).collect();
    }
    let cue = |turn: &TurnReceipt| Cue {
        start_ms: turn.start_ms,
        end_ms: turn.start_ms + turn.duration_ms,
        text: turn.text.clone(),
        speaker: Some(turn.speaker),
        voice: turn.voice,
    };
    turns.iter().map(cue).collect()
}

/// Answers with cues in the format that was asked for: `json`, `srt` or `vtt`.
pub(crate) fn answer(cues: &[Cue], query: &CuesQuery) -> Result<Response, Invalid> {
    match query.format.as_deref() {
        None | Some("json") => Ok(Json(cues).into_response()),
        Some("srt") => Ok(([(CONTENT_TYPE, "application/x-subrip; charset=utf-8")], srt(cues)).into_response()),
        Some("vtt") => Ok(([(CONTENT_TYPE, "text/vtt; charset=utf-8")], vtt(cues)).into_response()),
        Some(other) => Err(Invalid::malformed("format", other, "json, srt or vtt")),
    }
}

fn srt(cues: &[Cue]) -> String {
    let cue = |(number, cue): (usize, &Cue)| {
        let (start, end) = (clock(cue.start_ms, ','), clock(cue.end_ms, ','));
        format!("{number}\n{start} --> {end}\n{}\n\n", one_line(&cue.text))
    };
    (1..).zip(cues).map(cue).collect()
}

fn vtt(cues: &[Cue]) -> String {
    let cue = |cue: &Cue| {
        let (start, end) = (clock(cue.start_ms, '.'), clock(cue.end_ms, '.'));
        let who = match (cue.voice, cue.speaker) {
            (Some(voice), _) => format!("<v {}>", voice.name()),
            (None, Some(speaker)) => format!("<v speaker {speaker}>"),
            (None, None) => String::new(),
        };
        let text = one_line(&cue.text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!("\n{start} --> {end}\n{who}{text}\n")
    };
    format!("WEBVTT\n{}", cues.iter().map(cue).collect::<String>())
}

/// Returns a text without line ends, at which a cue would end.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns a time as `hh:mm:ss` and milliseconds behind a mark.
fn clock(ms: u64, mark: char) -> String {
    let seconds = ms / 1_000;
    format!("{:02}:{:02}:{:02}{mark}{:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60, ms % 1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(text: &str, speaker: u32, start_ms: u64) -> TurnReceipt {
        TurnReceipt { text: text.to_owned(), speaker, voice: None, start_ms, duration_ms: 1_500 }
    }

    #[test]
    fn subtitles_have_times_and_the_callers_words() {
        let cues = cues(&[turn("Who's\nthere? <b>", 0, 0), turn("Me & you.", 1, 3_661_000)], &[]);
        assert_eq!(
            srt(&cues),
            "1\n00:00:00,000 --> 00:00:01,500\nWho's there? <b>\n\n2\n01:01:01,000 --> 01:01:02,500\nMe & you.\n\n"
        );
        assert_eq!(
            vtt(&cues),
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\n<v speaker 0>Who's there? &lt;b&gt;\n\n\
             01:01:01.000 --> 01:01:02.500\n<v speaker 1>Me &amp; you.\n"
        );
    }
}
