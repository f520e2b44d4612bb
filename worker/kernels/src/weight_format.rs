//! Number formats of weight matrices.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// Number format of the matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case", parse_err_fn = unknown, parse_err_ty = String)]
pub enum WeightFormat {
    /// 32-bit floats: the reference for every other format, and the slowest.
    F32,
    /// 16-bit floats with the exponent of f32, as the model was trained. CUDA only.
    Bf16,
    /// 8 bits and a scale for every 32 weights (GGUF's Q8_0), 1.0625 bytes a weight.
    #[strum(serialize = "q8_0")]
    Q8_0,
    /// 4 bits with nested scales (GGUF's Q4_K), 0.5625 bytes a weight. CPU only.
    #[strum(serialize = "q4_k")]
    Q4K,
}

impl WeightFormat {
    /// All formats.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the format's name, as it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Refuses a name that no variant of [`WeightFormat`] has.
fn unknown(text: &str) -> String {
    format!("{text:?} is none of f32, bf16, q8_0, q4_k")
}
