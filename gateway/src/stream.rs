//! `WS /v1/stream`: the native socket. It carries many contexts at once, each a text that comes in
//! pieces and its speech.
//!
//! Every message of the caller is JSON with a `type`:
//!
//! | the caller sends | gets |
//! |---|---|
//! | `start` with `context_id` and fields of a job | `started` |
//! | `text`, a piece | `sentence` as soon as a sentence is whole, its audio, `sentence_end` |
//! | `flush` | the rest, then `flushed`, behind all audio before it |
//! | `end` | the rest, then `done` |
//! | `cancel` | `cancelled` with what was sent; nothing more of the context |
//! | `resume` with a `job` and the event `after` | `started`, then the job's audio behind that event |
//! | `ping` | `pong` |
//!
//! A refused message is answered with `error`. An `error` with `ended` ends its context: nothing of
//! the context follows, and none of it looks like an end.

mod context;
mod messages;
mod session;

pub(crate) use session::stream;
