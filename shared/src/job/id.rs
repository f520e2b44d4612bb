//! The id of a job.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};
use uuid::{Builder, Uuid};

use super::{IdSecret, Invalid, Tenant};

/// The id of a job: UUID version 7 when made here, so ids sort by time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    /// Makes a new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// Derives the id from a tenant's idempotency key: UUID version 8 over HMAC-SHA-256. A caller
    /// that repeats a request gets the same job from any gateway that has the secret, as long as
    /// the record of the job is kept.
    #[must_use]
    pub fn of_key(secret: &IdSecret, tenant: &Tenant, key: &str) -> Self {
        Self(Builder::from_custom_bytes(secret.tag(&format!("{tenant}\n{key}"))).into_uuid())
    }

    /// Derives the id of a later part of the same speech, from 1: UUID version 8 over SHA-256. Whoever
    /// knows the first id can name all parts.
    #[must_use]
    pub fn part(self, number: u64) -> Self {
        Self::digest(&format!("{self}\n{number}"))
    }

    /// Derives the id of a line of a batch, from 1: UUID version 8 over SHA-256. So no line has two
    /// jobs, whoever submits it how often.
    #[must_use]
    pub fn of_line(batch: &str, line: u64) -> Self {
        Self::digest(&format!("{batch}\nline {line}"))
    }

    fn digest(text: &str) -> Self {
        let mut bytes = [0; 16];
        bytes.iter_mut().zip(Sha256::digest(text)).for_each(|(byte, digit)| *byte = digit);
        Self(Builder::from_custom_bytes(bytes).into_uuid())
    }

    /// Returns a number below `places` that spreads jobs evenly. The same id gives the same number
    /// in every process.
    #[must_use]
    pub fn spread(&self, places: u16) -> u16 {
        let (high, low) = self.0.as_u64_pair();
        // Ids made here begin with the time and end with random bits; ids from callers may be
        // anything.
        let mixed = (high ^ low).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        (mixed % u64::from(places.max(1))) as u16
    }
}

impl From<Uuid> for JobId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl From<JobId> for Uuid {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for JobId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        Uuid::parse_str(text).map(Self).map_err(|_| Invalid::malformed("id", text, "a UUID"))
    }
}
