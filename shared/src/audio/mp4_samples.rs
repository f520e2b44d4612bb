//! Places of the packets of an MP4 track: by its sample tables, or by the fragments of a stream.

use super::ClipError;
use super::chunks::{be32, be64};
use super::mp4_boxes::{boxes, child, column, table};

/// Most packets of a track: ten minutes of Opus in packets of 2.5 ms, and as many again.
const MAX_PACKETS: usize = 512 * 1024;

/// Packet of a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mp4Packet {
    /// Place in the file.
    pub(super) offset: u64,
    /// Length in bytes.
    pub(super) bytes: u64,
    /// Duration in units of the track.
    pub(super) duration: u32,
}

fn too_many(format: &'static str) -> ClipError {
    ClipError::Unsupported { format, reason: "it holds more packets than ten minutes of speech do".to_owned() }
}

/// Reads the sample tables of a track. `frame_bytes` is the size of a sample of uncompressed audio,
/// whose samples are put together chunk by chunk.
pub(super) fn of_tables(
    format: &'static str,
    tables: &[u8],
    frame_bytes: Option<u64>,
) -> Result<Vec<Mp4Packet>, ClipError> {
    let sizes = child(tables, b"stsz").unwrap_or(&[]);
    let one_size = be32(sizes, 4).unwrap_or(0);
    let count = be32(sizes, 8).unwrap_or(0) as usize;
    let size = |index: usize| match one_size {
        0 => be32(sizes, 12 + 4 * index),
        size => Some(size),
    };
    let times = child(tables, b"stts").unwrap_or(&[]);
    let mut durations = table(times, 4, 2).flat_map(|row| std::iter::repeat_n(column(row, 1), column(row, 0) as usize));
    let runs: Vec<&[u8]> = table(child(tables, b"stsc").unwrap_or(&[]), 4, 3).collect();
    let mut run = 0;
    let (mut packets, mut index) = (Vec::new(), 0);
    for (chunk, start) in chunk_offsets(tables).enumerate() {
        while runs.get(run + 1).is_some_and(|next| column(next, 0) as usize <= chunk + 1) {
            run += 1;
        }
        let in_chunk = runs.get(run).map_or(0, |run| column(run, 1)) as usize;
        let in_chunk = in_chunk.min(count.saturating_sub(index));
        if packets.len() + in_chunk.min(if frame_bytes.is_some() { 1 } else { in_chunk }) > MAX_PACKETS {
            return Err(too_many(format));
        }
        if let Some(bytes) = frame_bytes {
            packets.push(Mp4Packet { offset: start, bytes: bytes * in_chunk as u64, duration: 0 });
            index += in_chunk;
            continue;
        }
        let mut offset = start;
        for _ in 0..in_chunk {
            let Some(bytes) = size(index) else { return Ok(packets) };
            let duration = durations.next().unwrap_or(0);
            packets.push(Mp4Packet { offset, bytes: bytes.into(), duration });
            (offset, index) = (offset.saturating_add(bytes.into()), index + 1);
        }
    }
    Ok(packets)
}

fn chunk_offsets(tables: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let short = table(child(tables, b"stco").unwrap_or(&[]), 4, 1).map(|row| u64::from(column(row, 0)));
    let long = table(child(tables, b"co64").unwrap_or(&[]), 4, 2).map(|row| be64(row, 0).unwrap_or(0));
    short.chain(long)
}

/// Defaults of the packets of a track in fragments.
#[derive(Clone, Copy, Default)]
struct Defaults {
    duration: u32,
    bytes: u32,
}

/// Reads the fragments of a track behind its tables.
pub(super) fn of_fragments(
    format: &'static str,
    file: &[u8],
    movie: &[u8],
    track: u32,
) -> Result<Vec<Mp4Packet>, ClipError> {
    let extends = child(movie, b"mvex").unwrap_or(&[]);
    let defaults = boxes(extends).filter(|found| found.name == *b"trex" && be32(found.body, 4) == Some(track));
    let defaults = defaults
        .map(|found| Defaults { duration: be32(found.body, 12).unwrap_or(0), bytes: be32(found.body, 16).unwrap_or(0) })
        .next()
        .unwrap_or_default();
    let (mut packets, mut rows_left) = (Vec::new(), MAX_PACKETS);
    for fragment in boxes(file).filter(|found| found.name == *b"moof") {
        let mut part_of = FragmentReader { base: fragment.start as u64, track, defaults, next: None };
        for part in boxes(fragment.body).filter(|part| part.name == *b"traf") {
            part_of.read(part.body, &mut rows_left, &mut packets).ok_or_else(|| too_many(format))?;
        }
    }
    Ok(packets)
}

/// Reader of the parts of a fragment.
struct FragmentReader {
    /// Place of the fragment.
    base: u64,
    track: u32,
    defaults: Defaults,
    /// Place behind the packets of the part before.
    next: Option<u64>,
}

impl FragmentReader {
    /// Reads a track's part; `None` if there are more packets than rows are left.
    fn read(&mut self, part: &[u8], rows_left: &mut usize, packets: &mut Vec<Mp4Packet>) -> Option<()> {
        let head = child(part, b"tfhd").unwrap_or(&[]);
        let flags = be32(head, 0).unwrap_or(0);
        let (mut at, mut base, mut defaults) = (8, self.base, self.defaults);
        if flags & 1 != 0 {
            base = be64(head, at).unwrap_or(0);
            at += 8;
        } else if flags & 0x2_0000 == 0 {
            base = self.next.unwrap_or(base);
        }
        at += if flags & 2 == 0 { 0 } else { 4 };
        if flags & 8 != 0 {
            defaults.duration = be32(head, at).unwrap_or(0);
            at += 4;
        }
        if flags & 0x10 != 0 {
            defaults.bytes = be32(head, at).unwrap_or(0);
        }
        let is_ours = be32(head, 4) == Some(self.track);
        let mut offset = base;
        for run in boxes(part).filter(|run| run.name == *b"trun") {
            for packet in run_packets(run.body, base, &mut offset, defaults) {
                *rows_left = rows_left.checked_sub(1)?;
                if is_ours {
                    packets.push(packet);
                }
            }
        }
        self.next = Some(offset);
        Some(())
    }
}

/// Returns the packets of a run. `offset` is moved behind each.
fn run_packets<'a>(
    run: &'a [u8],
    base: u64,
    offset: &'a mut u64,
    defaults: Defaults,
) -> impl Iterator<Item = Mp4Packet> + 'a {
    let (flags, count) = (be32(run, 0).unwrap_or(0), be32(run, 4).unwrap_or(0));
    let mut at = 8;
    if flags & 1 != 0 {
        // The offset is signed.
        *offset = base.wrapping_add_signed(i64::from(be32(run, at).unwrap_or(0).cast_signed()));
        at += 4;
    }
    at += if flags & 4 == 0 { 0 } else { 4 };
    let row_bytes = 4 * (flags >> 8 & 15).count_ones() as usize;
    (0..count).map(move |_| {
        let row = run.get(at..at + row_bytes).unwrap_or(&[]);
        at += row_bytes;
        let mut fields = row.chunks_exact(4).map(|field| column(field, 0));
        let duration = if flags & 0x100 == 0 { None } else { fields.next() }.unwrap_or(defaults.duration);
        let bytes = if flags & 0x200 == 0 { None } else { fields.next() }.unwrap_or(defaults.bytes);
        let packet = Mp4Packet { offset: *offset, bytes: bytes.into(), duration };
        *offset = offset.saturating_add(bytes.into());
        packet
    })
}
