//! One utterance written down number by number, to hold a checkpoint against the reference implementation.
//!
//! What comes out is for debugging: its waveform is plain Mimi output, **without a watermark**, as tensors in a
//! safetensors file, and must not be passed on as speech.

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

/// Says in the file what its waveform is.
const NOTICE: &str = "debugging trace of csm-fleet; the waveform carries no watermark";

/// What to trace.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    /// The model folder.
    pub folder: PathBuf,
    /// What to say.
    pub text: String,
    /// Who says it.
    pub speaker: u32,
    /// Earlier turns, oldest first.
    pub context: Vec<TraceContext>,
    /// Frames at most.
    pub frames: u32,
    /// How codes are drawn.
    pub sampling: Sampling,
    /// The safetensors file to write.
    pub out: PathBuf,
}

/// An earlier turn.
#[derive(Clone, Debug)]
pub struct TraceContext {
    /// Its recording, a WAV file.
    pub recording: PathBuf,
    /// Who spoke.
    pub speaker: u32,
    /// What was said.
    pub text: String,
}

/// What a trace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceSummary {
    /// Positions of the prompt.
    pub prompt_positions: usize,
    /// Frames made, the end frame included.
    pub frames: usize,
    /// Whether the model ended the utterance itself.
    pub ended: bool,
}

/// Why there is no trace.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The prompt cannot be built or does not fit.
    #[error(transparent)]
    Prompt(#[from] PromptError),
    /// A context recording cannot be used.
    #[error("{path}: {reason}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The codec.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The trace cannot be written.
    #[error("{path}: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// Speaks on the CPU in f32 and writes a safetensors file of
///
/// | tensor | shape | |
/// |---|---|---|
/// | `prompt` | (positions, 33) i64 | columns 0..31 the codes of an audio position, column 32 the id of a text position, -1 where absent |
/// | `logits` | (frames, 32, audio_vocab) f32 | what each code was drawn from, before temperature and masks |
/// | `codes` | (frames, 32) u32 | the codes drawn; all 0 in the last row when the model ended the utterance |
/// | `audio` | (samples) f32 | Mimi's one-shot waveform of the codes, end frame left out, 24 kHz, not watermarked |
///
/// # Errors
/// The folder, a recording, the prompt or the output file is at fault; the error says which.
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

/// A position as the reference lays it out; -1 where a column is absent.
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
