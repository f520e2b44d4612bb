//! Delays of frames, and frames that came too late to be played.

use crate::frame_stamp::{FRAME, ms_between};
use crate::speech_client::HeardStream;

/// Delays of the frames of many streams, in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct HeardDelays {
    /// From each frame's publication to its arrival.
    pub(crate) frames: Vec<f64>,
    /// Frames whose time to be played fell into the window.
    pub(crate) due: u64,
    /// Part of those that had not arrived in time. Play-out begins one frame after the first arrival.
    pub(crate) underruns: u64,
}

impl HeardDelays {
    /// Reads the streams within a window of time. A stream without any audio counts all of its
    /// frames as underruns.
    pub(crate) fn of(streams: &[HeardStream], (begin, end): (u64, u64)) -> Self {
        let (mut delays, frame) = (Self::default(), FRAME.as_nanos() as u64);
        for stream in streams {
            let heard = stream.frames.iter().filter(|heard| (begin..end).contains(&heard.arrived));
            delays.frames.extend(heard.map(|heard| ms_between(heard.published, heard.arrived)));
            let start = stream.frames.first().map_or(stream.asked, |first| first.arrived) + frame;
            let places = (begin.saturating_sub(start).div_ceil(frame)..).map(|place| (place, start + place * frame));
            for (place, due) in places.take_while(|(_, due)| *due < end) {
                delays.due += 1;
                let arrived = stream.frames.get(place as usize).map(|heard| heard.arrived);
                delays.underruns += u64::from(arrived.is_none_or(|arrived| arrived > due));
            }
        }
        delays
    }
}

/// Returns the delays from the publication of each stream's first frame to its first byte.
pub(crate) fn first_byte_delays(streams: &[HeardStream]) -> Vec<f64> {
    let delay = |stream: &HeardStream| Some(ms_between(stream.frames.first()?.published, stream.first_byte?));
    streams.iter().filter_map(delay).collect()
}

/// Returns the times from each request to its first byte.
pub(crate) fn first_byte_times(streams: &[HeardStream]) -> Vec<f64> {
    streams.iter().filter_map(|stream| Some(ms_between(stream.asked, stream.first_byte?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::speech_client::HeardFrame;

    #[test]
    fn a_frame_behind_its_time_is_an_underrun() {
        const MS: u64 = 1_000_000;
        let frame = |published: u64, arrived: u64| HeardFrame { published: published * MS, arrived: arrived * MS };
        let stream = HeardStream {
            asked: 0,
            first_byte: Some(10 * MS),
            // To be played at 90, 170 and 250 ms, and so on.
            frames: vec![frame(0, 10), frame(80, 169), frame(160, 260)],
        };
        let of = |begin: u64, end: u64| {
            let delays = HeardDelays::of(std::slice::from_ref(&stream), (begin * MS, end * MS));
            (delays.frames, delays.due, delays.underruns)
        };
        assert_eq!(of(0, 240), (vec![10.0, 89.0], 2, 0));
        assert_eq!(of(0, 300), (vec![10.0, 89.0, 100.0], 3, 1), "the third was late");
        assert_eq!(of(100, 340), (vec![89.0, 100.0], 3, 2), "and the fourth never came");
    }
}
