//! espeak-ng as a child process, with drawn voices, speeds, pitches and texts.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use csm_shared::audio::Clip;

use super::super::attack_rng::AttackRng;
use super::super::parallel;
use super::{CorpusSource, Unmarked, cut, samples_of_all, text};

/// Voices of the corpus that is marked.
const ENGLISH: [&str; 8] =
    ["en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd", "en-029", "en-us-nyc"];
/// Variants that change the timbre of a voice.
const TIMBRES: [&str; 18] = [
    "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "f1", "f2", "f3", "f4", "f5", "klatt", "klatt3", "adam", "croak",
    "steph",
];
/// Words of the first try. A voice that speaks them in too little time gets twice as many, in up to
/// [`TRIES`] tries.
const WORDS: usize = 70;
const TRIES: usize = 3;
/// Level of the first word's beginning; quieter samples before it are left out.
const FIRST_SOUND: f32 = 0.01;
/// Number that keeps the draws of the utterances apart from others.
const PURPOSE: u32 = 2;

/// Synthesiser, with every voice that it has without other packages.
pub(crate) struct Espeak {
    voices: Vec<String>,
}

impl Espeak {
    pub(crate) fn find() -> anyhow::Result<Self> {
        let list = run(Command::new("espeak-ng").arg("--voices"))?;
        // Columns: Pty Language Age/Gender VoiceName File. Files under mb/ belong to MBROLA.
        let voices = list.lines().skip(1).filter_map(|line| {
            let mut columns = line.split_whitespace();
            let language = columns.nth(1)?;
            (!columns.any(|column| column.starts_with("mb/")) && language != "variant").then(|| language.to_owned())
        });
        let voices: Vec<_> = voices.filter(|voice| is_spoken(voice)).collect();
        ensure!(voices.len() > ENGLISH.len(), "espeak-ng --voices lists {} voices only", voices.len());
        Ok(Self { voices })
    }

    pub(crate) fn voices(&self) -> usize {
        self.voices.len()
    }

    /// Makes `count` utterances from number `first` on, each cut into one clip of each length. The
    /// voices are English, or all that there are.
    pub(crate) fn speak(&self, first: usize, count: usize, all_voices: bool) -> anyhow::Result<Vec<Unmarked>> {
        let numbers: Vec<_> = (first..first + count).collect();
        let spoken = parallel::map(&numbers, |_, &number| {
            let mut draw = AttackRng::new(PURPOSE, number);
            let voice = if all_voices { draw.pick(&self.voices).clone() } else { (*draw.pick(&ENGLISH)).to_owned() };
            Ok(cut(CorpusSource::Espeak, &utterance(&mut draw, &voice)?))
        })?;
        Ok(spoken.into_iter().flatten().collect())
    }
}

/// Returns whether a voice can be asked for by its listed name. Some of the listed languages
/// cannot.
fn is_spoken(voice: &str) -> bool {
    run(Command::new("espeak-ng").args(["-q", "-v", &format!("{voice}+{}", TIMBRES[0]), "a"])).is_ok()
}

/// Makes an utterance that is long enough for one clip of each length.
fn utterance(draw: &mut AttackRng, voice: &str) -> anyhow::Result<Vec<f32>> {
    let voice = format!("{voice}+{}", draw.pick(&TIMBRES));
    let (speed, pitch) = ((120 + draw.below(90)).to_string(), (15 + draw.below(70)).to_string());
    let folder = tempfile::tempdir().context("a temporary folder")?;
    let file = folder.path().join("spoken.wav");
    let mut words = WORDS;
    for _ in 0..TRIES {
        let text = text::paragraph(draw, words);
        run(Command::new("espeak-ng").args(["-v", &voice, "-s", &speed, "-p", &pitch, "-w"]).arg(&file).arg(text))?;
        let wav = fs::read(&file).context("reading what espeak-ng wrote")?;
        let spoken = Clip::from_wav(&wav).with_context(|| format!("espeak-ng as {voice}"))?.to_f32();
        let begin = spoken.iter().position(|sample| sample.abs() > FIRST_SOUND).unwrap_or(spoken.len());
        if spoken.len() - begin >= samples_of_all() {
            return Ok(spoken[begin..].to_vec());
        }
        words *= 2;
    }
    anyhow::bail!("espeak-ng as {voice} says {words} words in less than {} samples", samples_of_all())
}

fn run(command: &mut Command) -> anyhow::Result<String> {
    let done = command.stdin(Stdio::null()).output().context("espeak-ng cannot be run")?;
    ensure!(done.status.success(), "espeak-ng failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(String::from_utf8_lossy(&done.stdout).into_owned())
}
