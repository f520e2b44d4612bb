//! Search for SilentCipher's mark in recordings, at the request of gateways.

use std::sync::Arc;
use std::time::Instant;

use csm_queue::detect_queue::{DetectRequest, EXAMINE_MAX};
use tokio_util::sync::CancellationToken;

use crate::marks::{Finding, SilentCipherMark, Verdict, WatermarkKey};
use csm_silentcipher::ExpectedPayload;

/// Returns a search for the marks of `keys`: of the job that a request names, or of any job. A
/// search takes at most [`EXAMINE_MAX`]. If `stop` ends a search that has found nothing, the result
/// is an error, not "not detected".
pub(crate) fn silentcipher(
    mark: Arc<SilentCipherMark>,
    keys: Vec<WatermarkKey>,
    stop: CancellationToken,
) -> impl Fn(&DetectRequest) -> Result<Vec<Finding>, String> + Send + Sync + 'static {
    move |asked| {
        let known = ExpectedPayload::all(&keys, asked.job.as_ref());
        let found = mark.find(&asked.samples, &known, Instant::now() + EXAMINE_MAX, &stop);
        let found = found.map_err(|error| error.to_string())?;
        if stop.is_cancelled() && found.verdict != Verdict::Detected {
            return Err("this worker is about to end".to_owned());
        }
        Ok(vec![found])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_shared::audio::Clip;
    use csm_shared::job::JobId;

    use super::*;
    use csm_silentcipher::{BnMode, Payload, SilentCipher};

    /// Marks the clip of the small test networks with `key` for `job`.
    fn marked(cipher: &SilentCipher, key: &WatermarkKey, job: &JobId) -> Vec<f32> {
        let file = csm_testing::golden("silentcipher/golden.safetensors");
        let bytes = std::fs::read(file).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let clip = Clip::from_pcm(tensors.tensor("clip").unwrap().data()).unwrap().to_f32();
        cipher.embed(&clip, Payload::new(key, job)).unwrap()
    }

    #[test]
    fn an_old_key_and_a_named_job_are_looked_for_until_the_worker_ends() {
        let weights = csm_testing::golden("silentcipher/small");
        let cipher = SilentCipher::load(&weights, BnMode::Running).unwrap();
        let key = |secret: &str| WatermarkKey::parse(secret).unwrap();
        let (current, old) = (key("the secret of this year"), key("the secret of last year"));
        let (job, stop) = (JobId::generate(), CancellationToken::new());
        let samples = marked(&cipher, &old, &job);
        let mark = Arc::new(SilentCipherMark::new(&cipher, &current));
        let look = |keys: &[&WatermarkKey], job: Option<JobId>| {
            let keys = keys.iter().map(|&key| key.clone()).collect();
            silentcipher(Arc::clone(&mark), keys, stop.clone())(&DetectRequest { samples: samples.clone(), job })
        };
        for named in [None, Some(job)] {
            let found = look(&[&current, &old], named).unwrap().remove(0);
            assert_eq!((found.verdict, &*found.key_id), (Verdict::Detected, &old.id().to_string()[..4]), "{found:?}");
            assert_ne!(look(&[&current], named).unwrap()[0].verdict, Verdict::Detected);
        }
        assert_ne!(look(&[&current, &old], Some(JobId::generate())).unwrap()[0].verdict, Verdict::Detected);
        stop.cancel();
        let ended = look(&[&current, &old], None);
        assert!(ended.is_err(), "what was not looked at is no \"not detected\": {ended:?}");
    }
}
