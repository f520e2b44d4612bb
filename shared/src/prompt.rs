//! Prompts in the model's terms: token ids of the text, and the window that prompt and speech
//! share.
//!
//! The gateway checks a job's prompt with this module before it accepts the job, and the worker
//! builds the prompt with it. So both count the same positions. The ids of a segment are put
//! together by hand as `begin + encode("[speaker]text") + end`. The tokenizer's post-processor,
//! truncation and padding are not used, because published `tokenizer.json` files differ there (the
//! stock one adds a begin token only). Neither weights nor candle are needed.

mod speech_plan;
mod window;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use tokenizers::Tokenizer;

pub use speech_plan::{PlannedSentence, SpeechPlan};
pub use window::{SegmentSize, Window, max_positions};

/// File of a model folder that holds the tokenizer.
pub const TOKENIZER_FILE: &str = "tokenizer.json";
/// File of a model folder that holds the dimensions.
pub const CONFIG_FILE: &str = "config.json";
/// Token at the beginning of every segment's text.
pub const BEGIN_TOKEN: &str = "<|begin_of_text|>";
/// Token at the end of every segment's text.
pub const END_TOKEN: &str = "<|end_of_text|>";

/// Reason why a prompt cannot be built or does not fit.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// A file of the model folder cannot be read or parsed.
    #[error("{path}: {reason}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the reader.
        reason: String,
    },
    /// The tokenizer lacks a token that every prompt needs.
    #[error("{path}: the token {token} is missing")]
    MissingToken {
        /// Path of the tokenizer's file.
        path: PathBuf,
        /// Literal form of the token.
        token: &'static str,
    },
    /// The tokenizer maps the literal text of a control token to its id, so a caller could forge
    /// it.
    #[error("{path}: the token {token} is not marked special, so text could forge it")]
    ForgeableToken {
        /// Path of the tokenizer's file.
        path: PathBuf,
        /// Literal form of the token.
        token: &'static str,
    },
    /// The tokenizer refused the text.
    #[error("the text cannot be tokenized: {0}")]
    Encode(String),
    /// Prompt and speech together exceed the model's window.
    #[error(
        "the prompt takes {prompt_positions} positions and the speech up to {max_frames}, together {}; the model has {limit}",
        prompt_positions + max_frames
    )]
    Window {
        /// Positions that the prompt takes.
        prompt_positions: usize,
        /// Frames that the speech may take.
        max_frames: usize,
        /// Positions that the model has.
        limit: usize,
    },
}

/// Tokenizer of one model folder. Its construction proves that it has the control tokens and that
/// no text can forge them.
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    begin: u32,
    end: u32,
}

impl PromptTokenizer {
    /// Reads `tokenizer.json` in `folder`.
    ///
    /// # Errors
    /// If the file cannot be read, lacks [`BEGIN_TOKEN`] or [`END_TOKEN`], or would let text forge
    /// one of them.
    pub fn from_folder(folder: &Path) -> Result<Self, PromptError> {
        let path = folder.join(TOKENIZER_FILE);
        let file_error = |reason: String| PromptError::File { path: path.clone(), reason };
        let mut tokenizer = Tokenizer::from_file(&path).map_err(|error| file_error(error.to_string()))?;
        tokenizer.with_truncation(None).map_err(|error| file_error(error.to_string()))?;
        tokenizer.with_padding(None);
        tokenizer.set_encode_special_tokens(true);
        let id =
            |token| tokenizer.token_to_id(token).ok_or_else(|| PromptError::MissingToken { path: path.clone(), token });
        let (begin, end) = (id(BEGIN_TOKEN)?, id(END_TOKEN)?);
        let prompt = Self { tokenizer, begin, end };
        for (token, id) in [(BEGIN_TOKEN, begin), (END_TOKEN, end)] {
            if prompt.encode(token)?.contains(&id) {
                return Err(PromptError::ForgeableToken { path, token });
            }
        }
        Ok(prompt)
    }

    /// Returns the ids of one segment's text: `begin + encode("[speaker]text") + end`, without a
    /// space after `]`.
    ///
    /// Control tokens spelled out in `text` become ordinary text.
    ///
    /// # Errors
    /// If the tokenizer refuses the text.
    pub fn text_ids(&self, speaker: u32, text: &str) -> Result<Vec<u32>, PromptError> {
        let spoken = self.encode(&format!("[{speaker}]{text}"))?;
        let mut ids = Vec::with_capacity(spoken.len() + 2);
        ids.push(self.begin);
        ids.extend(spoken);
        ids.push(self.end);
        Ok(ids)
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, PromptError> {
        let encoding = self.tokenizer.encode(text, false).map_err(|error| PromptError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    }
}
