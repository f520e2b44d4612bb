//! Compiles the CUDA kernels.

#[cfg(not(feature = "cuda"))]
fn main() {}

/// Compiles the kernels to `OUT_DIR/step.ptx` for CUDA_COMPUTE_CAP, as candle compiles its own.
#[cfg(feature = "cuda")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let source = "src/model/tensor/graph/step.cu";
    cudaforge::KernelBuilder::new().source_files([source]).args(["-O3", "-std=c++17"]).build_ptx()?;
    Ok(())
}
