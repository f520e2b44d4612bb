//! The choice of a number format for a device.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;
pub use csm_kernels::WeightFormat;

/// Number format of the matrices, or the default of the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WeightChoice {
    /// The default of the device: bf16 on CUDA, Q8_0 on the CPU.
    #[default]
    Auto,
    /// The given format.
    Format(WeightFormat),
}

impl WeightChoice {
    /// Returns the format for `device`.
    ///
    /// # Errors
    /// The device does not support the format; the message names the formats that it supports.
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

impl fmt::Display for WeightChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Format(format) => format.fmt(f),
        }
    }
}

impl FromStr for WeightChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { Ok(Self::Format(text.parse()?)) }
    }
}
