//! CSM-1B over slots: the threads that own the model and the codec, the two forward passes, and
//! Mimi.
//!
//! Reading order:
//!
//! - [`engine`]: the threads that own model and codec.
//! - [`model`], [`codec`]: the steps of an engine.
//! - [`weights`]: the files below both.
//! - [`random_model`]: random weights for tests.
//! - [`trace`]: traces against the reference.

pub mod codec;
pub mod engine;
pub mod model;
pub mod weights;

pub mod random_model;
pub mod trace;
