//! The worker against the outside world: golden values of the reference implementation, and attempts on a real Redis.

mod golden;
mod live;
