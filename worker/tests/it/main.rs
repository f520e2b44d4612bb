//! Integration tests of the worker: golden values of the reference implementation, and attempts on
//! a real Redis.

mod golden;
mod live;
mod voices;
