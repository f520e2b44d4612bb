//! The tenant that owns a job.

use std::fmt;
use std::str::FromStr;

use super::Invalid;
use super::limits::TENANT_CHARS;

/// Name of a tenant: letters, digits, `.`, `_` and `-`, within [`TENANT_CHARS`]. The open and the
/// running jobs of a tenant can be bounded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tenant(String);

impl Tenant {
    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".to_owned())
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if !TENANT_CHARS.allows(text.len() as u64) {
            return Err(Invalid::outside("X-Tenant", text, &TENANT_CHARS));
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) {
            return Err(Invalid::malformed("X-Tenant", text, "letters, digits, '.', '_' and '-'"));
        }
        Ok(Self(text.to_owned()))
    }
}
