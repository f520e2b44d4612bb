//! Causal convolutions over time-major signals, plain and transposed, as one matrix product each.
//!
//! A signal is (steps, channels). The window of a step is the last `kernel` steps up to it, which
//! are adjacent in memory. A convolution is therefore a product with overlapping rows. A transposed
//! convolution of stride `s` and kernel `2 s` is a convolution of kernel 2 whose output rows hold
//! `s` steps each. Its state is the last input step, and no unfinished output is carried over.

use candle_core::Result;
use candle_nn::VarBuilder;

use super::numbers;
use crate::codec::PACKING_THREADS;
use csm_kernels::WeightFormat;
use csm_kernels::rowwise::{add_bias, elu};
use csm_kernels::{Matrix, Pool};

/// Sizes of the convolutions' pasts: for each convolution the number of floats.
#[derive(Default)]
pub(super) struct Memory(Vec<usize>);

/// Part of one utterance in a call.
pub(super) struct Signal<'a> {
    /// Last input steps of every convolution, by its index.
    pub(super) histories: &'a mut [Vec<f32>],
    /// Frames of this call.
    pub(super) frames: usize,
}

/// Buffers between two layers; their content means nothing to the next call.
#[derive(Default)]
pub(super) struct ConvScratch {
    padded: Vec<f32>,
    windows: Vec<f32>,
}

/// Shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    /// Channels of the input.
    pub(super) inputs: usize,
    /// Channels of the output.
    pub(super) outputs: usize,
    /// Input steps that one output step depends on.
    pub(super) kernel: usize,
    /// Distance between these input steps.
    pub(super) dilation: usize,
}

/// Convolution with a state for each signal.
pub(super) struct Conv {
    weight: Matrix,
    bias: Vec<f32>,
    shape: Shape,
    activated: bool,
    index: usize,
}

impl Memory {
    /// Returns a silent past for every convolution.
    pub(super) fn histories(&self) -> Vec<Vec<f32>> {
        self.0.iter().map(|&floats| vec![0.0; floats]).collect()
    }

    /// Returns the floats of one signal's past.
    pub(super) fn floats(&self) -> usize {
        self.0.iter().sum()
    }

    fn add(&mut self, shape: Shape) -> usize {
        self.0.push(shape.remembered());
        self.0.len() - 1
    }
}

impl Shape {
    /// Returns the number of input floats that the next call needs again.
    fn remembered(self) -> usize {
        (self.kernel - 1) * self.dilation * self.inputs
    }
}

impl Conv {
    /// Reads a convolution with `weight (outputs, inputs, kernel)` and `bias (outputs)`.
    pub(super) fn load(shape: Shape, vb: &VarBuilder<'_>, memory: &mut Memory) -> Result<Self> {
        let Shape { inputs, outputs, kernel, .. } = shape;
        let vb = vb.pp("conv");
        let weight = numbers(&vb, "weight", &[outputs, inputs, kernel])?;
        let mut windows = vec![0.0; weight.len()];
        for (row, weight) in windows.chunks_exact_mut(kernel * inputs).zip(weight.chunks_exact(inputs * kernel)) {
            for (step, row) in row.chunks_exact_mut(inputs).enumerate() {
                for (input, value) in row.iter_mut().enumerate() {
                    *value = weight[input * kernel + step];
                }
            }
        }
        let bias = numbers(&vb, "bias", &[outputs])?;
        Self::new(shape, &windows, bias, memory)
    }

