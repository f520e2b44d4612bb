//! Which marks a finished file carries, and where SilentCipher's weights come from.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;
use csm_shared::models::{self, HubError, HubOptions, ModelSource, SILENTCIPHER};

/// Which marks a finished file carries. There is no way to ask for none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// The builtin mark.
    Builtin,
    /// SilentCipher's.
    Silentcipher,
    /// Both.
    Both,
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "builtin" => Ok(Self::Builtin),
            "silentcipher" => Ok(Self::Silentcipher),
            "both" => Ok(Self::Both),
            _ => Err(format!("{text:?} is no watermark policy: give builtin, silentcipher or both; there is no off")),
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Builtin => "builtin",
            Self::Silentcipher => "silentcipher",
            Self::Both => "both",
        })
    }
}

/// What may be chosen about marks. That there is one may not.
#[derive(Args, Clone, Debug)]
pub struct MarkArgs {
    /// Marks of finished files: `builtin`, `silentcipher` or `both`; live audio carries the builtin mark always [default:
    /// `both` where SilentCipher's weights are a folder or in the cache, else `builtin`]
    #[arg(long, env = "CSM_WATERMARK", value_name = "POLICY")]
    pub watermark: Option<Policy>,
    /// SilentCipher's weights: a hub id or a folder. Only a policy that needs them fetches them, and nobody ships them: their
    /// makers state no licence for them, so whether you may use them is yours to judge
    #[arg(long, env = "CSM_SILENTCIPHER", default_value = SILENTCIPHER, value_name = "ID|DIR")]
    pub silentcipher: ModelSource,
}

/// What was chosen.
#[derive(Clone, Debug)]
pub struct ChosenPolicy {
    /// The marks.
    pub policy: Policy,
    /// Why these.
    pub why: String,
    /// Where SilentCipher's weights come from.
    pub source: ModelSource,
    /// How to reach the hub. Offline, where nobody asked for a policy that needs the weights.
    pub hub: HubOptions,
}

impl MarkArgs {
    /// Settles on a policy: the one that was asked for, else what the weights at hand allow. Downloads nothing.
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
            ModelSource::Hub(_) | ModelSource::Tiny => match models::silentcipher(&source, &hub).await {
                Ok(folder) => {
                    (Policy::Both, format!("SilentCipher's weights are in the cache at {}", folder.display()))
                }
                Err(_) => (Policy::Builtin, format!("SilentCipher's weights ({source}) are not in the cache")),
            },
        };
        ChosenPolicy { policy, why, source, hub }
    }
}

impl ChosenPolicy {
    /// Whether trying again can help: the hub may answer later, a folder stays as it is.
    #[must_use]
    pub fn may_recover(&self) -> bool {
        matches!(self.source, ModelSource::Hub(_))
    }

    /// The folder of the weights, downloading what is missing where it may.
    ///
    /// # Errors
    /// [`HubError`].
    pub async fn weights(&self) -> Result<PathBuf, HubError> {
        models::silentcipher(&self.source, &self.hub).await
    }
}
