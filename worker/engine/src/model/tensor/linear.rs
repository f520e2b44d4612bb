//! Weight matrix on the device, dense or quantised.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module as _, Result, Tensor};

use crate::model::WeightFormat;

/// Multiple to which the outputs of quantised matrices are padded: the kernels are made for it.
const PAD: usize = 16;
/// candle's type of [`WeightFormat::Q8_0`].
const KIND: GgmlDType = GgmlDType::Q8_0;
/// Multiple to which widths are padded on CUDA, because candle's kernel for many rows reads this
/// much at a time. Without padding the kernel would read unwritten memory beyond a shorter row.
const CUDA_WIDTHS: usize = 256;

/// Weight matrix, `(out, width)`.
pub(super) struct Linear {
    weight: Weight,
    out: usize,
    #[cfg_attr(not(feature = "cuda"), expect(dead_code, reason = "the kernels of CUDA ask for it"))]
    width: usize,
    bytes: usize,
}

enum Weight {
    /// Weights `(width, out)`, a view of the stored `(out, width)`.
    Dense(Tensor),
    /// Weights padded to whole blocks. `width` counts the padded inputs; the results of padded
    /// outputs are dropped.
    Quantised { weight: QMatMul, width: usize },
}

impl Linear {
    /// Converts a tensor `(out, width)`, in f32 on the CPU, to `format` on `device`.
    pub(super) fn new(format: WeightFormat, dtype: DType, device: &Device, weight: &Tensor) -> Result<Self> {
        let (out, width) = weight.dims2()?;
        match format {
            WeightFormat::F32 | WeightFormat::Bf16 => {
                let weight = weight.to_dtype(dtype)?.to_device(device)?;
                let bytes = weight.elem_count() * dtype.size_in_bytes();
                Ok(Self { weight: Weight::Dense(weight.t()?), out, width, bytes })
            }
            WeightFormat::Q8_0 => {
                let whole = if device.is_cpu() { KIND.block_size() } else { CUDA_WIDTHS };
                let padded = width.next_multiple_of(whole);
                let weight = weight.pad_with_zeros(0, 0, out.next_multiple_of(PAD) - out)?;
                let weight = weight.pad_with_zeros(1, 0, padded - width)?.contiguous()?;
                let stored = QTensor::quantize_onto(&weight, KIND, device)?;
                let bytes = stored.storage_size_in_bytes();
                let weight = Weight::Quantised { weight: QMatMul::from_qtensor(stored)?, width: padded };
                Ok(Self { weight, out, width, bytes })
            }
            WeightFormat::Q4K => candle_core::bail!("{format} is a format of the CPU's kernels"),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    #[cfg(feature = "cuda")]
    pub(super) fn outs(&self) -> usize {
        self.out
    }

    #[cfg(feature = "cuda")]
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// Returns the device address of the weights, which lie row by row.
    #[cfg(feature = "cuda")]
    pub(super) fn address(&self) -> Result<u64> {
        match &self.weight {
            Weight::Dense(weight) => super::device_address::address(weight),
            Weight::Quantised { weight: QMatMul::QTensor(stored), .. } => Ok(stored.device_ptr()? as u64),
            Weight::Quantised { .. } => candle_core::bail!("CANDLE_DEQUANTIZE_ALL is for the CPU: unset it"),
        }
    }

    /// Multiplies `x (rows, t, width)`; returns `(rows, t, out)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, t, width) = x.dims3()?;
        let flat = x.reshape((rows * t, width))?;
        let y = match &self.weight {
            Weight::Dense(weight) => flat.matmul(weight)?,
            // The weight is padded even if candle holds it as floats (`CANDLE_DEQUANTIZE_ALL`).
            Weight::Quantised { weight, width: padded } => {
                let padded = flat.pad_with_zeros(1, 0, padded - width)?;
                weight.forward(&padded.contiguous()?)?.narrow(1, 0, self.out)?.contiguous()?
            }
        };
        y.reshape((rows, t, self.out))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    /// candle holds a quantised matrix as floats if `CANDLE_DEQUANTIZE_ALL` is set.
    #[test]
    fn padding_is_not_heard_however_candle_holds_the_matrix() {
        let weight = Tensor::randn(0_f32, 1.0, (5, 40), &Device::Cpu).unwrap();
        let x = Tensor::randn(0_f32, 1.0, (2, 3, 40), &Device::Cpu).unwrap();
        let linear = |format| Linear::new(format, DType::F32, &Device::Cpu, &weight).unwrap();
        let (exact, mut quantised) = (linear(WeightFormat::F32), linear(WeightFormat::Q8_0));
        let expected = exact.forward(&x).unwrap();
        for _ in 0..2 {
            let made = quantised.forward(&x).unwrap();
            assert_eq!(made.dims(), [2, 3, 5]);
            let off = (made - &expected).unwrap().abs().unwrap().max_all().unwrap().to_scalar::<f32>().unwrap();
            assert!(off < 0.5, "{off}");
            if let Weight::Quantised { weight, .. } = &mut quantised.weight
                && let QMatMul::QTensor(stored) = weight
            {
                *weight = QMatMul::Tensor(stored.dequantize(&Device::Cpu).unwrap());
            }
        }
        let four = Linear::new(WeightFormat::Q4K, DType::F32, &Device::Cpu, &weight);
        assert!(four.is_err(), "refused, not taken for something else");
    }
}
