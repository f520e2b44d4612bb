//! The secret behind the ids that idempotency keys name, kept in Redis for all gateways.

use super::{Queue, QueueError};
use csm_shared::job::IdSecret;

/// Rounds of reading the secret and proposing one. A second round reads what the first one wrote,
/// or what another gateway wrote; a third one is needed only if the key was deleted meanwhile.
const ROUNDS_MAX: usize = 3;

impl Queue {
    /// Returns the secret that the gateways of this fleet share. The first gateway that asks makes
    /// a random one; all others read it.
    ///
    /// Nothing is cached: after Redis has lost the secret, all gateways agree on the next one.
    ///
    /// # Errors
    /// [`QueueError::Corrupt`] if the kept text is no secret.
    pub async fn id_secret(&self) -> Result<IdSecret, QueueError> {
        let key = format!("{}:id-secret", self.redis.prefix());
        let (mut read, mut propose) = (redis::cmd("GET"), redis::cmd("SET"));
        read.arg(&key);
        propose.arg(&key).arg(IdSecret::generate().expose()).arg("NX");
        for _ in 0..ROUNDS_MAX {
            if let Some(kept) = self.redis.command::<Option<String>>(&read).await? {
                return IdSecret::new(&kept).map_err(|error| QueueError::Corrupt(error.to_string()));
            }
            self.redis.command::<Option<String>>(&propose).await?;
        }
        Err(QueueError::Corrupt(format!("{key} is deleted again and again")))
    }
}
