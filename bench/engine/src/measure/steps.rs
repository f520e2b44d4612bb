//! csm-fleet's model, step by step: all rows speak together, then the codec and the mark process
//! their frames.
//!
//! The parts run one after another here, so each has its own time. The engine overlaps the codec
//! with the next step; [`super::run_engine`] measures that.

use std::time::{Duration, Instant};

use csm_shared::audio::Frame;

use super::{BenchError, Subject, WARM_UP, prompt, sampling};
use csm_engine::codec::Codec;
use csm_engine::model::{END_FRAME, LoadOptions, Model, Row, WeightChoice, WeightFormat};
use csm_shared::watermark::{MarkStream, Watermark, WatermarkKey};

/// Settings of the measurement.
#[derive(Clone, Debug)]
pub struct StepsPlan {
    /// Model and device.
    pub subject: Subject,
    /// Number format of the weights.
    pub weights: WeightChoice,
    /// Rows of every step.
    pub rows: usize,
    /// Measured frames of each row.
    pub frames: usize,
}

/// Times of one frame of all rows, by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameTimes {
    /// Whole step of the model.
    pub model: Duration,
    /// Part of the step that reads the last frames.
    pub backbone: Duration,
    /// Part of the step that computes the codes' logits.
    pub depth: Duration,
    /// Part of the step that draws the codes.
    pub sampling: Duration,
    /// Decoding of the codes to audio.
    pub codec: Duration,
    /// Marking of the audio.
    pub watermark: Duration,
}

/// Results of the measurement.
#[derive(Clone, Debug)]
pub struct Steps {
    /// Number format of the matrices.
    pub format: WeightFormat,
    /// Times of each measured frame.
    pub times: Vec<FrameTimes>,
    /// Utterances that the model ended, each followed by another.
    pub ended: usize,
    /// Bytes of weights that one step reads.
    pub bytes_per_step: u64,
    /// Resident bytes by purpose, including the codec.
    pub memory: Vec<(&'static str, u64)>,
}

/// State of one row: its mark, and its position in the utterance.
struct Voice {
    row: Row,
    mark: MarkStream,
}

/// Speaks `plan.frames` frames in `plan.rows` rows.
///
/// # Errors
/// The folder cannot be loaded, the window is too small for prompt and frames, or the device fails.
pub fn step(plan: &StepsPlan) -> Result<Steps, BenchError> {
    let StepsPlan { subject, weights, rows, frames } = plan;
    let device = subject.open_device()?;
    let options = LoadOptions { weights: *weights, slots: *rows, threads: subject.threads };
    let mut model = Model::load(&subject.folder, &device, &options, &mut |_| {})?;
    model.time_parts();
    let codec = Codec::load(&subject.folder, &device, &mut |_| {})?;
    let mut decoder = codec.new_decoder(*rows, subject.threads());
    let mark = Watermark::new(&WatermarkKey::development());
    let mut memory = model.memory();
    memory.extend([("codec weights", codec.memory()), ("codec state of all slots", decoder.memory())]);

    let mut voices = Vec::with_capacity(*rows);
    for slot in 0..*rows {
        begin(&mut model, slot, subject.prompt)?;
        voices.push(Voice { row: Row { slot, sampling: sampling(slot), frame_index: 0 }, mark: mark.stream() });
    }
    let (mut times, mut ended) = (Vec::with_capacity(*frames), 0);
    for index in 0..WARM_UP + frames {
        let (spoken, took) = frame(&mut model, &mut decoder, &mut voices)?;
        if index >= WARM_UP {
            times.push(took);
        }
        for (voice, _) in voices.iter_mut().zip(spoken).filter(|(_, codes)| *codes == END_FRAME) {
            ended += 1;
            begin(&mut model, voice.row.slot, subject.prompt)?;
        }
    }
    Ok(Steps { format: model.format(), times, ended, bytes_per_step: model.bytes_per_step(), memory })
}

/// Makes a slot ready for an utterance.
fn begin(model: &mut Model, slot: usize, positions: usize) -> Result<(), BenchError> {
    model.reset(slot);
    let prompt = prompt(model.config(), slot, positions);
    for piece in prompt.chunks(model.prefill_block()) {
        model.prefill(slot, piece)?;
    }
    Ok(())
}

/// Makes one frame of every row, from the model to the mark.
fn frame(
    model: &mut Model,
    decoder: &mut csm_engine::codec::Decoder,
    voices: &mut [Voice],
) -> Result<(Vec<Frame>, FrameTimes), BenchError> {
    let rows: Vec<_> = voices.iter().map(|voice| voice.row).collect();
    let begun = Instant::now();
    let spoken = model.step(&rows)?;
    let stepped = Instant::now();
    let pushed: Vec<_> = rows.iter().zip(&spoken).map(|(row, codes)| (row.slot, std::slice::from_ref(codes))).collect();
    let sound = decoder.push(&pushed)?;
    let decoded = Instant::now();
    for (voice, pcm) in voices.iter_mut().zip(&sound) {
        drop(voice.mark.push(pcm));
        voice.row.frame_index += 1;
    }
    let parts = model.step_times().unwrap_or_default();
    let times = FrameTimes {
        model: stepped - begun,
        backbone: parts.backbone,
        depth: parts.depth,
        sampling: parts.sampling,
        codec: decoded - stepped,
        watermark: decoded.elapsed(),
    };
    Ok((spoken, times))
}
