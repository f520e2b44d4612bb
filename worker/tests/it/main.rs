//! The worker against the outside world: golden values of the reference implementation.

mod golden;
