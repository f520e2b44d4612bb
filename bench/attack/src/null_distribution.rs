//! Null distribution: scores under the deployment's one key, of unmarked audio and of audio marked
//! under other keys.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use csm_shared::audio::to_i16;
use csm_shared::watermark::{DETECTED_ABOVE, Detector, Finding, INCONCLUSIVE_ABOVE, Verdict, Watermark, WatermarkKey};

use super::attack_matrix::{Pair, floats, mark};
use csm_report::Table;

use super::attack_report::AttackReport;
use super::attacks::ATTACKS;
use super::corpus::{Espeak, LENGTHS, ToyVoice};
use super::lossy_codec::BATCH;
use super::{parallel, sounds};

/// Attacked copies of each clip.
const COPIES: usize = 2;
/// Distance between clips that are also examined at any speed, which takes ten times as long.
const AT_ANY_SPEED: usize = 8;
/// Clips that are held in memory at a time.
const WAVE: usize = 160;
/// Number of the null's first utterance. The utterances of the matrix have lower numbers.
const FIRST_UTTERANCE: usize = 1_000_000;
/// Places at which the pattern may begin: 8 grids times 16 hops. The number is checked against the
/// detector's own p-value.
const HYPOTHESES: f64 = 128.0;

const GROUPS: [&str; 6] =
    ["espeak-ng", "toy voice", "other sounds", "attacked copies", "marked under other keys", "looked at in any speed"];

struct Score {
    /// Index into [`GROUPS`].
    group: usize,
    z: f32,
    found: bool,
}

struct Null<'a> {
    detector: &'a Detector,
    scores: Vec<Score>,
}

impl Null<'_> {
    /// Scores unmarked clips and attacked copies of them.
    fn add(&mut self, group: usize, clips: &[Vec<f32>]) -> anyhow::Result<()> {
        let rounded: Vec<Vec<i16>> =
            clips.iter().map(|pcm| pcm.iter().map(|&sample| to_i16(sample)).collect()).collect();
        let first = self.scores.len();
        self.score(group, &rounded, Detector::examine)?;
        let some: Vec<_> = rounded.iter().step_by(AT_ANY_SPEED).cloned().collect();
        self.score(5, &some, Detector::examine_thoroughly)?;
        // Every attack except the first, which changes nothing.
        let attacks = ATTACKS.len() - 1;
        let mut batches: Vec<(usize, Vec<&[i16]>)> = Vec::new();
        for attack in 0..attacks {
            let meets =
                |index: usize| (0..COPIES).any(|copy| (first + index + copy * attacks / COPIES) % attacks == attack);
            let clips: Vec<_> =
                (0..rounded.len()).filter(|&index| meets(index)).map(|index| &rounded[index][..]).collect();
            batches.extend(clips.chunks(BATCH).map(|clips| (1 + attack, clips.to_vec())));
        }
        let copies = parallel::map(&batches, |number, (attack, clips)| {
            Ok(ATTACKS[*attack].apply(first + number * BATCH, clips)?.0)
        })?;
        let copies: Vec<_> = copies.into_iter().flatten().collect();
        self.score(3, &copies, Detector::examine)
    }

    fn score(
        &mut self,
        group: usize,
        clips: &[Vec<i16>],
        examine: fn(&Detector, &[f32]) -> Finding,
    ) -> anyhow::Result<()> {
        let scores = parallel::map(clips, |_, clip| {
            let finding = examine(self.detector, &floats(clip));
            let bound = HYPOTHESES * (-0.5 * finding.score.powi(2)).exp();
            ensure!((finding.p_value - bound.min(1.0)).abs() <= 1e-3 * bound, "p {} is not {bound}", finding.p_value);
            Ok(Score { group, z: finding.score as f32, found: finding.verdict == Verdict::Detected })
        })?;
        self.scores.extend(scores);
        Ok(())
    }
}

