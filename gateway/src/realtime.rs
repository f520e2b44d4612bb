//! OpenAI's Realtime API, speech only: `WS /v1/realtime`. A response speaks its input as it is
//! written; nothing is answered, and no audio is heard.

mod config;
mod events;
mod input;
mod response;
mod session;

pub(crate) use session::realtime;
