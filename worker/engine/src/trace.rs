//! Trace of one utterance, number by number, to compare a model with the reference implementation.
//!
//! The trace is for debugging. Its waveform is plain Mimi output **without a watermark**, stored as
//! tensors in a safetensors file, and must not be passed on as speech.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use csm_shared::audio::{CODEBOOKS, Clip, ClipError, Frame};
use csm_shared::job::Sampling;
use csm_shared::prompt::{PromptError, PromptTokenizer, Window};

use crate::codec::{Codec, CodecError};
use crate::model::position::segment;
use crate::model::{END_FRAME, LoadOptions, Model, ModelError, Position, Row};

/// Notice in the file's metadata about its waveform.
const NOTICE: &str = "debugging trace of csm-fleet; the waveform carries no watermark";

/// Options of a trace.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// Folder of the model.
    pub folder: PathBuf,
    /// Text to speak.
    pub text: String,
    /// Speaker of the text.
    pub speaker: u32,
    /// Context segments, oldest first.
    pub context: Vec<TraceContext>,
    /// Largest number of frames.
    pub frames: u32,
    /// Temperature, top-k and seed of the draws.
    pub sampling: Sampling,
    /// Path of the safetensors file to write.
    pub out: PathBuf,
}

/// Segment of the context.
#[derive(Clone, Debug)]
pub struct TraceContext {
    /// Recording of the segment, a WAV file.
    pub recording: PathBuf,
    /// Speaker of the segment.
    pub speaker: u32,
    /// Text of the segment.
    pub text: String,
}

/// Summary of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// Positions of the prompt.
    pub prompt_positions: usize,
    /// Frames made, the end frame included.
    pub frames: usize,
    /// Whether the model ended the utterance itself.
    pub ended: bool,
}

/// Error of a trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The prompt cannot be built or does not fit.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A context recording cannot be used.
    #[error("{path}: {reason}")]
    Recording {
        /// Path of the recording.
        path: PathBuf,
        /// Reason of the failure.
        reason: String,
    },
    /// The model failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The codec failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The trace cannot be written.
    #[error("{path}: {reason}")]
    Write {
        /// Path of the file.
        path: PathBuf,
        /// Reason of the failure.
        reason: String,
    },
}

/// Generates on the CPU in f32 and writes a safetensors file with these tensors:
///
/// | tensor | shape | |
/// |---|---|---|
/// | `prompt` | (positions, 33) i64 | columns 0..31 the codes of an audio position, column 32 the id of a text position, -1 where absent |
/// | `logits` | (frames, 32, audio_vocab) f32 | logits of each draw, before temperature and masks |
/// | `codes` | (frames, 32) u32 | the codes drawn; all 0 in the last row if the model ended the utterance |
/// | `audio` | (samples) f32 | Mimi's one-shot waveform of the codes, end frame left out, 24 kHz, not watermarked |
///
/// # Errors
/// [`TraceError`] if the folder, a recording, the prompt or the output file is at fault; the error
/// says which.
pub fn trace(options: &TraceOptions) -> Result<TraceSummary, TraceError> {
    let device = Device::Cpu;
    let tokenizer = PromptTokenizer::from_folder(&options.folder)?;
    let codec = Codec::load(&options.folder, &device, &mut |_| {})?;
    let mut positions = Vec::new();
    for context in &options.context {
        let recording = codec.encode(&read_recording(&context.recording)?)?;
        positions.extend(segment(&tokenizer.text_ids(context.speaker, &context.text)?, Some(&recording)));
    }
    positions.extend(segment(&tokenizer.text_ids(options.speaker, &options.text)?, None));
    let mut model = Model::load(&options.folder, &device, &LoadOptions::f32(1), &mut |_| {})?;
    let limit = model.config().max_positions;
    Window { prompt_positions: positions.len(), max_frames: options.frames as usize, limit }.check()?;

    model.prefill(0, &positions)?;
    let (mut logits, mut codes) = (Vec::new(), Vec::new());
    for frame_index in 0..options.frames {
        let frame = model.step_traced(&Row { slot: 0, sampling: options.sampling, frame_index })?;
        logits.push(frame.logits);
        codes.push(frame.codes);
        if frame.codes == END_FRAME {
            break;
        }
    }
    let ended = codes.last() == Some(&END_FRAME);
    let spoken = &codes[..codes.len() - usize::from(ended)];
    let audio = codec.decode(spoken)?;
    let tensors = tensors(&positions, &logits, &codes, audio).map_err(ModelError::from)?;
    write(&options.out, &tensors)?;
    Ok(TraceSummary { prompt_positions: positions.len(), frames: codes.len(), ended })
}

fn read_recording(path: &Path) -> Result<Vec<f32>, TraceError> {
    let recording_error = |reason: String| TraceError::Recording { path: path.into(), reason };
    let bytes = std::fs::read(path).map_err(|error| recording_error(error.to_string()))?;
    let clip = Clip::from_wav(&bytes).map_err(|error: ClipError| recording_error(error.to_string()))?;
    Ok(clip.to_f32())
}

fn tensors(
    positions: &[Position],
    logits: &[Tensor],
    codes: &[Frame],
    audio: Vec<f32>,
) -> candle_core::Result<HashMap<&'static str, Tensor>> {
    let device = &Device::Cpu;
    let prompt: Vec<i64> = positions.iter().flat_map(prompt_row).collect();
    let audio_vocab = logits.first().map_or(Ok(0), |row| row.dim(1))?;
    let logits = if logits.is_empty() {
        Tensor::zeros((0, CODEBOOKS, audio_vocab), DType::F32, device)?
    } else {
        Tensor::stack(logits, 0)?
    };
    let samples = audio.len();
    Ok(HashMap::from([
        ("prompt", Tensor::from_vec(prompt, (positions.len(), CODEBOOKS + 1), device)?),
        ("logits", logits),
        ("codes", Tensor::from_vec(codes.concat(), (codes.len(), CODEBOOKS), device)?),
        ("audio", Tensor::from_vec(audio, samples, device)?),
    ]))
}

/// Returns a position in the reference's columns; -1 marks an absent column.
fn prompt_row(position: &Position) -> [i64; CODEBOOKS + 1] {
    let mut row = [-1; CODEBOOKS + 1];
    match position {
        Position::Text(id) => row[CODEBOOKS] = i64::from(*id),
        Position::Audio(frame) => {
            for (column, code) in row.iter_mut().zip(frame) {
                *column = i64::from(*code);
            }
        }
    }
    row
}

fn write(path: &Path, tensors: &HashMap<&'static str, Tensor>) -> Result<(), TraceError> {
    let metadata = HashMap::from([("notice".to_owned(), NOTICE.to_owned())]);
    safetensors::serialize_to_file(tensors, Some(metadata), path)
        .map_err(|error| TraceError::Write { path: path.into(), reason: error.to_string() })
}
