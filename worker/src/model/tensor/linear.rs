//! One weight matrix on the device, dense or quantised.

use candle_core::quantized::{GgmlDType, QMatMul, QTensor};
use candle_core::{DType, Device, Module as _, Result, Tensor};

use crate::model::WeightFormat;

/// Outputs are padded to a multiple of this, for which quantised kernels are made.
const PAD: usize = 16;

/// `(out, width)` weights.
pub(super) struct Linear {
    weight: Weight,
    out: usize,
    bytes: usize,
}

enum Weight {
    /// `(width, out)`, a view of the stored `(out, width)`.
    Dense(Tensor),
    Quantised(QMatMul),
}

impl Linear {
    /// Of a tensor `(out, width)` in f32 on the CPU.
    pub(super) fn new(format: WeightFormat, dtype: DType, device: &Device, weight: &Tensor) -> Result<Self> {
        let (out, width) = weight.dims2()?;
        let quantised = match format {
            WeightFormat::F32 | WeightFormat::Bf16 => None,
            WeightFormat::Q8_0 => Some(GgmlDType::Q8_0),
            WeightFormat::Q4K => Some(GgmlDType::Q4K),
        };
        let Some(kind) = quantised else {
            let weight = weight.to_dtype(dtype)?.to_device(device)?;
            let bytes = weight.elem_count() * dtype.size_in_bytes();
            return Ok(Self { weight: Weight::Dense(weight.t()?), out, bytes });
        };
        let block = kind.block_size();
        let padded = weight.pad_with_zeros(0, 0, out.next_multiple_of(PAD) - out)?.pad_with_zeros(
            1,
            0,
            width.next_multiple_of(block) - width,
        )?;
        let stored = QTensor::quantize_onto(&padded.contiguous()?, kind, device)?;
        let bytes = stored.storage_size_in_bytes();
        Ok(Self { weight: Weight::Quantised(QMatMul::from_qtensor(stored)?), out, bytes })
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// `x (rows, t, width)` to `(rows, t, out)`.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (rows, t, width) = x.dims3()?;
        let flat = x.reshape((rows * t, width))?;
        let y = match &self.weight {
            Weight::Dense(weight) => flat.matmul(weight)?,
            Weight::Quantised(weight) => {
                let QMatMul::QTensor(stored) = weight else {
                    return weight.forward(&flat)?.reshape((rows, t, self.out));
                };
                let padded = flat.pad_with_zeros(1, 0, stored.shape().dims2()?.1 - width)?;
                weight.forward(&padded.contiguous()?)?.narrow(1, 0, self.out)?.contiguous()?
            }
        };
        y.reshape((rows, t, self.out))
    }
}
