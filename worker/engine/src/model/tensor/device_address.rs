//! Addresses of tensors and buffers on a CUDA device.

use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr as _};
use candle_core::{DType, Result, Storage, Tensor};
use half::bf16;

/// Returns the device address of a buffer.
pub(super) fn address_of<T>(buffer: &CudaSlice<T>) -> u64 {
    // The guard would record an event for other streams; there are none.
    buffer.device_ptr(buffer.stream()).0
}

/// Returns the device address of a tensor's first entry.
pub(super) fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else { candle_core::bail!("the tensor is not on CUDA") };
    let start = match tensor.dtype() {
        DType::BF16 => address_of(storage.as_cuda_slice::<bf16>()?),
        DType::F32 => address_of(storage.as_cuda_slice::<f32>()?),
        other => candle_core::bail!("no kernel reads {other:?}"),
    };
    Ok(start + (layout.start_offset() * tensor.dtype().size_in_bytes()) as u64)
}
