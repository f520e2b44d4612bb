//! The part of SSML that speech of this model can follow.
//!
//! Source: W3C, "Speech Synthesis Markup Language (SSML) Version 1.1", 2010. `break`, `sub`, `say-as`,
//! `p` and `s` count. Of all other elements the text is kept. Document types are refused, so no
//! entity beyond XML's own five and the numbered ones exists.

use std::ops::Range;

use quick_xml::events::{BytesStart, Event};
use quick_xml::{Reader, XmlVersion};

use super::say_as::said;
use super::{ControlFault, PAUSE_MS_MAX, Part};
use crate::text::mapped_text::MappedText;

/// Start of a text that is SSML.
const START: &str = "<speak";
/// End of a text that is SSML.
pub(super) const END: &str = "</speak>";
/// Character that some programs write in front of a text.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// Starts and ends of what may stand before the first element.
const PROLOG: [(&str, &str); 3] = [("<?", "?>"), ("<!--", "-->"), ("<!DOCTYPE", ">")];
/// Most elements inside each other.
const DEPTH_MAX: usize = 32;

/// Returns true if a text is SSML: its first element is `speak`.
pub(super) fn is_ssml(text: &str) -> bool {
    let mut text = text.trim_start_matches(|blank: char| blank.is_whitespace() || blank == BYTE_ORDER_MARK);
    // Each pass consumes a declaration or a comment.
    while let Some(end) =
        PROLOG.iter().find_map(|(start, end)| Some(text.strip_prefix(start)?.find(end)? + start.len() + end.len()))
    {
        text = text[end..].trim_start();
    }
    let begins = text.get(..START.len()).is_some_and(|start| start.eq_ignore_ascii_case(START));
    begins && !text[START.len()..].starts_with(|next: char| next.is_alphanumeric() || "-_.:".contains(next))
}

/// Element that is open.
struct Open {
    /// Place in the text of the part at which the element begins.
    from: usize,
    meaning: Meaning,
}

/// Effect of an element.
enum Meaning {
    /// The text as it is.
    Text,
    /// Another text.
    Sub(String),
    /// A way to say the text: `interpret-as` and `format`.
    SayAs(String, String),
    /// A paragraph.
    Paragraph,
    /// A sentence.
    Sentence,
}

/// Document that is read.
struct Document {
    parts: Vec<Part>,
    part: MappedText,
    open: Vec<Open>,
    /// Whether the first element has begun.
    has_root: bool,
}

