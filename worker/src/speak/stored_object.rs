//! Objects of the store that a job refers to by key and digest.

use std::time::Duration;

use bytes::Bytes;
use csm_shared::store::{InvalidObjectKey, ObjectKey, Store, StoreError};
use tokio::time::timeout;

use crate::health::{PartError, SharedFault, SharedPart};

/// Longest time of one read.
const READ_LIMIT: Duration = Duration::from_secs(60);
/// Refusals of an object by a store that passes its check, after which the object is at fault.
pub(super) const REFUSALS_MAX: u32 = 3;

/// Reason why an object can never be had, although the store works.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The store no longer holds the object.
    #[error(transparent)]
    Gone(StoreError),
    /// The store refuses to read this object.
    #[error(transparent)]
    Refused(StoreError),
    /// The reference names no object.
    #[error(transparent)]
    Key(#[from] InvalidObjectKey),
}

/// Reads an object. `trial` is the number of times that the store passed its check after it had
/// refused the object.
///
/// # Errors
/// [`PartError::Shared`] if the store is out of order.
pub(super) async fn read(store: &Store, location: &str, trial: u32) -> Result<Bytes, PartError<ObjectError>> {
    let own = |error: ObjectError| PartError::Own(error);
    let key: ObjectKey = location.parse().map_err(|error: InvalidObjectKey| own(error.into()))?;
    let silent = |_| Err(StoreError::Timeout(format!("{key}: {} s are over", READ_LIMIT.as_secs())));
    match timeout(READ_LIMIT, store.get(&key)).await.unwrap_or_else(silent) {
        Ok(bytes) => Ok(bytes),
        Err(error @ StoreError::NotFound(_)) => Err(own(ObjectError::Gone(error))),
        // A store that denies access also refuses other files, sooner or later.
        Err(error @ (StoreError::Invalid(_) | StoreError::Denied(_))) if trial >= REFUSALS_MAX => {
            Err(own(ObjectError::Refused(error)))
        }
        Err(error) => Err(PartError::Shared(SharedFault::new(SharedPart::Store, &error))),
    }
}
