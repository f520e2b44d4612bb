//! Cost of a number format, or of a device: its logits and choices beside those of f32 on the CPU,
//! on the same weights.
//!
//! The f32 model speaks greedily. Its frames are then forced on the other model, frame by frame, so
//! both have read the same before each frame. Within a frame each model goes on from its own codes.
//! So the logits of a code are compared only while the codes before it in the frame agree: beyond,
//! the inputs differ.

use candle_core::Device;
use csm_shared::audio::{CODEBOOKS, Frame};
use csm_shared::job::{Sampling, Seed, Temperature, TopK};

use super::{BenchError, Subject, prompt};
use csm_engine::model::{END_FRAME, LoadOptions, Model, Row, TracedFrame, WeightChoice, WeightFormat};

/// Settings of the comparison.
#[derive(Clone, Debug)]
pub struct QualityPlan {
    /// Model, and the device to compare with f32 on the CPU.
    pub subject: Subject,
    /// Formats to compare with f32.
    pub formats: Vec<WeightFormat>,
    /// Most frames; fewer if the f32 model ends its utterance.
    pub frames: usize,
}

/// Result of one format beside f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Quality {
    /// Number format.
    pub format: WeightFormat,
    /// Number of frames spoken.
    pub frames: usize,
    /// Number of codes whose logits were compared.
    pub compared: usize,
    /// Mean difference of a logit, in standard deviations of its row of f32 logits.
    pub mean_error: f64,
    /// Greatest difference of a logit, in the same unit.
    pub max_error: f64,
    /// Mean divergence of the format's distribution from f32's, in nats, at temperature 1.
    pub mean_kl: f64,
    /// Share of the compared codes for which both choose the same.
    pub same_code: f64,
    /// Share of frames in which both choose the same 32 codes.
    pub same_frame: f64,
    /// Frames that both would speak alike before they first differ, without forcing; all frames if
    /// they never differ.
    pub until_divergence: usize,
}

/// Frame of the f32 model: its codes and their logits.
struct ReferenceFrame {
    codes: Frame,
    /// Logits by codebook.
    logits: Vec<Vec<f32>>,
}

/// Compares each format of `plan` with f32; one model is in memory at a time. `progress` receives
/// the format that runs.
///
/// # Errors
/// The folder cannot be loaded in a format, or the device fails.
pub fn compare(plan: &QualityPlan, progress: &mut dyn FnMut(WeightFormat)) -> Result<Vec<Quality>, BenchError> {
    progress(WeightFormat::F32);
    let mut reference = Vec::with_capacity(plan.frames);
    generate(plan, &Device::Cpu, WeightFormat::F32, |_, frame| {
        let goes_on = frame.codes != END_FRAME;
        reference.push(ReferenceFrame { codes: frame.codes, logits: frame.logits.to_vec2()? });
        Ok(goes_on.then_some(frame.codes))
    })?;
    let device = plan.subject.open_device()?;
    plan.formats
        .iter()
        .map(|&format| {
            progress(format);
            let mut tally = Tally::default();
            generate(plan, &device, format, |index, frame| {
                let Some(expected) = reference.get(index) else { return Ok(None) };
                tally.add(expected, &ReferenceFrame { codes: frame.codes, logits: frame.logits.to_vec2()? });
                let is_last = expected.codes == END_FRAME || index + 1 == reference.len();
                Ok((!is_last).then_some(expected.codes))
            })?;
            Ok(tally.into_quality(format))
        })
        .collect()
}

/// Speaks greedily. For each frame, `on_frame` returns the frame that the next one is to follow, or
/// the end.
fn generate(
    plan: &QualityPlan,
    device: &Device,
    format: WeightFormat,
    mut on_frame: impl FnMut(usize, TracedFrame) -> Result<Option<Frame>, BenchError>,
) -> Result<(), BenchError> {
    let options = LoadOptions { weights: WeightChoice::Format(format), slots: 1, threads: plan.subject.threads };
    let mut model = Model::load(&plan.subject.folder, device, &options, &mut |_| {})?;
    for piece in prompt(model.config(), 0, plan.subject.prompt).chunks(model.prefill_block()) {
        model.prefill(0, piece)?;
    }
    let greedy = Temperature::new(0.0).map_err(|error| BenchError::Unsuitable(error.to_string()))?;
    let sampling = Sampling { temperature: greedy, topk: TopK::default(), seed: Seed::new(0) };
    for index in 0..plan.frames {
        let frame_index = u32::try_from(index).unwrap_or(u32::MAX);
        let frame = model.step_traced(&Row { slot: 0, sampling, frame_index })?;
        match on_frame(index, frame)? {
            Some(codes) => model.force(0, codes)?,
            None => break,
        }
    }
    Ok(())
}

#[derive(Default)]
struct Tally {
    frames: usize,
    same_frames: usize,
    compared: usize,
    same_codes: usize,
    error: f64,
    max_error: f64,
    kl: f64,
    diverged_at: Option<usize>,
}

impl Tally {
    fn add(&mut self, expected: &ReferenceFrame, other: &ReferenceFrame) {
        let same = |codebook: usize| expected.codes[codebook] == other.codes[codebook];
        for codebook in (0..CODEBOOKS).take_while(|&codebook| (0..codebook).all(same)) {
            let row = RowDifference::new(&expected.logits[codebook], &other.logits[codebook]);
            self.compared += 1;
            self.same_codes += usize::from(same(codebook));
            self.error += row.mean;
            self.max_error = self.max_error.max(row.max);
            self.kl += row.kl;
        }
        let all_same = expected.codes == other.codes;
        self.same_frames += usize::from(all_same);
        if !all_same {
            self.diverged_at.get_or_insert(self.frames);
        }
        self.frames += 1;
    }

    fn into_quality(self, format: WeightFormat) -> Quality {
        let compared = self.compared.max(1) as f64;
        Quality {
            format,
            frames: self.frames,
            compared: self.compared,
            mean_error: self.error / compared,
            max_error: self.max_error,
            mean_kl: self.kl / compared,
            same_code: self.same_codes as f64 / compared,
            same_frame: self.same_frames as f64 / self.frames.max(1) as f64,
            until_divergence: self.diverged_at.unwrap_or(self.frames),
        }
    }
}

/// Difference of two rows of logits for the same code.
#[derive(Debug, PartialEq)]
pub(super) struct RowDifference {
    /// Mean difference of the logits, in standard deviations of the first row.
    pub(super) mean: f64,
    pub(super) max: f64,
    /// Divergence of the second distribution from the first, in nats.
    pub(super) kl: f64,
}

impl RowDifference {
    pub(super) fn new(expected: &[f32], other: &[f32]) -> Self {
        let count = expected.len() as f64;
        let average = expected.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let variance = expected.iter().map(|&x| (f64::from(x) - average).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt().max(f64::MIN_POSITIVE);
        let errors = expected.iter().zip(other).map(|(&a, &b)| (f64::from(a) - f64::from(b)).abs() / deviation);
        let (sum, max) = errors.fold((0.0, 0.0_f64), |(sum, max), error| (sum + error, max.max(error)));
        let (p, q) = (log_softmax(expected), log_softmax(other));
        let kl = p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>();
        Self { mean: sum / count, max, kl }
    }
}

fn log_softmax(logits: &[f32]) -> Vec<f64> {
    let top = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let shifted = logits.iter().map(|&x| f64::from(x) - f64::from(top));
    let total = shifted.clone().map(f64::exp).sum::<f64>().ln();
    shifted.map(|x| x - total).collect()
}
