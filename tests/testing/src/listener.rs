//! Listener to speech: words by pocketsphinx, the voice's pitch by autocorrelation, and the same text
//! in flite's voice for comparison.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, ensure};
use csm_shared::audio::{SAMPLE_RATE, to_f32};

/// Folder of pocketsphinx' English models, as Debian's packages have them.
const MODELS: &str = "/usr/share/pocketsphinx/model/en-us";
/// Samples a second of flite's voice.
const FLITE_RATE: u32 = 16_000;
/// Silence put around a clip, as speech has it in a recording.
const AROUND_MS: usize = 200;
/// Range in which a voice's pitch is looked for.
const PITCH_HZ: std::ops::Range<usize> = 65..260;
/// Root mean square of a window below which it is silence.
const SILENCE: f32 = 0.01;

/// Speech with its sample rate.
#[derive(Clone, Debug)]
pub struct Speech {
    /// 16-bit samples, mono.
    pub samples: Vec<i16>,
    /// Samples a second.
    pub rate: u32,
}

impl Speech {
    /// Speech at the rate of the fleet.
    #[must_use]
    pub fn of_fleet(samples: Vec<i16>) -> Self {
        Self { samples, rate: SAMPLE_RATE }
    }

    /// Has flite's voice `slt` say a text.
    ///
    /// # Errors
    /// If flite is missing or fails.
    pub fn of_flite(text: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("speech.wav");
        let status = Command::new("flite").args(["-voice", "slt", "-t", text, "-o"]).arg(&file).status();
        ensure!(status.context("flite is missing: apt-get install flite")?.success(), "flite failed for {text:?}");
        let mut reader = hound::WavReader::open(&file)?;
        let rate = reader.spec().sample_rate;
        ensure!(rate == FLITE_RATE, "flite speaks at {rate} Hz");
        Ok(Self { samples: reader.samples().collect::<Result<_, _>>()?, rate })
    }

    /// Returns the median pitch of the voiced windows in Hz, or nothing if there are none.
    #[must_use]
    pub fn median_pitch(&self) -> Option<f32> {
        let size = self.rate as usize / 12;
        let (shortest, longest) = (self.rate as usize / PITCH_HZ.end, self.rate as usize / PITCH_HZ.start);
        let windows = self.samples.windows(size).step_by(size / 2);
        let mut found: Vec<f32> = windows.filter_map(|window| pitch(window, shortest, longest, self.rate)).collect();
        found.sort_by(f32::total_cmp);
        found.get(found.len() / 2).copied()
    }
}

/// Returns the pitch of a window if it is voiced.
fn pitch(window: &[i16], shortest: usize, longest: usize, rate: u32) -> Option<f32> {
    let samples: Vec<f32> = window.iter().map(|&sample| to_f32(sample)).collect();
    let product = |lag: usize| samples.iter().zip(&samples[lag..]).map(|(a, b)| a * b).sum::<f32>();
    let power = product(0);
    if power / samples.len() as f32 <= SILENCE * SILENCE {
        return None;
    }
    let lag = (shortest..longest).max_by(|&a, &b| product(a).total_cmp(&product(b)))?;
    (product(lag) > 0.5 * power).then(|| rate as f32 / lag as f32)
}

/// Returns the words that pocketsphinx hears in each clip, in lower case.
///
/// # Errors
/// If pocketsphinx or its models are missing, or it fails.
pub fn hear(clips: &[Speech]) -> anyhow::Result<Vec<Vec<String>>> {
    let folder = tempfile::tempdir()?;
    let mut heard = vec![Vec::new(); clips.len()];
    for rate in [SAMPLE_RATE, FLITE_RATE] {
        let numbers: Vec<usize> = (0..clips.len()).filter(|&number| clips[number].rate == rate).collect();
        if numbers.is_empty() {
            continue;
        }
        let mut list = String::new();
        for &number in &numbers {
            fs::write(folder.path().join(format!("{number}.raw")), raw(&clips[number]))?;
            list += &format!("{number}\n");
        }
        let hypotheses = recognise(folder.path(), &list, rate)?;
        for (&number, line) in numbers.iter().zip(hypotheses.lines()) {
            let words = line.rsplit_once('(').map_or(line, |(words, _)| words);
            heard[number] = words.split_whitespace().map(ToOwned::to_owned).collect();
        }
    }
    Ok(heard)
}

