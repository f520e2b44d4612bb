//! Reader of the audio in MP4, M4A and QuickTime files, fragmented or not.

use super::chunks::{be32, be64};
use super::collector::{Collector, PacketDecoder, Silence, Source};
use super::mp4_boxes::{boxes, child, column, descend, table};
use super::mp4_entry::{Entry, read_entry};
use super::mp4_samples::{Mp4Packet, of_fragments, of_tables};
use super::{ClipError, SourceLimit};

pub(super) const MP4: &str = "MP4";
/// Names of the first boxes of a file.
const FIRST_BOXES: [&[u8; 4]; 7] = [b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"];

/// Returns true if the bytes begin like an MP4 or QuickTime file.
pub(super) fn is_mp4(bytes: &[u8]) -> bool {
    bytes.get(4..8).is_some_and(|name| FIRST_BOXES.iter().any(|first| *first == name))
        && be32(bytes, 0).is_some_and(|length| !(2..8).contains(&length))
}

/// Reads the first track of audio.
pub(super) fn read(bytes: &[u8], limit: SourceLimit) -> Result<Source, ClipError> {
    let broken = |reason: &str| ClipError::Broken { format: MP4, reason: reason.to_owned() };
    let movie = boxes(bytes).find(|found| found.name == *b"moov");
    let movie = movie.ok_or_else(|| broken("its index (moov) is missing, as in a recording that was not finished"))?;
    if !movie.is_whole {
        return Err(broken("it ends inside its index (moov)"));
    }
    let movie = movie.body;
    let is_sound =
        |track: &&[u8]| descend(track, &[b"mdia", b"hdlr"]).and_then(|body| body.get(8..12)) == Some(b"soun");
    let tracks = || boxes(movie).filter(|found| found.name == *b"trak").map(|found| found.body);
    let track = tracks().find(is_sound).ok_or(ClipError::NoAudio { name: "an MP4 file without sound" })?;
    let several = tracks().filter(is_sound).count() > 1;
    let tables = descend(track, &[b"mdia", b"minf", b"stbl"]).ok_or_else(|| broken("its sound has no tables"))?;
    let mut entry = read_entry(child(tables, b"stsd").unwrap_or(&[]))?;
    let header = child(track, b"tkhd").unwrap_or(&[]);
    let number = be32(header, if header.first() == Some(&1) { 20 } else { 12 }).unwrap_or(0);
    let mut packets = of_tables(MP4, tables, entry.frame_bytes)?;
    packets.extend(of_fragments(MP4, bytes, movie, number)?);
    let edit = Edit::read(movie, track, entry.rate);
    let mut collector = Collector::new(MP4, limit);
    if several {
        collector.warn("the MP4 file holds several tracks of sound; the first is used".to_owned());
    }
    if edit.several {
        collector.warn("the MP4 file is edited; only the first of its edits is used".to_owned());
    }
    decode(bytes, &packets, &mut entry, &edit, &mut collector)?;
    collector.finish()
}

fn decode(
    file: &[u8],
    packets: &[Mp4Packet],
    entry: &mut Entry,
    edit: &Edit,
    collector: &mut Collector,
) -> Result<(), ClipError> {
    collector.skip_next(edit.lead.unwrap_or(entry.lead));
    let silence = Silence { frames: entry.packet_frames, rate: entry.rate };
    let mut first = entry.decoder.take();
    let (mut time, mut taken) = (0, 0);
    for (index, packet) in packets.iter().enumerate() {
        if edit.end.is_some_and(|end| time >= end) {
            break;
        }
        let start = usize::try_from(packet.offset).unwrap_or(usize::MAX);
        let length = usize::try_from(packet.bytes).unwrap_or(usize::MAX);
        let Some(mut data) = start.checked_add(length).and_then(|end| file.get(start..end)) else {
            let (missing, all) = (packets.len() - index, packets.len());
            collector.warn(format!(
                "the MP4 file ends before {missing} of its {all} packets; the audio up to there is used"
            ));
            break;
        };
        taken += data.len();
        if taken > 2 * file.len() {
            return Err(collector.broken("its packets overlap"));
        }
        if let Some(unit) = entry.frame_bytes {
            data = &data[..data.len() - data.len() % usize::try_from(unit.max(1)).unwrap_or(1)];
        }
        let decoder = match &mut first {
            Some(decoder) => decoder.as_mut(),
            slot => {
                slot.insert(Box::new(super::mpeg_audio::packet_decoder(MP4, data)?) as Box<dyn PacketDecoder>).as_mut()
            }
        };
        collector.decode(decoder, data, silence)?;
        time += u64::from(packet.duration);
    }
    Ok(())
}

/// Part of a track that is to be heard.
#[derive(Debug, Default, PartialEq, Eq)]
struct Edit {
    /// Frames in front of it.
    lead: Option<u64>,
    /// Its end, in units of the track.
    end: Option<u64>,
    /// Whether other parts follow.
    several: bool,
}

impl Edit {
    fn read(movie: &[u8], track: &[u8], rate: u32) -> Self {
        let scale_of = |header: &[u8]| be32(header, if header.first() == Some(&1) { 20 } else { 12 }).unwrap_or(0);
        let movie_scale = u64::from(scale_of(child(movie, b"mvhd").unwrap_or(&[]))).max(1);
        let scale = u64::from(scale_of(descend(track, &[b"mdia", b"mdhd"]).unwrap_or(&[]))).max(1);
        let list = descend(track, &[b"edts", b"elst"]).unwrap_or(&[]);
        let long = list.first() == Some(&1);
        let rows = table(list, 4, if long { 5 } else { 3 }).map(|row| match long {
            true => (be64(row, 0).unwrap_or(0), be64(row, 8).unwrap_or(0).cast_signed()),
            false => (u64::from(column(row, 0)), i64::from(column(row, 1).cast_signed())),
        });
        // A start of -1 stands for silence in front.
        let mut parts = rows.filter_map(|(length, start)| Some((length, u64::try_from(start).ok()?)));
        let Some((length, start)) = parts.next() else { return Self::default() };
        let several = parts.next().is_some();
        let scaled = |value: u64, to: u64, from: u64| (u128::from(value) * u128::from(to) / u128::from(from)) as u64;
        let end = (length > 0).then(|| start.saturating_add(scaled(length, scale, movie_scale)));
        Self { lead: Some(scaled(start, rate.into(), scale)), end, several }
    }
}