    /// Reads a transposed convolution with `weight (inputs, outputs, 2 * stride)` and
    /// `bias (outputs)`; its output rows hold `stride` steps each.
    pub(super) fn load_transposed(
        inputs: usize,
        outputs: usize,
        stride: usize,
        vb: &VarBuilder<'_>,
        memory: &mut Memory,
    ) -> Result<Self> {
        let vb = vb.pp("conv");
        let weight = numbers(&vb, "weight", &[inputs, outputs, 2 * stride])?;
        let rows = stride * outputs;
        let mut windows = vec![0.0; rows * 2 * inputs];
        for (row, window) in windows.chunks_exact_mut(2 * inputs).enumerate() {
            let (step, output) = (row / outputs, row % outputs);
            let (previous, current) = window.split_at_mut(inputs);
            for input in 0..inputs {
                let taps = &weight[(input * outputs + output) * 2 * stride..][..2 * stride];
                current[input] = taps[step];
                previous[input] = taps[step + stride];
            }
        }
        let bias = numbers(&vb, "bias", &[outputs])?.repeat(stride);
        Self::new(Shape { inputs, outputs: rows, kernel: 2, dilation: 1 }, &windows, bias, memory)
    }

    fn new(shape: Shape, windows: &[f32], bias: Vec<f32>, memory: &mut Memory) -> Result<Self> {
        let weight =
            Matrix::new(WeightFormat::F32, windows, shape.outputs, shape.kernel * shape.inputs, PACKING_THREADS)?;
        Ok(Self { weight, bias, shape, activated: false, index: memory.add(shape) })
    }

    /// Returns the same convolution with ELU before it.
    pub(super) fn activated(self) -> Self {
        Self { activated: true, ..self }
    }

    /// Returns the bytes of the weights.
    pub(super) fn bytes(&self) -> usize {
        self.weight.bytes() + size_of_val(self.bias.as_slice())
    }

    /// Convolves `x (steps, inputs)` of all signals, one after the other, to `y (steps, outputs)`.
    pub(super) fn forward(
        &self,
        pool: &Pool,
        signals: &mut [Signal<'_>],
        x: &[f32],
        scratch: &mut ConvScratch,
        y: &mut Vec<f32>,
    ) {
        let Shape { inputs, outputs, kernel, dilation } = self.shape;
        let ConvScratch { padded, windows } = scratch;
        let steps = x.len() / inputs;
        self.pad(signals, x, padded);
        y.resize(steps * outputs, 0.0);
        if kernel == 1 || (signals.len() == 1 && dilation == 1) {
            self.weight.apply(pool, padded, inputs, steps, y);
        } else {
            self.gather(signals, steps, padded, windows);
            self.weight.apply(pool, windows, kernel * inputs, steps, y);
        }
        add_bias(y, &self.bias);
    }

    /// Writes each signal's activated input after its past to `padded`, and keeps the end as the
    /// new past.
    fn pad(&self, signals: &mut [Signal<'_>], x: &[f32], padded: &mut Vec<f32>) {
        let per_frame = x.len() / frames(signals);
        padded.resize(x.len() + signals.len() * self.shape.remembered(), 0.0);
        let (mut x, mut padded) = (x, padded.as_mut_slice());
        for signal in signals {
            let history = &mut signal.histories[self.index];
            let (now, later) = x.split_at(signal.frames * per_frame);
            let (row, rows) = padded.split_at_mut(history.len() + now.len());
            let (past, new) = row.split_at_mut(history.len());
            past.copy_from_slice(history);
            if self.activated {
                elu(now, new);
            } else {
                new.copy_from_slice(now);
            }
            let kept = row.len() - history.len();
            history.copy_from_slice(&row[kept..]);
            (x, padded) = (later, rows);
        }
    }

    /// Copies every step's window, so that signals that are not adjacent in memory share one
    /// product.
    fn gather(&self, signals: &[Signal<'_>], steps: usize, padded: &[f32], windows: &mut Vec<f32>) {
        let Shape { inputs, kernel, dilation, .. } = self.shape;
        let per_frame = steps / frames(signals);
        windows.clear();
        let mut start = 0;
        for signal in signals {
            let now = signal.frames * per_frame;
            for step in 0..now {
                for tap in 0..kernel {
                    let from = start + (step + tap * dilation) * inputs;
                    windows.extend_from_slice(&padded[from..from + inputs]);
                }
            }
            start += self.shape.remembered() + now * inputs;
        }
    }
}

fn frames(signals: &[Signal<'_>]) -> usize {
    signals.iter().map(|signal| signal.frames).sum()
}
