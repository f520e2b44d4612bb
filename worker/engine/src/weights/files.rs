//! Reading of weight files. Tensors that are repacked are read one at a time; tensors that are used
//! as stored are mapped.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use candle_core::safetensors::MmapedSafetensors;
use candle_core::{Device, Tensor};
use safetensors::tensor::{Metadata, TensorInfo};

use super::WeightsError;

/// Longest header that the format allows, in bytes.
const MAX_HEADER_BYTES: u64 = 100_000_000;

/// Safetensors files whose tensors are read one by one, so that memory holds only the tensor being
/// packed.
pub(crate) struct TensorFiles {
    files: Vec<OneFile>,
}

struct OneFile {
    path: PathBuf,
    file: File,
    /// Offset of the tensors' bytes.
    start: u64,
    metadata: Metadata,
}

impl TensorFiles {
    /// Reads the headers and checks that the files have the length that the headers give.
    pub(crate) fn open(paths: &[PathBuf]) -> Result<Self, WeightsError> {
        Ok(Self { files: paths.iter().map(|path| OneFile::open(path)).collect::<Result<_, _>>()? })
    }

    /// Returns format, shape and offsets of a tensor.
    pub(crate) fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.files.iter().find_map(|file| file.metadata.info(name))
    }

    /// Reads a tensor in its stored format, to the CPU.
    pub(crate) fn read(&self, name: &str) -> Result<Tensor, WeightsError> {
        let found = self.files.iter().find_map(|file| Some((file, file.metadata.info(name)?)));
        let Some((file, info)) = found else {
            return Err(candle_core::Error::msg(format!("{name} is missing")).into());
        };
        let (start, end) = info.data_offsets;
        let mut bytes = vec![0; end.saturating_sub(start)];
        file.file.read_exact_at(&mut bytes, file.start + start as u64).map_err(|error| failed(&file.path, &error))?;
        Ok(Tensor::from_raw_buffer(&bytes, info.dtype.try_into()?, &info.shape, &Device::Cpu)?)
    }
}

impl OneFile {
    fn open(path: &Path) -> Result<Self, WeightsError> {
        let wrong = |reason: String| WeightsError::File { path: path.into(), reason };
        let file = File::open(path).map_err(|error| failed(path, &error))?;
        let length = file.metadata().map_err(|error| failed(path, &error))?.len();
        let mut size = [0; 8];
        file.read_exact_at(&mut size, 0).map_err(|error| failed(path, &error))?;
        let size = u64::from_le_bytes(size);
        let start = size.saturating_add(8);
        if size > MAX_HEADER_BYTES || start > length {
            return Err(wrong(format!("no safetensors file: a header of {size} bytes in a file of {length}")));
        }
        let mut header = vec![0; size as usize];
        file.read_exact_at(&mut header, 8).map_err(|error| failed(path, &error))?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| wrong(format!("no safetensors header: {error}")))?;
        let expected = start + metadata.data_len() as u64;
        if expected != length {
            return Err(wrong(format!("{length} bytes, while its header speaks of {expected}")));
        }
        Ok(Self { path: path.into(), file, start, metadata })
    }
}

fn failed(path: &Path, error: &std::io::Error) -> WeightsError {
    WeightsError::File { path: path.into(), reason: error.to_string() }
}

/// Maps safetensors files read-only.
pub fn map(files: &[PathBuf]) -> Result<MmapedSafetensors, WeightsError> {
    for path in files {
        File::open(path).map_err(|error| failed(path, &error))?;
    }
    #[expect(unsafe_code, reason = "mapping 6 GB beats reading it twice; model files are never written in place")]
    // SAFETY: the mapping is undefined behaviour only if another process changes the file under it.
    // Folders that this project or the hub's cache writes are renamed into place when complete. A
    // folder of the operator's own must not be changed while a worker runs.
    let mapped = unsafe { MmapedSafetensors::multi(files) };
    mapped.map_err(|error| {
        let path = files.first().cloned().unwrap_or_default();
        WeightsError::File { path, reason: error.to_string() }
    })
}
