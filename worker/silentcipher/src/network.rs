//! Gated convolutions over time and frequency, one frame at a time.
//!
//! A layer is `norm(conv(x) * sigmoid(gate(x)))`. Both convolutions are one matrix product of
//! candle, with the weights side by side. The same call makes every frame of the output from three
//! frames of the input. The output therefore has the same bits however the frames arrive, and each
//! layer holds only two frames.

use std::collections::VecDeque;

use candle_core::{Device, Storage, Tensor, bail};

use super::BnMode;
use csm_kernels::rowwise::gated;

/// Frame of a feature map: (channels, rows), a channel's rows side by side.
pub(super) type Frame = Vec<f32>;

/// Term added to a variance before its root is taken.
const EPS: f64 = 1e-5;

/// Parameters of a BatchNorm, one value for each channel.
pub(super) struct BatchNorm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    pub(super) mean: Vec<f32>,
    pub(super) variance: Vec<f32>,
}

/// Gated convolution with its normalisation.
pub(super) struct GatedConv {
    /// Weights, (2 outputs, inputs * kernel^2): the convolution's rows, then the gate's.
    weight: Tensor,
    /// Biases: the convolution's, then the gate's.
    bias: Vec<f32>,
    norm: BatchNorm,
    inputs: usize,
    outputs: usize,
    /// Width of the kernel: 1 or 3.
    kernel: usize,
}

/// Sums over a clip, by channel.
struct Moments {
    sums: Vec<f64>,
    squares: Vec<f64>,
    count: usize,
}

impl GatedConv {
    /// Builds a layer. `weight` is (2 outputs, inputs, kernel, kernel), the convolution's part
    /// first; the kernel is 1 or 3.
    pub(super) fn new(weight: &Tensor, bias: Vec<f32>, norm: BatchNorm) -> candle_core::Result<Self> {
        let (doubled, inputs, kernel, _) = weight.dims4()?;
        let weight = weight.reshape((doubled, inputs * kernel * kernel))?.contiguous()?;
        Ok(Self { weight, bias, norm, inputs, outputs: doubled / 2, kernel })
    }

    /// Computes the gated convolution before its normalisation. A missing frame counts as zeros.
    fn gated(&self, before: Option<&Frame>, here: &Frame, after: Option<&Frame>) -> candle_core::Result<Frame> {
        let rows = here.len() / self.inputs;
        let columns = if self.kernel == 1 { here.clone() } else { unfold([before, Some(here), after], rows) };
        let depth = self.inputs * self.kernel * self.kernel;
        let product = self.weight.matmul(&Tensor::from_vec(columns, (depth, rows), &Device::Cpu)?)?;
        let (storage, _) = product.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("a product of the CPU is not on the CPU") };
        let (values, gates) = storage.as_slice::<f32>()?.split_at(self.outputs * rows);
        let mut out = vec![0.0; self.outputs * rows];
        for (channel, out) in out.chunks_exact_mut(rows).enumerate() {
            let part = channel * rows..(channel + 1) * rows;
            let bias = [self.bias[channel], self.bias[self.outputs + channel]];
            gated(&values[part.clone()], &gates[part], bias, out);
        }
        Ok(out)
    }

    fn normalise(&self, frame: &mut Frame, mean: &[f32], variance: &[f32]) {
        let rows = frame.len() / self.outputs;
        for (channel, values) in frame.chunks_exact_mut(rows).enumerate() {
            let scale = self.norm.weight[channel] / (f64::from(variance[channel]) + EPS).sqrt() as f32;
            let shift = self.norm.bias[channel] - mean[channel] * scale;
            values.iter_mut().for_each(|value| *value = *value * scale + shift);
        }
    }

    /// Computes a whole clip, normalised by its own statistics. Input frames are freed after their
    /// last use.
    fn batch(&self, mut frames: Vec<Frame>) -> candle_core::Result<Vec<Frame>> {
        let mut moments = Moments { sums: vec![0.0; self.outputs], squares: vec![0.0; self.outputs], count: 0 };
        let mut out = Vec::with_capacity(frames.len());
        for at in 0..frames.len() {
            let before = at.checked_sub(1);
            let frame = self.gated(before.map(|before| &frames[before]), &frames[at], frames.get(at + 1))?;
            moments.add(&frame, self.outputs);
            out.push(frame);
            if let Some(before) = before {
                frames[before] = Frame::new();
            }
        }
        let (mean, variance) = moments.finish();
        out.iter_mut().for_each(|frame| self.normalise(frame, &mean, &variance));
        Ok(out)
    }

    fn running(&self, before: Option<&Frame>, here: &Frame, after: Option<&Frame>) -> candle_core::Result<Frame> {
        let mut frame = self.gated(before, here, after)?;
        self.normalise(&mut frame, &self.norm.mean, &self.norm.variance);
        Ok(frame)
    }
}

