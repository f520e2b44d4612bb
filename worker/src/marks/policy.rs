//! Watermark policy: the marks of a finished file, and the source of SilentCipher's weights.

use std::path::PathBuf;

use clap::Args;
use csm_shared::models::{self, HubError, HubOptions, ModelSource, SILENTCIPHER};
use strum::{Display, EnumString};

/// Marks of a finished file. No policy asks for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString)]
#[strum(serialize_all = "lowercase", parse_err_fn = unknown, parse_err_ty = String)]
pub enum Policy {
    /// The builtin mark.
    Builtin,
    /// SilentCipher's mark.
    Silentcipher,
    /// Both marks.
    Both,
}

/// Refuses a name that no variant of [`Policy`] has.
fn unknown(text: &str) -> String {
    format!("{text:?} is no watermark policy: give builtin, silentcipher or both; there is no off")
}

/// Watermark settings. The scheme can be chosen; marking cannot be switched off.
#[derive(Args, Clone, Debug)]
pub struct MarkArgs {
    /// Marks of finished files: `builtin`, `silentcipher` or `both`. Live audio always carries the
    /// builtin mark [default: `both` if SilentCipher's weights are a folder or in the cache, else
    /// `builtin`]
    #[arg(long, env = "CSM_WATERMARK", value_name = "POLICY")]
    pub watermark: Option<Policy>,
    /// SilentCipher's weights: a hub id or a folder. Only a policy that needs the weights downloads
    /// them, and no release contains them. Their makers state no licence, so whether you may use
    /// them is yours to judge
    #[arg(long, env = "CSM_SILENTCIPHER", default_value = SILENTCIPHER, value_name = "ID|DIR")]
    pub silentcipher: ModelSource,
}

/// Policy in force, with its reason and the source of its weights.
#[derive(Clone, Debug)]
pub struct ChosenPolicy {
    /// Marks of finished files.
    pub policy: Policy,
    /// Reason for the choice.
    pub why: String,
    /// Source of SilentCipher's weights.
    pub source: ModelSource,
    /// Access to the model hub. Offline, if no policy was asked for.
    pub hub: HubOptions,
}

impl MarkArgs {
    /// Chooses the policy: the one that was asked for, else the one that the local weights allow.
    /// Downloads nothing.
    pub async fn choose(&self, hub: &HubOptions) -> ChosenPolicy {
        let source = self.silentcipher.clone();
        if let Some(policy) = self.watermark {
            return ChosenPolicy { policy, why: "it was asked for".to_owned(), source, hub: hub.clone() };
        }
        let hub = HubOptions { offline: true, ..hub.clone() };
        let (policy, why) = match &source {
            ModelSource::Folder(folder) => {
                (Policy::Both, format!("SilentCipher's weights are to be in {}", folder.display()))
            }
            ModelSource::Hub(_) | ModelSource::Tiny | ModelSource::Noise => {
                match models::silentcipher(&source, &hub).await {
                    Ok(folder) => {
                        (Policy::Both, format!("SilentCipher's weights are in the cache at {}", folder.display()))
                    }
                    Err(_) => (Policy::Builtin, format!("SilentCipher's weights ({source}) are not in the cache")),
                }
            }
        };
        ChosenPolicy { policy, why, source, hub }
    }
}

impl ChosenPolicy {
    /// Returns whether trying again can help: the hub may answer later, but a folder stays as it
    /// is.
    #[must_use]
    pub fn may_recover(&self) -> bool {
        matches!(self.source, ModelSource::Hub(_))
    }

    /// Returns the folder of the weights. Downloads what is missing, unless the hub is offline.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn weights(&self) -> Result<PathBuf, HubError> {
        models::silentcipher(&self.source, &self.hub).await
    }
}
