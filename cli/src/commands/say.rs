//! `csm say`: speaks a text through the HTTP API, and saves the file or plays it while it is made.

mod destination;
mod player;
mod standard_input;

use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use csm_queue::live::Event;
use csm_shared::job::{AudioFormat, Delivery, Lane, Receipt, VoiceName};
use csm_shared::process::shutdown::{COMMAND_END_LIMIT, Shutdown};
use csm_shared::{errln, out};
use futures::StreamExt as _;
use tokio_util::sync::CancellationToken;

use super::UrlArgs;
use crate::client::{GatewayClient, SpeechRequest};
use crate::progress_display::ProgressDisplay;
use crate::receipt_text;
use destination::Destination;
use player::Player;

/// Text that stands for standard input.
const STANDARD_INPUT: &str = "-";
/// Pause between two requests for a waiting job's position in the queue.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest time for the cancel that follows an interrupt.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

#[derive(Args, Debug)]
pub(crate) struct SayArgs {
    /// Text to speak; `-` reads standard input, with --play sentence by sentence
    text: String,
    /// File to write; `-` is standard output. Devices, pipes and links are written through
    #[arg(short, long, value_name = "FILE", required_unless_present = "play")]
    output: Option<PathBuf>,
    /// Play the speech while it is made, with pw-play, paplay, aplay or ffplay
    #[arg(long)]
    play: bool,
    /// wav, pcm, flac, opus or mp3 [default: the file's extension, wav if it has none]
    #[arg(long)]
    format: Option<AudioFormat>,
    #[command(flatten)]
    url: UrlArgs,
    /// Voice: alloy, ash, ballad, coral, echo, fable, nova, onyx, sage, shimmer, verse, marin or cedar
    #[arg(long, value_name = "NAME", conflicts_with = "speaker")]
    voice: Option<String>,
    /// Tempo of the speech, 0.25 to 4 [gateway's default: 1]
    #[arg(long, value_name = "X", allow_negative_numbers = true, value_parser = finite)]
    speed: Option<f32>,
    /// Speaker number [gateway's default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    speaker: Option<i64>,
    /// Longest result in milliseconds [gateway's default: grows with the text, 10000 or more]
    #[arg(long, value_name = "MS")]
    max_audio_length_ms: Option<u64>,
    /// Sampling temperature, 0 for greedy [gateway's default: 0.9]
    #[arg(long, value_name = "T", allow_negative_numbers = true, value_parser = finite)]
    temperature: Option<f32>,
    /// Codes kept in each draw [gateway's default: 50]
    #[arg(long, value_name = "K")]
    topk: Option<u64>,
    /// Seed of the draws; the same seed says the same thing again [default: drawn by the gateway]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// live, standard or bulk [gateway's default: standard]
    #[arg(long)]
    lane: Option<Lane>,
}

/// Parses a finite number. JSON has no NaN and no infinity, so the gateway could not refuse them.
fn finite(text: &str) -> Result<f32, String> {
    let value: f32 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value.is_finite() { Ok(value) } else { Err("must be finite".to_owned()) }
}

