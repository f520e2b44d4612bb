//! Attack matrix: the share of marked clips that are still found after each attack, by length and
//! source.

use csm_shared::audio::{FRAME_SAMPLES, to_f32};
use csm_shared::watermark::{Detector, Verdict, Watermark};

use csm_report::Table;

use super::attack_report::AttackReport;
use super::attacks::{ATTACKS, Attack};
use super::corpus::{CorpusSource, LENGTHS, Unmarked};
use super::lossy_codec::BATCH;
use super::parallel;

/// Lengths, by index into [`LENGTHS`], and the least share of clips that gated attacks must leave
/// detectable there.
const GATES: [(usize, f64); 2] = [(1, 0.95), (2, 0.99)];

/// Clip before and after the mark.
pub(crate) struct Pair {
    pub(crate) clip: Unmarked,
    pub(crate) marked: Vec<i16>,
}

/// Marks a clip as the worker does, frame by frame through a stream.
pub(crate) fn mark(watermark: &Watermark, pcm: &[f32]) -> Vec<i16> {
    let mut stream = watermark.stream();
    let mut marked: Vec<i16> = Vec::with_capacity(pcm.len());
    for frame in pcm.chunks(FRAME_SAMPLES) {
        marked.extend_from_slice(stream.push(frame).samples());
    }
    marked.extend_from_slice(stream.finish().samples());
    marked
}

pub(crate) fn mark_all(watermark: &Watermark, clips: Vec<Unmarked>) -> anyhow::Result<Vec<Pair>> {
    let marked = parallel::map(&clips, |_, clip| Ok(mark(watermark, &clip.pcm)))?;
    Ok(clips.into_iter().zip(marked).map(|(clip, marked)| Pair { clip, marked }).collect())
}

pub(crate) fn floats(samples: &[i16]) -> Vec<f32> {
    samples.iter().copied().map(to_f32).collect()
}

/// Clips of one source and length under one attack.
struct Task<'a> {
    attack: usize,
    source: CorpusSource,
    length: usize,
    /// Number of the first clip, which seeds the draws.
    number: usize,
    clips: Vec<&'a [i16]>,
}

/// Result of one cell.
#[derive(Clone, Default)]
struct Cell {
    clips: usize,
    found: usize,
    least: Option<f32>,
}

impl Cell {
    fn add(&mut self, verdict: Verdict, z: f32) {
        self.clips += 1;
        self.found += usize::from(verdict == Verdict::Detected);
        self.least = Some(self.least.map_or(z, |least| least.min(z)));
    }

    fn rate(&self) -> f64 {
        self.found as f64 / self.clips.max(1) as f64
    }
}

/// Results of one attack: its cells by source and length, and the size of the coded audio.
#[derive(Clone, Default)]
struct MatrixRow {
    cells: [[Cell; LENGTHS.len()]; CorpusSource::ALL.len()],
    coded_bytes: u64,
    seconds: f64,
}

fn tasks(pairs: &[Pair]) -> Vec<Task<'_>> {
    let mut tasks = Vec::new();
    for attack in 0..ATTACKS.len() {
        for source in CorpusSource::ALL {
            for length in 0..LENGTHS.len() {
                let of_cell = pairs.iter().filter(|pair| pair.clip.source == source && pair.clip.length == length);
                let clips: Vec<_> = of_cell.map(|pair| &pair.marked[..]).collect();
                let batches = clips.chunks(BATCH).enumerate();
                tasks.extend(batches.map(|(batch, clips)| {
                    let number = batch * BATCH + 1_000 * length;
                    Task { attack, source, length, number, clips: clips.to_vec() }
                }));
            }
        }
    }
    tasks
}

/// Applies every attack to every clip, prints a table for each source and makes the demands of
/// [`GATES`].
pub(crate) fn run(report: &mut AttackReport, detector: &Detector, pairs: &[Pair]) -> anyhow::Result<()> {
    let tasks = tasks(pairs);
    let attacked = parallel::map(&tasks, |_, task| {
        let (clips, bytes) = ATTACKS[task.attack].apply(task.number, &task.clips)?;
        let look = |clip: &Vec<i16>| {
            let clip = floats(clip);
            if ATTACKS[task.attack].any_speed { detector.examine_thoroughly(&clip) } else { detector.examine(&clip) }
        };
        Ok((clips.iter().map(look).collect::<Vec<_>>(), bytes))
    })?;
    let mut rows = vec![MatrixRow::default(); ATTACKS.len()];
    for (task, (findings, bytes)) in tasks.iter().zip(attacked) {
        let row = &mut rows[task.attack];
        row.coded_bytes += bytes;
        row.seconds += f64::from(LENGTHS[task.length]) * task.clips.len() as f64;
        for finding in findings {
            row.cells[task.source as usize][task.length].add(finding.verdict, finding.score as f32);
        }
    }
    for source in CorpusSource::ALL {
        print(report, source, &rows);
    }
    demand(report, &rows);
    Ok(())
}

fn print(report: &mut AttackReport, source: CorpusSource, rows: &[MatrixRow]) {
    let clips = rows[0].cells[source as usize].iter().map(|cell| cell.clips).min().unwrap_or(0);
    report.say(format!("\n### {}, {clips} clips of each length\n", source.name()));
    let lengths = LENGTHS.iter().map(|seconds| format!("{seconds} s"));
    let mut table = Table::new(["attack".to_owned()].into_iter().chain(lengths));
    for (attack, row) in ATTACKS.iter().zip(rows) {
        let cells = row.cells[source as usize].iter().enumerate().map(|(length, cell)| {
            let failed = if falls_short(attack, length, cell) { " FAILED" } else { "" };
            format!("{:.1} %, {:.1}{failed}", 100.0 * cell.rate(), cell.least.unwrap_or(0.0))
        });
        table.row([name(attack, row)].into_iter().chain(cells));
    }
    report.say(table);
}

/// Returns the attack's name: gated ones in bold, codecs with the bit rate that came out.
fn name(attack: &Attack, row: &MatrixRow) -> String {
    let rate = 8.0 * row.coded_bytes as f64 / row.seconds.max(1.0) / 1_000.0;
    let rate = if row.coded_bytes > 0 { format!(" ({rate:.0} kb/s)") } else { String::new() };
    if attack.gated { format!("**{}**{rate}", attack.name) } else { format!("{}{rate}", attack.name) }
}

fn falls_short(attack: &Attack, length: usize, cell: &Cell) -> bool {
    let gate = GATES.iter().find(|(gated, _)| *gated == length);
    attack.gated && gate.is_some_and(|(_, least)| cell.rate() < *least)
}

fn demand(report: &mut AttackReport, rows: &[MatrixRow]) {
    for (attack, row) in ATTACKS.iter().zip(rows) {
        for source in CorpusSource::ALL {
            for (length, cell) in row.cells[source as usize].iter().enumerate() {
                report.demand(!falls_short(attack, length, cell), || {
                    let (found, clips) = (cell.found, cell.clips);
                    format!("{} at {} s, {}: {found} of {clips}", attack.name, LENGTHS[length], source.name())
                });
            }
        }
    }
}
