//! Damaged and malicious files: each gives an error or a clip within the limits, never a panic.

use ::ogg::writing::{PacketWriteEndInfo, PacketWriter};
use ::ogg::{Packet, PacketReader};

use super::formats::{FILES, OPUS, VORBIS};
use super::*;

/// Packet of an Ogg file: its bytes, what ends with it, and the position of its page.
type Piece = (Vec<u8>, PacketWriteEndInfo, u64);

/// Returns the packets of an Ogg file.
fn packets(file: &[u8]) -> Vec<Piece> {
    let mut reader = PacketReader::new(Cursor::new(file));
    let end = |packet: &Packet| match (packet.last_in_stream(), packet.last_in_page()) {
        (true, _) => PacketWriteEndInfo::EndStream,
        (false, true) => PacketWriteEndInfo::EndPage,
        (false, false) => PacketWriteEndInfo::NormalPacket,
    };
    let pieces = std::iter::from_fn(|| reader.read_packet().unwrap());
    pieces.map(|packet| (packet.data.clone(), end(&packet), packet.absgp_page())).collect()
}

/// Writes an Ogg file of these packets, with correct checksums.
fn ogg(packets: Vec<Piece>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = PacketWriter::new(&mut file);
    for (data, end, position) in packets {
        writer.write_packet(data, 1, end, position).unwrap();
    }
    drop(writer);
    file
}

fn within_limits(read: &Result<Recording, ClipError>) -> bool {
    read.as_ref().map_or(true, |Recording { clip, warnings }| {
        let most_ms = u64::from(MAX_SOURCE_SECONDS) * 1_000;
        !clip.samples().is_empty() && clip.duration_ms() <= most_ms && warnings.len() <= MAX_WARNINGS
    })
}

/// Writes an Opus file that repeats one silent packet of 120 ms.
fn long_opus(packets: usize) -> Vec<u8> {
    let head = b"OpusHead\x01\x01\0\0\x80\xbb\0\0\0\0\0".to_vec();
    let tags = b"OpusTags\0\0\0\0\0\0\0\0".to_vec();
    let mut all = vec![(head, PacketWriteEndInfo::EndPage, 0), (tags, PacketWriteEndInfo::EndPage, 0)];
    // SILK, mono: two frames of 60 ms without bytes.
    all.extend((1..=packets).map(|index| {
        let end = if index % 100 == 0 { PacketWriteEndInfo::EndPage } else { PacketWriteEndInfo::NormalPacket };
        (vec![0b0001_1001], end, index as u64 * 5_760)
    }));
    ogg(all)
}

#[test]
fn a_small_file_of_hours_is_refused_on_the_way() {
    let hours = long_opus(200_000);
    assert!(hours.len() < 500_000, "{} bytes for 6.7 hours", hours.len());
    assert_eq!(read(&hours), Err(ClipError::TooLong { seconds: MAX_SOURCE_SECONDS }));
    assert_eq!(clip_of(&long_opus(100)).unwrap().duration_ms(), 12_000);
}

#[test]
fn streams_behind_each_other_are_joined() {
    let (vorbis, opus) = (clip_of(VORBIS).unwrap(), clip_of(OPUS).unwrap());
    let chained = read(&[ogg(packets(VORBIS)), OPUS.to_vec()].concat()).unwrap();
    assert_eq!(chained.clip.samples(), [vorbis.samples(), opus.samples()].concat());
    assert_eq!(chained.warnings, [""; 0]);
}

#[test]
fn the_output_gain_of_opus_is_applied() {
    let mut all = packets(OPUS);
    all[0].0[16..18].copy_from_slice(&(-1_536_i16).to_le_bytes());
    let (quiet, loud) = (clip_of(&ogg(all)).unwrap(), clip_of(OPUS).unwrap());
    let level = |clip: &Clip| clip.to_f32().iter().map(|sample| sample * sample).sum::<f32>();
    let decibels = 10.0 * (level(&quiet) / level(&loud)).log10();
    assert!((decibels + 6.0).abs() < 0.01, "{decibels} dB");
}