pub(crate) async fn run(args: SayArgs) -> anyhow::Result<ExitCode> {
    let shutdown = Shutdown::on_signals(COMMAND_END_LIMIT)?;
    let format = match &args.output {
        Some(output) => format(output, args.format)?,
        None => args.format.unwrap_or_default(),
    };
    let reads_input = args.text == STANDARD_INPUT;
    let request = SpeechRequest {
        text: args.text,
        speaker: args.speaker,
        voice: args.voice,
        speed: args.speed.map(f64::from),
        delivery: args.play.then_some(Delivery::Both),
        max_audio_length_ms: args.max_audio_length_ms,
        temperature: args.temperature,
        topk: args.topk,
        seed: args.seed,
        lane: args.lane.or(args.play.then_some(Lane::Live)),
        format: Some(format),
    };
    let client = GatewayClient::new(&args.url.url)?;
    let Some(output) = &args.output else {
        play(&client, request, reads_input, shutdown.token()).await?;
        return Ok(ExitCode::SUCCESS);
    };
    let request = if reads_input { SpeechRequest { text: standard_input::whole().await?, ..request } } else { request };
    let mut player = args.play.then(Player::start).transpose()?;
    let spoken = speak(&client, &request, Some(output), player.as_mut(), shutdown.token()).await?;
    if let Some(player) = player {
        player.finish().await?;
    }
    let text = format!("{}\n{}", output.display(), receipt_text::in_words(&spoken.id, &spoken.receipt, None));
    if spoken.is_file {
        out!("{text}");
    } else {
        // The audio itself may have gone to standard output.
        errln!("{}", text.trim_end());
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the format of the file to write: the requested one, or else the extension's. If both are
/// known they must agree.
fn format(output: &Path, asked: Option<AudioFormat>) -> anyhow::Result<AudioFormat> {
    let extension = output.extension().map(|extension| extension.to_string_lossy().to_lowercase());
    let named: Option<AudioFormat> = extension.as_deref().and_then(|extension| extension.parse().ok());
    match (asked, named, extension) {
        (Some(asked), Some(named), _) if asked != named => {
            bail!("--format {asked} would write a file that is named {}; name it .{asked}", output.display())
        }
        (Some(format), _, _) | (None, Some(format), _) => Ok(format),
        (None, None, None) => Ok(AudioFormat::Wav),
        (None, None, Some(extension)) => {
            bail!("no format is called {extension:?}: name the file .wav, .pcm, .flac, .opus or .mp3, or give --format")
        }
    }
}

/// Speech of a job, saved in a file.
pub(crate) struct SavedSpeech {
    /// Id of the job.
    pub(crate) id: String,
    /// Receipt of the audio, checked against the file.
    pub(crate) receipt: Receipt,
    /// False if the audio went through a device, a pipe or a link, or to standard output.
    is_file: bool,
}

/// Speaks `request` into the file `output`, with a progress bar. A file appears whole and checked,
/// or not at all ([`Destination`]). Cancelling `stop` cancels the job.
pub(crate) async fn speak_to_file(
    client: &GatewayClient,
    request: &SpeechRequest,
    output: &Path,
    stop: &CancellationToken,
) -> anyhow::Result<SavedSpeech> {
    speak(client, request, Some(output), None, stop).await
}

/// Speaks `request` to a player while it is made, and into a file behind its end.
async fn speak(
    client: &GatewayClient,
    request: &SpeechRequest,
    output: Option<&Path>,
    player: Option<&mut Player>,
    stop: &CancellationToken,
) -> anyhow::Result<SavedSpeech> {
    let destination = output.map(Destination::of).transpose()?;
    let job = client.submit(request).await?;
    let receipt = tokio::select! {
        biased;
        () = stop.cancelled() => {
            let asked = tokio::time::timeout(CANCEL_LIMIT, client.cancel(&job.id)).await;
            asked.context("no answer to the cancel").and_then(|asked| Ok(asked?)).context("interrupted")?;
            bail!("interrupted; job {} was asked to stop", job.id);
        }
        receipt = follow(client, &job.id, job.ahead(), player) => receipt?,
    };
    if let Some(destination) = &destination {
        let audio = client.audio(&job.id).await?;
        receipt_text::verify(&audio, &receipt)?;
        destination.write(&audio)?;
    }
    let is_file = destination.is_some_and(|destination| destination.is_file());
    Ok(SavedSpeech { id: job.id, receipt, is_file })
}

/// Plays a text, or the sentences of standard input as they come.
async fn play(
    client: &GatewayClient,
    mut request: SpeechRequest,
    reads_input: bool,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut player = Player::start()?;
    if !reads_input {
        speak(client, &request, None, Some(&mut player), stop).await?;
        return player.finish().await;
    }
    if request.speaker.is_none() && request.voice.is_none() {
        // Each sentence is a job: without a voice, each would be another person.
        request.voice = VoiceName::ALL.first().map(|voice| voice.name().to_owned());
    }
    let mut sentences = standard_input::sentences();
    while let Some(text) = sentences.recv().await {
        request.text = text?;
        speak(client, &request, None, Some(&mut player), stop).await?;
    }
    player.finish().await
}

/// Shows the job's progress until its end, and plays its samples.
async fn follow(
    client: &GatewayClient,
    id: &str,
    ahead: Option<u64>,
    mut player: Option<&mut Player>,
) -> anyhow::Result<Receipt> {
    let mut progress = ProgressDisplay::new();
    progress.waiting(ahead);
    let mut waiting = true;
    let mut look = tokio::time::interval(LOOK_EVERY);
    let mut events = pin!(client.events(id));
    loop {
        let event = tokio::select! {
            event = events.next() => event.context("the gateway ended the job's story before its end")??,
            _ = look.tick(), if waiting => {
                // The position is only for display: every failure shows in the events too.
                if let Ok(Some(ahead)) = client.job(id).await.map(|job| job.ahead()) {
                    progress.waiting(Some(ahead));
                }
                continue;
            }
        };
        waiting = false;
        match event {
            Event::Started { worker } => progress.started(&worker),
            Event::Progress { frames, max_frames, audio } => {
                progress.speaking(frames, max_frames);
                if let (Some(player), Some(audio)) = (&mut player, audio) {
                    player.play(audio.pcm()).await?;
                }
            }
            Event::Done { receipt } => return Ok(*receipt),
            Event::Error { state, failure: Some(failure) } => bail!("job {id} {state}: {failure}"),
            Event::Error { state, failure: None } => bail!("job {id} was {state}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_is_the_one_asked_for_or_the_extension_s() {
        let told = |output: &str, asked| format(Path::new(output), asked).ok();
        assert_eq!(told("a.wav", None), Some(AudioFormat::Wav));
        assert_eq!(told("out.d/a", None), Some(AudioFormat::Wav));
        assert_eq!(told("a.b.FLAC", None), Some(AudioFormat::Flac));
        assert_eq!(told("a.opus", Some(AudioFormat::Opus)), Some(AudioFormat::Opus));
        assert_eq!(told("a.raw", Some(AudioFormat::Pcm)), Some(AudioFormat::Pcm));
        assert_eq!(told("a", Some(AudioFormat::Opus)), Some(AudioFormat::Opus));
        assert_eq!(told("a.wav", Some(AudioFormat::Opus)), None);
        assert_eq!(told("a.mp3", None), Some(AudioFormat::Mp3));
        assert_eq!(told("a.aac", None), None);
    }
}
