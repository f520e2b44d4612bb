//! CSM-1B over slots: the threads that own the model and the codec, the two forward passes, and Mimi.
//!
//! Reading order: the engine ([`engine`]), the steps that it takes ([`model`], [`codec`]), the files below both
//! ([`weights`]), random checkpoints for tests ([`random_model`]), and traces against the reference ([`trace`]).

pub mod codec;
pub mod engine;
pub mod model;
pub mod weights;

pub mod random_model;
pub mod trace;
