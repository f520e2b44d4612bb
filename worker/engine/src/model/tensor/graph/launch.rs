//! Launches of the kernels of `step.cu`.

use std::ffi::c_void;
use std::ptr;

use candle_core::Result;
use candle_core::cuda_backend::cudarc::driver::sys;
use candle_core::cuda_backend::{CudaDevice, WrapErr as _};

/// The kernels, compiled by this crate's build script.
const STEP: &str = include_str!(concat!(env!("OUT_DIR"), "/step.ptx"));

/// Compute capability from which programmatic dependent launch exists: a kernel's blocks may start
/// before its predecessor has ended.
const STARTS_EARLY: i32 = 9;

/// Bytes of shared memory that a block gets without a request, less those of the kernels' fixed
/// arrays.
const GIVEN_BYTES: usize = 40 * 1024;

/// Launcher of the kernels, in the device's own stream.
pub(super) struct Kernels<'a> {
    device: &'a CudaDevice,
    /// Whether kernels start before their predecessors have ended. Such kernels wait for their
    /// inputs themselves.
    early: bool,
}

impl<'a> Kernels<'a> {
    pub(super) fn new(device: &'a CudaDevice) -> Result<Self> {
        let (major, _) = device.cuda_stream().context().compute_capability().w()?;
        Ok(Self { device, early: major >= STARTS_EARLY })
    }

    /// Launches `name` in a grid of (x, y) blocks. Each parameter is given by its bits, smaller
    /// ones in the low half.
    #[expect(unsafe_code, reason = "a launch: the driver reads as many parameters as the kernel has")]
    pub(super) fn launch(
        &self,
        name: &str,
        grid: (usize, usize),
        threads: u32,
        shared_bytes: usize,
        parameters: &[u64],
    ) -> Result<()> {
        let kernel = self.device.get_or_load_custom_func(name, "step", STEP)?;
        if shared_bytes > GIVEN_BYTES {
            let bytes = i32::try_from(shared_bytes).unwrap_or(i32::MAX);
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            kernel.set_attribute(attribute, bytes).w()?;
        }
        let mut early = sys::CUlaunchAttribute {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
        };
        let size = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let config = sys::CUlaunchConfig {
            gridDimX: size(grid.0),
            gridDimY: size(grid.1),
            gridDimZ: 1,
            blockDimX: threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: size(shared_bytes),
            hStream: self.device.cuda_stream().cu_stream(),
            attrs: &raw mut early,
            numAttrs: u32::from(self.early),
        };
        let mut values = parameters.to_vec();
        let mut addresses: Vec<*mut c_void> = values.iter_mut().map(|value| ptr::from_mut(value).cast()).collect();
        // SAFETY: the callers in `capture.rs` give each kernel the parameters that `step.cu`
        // declares. The addresses are those of memory that lives as long as the graphs and is as
        // large as the kernel's comment says.
        unsafe {
            sys::cuLaunchKernelEx(&raw const config, kernel.cu_function(), addresses.as_mut_ptr(), ptr::null_mut())
        }
        .result()
        .w()
    }
}
