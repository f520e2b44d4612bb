//! The shipped voices: thirteen names, each of which is the same person on every worker.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

use super::{Invalid, Sampling, Seed, Speaker, Temperature, TopK};

/// Words that a voice says in its prompt: about 6 s at an ordinary pace.
const PROMPT_TEXT: &str =
    "Hello there. This is my voice, and I am going to keep it for everything that you ask me to say.";
/// Temperature at which the prompts are made: steadier than speech at the default.
const PROMPT_TEMPERATURE: f32 = 0.7;

/// Name of a shipped voice. The names are those of OpenAI's speech API, so that its clients find
/// what they ask for; the persons are others.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase", parse_err_fn = unknown, parse_err_ty = Invalid)]
pub enum VoiceName {
    /// Voice `alloy`.
    Alloy,
    /// Voice `ash`.
    Ash,
    /// Voice `ballad`.
    Ballad,
    /// Voice `coral`.
    Coral,
    /// Voice `echo`.
    Echo,
    /// Voice `fable`.
    Fable,
    /// Voice `nova`.
    Nova,
    /// Voice `onyx`.
    Onyx,
    /// Voice `sage`.
    Sage,
    /// Voice `shimmer`.
    Shimmer,
    /// Voice `verse`.
    Verse,
    /// Voice `marin`.
    Marin,
    /// Voice `cedar`.
    Cedar,
}

impl VoiceName {
    /// All voices, in the order of the list that callers see.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Most frames of a voice's prompt: 8 s.
    pub const PROMPT_FRAMES_MAX: u32 = 100;
    /// Version of the prompts: another text, seed or sampling is another version.
    pub const PROMPT_VERSION: u32 = 1;

    /// Returns the name in requests.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the text of the voice's prompt.
    #[must_use]
    pub const fn prompt_text(self) -> &'static str {
        PROMPT_TEXT
    }

    /// Returns the sampling of the voice's prompt. Each voice has a seed of its own.
    #[must_use]
    pub fn prompt_sampling(self) -> Sampling {
        let temperature = Temperature::new(PROMPT_TEMPERATURE).unwrap_or_default();
        Sampling { temperature, topk: TopK::default(), seed: Seed::new(1_000 + self as u64) }
    }

    /// Returns the speaker of the voice: 0 for the lower voices, 1 for the higher.
    #[must_use]
    pub const fn speaker(self) -> Speaker {
        match self {
            Self::Ash | Self::Ballad | Self::Echo | Self::Fable | Self::Onyx | Self::Verse | Self::Cedar => {
                Speaker::LOW
            }
            Self::Alloy | Self::Coral | Self::Nova | Self::Sage | Self::Shimmer | Self::Marin => Speaker::HIGH,
        }
    }
}

/// Refuses a name that no variant of [`VoiceName`] has.
fn unknown(text: &str) -> Invalid {
    let names: Vec<_> = VoiceName::ALL.iter().map(|voice| voice.name()).collect();
    Invalid::malformed("voice", text, format!("one of {}", names.join(", ")))
}
