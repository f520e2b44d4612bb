//! CPU kernels: packed matrices, the threads that share them, and the small functions between
//! products.
//!
//! A decoder that makes one frame after another is bound by the speed at which weights come from
//! memory. A matrix is therefore stored in the order in which it is read, and is read once for all
//! rows.
//!
//! Two rules hold for all kernels. An output depends only on its own row and on the weights, and
//! its terms are added in one fixed order. A row's result thus has the same bits alone or among
//! others, on one thread or many, and on every CPU with fused multiply-add.

pub mod attention;
mod huge_pages;
pub mod math;
mod matrix;
mod pool;
pub mod rowwise;
mod simd;
mod weight_format;

pub use matrix::Matrix;
pub use pool::{Pool, threads_or_all};
use simd::simd_fn;
pub use weight_format::WeightFormat;

#[cfg(test)]
mod tests;