/// Scores at least `least` distinct unmarked clips, then the corpus marked under other keys. Of the
/// unmarked clips 45 % are espeak-ng's in all of its voices, and 30 % the toy voice's. No score
/// may pass the threshold.
pub(crate) fn run(
    report: &mut AttackReport,
    (espeak, toy): (&Espeak, &mut ToyVoice),
    (detector, pairs): (&Detector, &[Pair]),
    least: usize,
) -> anyhow::Result<NullDistribution> {
    let mut null = Null { detector, scores: Vec::new() };
    let utterances = |percent: usize| (least * percent).div_ceil(100 * LENGTHS.len());
    for wave in waves(utterances(45), WAVE / LENGTHS.len()) {
        let clips = espeak.speak(FIRST_UTTERANCE + wave.start, wave.len(), true)?;
        null.add(0, &clips.into_iter().map(|clip| clip.pcm).collect::<Vec<_>>())?;
    }
    for wave in waves(utterances(30), WAVE / LENGTHS.len()) {
        null.add(1, &toy.speak(wave.len())?.into_iter().map(|clip| clip.pcm).collect::<Vec<_>>())?;
    }
    let spoken = LENGTHS.len() * (utterances(45) + utterances(30));
    for wave in waves(least.saturating_sub(spoken).max(sounds::SOUNDS.len()), WAVE) {
        let clips: Vec<_> = wave.map(|number| sounds::sound(number, LENGTHS[number % LENGTHS.len()])).collect();
        null.add(2, &clips)?;
    }
    let foreign = parallel::map(pairs, |number, pair| {
        let key = WatermarkKey::parse(&format!("somebody else's key, number {number}"))?;
        Ok(mark(&Watermark::new(&key), &pair.clip.pcm))
    })?;
    null.score(4, &foreign, Detector::examine)?;
    let scores = NullDistribution(null.scores);
    scores.print(report, espeak.voices());
    Ok(scores)
}

/// Splits `count` numbers into runs of `length`.
fn waves(count: usize, length: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
    (0..count).step_by(length).map(move |begin| begin..(begin + length).min(count))
}

/// All scores of the null.
pub(crate) struct NullDistribution(Vec<Score>);

impl NullDistribution {
    fn print(&self, report: &mut AttackReport, voices: usize) {
        let distinct = self.0.iter().filter(|score| score.group < 3).count();
        report.say(format!(
            "\n## The null: {distinct} unmarked clips, {} scores, one key\n\nespeak-ng draws from all of its {voices} voices. Other sounds:\n\
             {}.\nThe clips last 1, 2.5, 5 and 10 s. Each has {COPIES} attacked copies, every attack in turn; one clip in\n\
             {AT_ANY_SPEED} is also looked at in any speed.\n",
            self.0.len(),
            sounds::SOUNDS.map(|(name, _)| name).join(", "),
        ));
        let mut table =
            Table::new(["clips", "scores", "mean z", "greatest", "5 < z <= 6", "z > 6", "expected at most"]);
        for group in (0..GROUPS.len()).map(Some).chain([None]) {
            let scores: Vec<_> = self.0.iter().filter(|score| group.is_none_or(|group| score.group == group)).collect();
            let count = |low: f32, high: f32| scores.iter().filter(|score| score.z > low && score.z <= high).count();
            let greatest = scores.iter().map(|score| score.z).fold(0.0, f32::max);
            let mean = scores.iter().map(|score| score.z).sum::<f32>() / scores.len().max(1) as f32;
            let bound = HYPOTHESES * (-0.5 * f64::from(DETECTED_ABOVE).powi(2)).exp() * scores.len() as f64;
            table.row([
                group.map_or("all", |group| GROUPS[group]).to_owned(),
                scores.len().to_string(),
                format!("{mean:.2}"),
                format!("{greatest:.2}"),
                count(INCONCLUSIVE_ABOVE, DETECTED_ABOVE).to_string(),
                count(DETECTED_ABOVE, f32::INFINITY).to_string(),
                format!("{bound:.4}"),
            ]);
        }
        report.say(table);
        report.say(
            "\n\"Expected at most\" is the bound 128 exp(-z * z / 2) at the threshold, times the scores: the false positives that any\n\
             audio has at most, on average over keys.",
        );
        let found = self.0.iter().filter(|score| score.found).count();
        report.demand(found == 0, || format!("{found} false positives"));
    }

    /// Writes `group,z` into `csv` and runs `python` to draw `plot` from it.
    pub(crate) fn draw(&self, python: &Path, csv: &Path, plot: &Path) -> anyhow::Result<()> {
        let folder = csv.parent().context("the file of scores has no folder")?;
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
        let mut file = std::io::BufWriter::new(fs::File::create(csv).with_context(|| csv.display().to_string())?);
        writeln!(file, "group,z")?;
        for score in &self.0 {
            writeln!(file, "{},{}", GROUPS[score.group], score.z)?;
        }
        file.into_inner()?;
        let script = ["bench/attack/plot.py", "--threshold", &DETECTED_ABOVE.to_string(), "--hypotheses"];
        let mut command = Command::new(python);
        command.args(script).arg(HYPOTHESES.to_string()).arg(csv).arg(plot);
        let status = command.status().with_context(|| format!("{} cannot be run", python.display()))?;
        ensure!(status.success(), "bench/attack/plot.py failed");
        Ok(())
    }
}
