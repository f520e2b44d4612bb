//! Text from standard input, sentence by sentence.

use std::io::{self, BufRead, Read as _};

use anyhow::Context as _;
use csm_shared::job::limits::TEXT_CHARS;
use csm_shared::text::whole_sentences;
use tokio::sync::mpsc;

/// Most bytes of a text.
const TEXT_BYTES_MAX: u64 = TEXT_CHARS.max * size_of::<char>() as u64;

/// Reads standard input to its end, as far as a text may go.
pub(super) async fn whole() -> anyhow::Result<String> {
    let read = tokio::task::spawn_blocking(|| {
        let mut text = String::new();
        io::stdin().lock().take(TEXT_BYTES_MAX).read_to_string(&mut text).map(|_| text)
    });
    read.await?.context("cannot read standard input")
}

/// Returns the sentences of standard input, as they come. A thread reads them, one ahead.
pub(super) fn sentences() -> mpsc::Receiver<anyhow::Result<String>> {
    let (sender, receiver) = mpsc::channel(1);
    // The thread is not waited for: it ends with the process, if the input never does.
    std::thread::spawn(move || {
        let mut sentences = Sentences::new(io::stdin().lock());
        while let Some(sentence) = sentences.next().transpose() {
            if sender.blocking_send(sentence).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Reader of sentences. A sentence ends where the next one begins, or at an empty line.
struct Sentences<R> {
    input: R,
    rest: String,
}

impl<R: BufRead> Sentences<R> {
    const fn new(input: R) -> Self {
        Self { input, rest: String::new() }
    }

    /// Returns the next sentences that are whole; `None` at the end.
    fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            let mut line = String::new();
            // A longer line is read in parts.
            let read = (&mut self.input).take(TEXT_CHARS.max).read_line(&mut line);
            let ended = read.context("cannot read standard input")? == 0;
            self.rest.push_str(&line);
            let whole = if ended || line.trim().is_empty() { self.rest.len() } else { whole_sentences(&self.rest) };
            let rest = self.rest.split_off(whole);
            let text = std::mem::replace(&mut self.rest, rest);
            if !text.trim().is_empty() {
                return Ok(Some(text.trim().to_owned()));
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn sentences_come_as_soon_as_the_next_one_begins() {
        let text = "The first one\nends here. The second\n\nThird, after a gap. And the last";
        let mut sentences = Sentences::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(sentence) = sentences.next().unwrap() {
            found.push(sentence);
        }
        assert_eq!(found, ["The first one\nends here.", "The second", "Third, after a gap.", "And the last"]);
        assert_eq!(Sentences::new(&b" \n\n"[..]).next().unwrap(), None);
    }
}
