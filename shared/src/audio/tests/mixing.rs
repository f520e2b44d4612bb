//! Tests of the mix of several channels, against the weights that ffmpeg 5.1 was measured to use.

use super::super::channel_mix::ChannelMix;
use super::*;

/// Returns a WAV file whose channels are constants.
fn constants(mask: u32, values: &[f32]) -> Vec<u8> {
    let mut format = 0xfffe_u16.to_le_bytes().to_vec();
    let channels = values.len() as u16;
    format.extend(channels.to_le_bytes());
    format.extend(24_000_u32.to_le_bytes());
    format.extend((24_000 * 2 * u32::from(channels)).to_le_bytes());
    format.extend((2 * channels).to_le_bytes());
    format.extend(16_u16.to_le_bytes());
    format.extend(22_u16.to_le_bytes());
    format.extend(16_u16.to_le_bytes());
    format.extend(mask.to_le_bytes());
    format.extend(b"\x01\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71");
    let frame: Vec<u8> = values.iter().flat_map(|&value| to_i16(value).to_le_bytes()).collect();
    riff(&[(b"fmt ", &format), (b"data", &frame.repeat(10))])
}

/// Returns the weight of each channel of a layout.
fn weights(mask: u32) -> Vec<f32> {
    let channels = mask.count_ones() as usize;
    let alone = |index| {
        let mut values = vec![0.0; channels];
        values[index] = 0.5;
        2.0 * clip_of(&constants(mask, &values)).unwrap().to_f32()[5]
    };
    (0..channels).map(alone).collect()
}

#[test]
fn channels_weigh_what_ffmpeg_gives_them() {
    let layouts: [(&str, u32, &[f32]); 8] = [
        ("stereo", 0x3, &[0.5, 0.5]),
        ("2.1", 0xb, &[0.5, 0.5, 0.0]),
        ("3.0", 0x7, &[0.293, 0.293, 0.414]),
        ("quad", 0x33, &[0.293, 0.293, 0.207, 0.207]),
        ("5.0", 0x37, &[0.207, 0.207, 0.293, 0.146, 0.146]),
        ("5.1", 0x3f, &[0.207, 0.207, 0.293, 0.0, 0.146, 0.146]),
        ("5.1 side", 0x60f, &[0.207, 0.207, 0.293, 0.0, 0.146, 0.146]),
        ("7.1", 0x63f, &[0.160, 0.160, 0.227, 0.0, 0.113, 0.113, 0.113, 0.113]),
    ];
    for (name, mask, expected) in layouts {
        let found = weights(mask);
        assert_eq!(found.len(), expected.len());
        let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-3);
        assert!(close, "{name}: {found:?} for {expected:?}");
    }
}

#[test]
fn a_file_without_a_mask_is_mixed_as_ffmpeg_guesses() {
    let file = |values: &[f32]| {
        let channels = values.len() as u16;
        let mut format = format_chunk()[8..].to_vec();
        format[2..4].copy_from_slice(&channels.to_le_bytes());
        format[12..14].copy_from_slice(&(2 * channels).to_le_bytes());
        let frame: Vec<u8> = values.iter().flat_map(|&value| to_i16(value).to_le_bytes()).collect();
        clip_of(&riff(&[(b"fmt ", &format), (b"data", &frame)])).unwrap().to_f32()[0]
    };
    assert_eq!(file(&[0.25, 0.25, 0.5]), 0.25, "the third channel is for low frequencies");
    assert!((file(&[0.0, 0.0, 0.5, 0.0, 0.0, 0.0]) - 0.5 / (2.0 + 2f32.sqrt())).abs() < 1e-4);
}

#[test]
fn a_mask_of_another_number_of_channels_counts_as_none() {
    assert_eq!(ChannelMix::of_mask(0x3f, 2), ChannelMix::assumed(2));
    assert_eq!(ChannelMix::of_mask(0, 6), ChannelMix::assumed(6));
}