impl Moments {
    fn add(&mut self, frame: &Frame, channels: usize) {
        let rows = frame.len() / channels;
        self.count += rows;
        for (channel, values) in frame.chunks_exact(rows).enumerate() {
            for &value in values {
                self.sums[channel] += f64::from(value);
                self.squares[channel] += f64::from(value).powi(2);
            }
        }
    }

    /// Returns mean and biased variance.
    fn finish(self) -> (Vec<f32>, Vec<f32>) {
        let count = self.count.max(1) as f64;
        let mean = |sum: f64| sum / count;
        let pairs = self.sums.iter().zip(&self.squares);
        let variance = pairs.map(|(&sum, &square)| (mean(square) - mean(sum).powi(2)).max(0.0) as f32).collect();
        (self.sums.iter().map(|&sum| mean(sum) as f32).collect(), variance)
    }
}

/// Returns the frames' values in the order of the weights, (channels * 9, rows): by channel, then
/// by row -1, 0, 1, then by frame.
fn unfold(frames: [Option<&Frame>; 3], rows: usize) -> Vec<f32> {
    let channels = frames[1].map_or(0, |frame| frame.len() / rows);
    let mut columns = vec![0.0; channels * 9 * rows];
    for (at, column) in columns.chunks_exact_mut(rows).enumerate() {
        let (channel, shift, frame) = (at / 9, at / 3 % 3, frames[at % 3]);
        let Some(frame) = frame else { continue };
        let values = &frame[channel * rows..(channel + 1) * rows];
        match shift {
            0 => column[1..].copy_from_slice(&values[..rows - 1]),
            1 => column.copy_from_slice(values),
            _ => column[..rows - 1].copy_from_slice(&values[1..]),
        }
    }
    columns
}

/// Stack of layers, one after another.
pub(super) struct ConvStack {
    layers: Vec<GatedConv>,
}

/// State of a [`ConvStack`] between frames: the last two input frames of each layer.
pub(super) struct ConvStackState(Vec<VecDeque<Frame>>);

impl ConvStack {
    pub(super) fn new(layers: Vec<GatedConv>) -> Self {
        Self { layers }
    }

    /// Returns the number of frames, and of rows, to either side on which a value depends.
    /// [`ConvStack::push`] lags behind by as many frames.
    pub(super) fn context(&self) -> usize {
        self.layers.iter().filter(|layer| layer.kernel == 3).count()
    }

    /// Computes the output of a whole clip.
    pub(super) fn whole(&self, mut frames: Vec<Frame>, mode: BnMode) -> candle_core::Result<Vec<Frame>> {
        if mode == BnMode::Batch {
            for layer in &self.layers {
                frames = layer.batch(frames)?;
            }
            return Ok(frames);
        }
        let mut state = self.begin();
        let mut out = Vec::with_capacity(frames.len());
        for frame in frames {
            out.extend(self.push(&mut state, frame)?);
        }
        out.append(&mut self.finish(state)?);
        Ok(out)
    }

    /// Begins a stream with running statistics.
    pub(super) fn begin(&self) -> ConvStackState {
        ConvStackState(self.layers.iter().map(|_| VecDeque::new()).collect())
    }

    /// Takes the next frame. Returns the output of the frame [`ConvStack::context`] frames earlier,
    /// if there is one.
    pub(super) fn push(&self, state: &mut ConvStackState, frame: Frame) -> candle_core::Result<Option<Frame>> {
        self.push_from(0, state, frame)
    }

    fn push_from(&self, first: usize, state: &mut ConvStackState, frame: Frame) -> candle_core::Result<Option<Frame>> {
        let mut frame = frame;
        for (layer, held) in self.layers.iter().zip(&mut state.0).skip(first) {
            if layer.kernel == 1 {
                frame = layer.running(None, &frame, None)?;
                continue;
            }
            let made = match (held.front(), held.back()) {
                (None, _) | (_, None) => None,
                (Some(before), Some(here)) => {
                    Some(layer.running((held.len() == 2).then_some(before), here, Some(&frame))?)
                }
            };
            if held.len() == 2 {
                held.pop_front();
            }
            held.push_back(frame);
            let Some(made) = made else { return Ok(None) };
            frame = made;
        }
        Ok(Some(frame))
    }

    /// Returns the last frames of a stream.
    pub(super) fn finish(&self, mut state: ConvStackState) -> candle_core::Result<Vec<Frame>> {
        let mut out = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let held = std::mem::take(&mut state.0[at]);
            let Some(here) = held.back() else { continue };
            let last = layer.running((held.len() == 2).then(|| &held[0]), here, None)?;
            out.extend(self.push_from(at + 1, &mut state, last)?);
        }
        Ok(out)
    }
}
