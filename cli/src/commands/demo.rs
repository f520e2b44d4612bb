//! `csm demo`: runs a fleet, speaks one sentence through it and stops it.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use csm_shared::process::shutdown::Shutdown;
use csm_shared::process::telemetry::{LogFormat, TelemetryArgs};
use csm_shared::{out, outln};

use super::{say, watermark};
use crate::client::{GatewayClient, SpeechRequest};
use crate::local_fleet::{ANY_PORT, DEFAULT_LISTEN, FleetArgs, LocalFleet};
use crate::receipt_text;

/// Seed with which a recogniser understands all 13 words of the toy voice's sentence. Of the first
/// 40 seeds it understands 8 words or more with 31.
const DEMO_SEED: u64 = 11;

#[derive(Args, Debug)]
pub(crate) struct DemoArgs {
    /// The words to speak
    #[arg(default_value = "Hello! This sentence went through the whole fleet and came back as sound.")]
    text: String,
    /// The WAV file to write; missing folders are made
    #[arg(short, long, default_value = "out/hello.wav", value_name = "FILE")]
    output: PathBuf,
    /// Seed of the draws: the demo says the same thing each time
    #[arg(long, default_value_t = DEMO_SEED, value_name = "N")]
    seed: u64,
    #[command(flatten)]
    pub(crate) logs: DemoLogs,
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Log settings of the demo: fewer lines than a server writes, because the progress bar matters
/// more.
#[derive(Args, Debug)]
pub(crate) struct DemoLogs {
    /// Log filter
    #[arg(long, env = "CSM_LOG", default_value = "warn,csm_shared::models=info", value_name = "FILTER")]
    log: String,
}

impl DemoLogs {
    pub(crate) fn to_telemetry(&self) -> TelemetryArgs {
        TelemetryArgs { log: self.log.clone(), log_format: LogFormat::Text }
    }
}

pub(crate) async fn run(args: DemoArgs) -> Result<ExitCode> {
    let shutdown = Shutdown::on_signals(args.fleet.stop_limit())?;
    let mut fleet = tokio::select! {
        fleet = LocalFleet::start(&args.fleet, free_address()) => fleet?,
        () = shutdown.begun() => bail!("interrupted"),
    };
    let ready = tokio::select! {
        ready = fleet.ready() => ready,
        () = shutdown.begun() => Err(anyhow!("interrupted")),
    };
    let spoken = match ready {
        Ok(()) => speak(&args, &fleet, &shutdown).await,
        Err(error) => Err(error),
    };
    let stopped = fleet.stop().await;
    spoken.and(stopped)?;
    Ok(ExitCode::SUCCESS)
}

async fn speak(args: &DemoArgs, fleet: &LocalFleet, shutdown: &Shutdown) -> Result<()> {
    if let Some(folder) = args.output.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    outln!("POST {}/v1/jobs  {:?}", fleet.url(), args.text);
    let request = SpeechRequest { text: args.text.clone(), seed: Some(args.seed), ..SpeechRequest::default() };
    let spoken =
        say::speak_to_file(&GatewayClient::new(&fleet.url())?, &request, &args.output, shutdown.token()).await?;
    out!("{}", receipt_text::in_words(&spoken.id, &spoken.receipt, fleet.model.remark));
    let detection = watermark::detect(&watermark::detector(args.fleet.speech.watermark_key.as_ref())?, &args.output)?;
    outln!("{}", watermark::in_words(&args.output, &detection));
    if let Some(remark) = fleet.model.remark {
        outln!("Spoken by {} ({remark}). Real weights: csm demo --model unsloth/csm-1b", spoken.receipt.model);
    }
    outln!("`csm dev` keeps the fleet up at http://{DEFAULT_LISTEN}");
    Ok(())
}

/// Returns the usual address if it is free, else any free one.
fn free_address() -> SocketAddr {
    if TcpListener::bind(DEFAULT_LISTEN).is_ok() { DEFAULT_LISTEN } else { ANY_PORT }
}
