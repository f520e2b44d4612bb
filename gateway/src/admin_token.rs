//! Token of operators, without which nobody changes anything on `/v1/admin`.

use std::fmt;

use clap::Args;
use csm_shared::process::digest::sha256_hex;
use secrecy::{ExposeSecret as _, SecretString};
use subtle::ConstantTimeEq as _;

/// Fewest and most bytes of a token.
const TOKEN_BYTES: std::ops::RangeInclusive<usize> = 16..=1_024;

/// Setting of the operators' token.
#[derive(Args, Clone, Debug, Default)]
pub struct AdminTokenArgs {
    /// Token of operators, 16 bytes or more: who sends it may pause lanes, and retry and purge dead
    /// letters on /admin; as a flag it shows in the list of processes [default: none, and /admin
    /// changes nothing]
    #[arg(long, env = "CSM_ADMIN_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub admin_token: Option<SecretString>,
}

/// Token that cannot be sent in a header, or that is too easily guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("CSM_ADMIN_TOKEN: the token must be {} to {} bytes of visible ASCII", TOKEN_BYTES.start(), TOKEN_BYTES.end())]
pub struct AdminTokenError;

/// Token of operators. Only its digest is kept.
#[derive(Clone)]
pub(crate) struct AdminToken {
    digest: String,
}

impl AdminTokenArgs {
    /// Returns the token of the settings. An empty value counts as not set.
    ///
    /// # Errors
    /// [`AdminTokenError`].
    pub(crate) fn get(&self) -> Result<Option<AdminToken>, AdminTokenError> {
        let set = self.admin_token.as_ref().map(|token| token.expose_secret().as_bytes());
        let Some(token) = set.filter(|token| !token.is_empty()) else { return Ok(None) };
        if !TOKEN_BYTES.contains(&token.len()) || !token.iter().all(u8::is_ascii_graphic) {
            return Err(AdminTokenError);
        }
        Ok(Some(AdminToken { digest: sha256_hex(token) }))
    }
}

impl AdminToken {
    /// Returns whether a caller sent this token. The time of the comparison does not depend on how much
    /// of it is right.
    pub(crate) fn is(&self, sent: &[u8]) -> bool {
        sha256_hex(sent).as_bytes().ct_eq(self.digest.as_bytes()).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Result<Option<AdminToken>, AdminTokenError> {
        AdminTokenArgs { admin_token: Some(text.into()) }.get()
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        let Ok(Some(token)) = token("sixteen-bytes-ok") else { panic!("a token") };
        assert!(token.is(b"sixteen-bytes-ok"));
        for other in ["", "sixteen-bytes-o", "sixteen-bytes-ok ", "Sixteen-bytes-ok"] {
            assert!(!token.is(other.as_bytes()), "{other}");
        }
        assert_eq!(format!("{token:?}"), "AdminToken");
    }

    #[test]
    fn a_weak_or_unsendable_token_is_refused_without_being_shown() {
        assert!(token("").is_ok_and(|token| token.is_none()));
        assert!(AdminTokenArgs::default().get().is_ok_and(|token| token.is_none()));
        for bad in ["fifteen-bytes-x", "sixteen bytes ok", "sixteen-bytes-\u{fc}", &"x".repeat(1_025)] {
            let error = token(bad).expect_err("refused").to_string();
            assert!(error.contains("16 to 1024 bytes") && !error.contains("fifteen"), "{error}");
        }
        let args = AdminTokenArgs { admin_token: Some("sixteen-bytes-ok".into()) };
        assert!(!format!("{args:?}").contains("sixteen"), "{args:?}");
    }
}
