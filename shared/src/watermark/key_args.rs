//! Settings of the watermark's keys, the same for gateway and worker.

use clap::Args;
use secrecy::{ExposeSecret as _, SecretString};

use super::{WatermarkError, WatermarkKey};

/// Keys of the watermark: the current one, and former ones whose marks are still found.
#[derive(Args, Clone, Debug, Default)]
pub struct WatermarkKeyArgs {
    /// Secret of the watermark, the same in all workers and gateways: a passphrase or hex digits,
    /// 16 bytes or more
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    pub watermark_key: Option<SecretString>,

    /// Without a secret, use the published development key, whose mark proves nothing
    #[arg(long, env = "CSM_DEVELOPMENT_WATERMARK", value_parser = clap::builder::FalseyValueParser::new())]
    pub development_watermark: bool,

    /// Former secrets whose marks are still found, separated by commas or newlines
    #[arg(long, env = "CSM_WATERMARK_OLD_KEYS", hide_env_values = true, value_name = "SECRETS")]
    pub watermark_old_keys: Option<SecretString>,
}

impl WatermarkKeyArgs {
    /// Returns the current key: that of the secret, else the development key if it is allowed. An
    /// empty variable counts as not set.
    ///
    /// # Errors
    /// [`WatermarkError`] if the secret is no key.
    pub fn current(&self) -> Result<Option<WatermarkKey>, WatermarkError> {
        match &self.watermark_key {
            Some(secret) if !secret.expose_secret().is_empty() => WatermarkKey::parse(secret.expose_secret()).map(Some),
            _ => Ok(self.development_watermark.then(WatermarkKey::development)),
        }
    }

    /// Returns the former keys.
    ///
    /// # Errors
    /// [`WatermarkError`] if a secret is no key, or if there are too many.
    pub fn old(&self) -> Result<Vec<WatermarkKey>, WatermarkError> {
        let secrets = self.watermark_old_keys.as_ref().map(SecretString::expose_secret).unwrap_or_default();
        WatermarkKey::parse_ring(secrets)
    }
}
