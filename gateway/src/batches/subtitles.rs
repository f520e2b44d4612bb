//! Cues of subtitles, in SubRip's form or in WebVTT's.
//!
//! <https://www.w3.org/TR/webvtt1/>; SubRip has no standard, and differs by the comma in its times.

use std::io::BufRead;

use super::input::{InputFault, NumberedCue, cut, fault, refuse_nul, utf8};
use super::raw_lines::RawLines;
use super::request_line::Cue;

/// Text between the times of a cue.
const ARROW: &str = "-->";
/// Beginnings of WebVTT's blocks that nobody speaks.
const SILENT_BLOCKS: [&str; 4] = ["WEBVTT", "NOTE", "STYLE", "REGION"];

/// Cues of a file, in its order. A cue with no text is passed over.
pub(super) struct Cues<R> {
    lines: RawLines<R>,
    number: u64,
}

impl<R: BufRead> Cues<R> {
    pub(super) const fn new(lines: RawLines<R>) -> Self {
        Self { lines, number: 0 }
    }

    /// Reads the next line; `None` at the end of the file.
    fn line(&mut self) -> Result<Option<(u64, String)>, InputFault> {
        let Some(line) = self.lines.next().transpose()? else { return Ok(None) };
        let text = utf8(line.number, &line.bytes)?.trim();
        refuse_nul(line.number, text)?;
        Ok(Some((line.number, text.to_owned())))
    }

    /// Reads lines up to the next blank one, separated by blanks.
    fn block(&mut self) -> Result<String, InputFault> {
        let mut block = String::new();
        while let Some((_, line)) = self.line()?.filter(|(_, line)| !line.is_empty()) {
            if !block.is_empty() {
                block.push(' ');
            }
            block.push_str(&line);
        }
        Ok(block)
    }

    fn cue(&mut self) -> Result<Option<NumberedCue>, InputFault> {
        while let Some((number, line)) = self.line()? {
            if SILENT_BLOCKS.iter().any(|name| line.starts_with(name)) && !line.contains(ARROW) {
                self.block()?;
                continue;
            }
            // Lines before the times name the cue.
            let Some((start, end)) = line.split_once(ARROW) else { continue };
            // Behind the end there may be settings of the cue's place.
            let end = end.trim().split_ascii_whitespace().next().unwrap_or_default();
            let times = milliseconds(start.trim()).zip(milliseconds(end)).filter(|(start, end)| start <= end);
            let block = self.block()?;
            let Some((start_ms, end_ms)) = times else {
                let message = format!("The times {} are not hh:mm:ss,mmm --> hh:mm:ss,mmm in order.", cut(&line));
                return Err(InputFault::Line(fault(number, "invalid_times", None, message)));
            };
            let text = without_tags(&block);
            if text.is_empty() {
                continue;
            }
            self.number += 1;
            return Ok(Some((number, self.number, text, Cue { start_ms, end_ms })));
        }
        Ok(None)
    }
}

impl<R: BufRead> Iterator for Cues<R> {
    type Item = Result<NumberedCue, InputFault>;

    fn next(&mut self) -> Option<Self::Item> {
        self.cue().transpose()
    }
}

/// Reads a time: `hh:mm:ss,mmm`, `hh:mm:ss.mmm` or `mm:ss.mmm`.
fn milliseconds(time: &str) -> Option<u64> {
    let (clock, fraction) = time.split_once([',', '.'])?;
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let mut seconds = 0_u64;
    for part in clock.split(':') {
        seconds = seconds.checked_mul(60)?.checked_add(number(part)?)?;
    }
    let fraction = (fraction.len() == 3).then(|| number(fraction)).flatten()?;
    seconds.checked_mul(1_000)?.checked_add(fraction)
}

/// Returns the text without `<i>` and `{\an8}`, which say how a player shows it.
fn without_tags(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some(start) = rest.find(['<', '{']) {
        let close = if rest[start..].starts_with('<') { '>' } else { '}' };
        let Some(length) = rest[start..].find(close) else { break };
        plain.push_str(&rest[..start]);
        rest = &rest[start + length + 1..];
    }
    plain.push_str(rest);
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}
