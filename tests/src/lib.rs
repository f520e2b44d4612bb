//! Nothing but tests lives in this crate: see `it/`.
