//! Channel layouts of Apple's containers: the `CHAN` and `chan` chunks of AIFF, CAF and MP4.

use super::channel_mix::ChannelMix;
use super::channel_mix::speaker::{
    BACK_CENTRE as BC, FRONT_CENTRE as FC, FRONT_LEFT as FL, FRONT_RIGHT as FR, LOW_FREQUENCY as LFE, SIDE_LEFT as SL,
    SIDE_RIGHT as SR,
};
use super::chunks::be32;

/// Tag of a layout that is given as the bits of a channel mask.
const BITMAP: u32 = 1 << 16;
/// Tag of a layout that names each channel.
const DESCRIPTIONS: u32 = 0;
/// Bytes of the description of a channel.
const DESCRIPTION_BYTES: usize = 20;
/// Layouts of more than two channels by their tag. Side and back channels weigh the same.
const LAYOUTS: [(u32, &[u32]); 17] = [
    (108 << 16 | 4, &[FL, FR, SL, SR]),
    (113 << 16 | 3, &[FL, FR, FC]),
    (114 << 16 | 3, &[FC, FL, FR]),
    (115 << 16 | 4, &[FL, FR, FC, BC]),
    (116 << 16 | 4, &[FC, FL, FR, BC]),
    (117 << 16 | 5, &[FL, FR, FC, SL, SR]),
    (118 << 16 | 5, &[FL, FR, SL, SR, FC]),
    (119 << 16 | 5, &[FL, FC, FR, SL, SR]),
    (120 << 16 | 5, &[FC, FL, FR, SL, SR]),
    (121 << 16 | 6, &[FL, FR, FC, LFE, SL, SR]),
    (122 << 16 | 6, &[FL, FR, SL, SR, FC, LFE]),
    (123 << 16 | 6, &[FL, FC, FR, SL, SR, LFE]),
    (124 << 16 | 6, &[FC, FL, FR, SL, SR, LFE]),
    (125 << 16 | 7, &[FL, FR, FC, LFE, SL, SR, BC]),
    (131 << 16 | 3, &[FL, FR, BC]),
    (132 << 16 | 4, &[FL, FR, SL, SR]),
    (133 << 16 | 3, &[FL, FR, LFE]),
];

/// Returns the mix of a layout of so many channels; `None` if the layout names no positions.
pub(super) fn mix_of_layout(layout: &[u8], channels: usize) -> Option<ChannelMix> {
    let positions = match be32(layout, 0)? {
        BITMAP => return Some(ChannelMix::of_mask(be32(layout, 4)?, channels)),
        DESCRIPTIONS => {
            let label = |index| be32(layout, 12 + index * DESCRIPTION_BYTES).map(position);
            (0..channels).map(label).collect::<Option<Vec<u32>>>()?
        }
        tag => LAYOUTS.iter().find(|layout| layout.0 == tag)?.1.to_vec(),
    };
    (positions.len() == channels).then(|| ChannelMix::of(&positions))
}

/// Returns the position that a label names. The labels 1 to 18 follow the bits of a mask.
fn position(label: u32) -> u32 {
    if (1..=18).contains(&label) { 1 << (label - 1) } else { 0 }
}