/// Splits SSML at its breaks; at least one part.
///
/// # Errors
/// A document that is not well-formed, is nested too deeply, or has a type; breaks that are
/// unreadable or too long.
pub(super) fn parts(written: &MappedText) -> Result<Vec<Part>, ControlFault> {
    let text = written.text();
    let skipped = text.len() - text.trim_start_matches(BYTE_ORDER_MARK).len();
    let mut reader = Reader::from_str(&text[skipped..]);
    let place = |reader: &Reader<&[u8]>| skipped + usize::try_from(reader.buffer_position()).unwrap_or(usize::MAX);
    let mut document = Document { parts: Vec::new(), part: MappedText::default(), open: Vec::new(), has_root: false };
    loop {
        let start = place(&reader);
        let event = reader.read_event().map_err(|error| fault(text, start, &error.to_string()))?;
        let range = start..place(&reader);
        let outside = document.open.is_empty() && document.has_root;
        match event {
            Event::Start(_) | Event::Empty(_) | Event::CData(_) | Event::GeneralRef(_) if outside => {
                return Err(fault(text, start, "nothing behind the end of the first element"));
            }
            Event::Text(_) if outside && !text[range.clone()].trim().is_empty() => {
                return Err(fault(text, start, "nothing behind the end of the first element"));
            }
            Event::Start(tag) => {
                if document.open.len() >= DEPTH_MAX {
                    return Err(fault(text, start, &format!("at most {DEPTH_MAX} elements inside each other")));
                }
                document.begin(&tag, &text[range.clone()], range.start)?;
            }
            Event::End(_) => document.end(range),
            Event::Empty(tag) => {
                document.begin(&tag, &text[range.clone()], range.start)?;
                document.end(range);
            }
            Event::Text(_) => document.part.push_part(written, range),
            Event::CData(data) => {
                let from = range.start + "<![CDATA[".len();
                document.part.push_part(written, from..from + data.len());
            }
            Event::GeneralRef(name) => {
                let character = name.resolve_char_ref().ok().flatten();
                let named = name.decode().ok().and_then(|name| quick_xml::escape::resolve_xml_entity(&name));
                match character.map(String::from).or(named.map(str::to_owned)) {
                    Some(words) => document.part.push_words(&words, range),
                    None => return Err(fault(text, start, "an entity of XML, such as &amp;")),
                }
            }
            Event::DocType(_) => return Err(fault(text, start, "SSML without a document type")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
            Event::Eof => break,
        }
    }
    if !document.open.is_empty() {
        return Err(fault(text, text.len(), &format!("{END} at the end, and every element closed")));
    }
    document.finish_part(None);
    Ok(document.parts)
}

/// Returns the refusal of what is written at `at`.
fn fault(text: &str, at: usize, expected: &str) -> ControlFault {
    /// Characters that are shown.
    const SHOWN: usize = 40;
    let mark: String = text[text.floor_char_boundary(at)..].chars().take(SHOWN).collect();
    ControlFault::new(&mark, format!("well-formed SSML ({expected}; at byte {at})"))
}

impl Document {
    fn begin(&mut self, tag: &BytesStart<'_>, written: &str, at: usize) -> Result<(), ControlFault> {
        self.has_root = true;
        if let Some(error) = tag.attributes().find_map(Result::err) {
            return Err(ControlFault::new(written, format!("well-formed SSML ({error}; at byte {at})")));
        }
        let attribute = |name: &str| {
            let value = tag.try_get_attribute(name).ok().flatten();
            value.and_then(|value| Some(value.normalized_value(XmlVersion::Explicit1_0).ok()?.into_owned()))
        };
        let meaning = match tag.local_name().as_ref() {
            b"break" => {
                let ms = break_ms(attribute("time").as_deref(), attribute("strength").as_deref());
                let ms = ms.filter(|&ms| ms <= PAUSE_MS_MAX).ok_or_else(|| {
                    ControlFault::new(written, format!("a time such as 500ms or 1.5s, at most {PAUSE_MS_MAX} ms"))
                })?;
                if ms > 0 {
                    self.finish_part(Some(ms));
                }
                Meaning::Text
            }
            b"sub" => attribute("alias").map_or(Meaning::Text, Meaning::Sub),
            b"say-as" => {
                Meaning::SayAs(attribute("interpret-as").unwrap_or_default(), attribute("format").unwrap_or_default())
            }
            b"p" => Meaning::Paragraph,
            b"s" => Meaning::Sentence,
            _ => Meaning::Text,
        };
        if matches!(meaning, Meaning::Paragraph) {
            self.part.push_words("\n\n", at..at);
        }
        self.open.push(Open { from: self.part.text().len(), meaning });
        Ok(())
    }

    fn end(&mut self, tag: Range<usize>) {
        let Some(Open { from, meaning }) = self.open.pop() else { return };
        let inner = self.part.text()[from..].to_owned();
        let at = tag.start;
        match meaning {
            Meaning::Text => {}
            Meaning::Sub(alias) => self.replace_from(from, &alias, at),
            Meaning::SayAs(kind, format) => {
                if let Some(words) = said(&kind, &format, inner.trim()) {
                    self.replace_from(from, &words, at);
                }
            }
            Meaning::Paragraph => self.part.push_words("\n\n", at..at),
            Meaning::Sentence if inner.trim_end().ends_with(['.', '!', '?', ':', ';', ',']) => {
                self.part.push_words(" ", at..at);
            }
            Meaning::Sentence => self.part.push_words(". ", at..at),
        }
    }

    /// Puts words in place of the text of an element, which ends at `end` in the written text.
    fn replace_from(&mut self, from: usize, words: &str, end: usize) {
        let written = self.part.origin(from..self.part.text().len());
        self.part.truncate(from);
        self.part.push_words(words, written.start.min(end)..written.end.min(end));
    }

    fn finish_part(&mut self, pause_ms: Option<u32>) {
        self.parts.push(Part { text: std::mem::take(&mut self.part), pause_ms });
        self.open.iter_mut().for_each(|open| open.from = 0);
    }
}

/// Returns the length of a break in milliseconds. The strengths have the lengths that listeners know
/// from other services.
fn break_ms(time: Option<&str>, strength: Option<&str>) -> Option<u32> {
    if let Some(time) = time {
        let time = time.trim();
        let (number, unit) = match time.strip_suffix("ms") {
            Some(number) => (number, 1.0),
            None => (time.strip_suffix('s')?, 1_000.0),
        };
        let number: f64 = number.trim_end().strip_prefix('+').unwrap_or(number.trim_end()).parse().ok()?;
        return (number.is_finite() && number >= 0.0).then(|| (number * unit).round() as u32);
    }
    Some(match strength.unwrap_or("medium") {
        "none" => 0,
        "x-weak" => 100,
        "weak" => 250,
        "medium" => 500,
        "strong" => 750,
        "x-strong" => 1_000,
        _ => return None,
    })
}