#[test]
fn a_lost_page_is_named() {
    let mut all = packets(OPUS);
    for (index, packet) in all.iter_mut().enumerate().skip(2) {
        packet.1 = PacketWriteEndInfo::EndPage;
        packet.2 = (index as u64 - 1) * 960;
    }
    let whole = ogg(all);
    let starts: Vec<usize> = (0..whole.len()).filter(|&at| whole[at..].starts_with(b"OggS")).collect();
    let lost = [&whole[..starts[8]], &whole[starts[10]..]].concat();
    let recording = read(&lost).unwrap();
    assert_eq!(recording.warnings, ["the Ogg file has 2 pages missing or damaged; that audio is left out"]);
    assert_eq!(recording.clip.samples().len() + 960, clip_of(&whole).unwrap().samples().len());
}

#[test]
fn a_setup_that_would_grow_to_gigabytes_is_refused() {
    let mut all = packets(VORBIS);
    // 256 codebooks of 131,072 entries and 32 dimensions: a few bytes each, 16 MiB each once built.
    let mut setup = b"\x05vorbis\xffBCV\x20\0\0\0\x02".to_vec();
    setup.resize(6_000, 0);
    all[2].0 = setup;
    let refused = read(&ogg(all)).unwrap_err();
    assert!(refused.to_string().contains("larger than any encoder's"), "{refused}");
}

/// Returns a small file of each format and coding.
fn every_file() -> &'static [Vec<u8>] {
    static ALL: std::sync::LazyLock<Vec<Vec<u8>>> = std::sync::LazyLock::new(|| {
        let compressed = FILES.iter().map(|(_, file, _)| file.to_vec());
        compressed.chain(pcm_files::every_file()).collect()
    });
    &ALL
}

#[test]
fn every_file_cut_anywhere_gives_an_error_or_a_clip() {
    for file in every_file() {
        assert!(read(file).is_ok(), "{:?}", read(file));
        for cut in (0..file.len()).step_by(file.len() / 150 + 1) {
            assert!(within_limits(&read(&file[..cut])), "cut at {cut}");
        }
    }
}

#[test]
fn every_head_with_any_byte_flipped_or_zeroed_gives_an_error_or_a_clip() {
    for file in every_file() {
        for at in 0..file.len().min(400) {
            for change in [0xff, 0x80, file[at], 1] {
                let mut file = file.clone();
                file[at] ^= change;
                assert!(within_limits(&read(&file)), "byte {at}, change {change}");
            }
        }
    }
}

/// Beginnings of the formats.
const HEADS: [&[u8]; 16] = [
    b"fLaC",
    b"OggS\0\x02",
    b"\xff\xfb\x90\x64",
    b"\xff\xf1\x50\x40",
    b"ID3\x03",
    b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0",
    b"RF64\xff\xff\xff\xffWAVEds64",
    b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0",
    b"FORM\0\0\0\0AIFFCOMM\0\0\0\x12",
    b"FORM\0\0\0\0AIFCSSND",
    b".snd\0\0\0\x18",
    b"caff\0\x01\0\0desc",
    b"\x1a\x45\xdf\xa3\x9f",
    b"\0\0\0\x18ftypM4A ",
    b"\0\0\0\0moov",
    b"#!AMR\n",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_behind_a_known_head_panic(
        head in prop::sample::select(HEADS.to_vec()),
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        prop_assert!(within_limits(&read(&[head, &bytes].concat())));
    }

    #[test]
    fn no_damaged_file_panics(
        index in 0..every_file().len(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        cut_it in any::<bool>(),
    ) {
        let mut file = every_file()[index].clone();
        for (place, byte) in hits {
            let at = place.index(file.len());
            file[at] = byte;
        }
        if cut_it {
            file.truncate(cut.index(file.len()));
        }
        prop_assert!(within_limits(&read(&file)));
    }

    #[test]
    fn no_damaged_packet_panics(
        vorbis in any::<bool>(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 1..12),
        setup_only in any::<bool>(),
    ) {
        let mut all = packets(if vorbis { VORBIS } else { OPUS });
        for (packet, place, byte) in hits {
            let which = if setup_only { 2 } else { packet.index(all.len()) };
            let data = &mut all[which].0;
            if !data.is_empty() {
                let at = place.index(data.len());
                data[at] = byte;
            }
        }
        prop_assert!(within_limits(&read(&ogg(all))));
    }
}
