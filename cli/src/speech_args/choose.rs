//! Choice of the model for the commands that speak by themselves. Only these fall back to the toy voice,
//! and they print that they do.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context as _;
use csm_engine::random_model::{self, FolderLayout, RandomModelError};
use csm_shared::errln;
use csm_shared::models::{self, HubId, HubOptions, InvalidSource, ModelFiles, ModelFolder, ModelSource};
use secrecy::ExposeSecret as _;
use tokio::time::Instant;

use crate::model_remark::{TOY_VOICE, remark_on};

/// Longest search of the hub by `auto` before it takes the toy voice. Downloads that have begun
/// are not limited.
const AUTO_LIMIT: Duration = Duration::from_secs(3);
/// Published weights, which need a token.
const GATED: &str = "sesame/csm-1b";
/// The same weights, free of permission.
const OPEN: &str = "unsloth/csm-1b";

/// Values of `--model`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModelChoice {
    /// Real weights when they are in the cache or the hub answers at once, else the toy voice.
    Auto,
    /// The given model, or an error.
    Given(ModelSource),
}

impl fmt::Display for ModelChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Given(source) => source.fmt(f),
        }
    }
}

impl FromStr for ModelChoice {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Self, InvalidSource> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Given) }
    }
}

/// Model on this machine.
#[derive(Clone, Debug)]
pub(crate) struct ChosenModel {
    /// Source to give to gateway and workers.
    pub(crate) source: ModelSource,
    /// Hub options to give with it, which keep gateway and workers from asking the hub again.
    pub(crate) hub: HubOptions,
    /// Remark on a model that does not speak like CSM-1B.
    pub(crate) remark: Option<&'static str>,
}

impl fmt::Display for ChosenModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

/// Finds the model; downloads or makes what is missing. The models `tiny` and `noise` are kept under
/// `models`.
pub(crate) async fn choose(choice: &ModelChoice, models: &Path, hub: &HubOptions) -> anyhow::Result<ChosenModel> {
    match choice {
        ModelChoice::Given(ModelSource::Tiny) => tiny(models, hub).await,
        ModelChoice::Given(ModelSource::Noise) => noise(models, hub).await,
        ModelChoice::Given(source) => {
            let folder = models::resolve(source, ModelFiles::Everything, hub).await?;
            Ok(chosen(source.clone(), &folder, hub))
        }
        ModelChoice::Auto => match auto(hub).await {
            Ok(chosen) => Ok(chosen),
            Err(reasons) => {
                errln!("\n*** No CSM-1B is at hand, so the TINY model speaks: {TOY_VOICE} ***");
                for reason in reasons {
                    errln!("***   {reason}");
                }
                errln!("*** For CSM-1B: --model {OPEN}, or a folder that holds the weights.\n");
                tiny(models, hub).await
            }
        },
    }
}

/// Returns real weights from the cache, else from the hub; else the reasons, one per model.
async fn auto(hub: &HubOptions) -> Result<ChosenModel, Vec<String>> {
    let candidates = candidates(hub);
    let offline = HubOptions { offline: true, ..hub.clone() };
    for source in &candidates {
        if let Ok(folder) = models::resolve(source, ModelFiles::Everything, &offline).await {
            return Ok(chosen(source.clone(), &folder, hub));
        }
    }
    if hub.offline {
        return Err(vec!["none is in the cache, and the hub may not be asked (HF_HUB_OFFLINE)".to_owned()]);
    }
    let deadline = Instant::now() + AUTO_LIMIT.min(hub.contact_timeout);
    let mut reasons = Vec::new();
    for source in &candidates {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let brief = HubOptions { contact_timeout: left, ..hub.clone() };
        match models::resolve(source, ModelFiles::Everything, &brief).await {
            Ok(folder) => return Ok(chosen(source.clone(), &folder, hub)),
            Err(error) => reasons.push(format!("{source}: {error}")),
        }
    }
    Err(reasons)
}

/// Returns the models to try. The gated repository is tried only with a token.
fn candidates(hub: &HubOptions) -> Vec<ModelSource> {
    let has_token = hub.token.as_ref().is_some_and(|token| !token.expose_secret().is_empty());
    let ids = if has_token { vec![GATED, OPEN] } else { vec![OPEN] };
    ids.into_iter()
        .filter_map(|id| id.split_once('/'))
        .map(|(owner, name)| ModelSource::Hub(main(owner, name)))
        .collect()
}

fn main(owner: &str, name: &str) -> HubId {
    HubId { owner: owner.to_owned(), name: name.to_owned(), revision: "main".to_owned() }
}

fn chosen(source: ModelSource, folder: &ModelFolder, hub: &HubOptions) -> ChosenModel {
    ChosenModel { source, remark: remark_on(&folder.path), hub: HubOptions { offline: true, ..hub.clone() } }
}

/// Returns the toy voice: the embedded folder, written anew if it is missing or differs.
async fn tiny(models: &Path, hub: &HubOptions) -> anyhow::Result<ChosenModel> {
    made(models.join("tiny"), hub, csm_tiny::ensure).await
}

