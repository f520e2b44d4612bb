//! The name of a job.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use super::Invalid;

/// A job's id: UUID version 7 when made here, so ids sort by time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct JobId(Uuid);

impl JobId {
    /// A new id.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl JobId {
    /// A number that spreads jobs evenly over up to that many places, the same wherever it is asked.
    #[must_use]
    pub fn spread(&self, places: u16) -> u16 {
        let (high, low) = self.0.as_u64_pair();
        // Ids made here begin with the time and end with chance; callers' own may be anything.
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
