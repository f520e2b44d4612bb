//! Gateway from outside: real sockets, a real Redis, a folder store, and workers driven by tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod app;
mod flac;
mod nonsense;
mod proxy;
mod sockets;
mod speech;
mod worker;

mod admin;
mod admission;
mod audio;
mod backlog;
mod bad_input;
mod base64_forms;
mod batches;
mod browsers;
mod cancel;
mod cartesia;
mod crowds;
mod deepgram;
mod detect;
mod drain;
mod elevenlabs;
mod events;
mod faults;
mod generate;
mod holdings;
mod jobs;
mod openai;
mod problems;
mod process;
mod provenance;
mod realtime;
mod recordings;
mod repeat;
mod requests_seen;
mod scaler;
mod stream;
mod tenants;
mod terms;
mod warnings;
mod ws;
mod wyoming;
