//! FLAC: the metadata blocks, and the samples as another decoder reads them.

use csm_shared::audio::{ClipError, read};

use super::*;

/// Splits a file into its metadata blocks (type and content) and the frames.
fn blocks(file: &[u8]) -> (Vec<(u8, &[u8])>, &[u8]) {
    assert_eq!(file[..4], *b"fLaC");
    let (mut blocks, mut rest) = (Vec::new(), &file[4..]);
    loop {
        let (head, behind) = rest.split_at(4);
        let length = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let (content, behind) = behind.split_at(length);
        blocks.push((head[0] & 0x7f, content));
        rest = behind;
        if head[0] & 0x80 != 0 {
            return (blocks, rest);
        }
    }
}

#[test]
fn the_head_tells_rate_length_and_origin() {
    for length in LENGTHS {
        let file = encode(&speech(length), AudioFormat::Flac).unwrap();
        let (blocks, frames) = blocks(&file);
        assert_eq!(blocks.iter().map(|block| block.0).collect::<Vec<_>>(), [0, 4]);
        let info = blocks[0].1;
        let blocks_of = [&info[..2], &info[2..4]].map(|size| u16::from_be_bytes([size[0], size[1]]));
        assert_eq!(blocks_of, [4_096; 2], "the last block does not count");
        let packed = u64::from_be_bytes(info[10..18].try_into().unwrap());
        let (rate, channels, bits) = (packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1);
        assert_eq!((rate, channels, bits, packed & 0xf_ffff_ffff), (24_000, 1, 16, length as u64));
        let sizes = [&info[4..7], &info[7..10]].map(|size| u32::from_be_bytes([0, size[0], size[1], size[2]]));
        assert!(sizes[0] <= sizes[1] && sizes[1] as usize <= frames.len(), "{sizes:?}");
        assert_eq!(frames.is_empty(), length == 0);
        assert!(blocks[1].1.ends_with(b"DESCRIPTION=AI-generated speech, inaudibly watermarked"));
    }
}

#[test]
fn another_decoder_finds_the_very_samples() {
    for length in LENGTHS {
        let speech = speech(length);
        let file = encode(&speech, AudioFormat::Flac).unwrap();
        if length == 0 {
            assert!(matches!(read(&file), Err(ClipError::Empty | ClipError::Broken { .. })));
        } else {
            assert_eq!(read(&file).unwrap().clip.samples(), speech.samples(), "{length}");
        }
        assert!(length < 4_096 || file.len() < 2 * length, "{length} samples in {} bytes", file.len());
    }
}

#[test]
fn full_scale_noise_is_kept_as_well() {
    let mut random = ChaCha8Rng::seed_from_u64(2);
    let noise: Vec<f32> = (0..20_000).map(|_| random.next_u32() as f32 / u32::MAX as f32 * 2.0 - 1.0).collect();
    let speech = mark(&noise);
    assert!(speech.samples().iter().any(|&sample| sample == i16::MAX || sample == i16::MIN));
    assert_eq!(read(&encode(&speech, AudioFormat::Flac).unwrap()).unwrap().clip.samples(), speech.samples());
}
