//! What whole-system tests, soak runs and benchmarks share: the programs as processes, a TCP proxy that breaks connections
//! on purpose, and the soak run itself. The tests are in `it/`.

pub mod process;
pub mod proxy;
pub mod soak;
