//! Deepgram's speech API, `/v1/speak`: a socket that takes text in pieces, and a request for a whole
//! text. Its clients need another base URL and nothing else.

mod options;
mod socket;
mod speak;

pub(crate) use socket::speak_socket;
pub(crate) use speak::speak;