/// Returns the model of random weights and makes it if it is missing.
async fn noise(models: &Path, hub: &HubOptions) -> anyhow::Result<ChosenModel> {
    let make = |folder: &Path| match random_model::make_noise(folder, FolderLayout::Transformers) {
        Err(RandomModelError::AlreadyThere(_)) => Ok(()),
        made => made,
    };
    made(models.join("noise"), hub, make).await
}

/// Returns the model in `folder` after `make` has made it there.
async fn made<E: std::error::Error + Send + Sync + 'static>(
    folder: PathBuf,
    hub: &HubOptions,
    make: impl FnOnce(&Path) -> Result<(), E> + Send + 'static,
) -> anyhow::Result<ChosenModel> {
    let source = ModelSource::Folder(folder.clone());
    tokio::task::spawn_blocking(move || make(&folder)).await.context("making the model")??;
    let folder = models::resolve(&source, ModelFiles::Everything, hub).await?;
    Ok(chosen(source, &folder, hub))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;
    use crate::model_remark::NOISE_ONLY;

    /// Returns options of a hub that refuses every connection, and a cache that is empty.
    fn closed_network(cache: &Path) -> HubOptions {
        HubOptions {
            cache_dir: Some(cache.to_owned()),
            endpoint: Some("http://127.0.0.1:9".to_owned()),
            ..HubOptions::default()
        }
    }

    #[test]
    fn choices_are_parsed() {
        assert_eq!("auto".parse(), Ok(ModelChoice::Auto));
        assert_eq!("tiny".parse(), Ok(ModelChoice::Given(ModelSource::Tiny)));
        assert_eq!("noise".parse(), Ok(ModelChoice::Given(ModelSource::Noise)));
        assert_eq!("unsloth/csm-1b".parse(), Ok(ModelChoice::Given(ModelSource::Hub(main("unsloth", "csm-1b")))));
        assert!("csm-1b".parse::<ModelChoice>().is_err());
    }

    #[test]
    fn the_gated_weights_are_tried_with_a_token_only() {
        let mut hub = HubOptions::default();
        let names = |hub: &HubOptions| candidates(hub).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(&hub), [OPEN]);
        hub.token = Some(String::new().into());
        assert_eq!(names(&hub), [OPEN]);
        hub.token = Some("hf_x".to_owned().into());
        assert_eq!(names(&hub), [GATED, OPEN]);
    }

    #[tokio::test]
    async fn auto_on_a_closed_network_writes_the_tiny_model_and_keeps_it() {
        let data = tempfile::tempdir().unwrap();
        let hub = closed_network(&data.path().join("cache"));
        let begun = Instant::now();
        let chosen = choose(&ModelChoice::Auto, data.path(), &hub).await.unwrap();
        assert_eq!(chosen.remark, Some(TOY_VOICE));
        assert!(chosen.hub.offline, "gateway and workers must not ask the hub again");
        assert_eq!(chosen.source, ModelSource::Folder(data.path().join("tiny")));
        assert!(begun.elapsed() < Duration::from_secs(60));

        let config = data.path().join("tiny/config.json");
        let made = std::fs::metadata(&config).unwrap().modified().unwrap();
        choose(&ModelChoice::Auto, data.path(), &hub).await.unwrap();
        assert_eq!(std::fs::metadata(&config).unwrap().modified().unwrap(), made);
    }

    #[tokio::test]
    async fn the_noise_model_is_made_once_and_named_as_noise() {
        let data = tempfile::tempdir().unwrap();
        let hub = closed_network(&data.path().join("cache"));
        let given = ModelChoice::Given(ModelSource::Noise);
        let chosen = choose(&given, data.path(), &hub).await.unwrap();
        assert_eq!(chosen.remark, Some(NOISE_ONLY));
        assert_eq!(chosen.source, ModelSource::Folder(data.path().join("noise")));

        let config = data.path().join("noise/config.json");
        let made = std::fs::metadata(&config).unwrap().modified().unwrap();
        choose(&given, data.path(), &hub).await.unwrap();
        assert_eq!(std::fs::metadata(&config).unwrap().modified().unwrap(), made);
    }

    /// Earlier builds kept random weights in the folder of this name.
    #[tokio::test]
    async fn another_model_in_the_folder_of_the_toy_voice_is_replaced() {
        let data = tempfile::tempdir().unwrap();
        let hub = closed_network(&data.path().join("cache"));
        random_model::make_noise(&data.path().join("tiny"), FolderLayout::Transformers).unwrap();
        let chosen = choose(&ModelChoice::Given(ModelSource::Tiny), data.path(), &hub).await.unwrap();
        assert_eq!(chosen.remark, Some(TOY_VOICE));
    }

    #[tokio::test]
    async fn what_was_asked_for_by_name_has_no_replacement() {
        let data = tempfile::tempdir().unwrap();
        let hub = closed_network(&data.path().join("cache"));
        let given = ModelChoice::Given(ModelSource::Hub(main("unsloth", "csm-1b")));
        assert!(choose(&given, data.path(), &hub).await.is_err());
        assert!(!data.path().join("tiny").exists());
    }
}
