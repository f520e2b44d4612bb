//! An embedding table: rows that are gathered and added up.

use candle_core::{DType, Result, Tensor};
use half::bf16;

/// Embedding table, `(rows, width)`.
pub(super) struct EmbeddingTable {
    values: Values,
    width: usize,
}

enum Values {
    F32(Vec<f32>),
    Bf16(Vec<bf16>),
}

impl EmbeddingTable {
    /// Builds the table from a tensor: bf16 stays bf16, any other format becomes f32.
    pub(super) fn new(table: &Tensor) -> Result<Self> {
        let (_, width) = table.dims2()?;
        let flat = table.flatten_all()?;
        let values = match flat.dtype() {
            DType::BF16 => Values::Bf16(flat.to_vec1()?),
            _ => Values::F32(flat.to_dtype(DType::F32)?.to_vec1()?),
        };
        Ok(Self { values, width })
    }

    pub(super) fn bytes(&self) -> usize {
        match &self.values {
            Values::F32(values) => size_of_val(&**values),
            Values::Bf16(values) => size_of_val(&**values),
        }
    }

    /// Adds row `index` to `sum`.
    pub(super) fn add(&self, index: usize, sum: &mut [f32]) {
        let range = index * self.width..(index + 1) * self.width;
        match &self.values {
            Values::F32(values) => sum.iter_mut().zip(&values[range]).for_each(|(sum, value)| *sum += value),
            Values::Bf16(values) => sum.iter_mut().zip(&values[range]).for_each(|(sum, value)| *sum += value.to_f32()),
        }
    }
}
