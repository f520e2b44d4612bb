//! Number formats of weight matrices.

use std::fmt;
use std::str::FromStr;

/// Number format of the matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// 32-bit floats: the reference for every other format, and the slowest.
    F32,
    /// 16-bit floats with the exponent of f32, as the model was trained. CUDA only.
    Bf16,
    /// 8 bits and a scale for every 32 weights (GGUF's Q8_0), 1.0625 bytes a weight.
    Q8_0,
    /// 4 bits with nested scales (GGUF's Q4_K), 0.5625 bytes a weight. CPU only.
    Q4K,
}

impl WeightFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::F32, Self::Bf16, Self::Q8_0, Self::Q4K];

    /// Returns the format's name, as it is written on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::Q8_0 => "q8_0",
            Self::Q4K => "q4_k",
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for WeightFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| format!("{text:?} is none of f32, bf16, q8_0, q4_k"))
    }
}
