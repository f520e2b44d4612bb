//! The CPU's kernels: packed matrices, the threads that share them, and the small functions between two products.
//!
//! A decoder that makes one frame after another is bound by the speed at which weights come from memory, so a matrix is
//! stored in the order in which it is read and is read once for all rows. Two rules hold everywhere here: an output
//! depends on its own row and the weights alone, and its terms are added in one fixed order. So a row's result is the same
//! bits alone or among others, on one thread or many, and on every CPU that has fused multiply-add.

pub mod attention;
mod format;
pub mod math;
mod matrix;
mod pages;
mod pool;
pub mod rowwise;
mod simd;

pub use format::WeightFormat;
pub use matrix::Matrix;
pub use pool::{Pool, threads_or_all};
use simd::simd_fn;

#[cfg(test)]
mod tests;
