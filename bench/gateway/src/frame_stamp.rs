//! Frames that carry the time of their publication in their first samples.
//!
//! The samples pass the gateway unchanged. So the client reads from each frame when it was
//! published, and no table of streams is needed. Publisher and client are one process with one
//! clock.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use csm_shared::audio::{FRAME_MS, FRAME_SAMPLES};

/// Duration of one frame.
pub(crate) const FRAME: Duration = Duration::from_millis(FRAME_MS as u64);
/// Bytes of one frame of 16-bit samples.
pub(crate) const FRAME_BYTES: usize = 2 * FRAME_SAMPLES;
/// Bytes of the time at the beginning of a frame.
pub(crate) const STAMP_BYTES: usize = size_of::<u64>();

/// Beginning of the clock.
static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns the time since the first call, in nanoseconds.
pub(crate) fn now() -> u64 {
    u64::try_from(EPOCH.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Makes frames that are published now.
pub(crate) fn stamped_frames(count: u32) -> Vec<u8> {
    let mut frames = vec![0; count as usize * FRAME_BYTES];
    let stamp = now().to_le_bytes();
    for frame in frames.chunks_mut(FRAME_BYTES) {
        frame[..STAMP_BYTES].copy_from_slice(&stamp);
    }
    frames
}

/// Returns the milliseconds from one time to a later one.
pub(crate) fn ms_between(earlier: u64, later: u64) -> f64 {
    later.saturating_sub(earlier) as f64 / 1e6
}

/// Writes a text that asks the paced engine for a number of frames.
pub(crate) fn text_of_frames(frames: u32) -> String {
    format!("{frames} paced frames, which no model has made.")
}

/// Returns the number of frames that a text asks for; one if it names none.
pub(crate) fn frames_of_text(text: &str) -> u32 {
    text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_asks_for_frames() {
        assert_eq!(frames_of_text(&text_of_frames(125)), 125);
        assert_eq!(frames_of_text("Hello."), 1);
    }
}
