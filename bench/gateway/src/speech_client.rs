//! Client of one live stream: a bare HTTP/1.1 connection that notes when each frame arrives.
//!
//! The client shares the machine with what it measures. It is therefore one task and one read for
//! each piece that arrives.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::chunked_body::ChunkedBody;
use crate::frame_stamp::{FRAME_BYTES, STAMP_BYTES, now, text_of_frames};

/// Most bytes of one read.
const READ_BYTES: usize = 32 * 1024;

/// Times of one frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeardFrame {
    /// Time at which the frame was published.
    pub(crate) published: u64,
    /// Time at which the last byte of the frame arrived.
    pub(crate) arrived: u64,
}

/// Times of one stream.
#[derive(Clone, Debug)]
pub(crate) struct HeardStream {
    /// Time before the connection was opened.
    pub(crate) asked: u64,
    /// Time at which the first byte of audio arrived.
    pub(crate) first_byte: Option<u64>,
    /// Frames in order.
    pub(crate) frames: Vec<HeardFrame>,
}

/// Asks for a speech of `frames` frames and listens until its end, or until `stop`.
pub(crate) async fn listen(address: SocketAddr, frames: u32, stop: &CancellationToken) -> anyhow::Result<HeardStream> {
    let mut stream = HeardStream { asked: now(), first_byte: None, frames: Vec::with_capacity(frames as usize) };
    match stop.run_until_cancelled(read_speech(address, frames, &mut stream)).await {
        Some(Ok(())) => ensure!(stream.frames.len() == frames as usize, "{} of {frames} frames", stream.frames.len()),
        Some(Err(error)) => return Err(error),
        None => {}
    }
    Ok(stream)
}

async fn read_speech(address: SocketAddr, frames: u32, stream: &mut HeardStream) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    let text = text_of_frames(frames);
    let body = format!(r#"{{"input": "{text}", "response_format": "pcm"}}"#);
    let head = format!(
        "POST /v1/audio/speech HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    tokio::io::AsyncWriteExt::write_all(&mut connection, format!("{head}{body}").as_bytes()).await?;
    let mut bytes = Vec::with_capacity(READ_BYTES);
    let head_end = loop {
        ensure!(connection.read_buf(&mut bytes).await? > 0, "the connection was closed");
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
    };
    ensure!(bytes.starts_with(b"HTTP/1.1 200 "), "answer: {}", String::from_utf8_lossy(&bytes));
    let (mut decoder, mut partial) = (ChunkedBody::new(), PartialFrame::default());
    bytes.drain(..head_end);
    loop {
        let arrived = now();
        decoder.push(&bytes, |data| partial.push(data, arrived, stream));
        if decoder.has_ended() {
            return Ok(());
        }
        bytes.clear();
        let count = connection.read_buf(&mut bytes).await.context("reading the body")?;
        ensure!(count > 0, "the body was cut");
    }
}

/// Frame of which some bytes are there.
#[derive(Default)]
struct PartialFrame {
    stamp: [u8; STAMP_BYTES],
    bytes: usize,
}

impl PartialFrame {
    /// Takes data that arrived together, and adds each finished frame to the stream.
    fn push(&mut self, mut data: &[u8], arrived: u64, stream: &mut HeardStream) {
        if !data.is_empty() {
            stream.first_byte.get_or_insert(arrived);
        }
        while !data.is_empty() {
            let (part, rest) = data.split_at(data.len().min(FRAME_BYTES - self.bytes));
            for (place, byte) in self.stamp.iter_mut().skip(self.bytes).zip(part) {
                *place = *byte;
            }
            self.bytes += part.len();
            if self.bytes == FRAME_BYTES {
                stream.frames.push(HeardFrame { published: u64::from_le_bytes(self.stamp), arrived });
                self.bytes = 0;
            }
            data = rest;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame_stamp::stamped_frames;

    #[test]
    fn frames_are_found_wherever_the_data_is_cut() {
        let begun = now();
        let frames = stamped_frames(3);
        for cut in [1, 5, 8, 4_096, frames.len()] {
            let mut stream = HeardStream { asked: 0, first_byte: None, frames: Vec::new() };
            let mut partial = PartialFrame::default();
            frames.chunks(cut).zip(1..).for_each(|(data, at)| partial.push(data, at, &mut stream));
            assert_eq!((stream.frames.len(), stream.first_byte), (3, Some(1)), "pieces of {cut}");
            assert!(stream.frames.iter().all(|frame| (begun..now()).contains(&frame.published)));
        }
    }
}
