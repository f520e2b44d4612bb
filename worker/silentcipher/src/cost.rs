//! Cost of marking and searching, measured on networks of the real widths with random weights.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use candle_core::{Device, Tensor};
use csm_shared::audio::SAMPLE_RATE;
use rand::rngs::ChaCha8Rng;
use rand::{Rng, SeedableRng};

use super::cipher_model::SYMBOLS;
use super::stft::BAND;
use super::torch_checkpoint::{Tensors, assemble};
use super::{BnMode, Bounds, CSM_MESSAGE_SDR, ExpectedPayload, Payload, SilentCipher, SilentCipherError};

/// Widths of the real networks: encoder, carrier decoder, message decoder.
const WIDTHS: [&[usize]; 3] =
    [&[1, 32, 32, 32], &[96, 96, 96, 96, 1], &[1, 128, 128, 128, 128, 128, 128, 128, 128, 128, 5]];
/// Most samples of a clip that is read as a whole at every place: 4.9 s.
const WHOLE_SAMPLES: usize = 49 * SAMPLE_RATE as usize / 10;
/// Longest clip that is measured, in seconds.
const MAX_SECONDS: f64 = 60.0;

/// Seconds of work for each second of audio, with as many threads as `RAYON_NUM_THREADS` says.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Cost of marking a clip.
    pub embed: f64,
    /// Cost of reading a clip at one place.
    pub read: f64,
    /// Seconds of a whole search for a mark that is not there, in a clip of at most 4.9 s. The
    /// value is not per second of audio, because less of a longer clip is read.
    pub find: f64,
}

/// Measures the cost on a clip of noise, at most a minute long. Random weights cost as much as the
/// real ones.
///
/// # Errors
/// [`SilentCipherError::Compute`].
pub fn cost(seconds: f64, mode: BnMode) -> Result<Cost, SilentCipherError> {
    let cipher = SilentCipher::random(&WIDTHS, 1, mode)?;
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let samples = (seconds.clamp(0.1, MAX_SECONDS) * f64::from(SAMPLE_RATE)) as usize;
    let clip: Vec<f32> = (0..samples).map(|_| symmetric(&mut random) * 0.1).collect();
    let payload = Payload([212, 211, 146, 56, 201]);
    let by_second = |start: Instant| start.elapsed().as_secs_f64() * f64::from(SAMPLE_RATE) / samples as f64;
    let start = Instant::now();
    let marked = cipher.embed(&clip, payload)?;
    let embed = by_second(start);
    let start = Instant::now();
    cipher.decode(&marked)?;
    let read = by_second(start);
    let start = Instant::now();
    cipher.find(&clip[..clip.len().min(WHOLE_SAMPLES)], &[ExpectedPayload::payload(payload)], &Bounds::default())?;
    Ok(Cost { embed, read, find: start.elapsed().as_secs_f64() })
}

impl SilentCipher {
    /// Builds random networks of these widths. Their mark cannot be found.
    pub(super) fn random(widths: &[&[usize]; 3], seed: u64, mode: BnMode) -> Result<Self, SilentCipherError> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut draw = |shape: &[usize], scale: f32, offset: f32| {
            let count = shape.iter().product();
            let values: Vec<f32> = (0..count).map(|_| offset + scale * symmetric(&mut random)).collect();
            Tensor::from_vec(values, shape, &Device::Cpu)
        };
        let mut files = Vec::new();
        for (file, widths) in widths.iter().enumerate() {
            let mut by_name = HashMap::new();
            for (at, pair) in widths.windows(2).enumerate() {
                // The carrier decoder's last layer is 1x1; the message decoder has dropouts between
                // its layers.
                let kernel = if file == 1 && at + 2 == widths.len() { 1 } else { 3 };
                let index = if file == 2 { 2 * at + 1 } else { at };
                let scale = 2.0 / ((pair[0] * kernel * kernel) as f32).sqrt();
                for part in ["conv", "gate"] {
                    let shape = [pair[1], pair[0], kernel, kernel];
                    by_name.insert(format!("main.{index}.{part}.weight"), draw(&shape, scale, 0.0)?);
                    by_name.insert(format!("main.{index}.{part}.bias"), draw(&pair[1..], 0.3, 0.0)?);
                }
                for (part, scale, offset) in
                    [("weight", 0.5, 1.0), ("bias", 0.3, 0.0), ("running_mean", 0.3, 0.0), ("running_var", 0.4, 0.6)]
                {
                    by_name.insert(format!("main.{index}.bn.{part}"), draw(&pair[1..], scale, offset)?);
                }
            }
            let linear = [[BAND, SYMBOLS], [0, 0], [1, BAND]][file];
            if linear[0] > 0 {
                by_name.insert("linear.weight".to_owned(), draw(&linear, 0.5, 0.0)?);
                by_name.insert("linear.bias".to_owned(), draw(&linear[..1], 0.3, 0.0)?);
            }
            files.push(Tensors { file: PathBuf::from("random"), by_name });
        }
        let model = assemble(&files[0], &files[1], &files[2], CSM_MESSAGE_SDR)?;
        Ok(Self { model: Arc::new(model), mode })
    }
}

/// Draws a number between -1 and 1.
fn symmetric(random: &mut ChaCha8Rng) -> f32 {
    random.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0
}
