//! Mix of several channels to one, with the weights of ffmpeg's `-ac 1`.
//!
//! Left and right weigh 1/√2 each, a centre beside them 1, each surround channel 1/2, and the
//! low-frequency channel nothing. If the weights add up to more than 1, all are divided by their
//! sum. Source: `auto_matrix` in libswresample/rematrix.c.

use std::f32::consts::FRAC_1_SQRT_2;

use super::ClipError;

/// Positions of loudspeakers, as the bits of a WAVEFORMATEXTENSIBLE channel mask.
pub(super) mod speaker {
    pub(crate) const FRONT_LEFT: u32 = 1;
    pub(crate) const FRONT_RIGHT: u32 = 1 << 1;
    pub(crate) const FRONT_CENTRE: u32 = 1 << 2;
    pub(crate) const LOW_FREQUENCY: u32 = 1 << 3;
    pub(crate) const BACK_LEFT: u32 = 1 << 4;
    pub(crate) const BACK_RIGHT: u32 = 1 << 5;
    pub(crate) const LEFT_OF_CENTRE: u32 = 1 << 6;
    pub(crate) const RIGHT_OF_CENTRE: u32 = 1 << 7;
    pub(crate) const BACK_CENTRE: u32 = 1 << 8;
    pub(crate) const SIDE_LEFT: u32 = 1 << 9;
    pub(crate) const SIDE_RIGHT: u32 = 1 << 10;
}

use speaker::{
    BACK_CENTRE as BC, BACK_LEFT as BL, BACK_RIGHT as BR, FRONT_CENTRE as FC, FRONT_LEFT as FL, FRONT_RIGHT as FR,
    LOW_FREQUENCY as LFE, SIDE_LEFT as SL, SIDE_RIGHT as SR,
};

/// Order of the channels of Vorbis, and of Opus with mapping family 1, by their number.
const VORBIS_ORDER: [&[u32]; 8] = [
    &[FC],
    &[FL, FR],
    &[FL, FC, FR],
    &[FL, FR, BL, BR],
    &[FL, FC, FR, BL, BR],
    &[FL, FC, FR, BL, BR, LFE],
    &[FL, FC, FR, SL, SR, BC, LFE],
    &[FL, FC, FR, SL, SR, BL, BR, LFE],
];
/// Order of the channels of FLAC by their number.
const FLAC_ORDER: [&[u32]; 8] = [
    &[FC],
    &[FL, FR],
    &[FL, FR, FC],
    &[FL, FR, BL, BR],
    &[FL, FR, FC, BL, BR],
    &[FL, FR, FC, LFE, BL, BR],
    &[FL, FR, FC, LFE, BC, SL, SR],
    &[FL, FR, FC, LFE, BL, BR, SL, SR],
];
/// Channels that ffmpeg assumes if a file names none, by their number.
const ASSUMED_ORDER: [&[u32]; 8] = [
    &[FC],
    &[FL, FR],
    &[FL, FR, LFE],
    &[FL, FR, FC, BC],
    &[FL, FR, FC, BL, BR],
    &[FL, FR, FC, LFE, BL, BR],
    &[FL, FR, FC, LFE, BC, SL, SR],
    &[FL, FR, FC, LFE, BL, BR, SL, SR],
];

/// Weights of the channels of a frame.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ChannelMix {
    weights: Vec<f32>,
}

impl ChannelMix {
    /// Makes the mix of channels at these positions.
    pub(super) fn of(positions: &[u32]) -> Self {
        let single = positions.len() == 1;
        let mut weights: Vec<f32> = positions.iter().map(|&place| if single { 1.0 } else { weight(place) }).collect();
        let sum: f32 = weights.iter().sum();
        if sum == 0.0 {
            weights.fill(1.0 / positions.len().max(1) as f32);
        } else if sum > 1.0 {
            weights.iter_mut().for_each(|weight| *weight /= sum);
        }
        Self { weights }
    }

    /// Makes the mix of a file that names its channels by a mask, lowest bit first. A mask of
    /// another number of channels counts as none.
    pub(super) fn of_mask(mask: u32, channels: usize) -> Self {
        let positions: Vec<u32> = (0..u32::BITS).map(|bit| 1 << bit).filter(|bit| mask & bit != 0).collect();
        if positions.len() == channels { Self::of(&positions) } else { Self::assumed(channels) }
    }

    /// Makes the mix of a file that names no channels.
    pub(super) fn assumed(channels: usize) -> Self {
        Self::by_number(&ASSUMED_ORDER, channels)
    }

    /// Makes the mix of a Vorbis or Opus stream.
    pub(super) fn vorbis(channels: usize) -> Self {
        Self::by_number(&VORBIS_ORDER, channels)
    }

    /// Makes the mix of a FLAC stream.
    pub(super) fn flac(channels: usize) -> Self {
        Self::by_number(&FLAC_ORDER, channels)
    }

    fn by_number(orders: &[&[u32]; 8], channels: usize) -> Self {
        match channels.checked_sub(1).and_then(|index| orders.get(index)) {
            Some(order) => Self::of(order),
            None => Self { weights: vec![1.0 / channels.max(1) as f32; channels] },
        }
    }

    /// Returns the number of channels.
    pub(super) fn channels(&self) -> usize {
        self.weights.len()
    }

    /// Adds the mix of whole frames to `mono`, clamped to full scale.
    ///
    /// # Errors
    /// The number of the first frame that is not finite.
    pub(super) fn add(&self, interleaved: &[f32], mono: &mut Vec<f32>) -> Result<(), NotFinite> {
        let start = mono.len();
        match self.weights.as_slice() {
            [_] => mono.extend_from_slice(interleaved),
            weights => mono.extend(
                interleaved
                    .chunks_exact(weights.len())
                    .map(|frame| frame.iter().zip(weights).map(|(sample, weight)| sample * weight).sum::<f32>()),
            ),
        }
        for (frame, sample) in mono[start..].iter_mut().enumerate() {
            if !sample.is_finite() {
                return Err(NotFinite { frame });
            }
            *sample = sample.clamp(-1.0, 1.0);
        }
        Ok(())
    }
}

/// Sample that is infinite or no number.
#[derive(Debug)]
pub(super) struct NotFinite {
    /// Frame of the sample within its block.
    pub(super) frame: usize,
}

impl NotFinite {
    /// Returns the refusal of a file of `format` with `before` frames in front of the block.
    pub(super) fn refusal(&self, format: &'static str, before: u64) -> ClipError {
        let frame = before + self.frame as u64;
        ClipError::Broken { format, reason: format!("sample {frame} is not a finite number") }
    }
}

/// Returns the weight of a channel before all are scaled.
fn weight(position: u32) -> f32 {
    use speaker::{LEFT_OF_CENTRE, RIGHT_OF_CENTRE};
    match position {
        FL | FR | LEFT_OF_CENTRE | RIGHT_OF_CENTRE => FRAC_1_SQRT_2,
        FC => 1.0,
        BL | BR | BC | SL | SR => 0.5,
        _ => 0.0,
    }
}
