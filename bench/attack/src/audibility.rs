//! Proxy for audibility: the added signal under the speech, the loudness, and steps at the edges of
//! hops and frames.

use csm_shared::audio::{FRAME_SAMPLES, to_f32};
use csm_shared::watermark::Watermark;

use super::attack_matrix::{Pair, mark};
use csm_report::Table;

use super::attack_report::AttackReport;
use super::attacks::HOP;
use super::corpus::{CorpusSource, LENGTHS};
use super::loudness::lufs;
use super::parallel;

/// Samples of one segment: 20 ms.
const SEGMENT: usize = 480;
/// Level below the loudest segment, in dB, under which a segment is a pause.
const PAUSE_DB: f64 = 40.0;
/// Greatest change of loudness, in dB, in the mean over clips of one length.
const LOUDNESS_LIMIT_DB: f64 = 0.1;
/// Greatest power of the added signal's steps at edges, relative to that elsewhere.
const STEP_LIMIT: f64 = 1.1;

/// Measurements of one clip.
#[derive(Default)]
struct Audibility {
    /// SNR of each active segment, in dB.
    segments: Vec<f64>,
    /// Loudness after the mark less that before, in dB.
    loudness: Option<f64>,
    hops: LoudnessSteps,
    frames: LoudnessSteps,
    /// Steps at frames, if each frame is marked as a stream of its own.
    apart: LoudnessSteps,
}

/// Powers of the added signal's first difference at edges and elsewhere.
#[derive(Clone, Copy, Default)]
struct LoudnessSteps {
    edge: f64,
    edges: f64,
    other: f64,
    others: f64,
}

impl LoudnessSteps {
    fn of(added: &[f64], every: usize) -> Self {
        let mut steps = Self::default();
        for (n, two) in added.windows(2).enumerate() {
            let power = (two[1] - two[0]).powi(2);
            if (n + 1).is_multiple_of(every) {
                steps.edge += power;
                steps.edges += 1.0;
            } else {
                steps.other += power;
                steps.others += 1.0;
            }
        }
        steps
    }

    fn and(self, more: Self) -> Self {
        Self {
            edge: self.edge + more.edge,
            edges: self.edges + more.edges,
            other: self.other + more.other,
            others: self.others + more.others,
        }
    }

    fn ratio(self) -> f64 {
        (self.edge / self.edges.max(1.0)) / (self.other / self.others.max(1.0)).max(f64::MIN_POSITIVE)
    }
}

fn hear(watermark: &Watermark, pair: &Pair) -> Audibility {
    let Pair { clip, marked } = pair;
    let added = |marked: &[i16]| -> Vec<f64> {
        marked.iter().zip(&clip.pcm).map(|(&after, &before)| f64::from(to_f32(after) - before)).collect()
    };
    let apart: Vec<i16> = clip.pcm.chunks(FRAME_SAMPLES).flat_map(|frame| mark(watermark, frame)).collect();
    let (apart, added) = (added(&apart), added(marked));
    let after: Vec<f32> = marked.iter().copied().map(to_f32).collect();
    Audibility {
        segments: segments(&clip.pcm, &added),
        loudness: lufs(&after).zip(lufs(&clip.pcm)).map(|(after, before)| after - before),
        hops: LoudnessSteps::of(&added, HOP),
        frames: LoudnessSteps::of(&added, FRAME_SAMPLES),
        apart: LoudnessSteps::of(&apart, FRAME_SAMPLES),
    }
}

fn segments(pcm: &[f32], added: &[f64]) -> Vec<f64> {
    let power = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let decibels = |power: f64| 10.0 * power.max(f64::MIN_POSITIVE).log10();
    let levels: Vec<(f64, f64)> = pcm
        .chunks_exact(SEGMENT)
        .zip(added.chunks_exact(SEGMENT))
        .map(|(pcm, added)| {
            let speech = power(&mut pcm.iter().map(|&sample| f64::from(sample)));
            (decibels(speech), decibels(power(&mut added.iter().copied())))
        })
        .collect();
    let loud = levels.iter().map(|(speech, _)| *speech).fold(f64::NEG_INFINITY, f64::max);
    levels.iter().filter(|(speech, _)| *speech > loud - PAUSE_DB).map(|(speech, added)| speech - added).collect()
}

