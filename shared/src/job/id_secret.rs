//! The secret behind the ids that idempotency keys name.

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use secrecy::{ExposeSecret as _, SecretString};
use sha2::Sha256;
use uuid::Uuid;

use super::Invalid;
use super::limits::ID_SECRET_BYTES;

/// Domain of the tags, so that the same secret used elsewhere gives other tags.
const DOMAIN: &[u8] = b"csm-fleet job id 1\n";

/// Secret of the ids that idempotency keys name, the same in all gateways. Nobody without the
/// secret can compute the id of a job from its tenant and key.
#[derive(Clone)]
pub struct IdSecret(SecretString);

impl IdSecret {
    /// Refuses a secret whose length is outside [`ID_SECRET_BYTES`]. The error shows the length
    /// alone.
    pub fn new(text: &str) -> Result<Self, Invalid> {
        if !ID_SECRET_BYTES.allows(text.len() as u64) {
            let shown = format!("(a secret of {} bytes)", text.len());
            return Err(Invalid::outside("CSM_ID_SECRET", shown, &ID_SECRET_BYTES));
        }
        Ok(Self(text.into()))
    }

    /// Makes a secret of 244 random bits, as text.
    #[must_use]
    pub fn generate() -> Self {
        Self(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()).into())
    }

    /// Returns the text of the secret, to keep it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Returns the first half of the HMAC-SHA-256 of a text (RFC 2104, section 5, allows halves).
    pub(super) fn tag(&self, text: &str) -> [u8; 16] {
        let mut half = [0; 16];
        // HMAC takes keys of every length, so there is always one.
        if let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(self.expose().as_bytes()) {
            mac.update(DOMAIN);
            mac.update(text.as_bytes());
            half.copy_from_slice(&mac.finalize().into_bytes()[..16]);
        }
        half
    }
}

impl fmt::Debug for IdSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdSecret(hidden)")
    }
}
