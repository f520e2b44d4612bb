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
    let fits = |clip: &Clip| !clip.samples().is_empty() && clip.duration_ms() <= u64::from(MAX_SOURCE_SECONDS) * 1_000;
    read.as_ref().map_or(true, |read| fits(&read.clip))
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
    assert_eq!(read(&long_opus(100)).unwrap().clip.duration_ms(), 12_000);
}

#[test]
fn a_file_of_two_streams_is_refused() {
    let chained = read(&[ogg(packets(VORBIS)), OPUS.to_vec()].concat());
    assert!(matches!(chained, Err(ClipError::Unsupported(_))), "{chained:?}");
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn no_bytes_behind_a_known_head_panic(
        head in prop::sample::select(vec![b"fLaC".as_slice(), b"OggS\0\x02", b"\xff\xfb\x90\x64", b"ID3\x03", b"RIFF"]),
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        prop_assert!(within_limits(&read(&[head, &bytes].concat())));
    }

    #[test]
    fn no_damaged_file_panics(
        index in 0..FILES.len(),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        cut in any::<prop::sample::Index>(),
        cut_it in any::<bool>(),
    ) {
        let mut file = FILES[index].to_vec();
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
