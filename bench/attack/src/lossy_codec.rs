//! Lossy coding and decoding by ffmpeg as a child process: twenty clips to a process, each a file
//! of its own.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};
use csm_shared::audio::SAMPLE_RATE;

/// Clips that one process codes.
pub(crate) const BATCH: usize = 20;
/// Least number of samples that MP3 adds, if the delay of encoder and decoder is left in.
const MP3_DELAY: usize = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LossyCodec {
    /// LAME at this many kb/s, without the header by which a decoder would remove the delay again.
    Mp3(u16),
    /// libvorbis, quality 3.
    Vorbis,
    /// libopus at this many kb/s, variable bit rate.
    Opus(u16),
}

impl LossyCodec {
    fn arguments(self) -> Vec<String> {
        let (coder, rest) = match self {
            Self::Mp3(rate) => ("libmp3lame", format!("-b:a {rate}k -write_xing 0 -f mp3")),
            Self::Vorbis => ("libvorbis", "-q:a 3 -f ogg".to_owned()),
            Self::Opus(rate) => ("libopus", format!("-b:a {rate}k -f ogg")),
        };
        ["-c:a", coder].into_iter().chain(rest.split(' ')).map(str::to_owned).collect()
    }

    /// Encodes and decodes the clips. Returns them with the number of bytes of their coded form.
    pub(crate) fn round_trip(self, clips: &[Vec<i16>]) -> anyhow::Result<(Vec<Vec<i16>>, u64)> {
        let folder = tempfile::tempdir().context("a temporary folder")?;
        let (mut coded, mut bytes) = (Vec::with_capacity(clips.len()), 0);
        for (batch, clips) in clips.chunks(BATCH).enumerate() {
            let path = |index: usize, kind: &str| folder.path().join(format!("{batch}-{index}.{kind}"));
            for (index, clip) in clips.iter().enumerate() {
                let raw: Vec<u8> = clip.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                fs::write(path(index, "raw"), raw).context("writing a clip for ffmpeg")?;
            }
            let all = 0..clips.len();
            let raw = raw_form();
            ffmpeg(all.clone().map(|i| (&raw[..], path(i, "raw"))), &self.arguments(), |i| path(i, "coded"))?;
            ffmpeg(all.map(|i| (&[][..], path(i, "coded"))), &raw, |i| path(i, "out"))?;
            for (index, clip) in clips.iter().enumerate() {
                bytes += fs::metadata(path(index, "coded")).context("ffmpeg's file")?.len();
                let out = samples(&path(index, "out"))?;
                let delayed = !matches!(self, Self::Mp3(_)) || out.len() >= clip.len() + MP3_DELAY;
                ensure!(delayed, "ffmpeg took the delay of an MP3 off: {} samples from {}", out.len(), clip.len());
                coded.push(out);
            }
        }
        Ok((coded, bytes))
    }
}

/// Returns ffmpeg's options for raw samples: 24 kHz, mono, 16 bit, without a header.
fn raw_form() -> Vec<String> {
    ["-f", "s16le", "-ar", &SAMPLE_RATE.to_string(), "-ac", "1"].map(str::to_owned).to_vec()
}

fn samples(path: &Path) -> anyhow::Result<Vec<i16>> {
    let bytes = fs::read(path).context("reading what ffmpeg decoded")?;
    Ok(bytes.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect())
}

/// Runs one process: each input, under its options, becomes the output of its number.
fn ffmpeg<'a, P: Into<OsString>>(
    inputs: impl Iterator<Item = (&'a [String], P)>,
    form: &[String],
    output: impl Fn(usize) -> P,
) -> anyhow::Result<()> {
    let mut command = Command::new("ffmpeg");
    command.args(["-nostdin", "-hide_banner", "-loglevel", "error", "-y"]).stdin(Stdio::null());
    let mut count = 0;
    for (options, path) in inputs {
        command.args(options).arg("-i").arg(path.into());
        count += 1;
    }
    for index in 0..count {
        command.arg("-map").arg(index.to_string()).args(form).arg(output(index).into());
    }
    let done = command.output().context("ffmpeg cannot be run")?;
    ensure!(done.status.success(), "ffmpeg failed: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