/// Returns the bytes of a clip at an even loudness, between two silences.
fn raw(clip: &Speech) -> Vec<u8> {
    let silence = vec![0; clip.rate as usize * AROUND_MS / 1_000];
    let loudest = clip.samples.iter().map(|sample| sample.unsigned_abs()).max().unwrap_or(0).max(1);
    let even = clip.samples.iter().map(|&sample| (f32::from(sample) / f32::from(loudest) * 20_000.0) as i16);
    silence.iter().copied().chain(even).chain(silence.iter().copied()).flat_map(i16::to_le_bytes).collect()
}

/// Runs pocketsphinx over the listed files of a folder, and returns a line for each.
fn recognise(folder: &Path, list: &str, rate: u32) -> anyhow::Result<String> {
    let (control, hypotheses) = (folder.join("list"), folder.join("heard"));
    fs::write(&control, list)?;
    let models = Path::new(MODELS);
    let mut command = Command::new("pocketsphinx_batch");
    command.arg("-hmm").arg(models.join("en-us")).arg("-lm").arg(models.join("en-us.lm.bin"));
    command.arg("-dict").arg(models.join("cmudict-en-us.dict")).args(["-logfn", "/dev/null", "-adcin", "yes"]);
    command.args(["-cepext", ".raw", "-samprate", &rate.to_string(), "-nfft", "1024"]);
    command.arg("-cepdir").arg(folder).arg("-ctl").arg(&control).arg("-hyp").arg(&hypotheses);
    let status =
        command.status().context("pocketsphinx is missing: apt-get install pocketsphinx pocketsphinx-en-us")?;
    ensure!(status.success(), "pocketsphinx failed");
    Ok(fs::read_to_string(&hypotheses)?)
}

/// Words of a text, and how many of them were heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WordScore {
    /// Words of the text, less errors: words left out, put in or changed.
    pub right: usize,
    /// Words of the text.
    pub words: usize,
}

impl WordScore {
    /// Compares what was heard with a text.
    #[must_use]
    pub fn of(text: &str, heard: &[String]) -> Self {
        let plain: String =
            text.to_lowercase().chars().map(|c| if c.is_alphabetic() || c == '\'' { c } else { ' ' }).collect();
        let said: Vec<&str> = plain.split_whitespace().collect();
        let mut row: Vec<usize> = (0..=heard.len()).collect();
        for (count, word) in said.iter().enumerate() {
            let mut diagonal = row[0];
            row[0] = count + 1;
            for (at, other) in heard.iter().enumerate() {
                let change = diagonal + usize::from(word != other);
                diagonal = row[at + 1];
                row[at + 1] = change.min(diagonal + 1).min(row[at] + 1);
            }
        }
        Self { right: said.len().saturating_sub(row[heard.len()]), words: said.len() }
    }

    /// Share of the words that were heard right.
    #[must_use]
    pub fn accuracy(self) -> f64 {
        self.right as f64 / self.words.max(1) as f64
    }
}

impl std::iter::Sum for WordScore {
    fn sum<I: Iterator<Item = Self>>(scores: I) -> Self {
        scores.fold(Self::default(), |a, b| Self { right: a.right + b.right, words: a.words + b.words })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_words_left_out_put_in_or_changed() {
        let score = |heard: &str| {
            let heard: Vec<_> = heard.split_whitespace().map(ToOwned::to_owned).collect();
            WordScore::of("Hello, it's a test!", &heard).right
        };
        assert_eq!(
            ["hello it's a test", "hello it's test", "hello it's a a test", "jello it's a test", ""].map(score),
            [4, 3, 3, 3, 0]
        );
    }

    #[test]
    fn the_pitch_of_a_buzz_is_its_period() {
        let samples = (0..24_000).map(|at| if at % 240 < 20 { 8_000 } else { 0 }).collect();
        let pitch = Speech::of_fleet(samples).median_pitch().unwrap();
        assert!((pitch - 100.0).abs() < 1.0, "{pitch}");
        assert!(Speech::of_fleet(vec![0; 24_000]).median_pitch().is_none());
    }
}
