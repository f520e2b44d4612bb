//! What the weights are held in.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

/// Number format of the matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WeightFormat {
    /// 32-bit floats: the reference for every other format, and the slowest.
    F32,
    /// 16-bit floats with the exponent of f32, as the checkpoint was trained. CUDA only.
    Bf16,
    /// 8 bits and a scale for every 32 weights (GGUF's Q8_0), 1.0625 bytes a weight.
    Q8_0,
    /// 4 bits with nested scales (GGUF's Q4_K), 0.5625 bytes a weight. CPU only.
    Q4K,
}

/// A format, or the one that suits the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightChoice {
    /// bf16 on CUDA, Q8_0 on the CPU.
    #[default]
    Auto,
    /// This one.
    Format(WeightFormat),
}

impl WeightFormat {
    /// All formats.
    pub const ALL: [Self; 4] = [Self::F32, Self::Bf16, Self::Q8_0, Self::Q4K];

    /// The format's name, as it is written on the command line.
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

impl WeightChoice {
    /// The format for `device`.
    ///
    /// # Errors
    /// The device does not have the format; the sentence says which it has.
    pub fn on(self, device: &Device) -> Result<WeightFormat, String> {
        use WeightFormat::{Bf16, F32, Q4K, Q8_0};
        let (place, auto, known): (_, _, &[_]) =
            if device.is_cpu() { ("the CPU", Q8_0, &[F32, Q8_0, Q4K]) } else { ("CUDA", Bf16, &[F32, Bf16, Q8_0]) };
        match self {
            Self::Auto => Ok(auto),
            Self::Format(format) if known.contains(&format) => Ok(format),
            Self::Format(format) => {
                let known = known.iter().map(|format| format.name()).collect::<Vec<_>>().join(", ");
                Err(format!("{place} holds weights as {known}, not as {format}"))
            }
        }
    }
}

impl fmt::Display for WeightFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for WeightChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Format(format) => format.fmt(f),
        }
    }
}

impl FromStr for WeightFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|format| format.name() == text);
        known.ok_or_else(|| format!("{text:?} is none of f32, bf16, q8_0, q4_k"))
    }
}

impl FromStr for WeightChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { Ok(Self::Format(text.parse()?)) }
    }
}
