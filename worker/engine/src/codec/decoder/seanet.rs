//! SEANet's decoder: converts latents to samples by convolutions of growing rate and falling width.

use candle_core::Result;
use candle_nn::VarBuilder;
use csm_shared::audio::FRAME_SAMPLES;

use super::conv::{Conv, ConvScratch, Memory, Shape, Signal};
use crate::codec::MimiConfig;
use csm_kernels::Pool;
use csm_kernels::math::add;

/// Number of stages that run for all signals at once. Their weights (42 MB in the released model)
/// are worth reading once for all signals. The 2 MB of the later stages stay in the cache. The
/// activations stay there too if each frame of a signal passes through all later stages before the
/// next frame.
const SHARED_STAGES: usize = 2;

/// Weights of SEANet's decoder.
pub(super) struct SeaNet {
    first: Conv,
    stages: Vec<Stage>,
    last: Conv,
    memory: Memory,
}

/// Transposed convolution and the residual units after it.
struct Stage {
    up: Conv,
    units: Vec<Unit>,
}

struct Unit {
    narrow: Conv,
    widen: Conv,
}

/// Buffers of one pass through the stages.
#[derive(Default)]
pub(super) struct StageScratch {
    conv: ConvScratch,
    x: Vec<f32>,
    narrow: Vec<f32>,
    wide: Vec<f32>,
}

impl SeaNet {
    /// Reads the layers by transformers' names.
    pub(super) fn load(config: &MimiConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let vb = vb.pp("layers");
        let mut memory = Memory::default();
        let straight = |inputs, outputs, kernel, dilation| Shape { inputs, outputs, kernel, dilation };
        let mut width = config.filters << config.ratios.len();
        let first = straight(config.hidden, width, config.kernel_size, 1);
        let first = Conv::load(first, &vb.pp(0), &mut memory)?;
        let mut layer = 1;
        let mut stages = Vec::new();
        for &ratio in &config.ratios {
            let up = Conv::load_transposed(width, width / 2, ratio, &vb.pp(layer + 1), &mut memory)?.activated();
            width /= 2;
            layer += 2;
            let mut units = Vec::new();
            let mut dilation = 1;
            for _ in 0..config.residual_layers {
                let (inner, vb) = (width / config.compress, vb.pp(layer).pp("block"));
                let narrow = straight(width, inner, config.residual_kernel_size, dilation);
                let narrow = Conv::load(narrow, &vb.pp(1), &mut memory)?.activated();
                let widen = Conv::load(straight(inner, width, 1, 1), &vb.pp(3), &mut memory)?.activated();
                units.push(Unit { narrow, widen });
                dilation *= config.dilation_growth;
                layer += 1;
            }
            stages.push(Stage { up, units });
        }
        let last = straight(width, 1, config.last_kernel_size, 1);
        let last = Conv::load(last, &vb.pp(layer + 1), &mut memory)?.activated();
        Ok(Self { first, stages, last, memory })
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        let stages = self.stages.iter().flat_map(|stage| {
            let units = stage.units.iter().flat_map(|unit| [&unit.narrow, &unit.widen]);
            units.chain([&stage.up])
        });
        stages.chain([&self.first, &self.last]).map(Conv::bytes).sum()
    }

    /// Returns the sizes of a signal's past.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Runs the first layers for all signals at once: latents `(steps, hidden)` become the stages'
    /// signal in `scratch.x`.
    pub(super) fn begin(&self, pool: &Pool, signals: &mut [Signal<'_>], latents: &[f32], scratch: &mut StageScratch) {
        self.first.forward(pool, signals, latents, &mut scratch.conv, &mut scratch.x);
        for stage in self.stages.iter().take(SHARED_STAGES) {
            stage.forward(pool, signals, scratch);
        }
    }

    /// Runs the other layers for one signal: its output of [`SeaNet::begin`], `(steps, channels)`,
    /// becomes samples.
    pub(super) fn finish(
        &self,
        pool: &Pool,
        signal: &mut Signal<'_>,
        x: &[f32],
        scratch: &mut StageScratch,
    ) -> Vec<f32> {
        let mut pcm = Vec::with_capacity(signal.frames * FRAME_SAMPLES);
        let mut samples = Vec::new();
        for x in x.chunks_exact(x.len() / signal.frames) {
            let mut frame = [Signal { histories: &mut *signal.histories, frames: 1 }];
            scratch.x.clear();
            scratch.x.extend_from_slice(x);
            for stage in self.stages.iter().skip(SHARED_STAGES) {
                stage.forward(pool, &mut frame, scratch);
            }
            self.last.forward(pool, &mut frame, &scratch.x, &mut scratch.conv, &mut samples);
            pcm.extend_from_slice(&samples);
        }
        pcm
    }
}

impl Stage {
    /// Runs the stage on `scratch.x` in place.
    fn forward(&self, pool: &Pool, signals: &mut [Signal<'_>], scratch: &mut StageScratch) {
        let StageScratch { conv, x, narrow, wide } = scratch;
        self.up.forward(pool, signals, x, conv, wide);
        std::mem::swap(x, wide);
        for unit in &self.units {
            unit.narrow.forward(pool, signals, x, conv, narrow);
            unit.widen.forward(pool, signals, narrow, conv, wide);
            add(x, wide);
        }
    }
}

impl StageScratch {
    /// Returns the output of the last pass.
    pub(super) fn signal(&self) -> &[f32] {
        &self.x
    }
}
