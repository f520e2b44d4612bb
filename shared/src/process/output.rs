//! Standard output and standard error of every program. `println!` and `eprintln!` panic if the
//! reader has gone; these macros do not.
//!
//! Results go to standard output by [`outln!`](crate::outln) and [`out!`](crate::out), remarks to
//! standard error by [`errln!`](crate::errln). Control characters in the text are shown escaped,
//! because parts of it may come from another machine.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, ErrorKind, Write as _};
use std::sync::{Mutex, PoisonError};

use super::log_queue;

/// First failure of a write to standard output, apart from a reader that has gone.
static FAILED: Mutex<Option<io::Error>> = Mutex::new(None);

/// Writes a formatted line to standard output, as `println!` does, but never panics.
#[macro_export]
macro_rules! outln {
    ($($text:tt)*) => { $crate::process::output::write_result(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes formatted text to standard output, as `print!` does, but never panics.
#[macro_export]
macro_rules! out {
    ($($text:tt)*) => { $crate::process::output::write_result(format_args!($($text)*)) };
}

/// Writes a formatted line to standard error, as `eprintln!` does, but never panics.
#[macro_export]
macro_rules! errln {
    ($($text:tt)*) => { $crate::process::output::write_remark(format_args!($($text)*)) };
}

/// Writes a part of a program's result to standard output. Nothing is written if the reader has
/// gone. Any other failure is kept for [`finish`].
pub fn write_result(text: fmt::Arguments<'_>) {
    write_bytes(printable(&text.to_string()).as_bytes());
}

/// Writes bytes to standard output as they are. Failures are handled as by [`write_result`].
pub fn write_bytes(bytes: &[u8]) {
    let mut output = io::stdout().lock();
    let Err(error) = output.write_all(bytes).and_then(|()| output.flush()) else { return };
    if error.kind() != ErrorKind::BrokenPipe {
        FAILED.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
    }
}

/// Writes a line to standard error, behind the log lines before it. A line that cannot be written
/// is dropped.
pub fn write_remark(text: fmt::Arguments<'_>) {
    log_queue::flush();
    let line = format!("{text}\n");
    let _ = io::stderr().write_all(printable(&line).as_bytes());
}

/// Returns the first failure of a write to standard output. A reader that has gone is none: it
/// wants no more.
///
/// # Errors
/// That failure, such as a full disk.
pub fn finish() -> io::Result<()> {
    FAILED.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
}

/// Returns `text` with its control characters escaped as in JSON, apart from line feed and tab. A
/// terminal then shows them and does not obey them.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_commanding) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_commanding(character) {
            escaped += &format!("\\u{:04x}", u32::from(character));
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Returns `text` as [`printable`] does, on one line.
#[must_use]
pub fn printable_line(text: &str) -> String {
    printable(&text.replace(['\n', '\r', '\t'], " ")).into_owned()
}

/// Returns true for a character that moves, hides or reorders text on a terminal.
fn is_commanding(character: char) -> bool {
    let moves = character.is_control() && !matches!(character, '\n' | '\t');
    // Marks and overrides of the writing direction, line and paragraph separators.
    moves || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        let hostile = "a\u{1b}]0;title\u{7}b\u{9b}2Jc\rd\u{202e}e\u{7f}";
        assert_eq!(printable(hostile), "a\\u001b]0;title\\u0007b\\u009b2Jc\\u000dd\\u202ee\\u007f");
        assert_eq!(printable("two\nlines\tof ümläuts ▮"), "two\nlines\tof ümläuts ▮");
        assert_eq!(printable_line("two\r\nlines"), "two  lines");
    }

    #[test]
    fn escaped_json_keeps_its_value() {
        let json = serde_json::json!({ "text": "\u{9b}2J \u{7f} \u{202e}" });
        let shown: Option<serde_json::Value> = serde_json::from_str(&printable(&json.to_string())).ok();
        assert_eq!(shown, Some(json));
    }
}
