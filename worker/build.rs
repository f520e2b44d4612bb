//! Names this build by what it is made of. A job's codes are continued by the same build only, and a version number stands
//! for many.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// What the speech of a worker follows from, beside the model.
const SOURCES: [&str; 3] = ["src", "../shared/src", "../Cargo.lock"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut hasher = DefaultHasher::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        for file in files(Path::new(source))? {
            (file.to_string_lossy(), fs::read(&file)?).hash(&mut hasher);
        }
    }
    let mut features: Vec<_> = env::vars().filter(|(name, _)| name.starts_with("CARGO_FEATURE_")).collect();
    features.sort();
    (features, env::var("TARGET").ok()).hash(&mut hasher);
    let version = env::var("CARGO_PKG_VERSION").unwrap_or_default();
    println!("cargo::rustc-env=CSM_BUILD={version}+{:08x}", hasher.finish() as u32);
    #[cfg(feature = "cuda")]
    kernels()?;
    Ok(())
}

/// Compiles the kernels to `OUT_DIR/step.ptx` for CUDA_COMPUTE_CAP, as candle's own are.
#[cfg(feature = "cuda")]
fn kernels() -> Result<(), Box<dyn std::error::Error>> {
    let source = "src/model/tensor/graph/step.cu";
    cudaforge::KernelBuilder::new().source_files([source]).args(["-O3", "-std=c++17"]).build_ptx()?;
    Ok(())
}

/// A file, or all files below a folder, in the order of their names.
fn files(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries.iter().map(|entry| files(entry)).collect::<io::Result<Vec<_>>>()?.concat())
}
