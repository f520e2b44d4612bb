//! Choice of a device, as written on the command line, and the opening of the device.

use std::fmt;
use std::str::FromStr;

use candle_core::Device;

use super::error::EngineError;

/// Device for the model, written as `cpu`, `cuda`, `cuda:1` or `auto`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeviceChoice {
    /// The CPU.
    Cpu,
    /// The CUDA device of this index; it is an error if the device does not exist.
    Cuda(usize),
    /// The first CUDA device if this build and this host have one, else the CPU.
    #[default]
    Auto,
}

impl DeviceChoice {
    /// Opens the device. Call it on the thread that will use the device.
    pub(super) fn open(self) -> Result<Device, EngineError> {
        let cuda = |index| Device::new_cuda(index).map_err(|error| EngineError::Start(format!("CUDA: {error}")));
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda(index) => cuda(index),
            Self::Auto if !candle_core::utils::cuda_is_available() => Ok(Device::Cpu),
            Self::Auto => cuda(0).or_else(|error| {
                tracing::warn!(error = %error, "cannot open CUDA device, using CPU");
                Ok(Device::Cpu)
            }),
        }
    }
}

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "auto" => Ok(Self::Auto),
            other => other
                .strip_prefix("cuda:")
                .and_then(|index| index.parse().ok())
                .map(Self::Cuda)
                .ok_or_else(|| format!("{other:?} is none of cpu, cuda, cuda:N, auto")),
        }
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
            Self::Auto => f.write_str("auto"),
        }
    }
}
