//! The model on its way into memory, with its tokenizer and voices.

use csm_engine::engine::{Engine, EngineConfig};
use csm_shared::models::{self, ModelFiles, ModelKind};
use csm_shared::process::admin::Readiness;
use csm_shared::process::telemetry;
use csm_shared::prompt::PromptTokenizer;
use tokio::sync::watch;

use super::WorkerError;
use crate::config::SpeechArgs;
use crate::speak::Voices;

/// Finds and loads the model, and shows each phase of loading to the probes.
pub(crate) async fn load(
    args: &SpeechArgs,
    slots: u8,
    state: &watch::Sender<Readiness>,
) -> Result<(Engine, PromptTokenizer, Voices), WorkerError> {
    let folder = models::resolve(&args.model, ModelFiles::Everything, &args.hub).await?;
    let tokenizer = PromptTokenizer::from_folder(&folder.path)?;
    let voices = Voices::new(ModelKind::of(&folder.path).has_own_speakers());
    let config = EngineConfig {
        folder: folder.path,
        model: folder.id,
        device: args.device,
        slots: usize::from(slots),
        weights: args.weights,
        threads: args.threads.map(usize::from),
        prefix_cache_bytes: u64::from(args.prefix_cache_mb) << 20,
    };
    let loading = Engine::start(config)?;
    let mut stage = loading.stage();
    let ready = loading.ready();
    tokio::pin!(ready);
    let engine = loop {
        tokio::select! {
            engine = &mut ready => break engine?,
            Ok(()) = stage.changed() => {
                let phase = stage.borrow_and_update().to_string();
                state.send_replace(Readiness::Starting { phase });
            }
        }
    };
    let info = engine.info();
    metrics::gauge!(telemetry::MODEL_LOAD_SECONDS).set(info.load_seconds);
    if info.noise_only {
        tracing::warn!(model = %info.model, "loaded random weights, output is noise, not speech");
    }
    Ok((engine, tokenizer, voices))
}
