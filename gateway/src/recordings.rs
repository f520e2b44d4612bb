//! Recordings of contexts on their way into the store.
//!
//! Short recordings travel in the job's payload, and so take memory of Redis. Longer ones become
//! objects addressed by content, and the payload refers to them. The same recording is one object
//! for all jobs of a period, however often it is sent.
//!
//! An object is kept for [`KEEP`] after the end of its period. Its key names the period, so a
//! removal never meets a job that has just been accepted.

use csm_queue::temporary_objects::TemporaryObjects;
use csm_shared::audio::Clip;
use csm_shared::job::{Context, Recording, StoredRecording};
use csm_shared::store::{ObjectKey, Store};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::{SignedDuration, Timestamp};

use crate::http::Problem;

/// Largest size of all recordings of a job together, in bytes of samples, that stay in its payload.
const INLINE_BYTES_MAX: usize = 16 * 1_024;
/// Time during which the same recording has the same key.
const PERIOD: SignedDuration = SignedDuration::from_hours(7 * 24);
/// Time that recordings are kept after the end of their period: a job may wait for a week, and its
/// dead letter for another.
const KEEP: SignedDuration = SignedDuration::from_hours(14 * 24);
/// Recordings of one job that are written at the same time.
const PUTS_AT_ONCE: usize = 4;
/// Media type of the objects.
const MEDIA_TYPE: &str = "audio/pcm;rate=24000;encoding=signed-int;bits=16";

/// Returns the context with references to its recordings, which are in the store by then. A context
/// with short recordings comes back as it was.
pub(crate) async fn store_recordings(objects: &TemporaryObjects, context: Context) -> Result<Context, Problem> {
    let samples = context.segments().iter().map(|segment| segment.recording.samples()).sum::<u64>();
    if samples * size_of::<i16>() as u64 <= INLINE_BYTES_MAX as u64 {
        return Ok(context);
    }
    let now = Timestamp::now();
    let recordings: Vec<_> = context.segments().iter().map(|segment| segment.recording.clone()).collect();
    let stored: Vec<_> = stream::iter(recordings)
        .map(|recording| store(objects, recording, now))
        .buffered(PUTS_AT_ONCE)
        .try_collect()
        .await?;
    let mut stored = stored.into_iter();
    // There are as many as segments.
    Ok(context.map_recordings(|recording| stored.next().unwrap_or(recording)))
}

async fn store(objects: &TemporaryObjects, recording: Recording, now: Timestamp) -> Result<Recording, Problem> {
    let Recording::Clip(clip) = recording else { return Ok(recording) };
    let period = now.as_second() / PERIOD.as_secs();
    let naming = tokio::task::spawn_blocking(move || {
        let pcm = pcm(&clip);
        let stored = StoredRecording::of(&pcm, |sha256| format!("context/{period}/{sha256}.pcm"));
        (pcm, stored)
    });
    let (pcm, stored) = naming.await.map_err(Problem::internal)?;
    let key: ObjectKey = stored.location.parse().map_err(Problem::internal)?;
    let period_end = Timestamp::from_second((period + 1) * PERIOD.as_secs()).map_err(Problem::internal)?;
    objects.register(&key, period_end + KEEP).await.map_err(Problem::unavailable)?;
    if !is_stored(objects.store(), &key, pcm.len()).await {
        objects.store().put(&key, pcm.into(), MEDIA_TYPE).await?;
    }
    Ok(Recording::Stored(stored))
}

/// Returns whether the store is known to have the whole object already. Some stores deny a look at
/// an object that is not there.
async fn is_stored(store: &Store, key: &ObjectKey, bytes: usize) -> bool {
    store.size(key).await.is_ok_and(|size| size == bytes as u64)
}

fn pcm(clip: &Clip) -> Vec<u8> {
    clip.samples().iter().flat_map(|sample| sample.to_le_bytes()).collect()
}