/// Prints two tables. Demands that the loudness stays and that the mark does not step at edges.
pub(crate) fn run(report: &mut AttackReport, watermark: &Watermark, pairs: &[Pair]) -> anyhow::Result<()> {
    let heard = parallel::map(pairs, |_, pair| Ok(hear(watermark, pair)))?;
    report.say("\n## Audibility proxy\n");
    let mut table =
        Table::new(["source", "segmental SNR dB", "worst decile", "steps at 480", "at 1920", "marked apart"]);
    for source in CorpusSource::ALL {
        let of_source =
            || heard.iter().zip(pairs).filter(|(_, pair)| pair.clip.source == source).map(|(heard, _)| heard);
        let mut segments: Vec<f64> = of_source().flat_map(|heard| heard.segments.iter().copied()).collect();
        segments.sort_by(f64::total_cmp);
        let steps = |of: fn(&Audibility) -> LoudnessSteps| {
            of_source().fold(LoudnessSteps::default(), |sum, heard| sum.and(of(heard))).ratio()
        };
        let (hops, frames) = (steps(|heard| heard.hops), steps(|heard| heard.frames));
        table.row([
            source.name().to_owned(),
            format!("{:.1}", mean(&segments)),
            format!("{:.1}", segments.get(segments.len() / 10).copied().unwrap_or(0.0)),
            format!("{hops:.3}"),
            format!("{frames:.3}"),
            format!("{:.3}", steps(|heard| heard.apart)),
        ]);
        report.demand(hops.max(frames) < STEP_LIMIT, || {
            format!("{}: the mark steps at edges, by {:.2}", source.name(), hops.max(frames))
        });
    }
    report.say(table);
    report.say(AUDIBILITY);
    loudness(report, &heard, pairs);
    Ok(())
}

fn loudness(report: &mut AttackReport, heard: &[Audibility], pairs: &[Pair]) {
    let mut table = Table::new(["loudness after less before, dB", "mean", "least", "greatest"]);
    for source in CorpusSource::ALL {
        for (length, seconds) in LENGTHS.iter().enumerate() {
            let of_cell = heard.iter().zip(pairs);
            let of_cell = of_cell.filter(|(_, pair)| pair.clip.source == source && pair.clip.length == length);
            let changes: Vec<f64> = of_cell.filter_map(|(heard, _)| heard.loudness).collect();
            let least = changes.iter().copied().fold(f64::INFINITY, f64::min);
            let greatest = changes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let numbers = [mean(&changes), least, greatest].map(|change| format!("{change:+.3}"));
            table.row([format!("{}, {seconds} s", source.name())].into_iter().chain(numbers));
            report.demand(mean(&changes).abs() < LOUDNESS_LIMIT_DB, || {
                format!("loudness of {} at {seconds} s changes by {:.3} dB in the mean", source.name(), mean(&changes))
            });
        }
    }
    report.say(table);
    report.say(
        "\nBS.1770-4 with its gates. The limit of 0.1 dB is for the mean of each row: a single clip moves with the few partials\n\
         that make up its loudness, each of them up or down by up to 1.5 dB.",
    );
}

const AUDIBILITY: &str = "
Segments are 20 ms; those more than 40 dB below the clip's loudest are left out, and nine of ten exceed the worst decile. Steps:
power of the added signal's first difference at multiples of 480 and 1920 samples, over that elsewhere (1 is no step). \"Marked
apart\" is what it reads when each 1920 samples are marked as a stream of their own, which is wrong.
";

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}
