//! Rows of a table with a header: each column is a field of the request.

use std::io::Read;

use csm_queue::batches::BatchEndpoint;
use csv::{ByteRecord, Reader, ReaderBuilder};
use serde_json::{Map, Value};

use super::input::{InputFault, body_of_fields, check_custom_id, fault, refuse_nul, text_field, too_long, utf8};
use super::raw_lines::LINE_BYTES_MAX;
use super::request_line::RequestLine;

/// Column with the name of a row.
const CUSTOM_ID: &str = "custom_id";
/// Names of the column with the text.
const TEXT: [&str; 2] = ["text", "input"];
/// Columns whose values are numbers.
const NUMBERS: [&str; 8] =
    ["seed", "speed", "speaker", "temperature", "topk", "top_k", "max_audio_length_ms", "sample_rate"];
/// Columns whose values are true or false.
const BOOLEANS: [&str; 1] = ["normalize"];

/// Rows of a table, in its order.
pub(super) struct Rows<R> {
    reader: Reader<R>,
    header: Vec<String>,
    endpoint: BatchEndpoint,
    row: ByteRecord,
    failed: bool,
}

impl<R: Read> Rows<R> {
    /// Reads the header.
    pub(super) fn open(endpoint: BatchEndpoint, delimiter: u8, table: R) -> Result<Self, InputFault> {
        // The reader drops a byte order mark itself.
        let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(table);
        let header = reader.byte_headers().map_err(unreadable)?.clone();
        let names = header.iter().map(|name| Ok(utf8(1, name)?.trim().to_owned()));
        let header: Vec<String> = names.collect::<Result<_, InputFault>>()?;
        let refused = |message: String| Err(InputFault::File(fault(1, "invalid_header", None, message)));
        if !header.iter().any(|name| TEXT.contains(&name.as_str())) {
            return refused(format!("The header {header:?} has no column text or input."));
        }
        if let Some(twice) = header.iter().enumerate().find(|(place, name)| header[..*place].contains(name)) {
            return refused(format!("The header has the column {:?} twice.", twice.1));
        }
        Ok(Self { reader, header, endpoint, row: ByteRecord::new(), failed: false })
    }

    /// Makes the request of the current row.
    fn request(&self) -> Result<RequestLine, InputFault> {
        let line = self.row.position().map_or(1, csv::Position::line);
        let length: usize = self.row.iter().map(<[u8]>::len).sum();
        if length > LINE_BYTES_MAX {
            return Err(too_long(line, length as u64));
        }
        if self.row.len() != self.header.len() {
            let message = format!("The row has {} values; the header has {}.", self.row.len(), self.header.len());
            return Err(InputFault::Line(fault(line, "invalid_row", None, message)));
        }
        let (mut custom_id, mut fields) = (format!("line-{line:07}"), Map::new());
        for (name, value) in self.header.iter().zip(&self.row) {
            let value = utf8(line, value)?.trim();
            refuse_nul(line, value)?;
            if value.is_empty() {
                continue;
            }
            match name.as_str() {
                CUSTOM_ID => value.clone_into(&mut custom_id),
                name if TEXT.contains(&name) => drop(fields.insert(text_field(self.endpoint).to_owned(), value.into())),
                name => drop(fields.insert(name.to_owned(), typed(name, value))),
            }
        }
        check_custom_id(line, &custom_id)?;
        Ok(RequestLine { line, custom_id, body: body_of_fields(fields), cue: None })
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<RequestLine, InputFault>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match self.reader.read_byte_record(&mut self.row) {
            Ok(true) => Some(self.request()),
            Ok(false) => None,
            Err(error) => {
                self.failed = true;
                Some(Err(unreadable(error)))
            }
        }
    }
}

/// Returns a value as JSON of the column's type. A value of another type stays a text, which the
/// reader of the field refuses.
fn typed(name: &str, value: &str) -> Value {
    let parsed = serde_json::from_str(value).ok().filter(|parsed: &Value| {
        (NUMBERS.contains(&name) && parsed.is_number()) || (BOOLEANS.contains(&name) && parsed.is_boolean())
    });
    parsed.unwrap_or_else(|| value.into())
}

fn unreadable(error: csv::Error) -> InputFault {
    let line = error.position().map_or(1, csv::Position::line);
    let message = format!("The table cannot be read: {error}.");
    match error.into_kind() {
        csv::ErrorKind::Io(error) => InputFault::Read(error),
        _ => InputFault::File(fault(line, "invalid_row", None, message)),
    }
}
