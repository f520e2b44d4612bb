//! A player of the system that is fed samples while they are made.

use std::process::Stdio;

use anyhow::{Context as _, bail};
use csm_shared::audio::SAMPLE_RATE;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, ChildStdin, Command};

/// Players that take bare samples from their standard input, the first that is there is used.
const PLAYERS: [(&str, &[&str]); 4] = [
    ("pw-play", &["--raw", "--format", "s16", "--rate", "RATE", "--channels", "1", "-"]),
    ("paplay", &["--raw", "--format=s16le", "--rate=RATE", "--channels=1"]),
    ("aplay", &["--quiet", "--file-type", "raw", "--format", "S16_LE", "--rate", "RATE", "--channels", "1"]),
    (
        "ffplay",
        &["-loglevel", "error", "-nodisp", "-autoexit", "-f", "s16le", "-ar", "RATE", "-ch_layout", "mono", "-i", "-"],
    ),
];

/// Running player.
pub(super) struct Player {
    child: Child,
    input: ChildStdin,
    name: &'static str,
}

impl Player {
    /// Starts the first player that is there.
    pub(super) fn start() -> anyhow::Result<Self> {
        for (name, arguments) in PLAYERS {
            let arguments = arguments.iter().map(|argument| argument.replace("RATE", &SAMPLE_RATE.to_string()));
            let started = Command::new(name).args(arguments).stdin(Stdio::piped()).kill_on_drop(true).spawn();
            match started {
                Ok(mut child) => {
                    let input = child.stdin.take().context("the player has no standard input")?;
                    return Ok(Self { child, input, name });
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context(format!("cannot start {name}")),
            }
        }
        bail!("no player is there: install {}", PLAYERS.map(|(name, _)| name).join(" or "))
    }

    /// Plays samples: 24 kHz, mono, 16 bit, lowest byte first.
    pub(super) async fn play(&mut self, pcm: &[u8]) -> anyhow::Result<()> {
        self.input.write_all(pcm).await.with_context(|| format!("{} takes no more", self.name))
    }

    /// Waits until everything was heard.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        let Self { mut child, mut input, name } = self;
        input.shutdown().await.with_context(|| format!("{name} takes no more"))?;
        drop(input);
        let status = child.wait().await.with_context(|| format!("cannot wait for {name}"))?;
        if status.success() { Ok(()) } else { bail!("{name} failed: {status}") }
    }
}
