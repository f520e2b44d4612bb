//! `csm model`: models of the hub, the toy voice, models of random weights, and a trace to compare implementations.

mod context_arg;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};
use csm_engine::random_model::{self, FolderLayout, Size};
use csm_engine::trace::{TraceContext, TraceOptions, trace};
use csm_shared::job::{Invalid, Sampling, Seed, Speaker, Temperature, Text, TopK};
use csm_shared::models::{HubOptions, ModelFiles, ModelSource, resolve};
use csm_shared::outln;

use crate::model_remark::{NOISE_ONLY, TOY_VOICE};
use context_arg::ContextArg;

/// Most frames of a trace; the model's window holds fewer.
const FRAMES_MAX: i64 = 2_048;

#[derive(Debug, Subcommand)]
pub(crate) enum ModelCommand {
    /// Download what a worker needs of a model into the cache, and compare it with the hub's digests; says
    /// where it lies
    Fetch {
        /// Model: a hub id such as sesame/csm-1b, or a folder, which is only looked through
        #[arg(env = "CSM_MODEL")]
        model: ModelSource,
        /// Access to the model hub.
        #[command(flatten)]
        hub: HubOptions,
    },
    /// Write the tiny model, which is part of this program: a toy voice of a few million weights,
    /// English, speakers 0 and 1
    WriteTiny {
        /// Folder to write; it is made and must not hold a model yet
        dir: PathBuf,
    },
    /// Write the noise model: random weights, the real architecture, small enough for any CPU. The
    /// audio is hiss, not speech
    MakeNoise {
        /// Folder to write; it is made and must not hold a model yet
        dir: PathBuf,
        /// Layout of the folder: names and files of the weights
        #[arg(long, value_enum, default_value_t = LayoutArg::Transformers)]
        layout: LayoutArg,
    },
    /// Write random weights of full size, for tests of load and speed
    MakeRandom {
        /// Folder to write; it is made and must not hold a model yet
        dir: PathBuf,
        /// Dimensions: `1b` takes about 3.5 GB
        #[arg(long, value_enum, default_value_t = SizeArg::OneB)]
        size: SizeArg,
    },
    /// Speak on the CPU in f32 and write prompt ids, logits, codes and waveform, to compare with
    /// another implementation
    Trace(TraceArgs),
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LayoutArg {
    /// Names of `transformers`, with the codec in the same file
    Transformers,
    /// Names of CSM's first release, with the codec apart in `mimi/`
    Original,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum SizeArg {
    /// Dimensions of sesame/csm-1b
    #[value(name = "1b")]
    OneB,
}

#[derive(Args, Debug)]
pub(crate) struct TraceArgs {
    /// Folder of the model
    dir: PathBuf,
    /// Text to speak
    #[arg(long, value_parser = text)]
    text: Text,
    /// Speaker number
    #[arg(long, value_name = "N", default_value = "0", value_parser = speaker)]
    speaker: Speaker,
    /// Earlier segment, `FILE.wav:SPEAKER:TEXT`; may be given more than once, oldest first
    #[arg(long, value_name = "TURN")]
    context: Vec<ContextArg>,
    /// Most frames of 80 ms
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=FRAMES_MAX))]
    frames: u32,
    /// Take the likeliest code each time; without it, draw with the default temperature and top-k
    #[arg(long)]
    greedy: bool,
    /// Seed of the draws
    #[arg(long, value_name = "N", default_value_t = 0, conflicts_with = "greedy")]
    seed: u64,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn text(text: &str) -> Result<Text, Invalid> {
    Text::new(text)
}

fn speaker(text: &str) -> Result<Speaker, String> {
    let number = text.parse().map_err(|_| "not a number".to_owned())?;
    Speaker::new(number).map_err(|error| error.to_string())
}

pub(crate) async fn run(command: ModelCommand) -> anyhow::Result<ExitCode> {
    match command {
        ModelCommand::Fetch { model, hub } => {
            let folder = resolve(&model, ModelFiles::Everything, &hub).await?;
            let revision = folder.revision.map(|revision| format!(" at {revision}")).unwrap_or_default();
            outln!("{}: {}{revision}", folder.path.display(), folder.id);
        }
        ModelCommand::WriteTiny { dir } => {
            csm_tiny::write(&dir)?;
            outln!("{}: the tiny model ({TOY_VOICE})", dir.display());
        }
        ModelCommand::MakeNoise { dir, layout } => {
            let layout = match layout {
                LayoutArg::Transformers => FolderLayout::Transformers,
                LayoutArg::Original => FolderLayout::Original,
            };
            random_model::make_noise(&dir, layout)?;
            outln!("{}: the noise model ({NOISE_ONLY})", dir.display());
        }
        ModelCommand::MakeRandom { dir, size } => {
            let SizeArg::OneB = size;
            random_model::make_random(&dir, Size::OneB)?;
            outln!("{}: full size, {NOISE_ONLY}", dir.display());
        }
        ModelCommand::Trace(args) => {
            let options = args.into_options()?;
            let traced = trace(&options)?;
            let end = if traced.ended { "the model ended the utterance" } else { "the frame limit was reached" };
            outln!(
                "{}: {} prompt positions, {} frames; {end}. The waveform carries no watermark: for debugging alone",
                options.out.display(),
                traced.prompt_positions,
                traced.frames
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl TraceArgs {
    fn into_options(self) -> Result<TraceOptions, Invalid> {
        let context = self.context.into_iter().map(|turn| TraceContext {
            recording: turn.file,
            speaker: turn.speaker.get(),
            text: turn.text.as_str().to_owned(),
        });
        Ok(TraceOptions {
            folder: self.dir,
            text: self.text.as_str().to_owned(),
            speaker: self.speaker.get(),
            context: context.collect(),
            frames: self.frames,
            sampling: Sampling {
                temperature: if self.greedy { Temperature::new(0.0)? } else { Temperature::default() },
                topk: TopK::default(),
                seed: Seed::new(self.seed),
            },
            out: self.out,
        })
    }
}
