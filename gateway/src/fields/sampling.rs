//! `temperature`, `topk` and `seed`: the draw of codes from the model's logits.

use csm_shared::job::limits::TOPK;
use csm_shared::job::{Invalid, JobId, Sampling, Seed, Temperature, TopK};
use csm_shared::process::digest::sha256_hex;

use super::JsonObject;

/// Hexadecimal digits of a seed that the gateway draws: 52 bits.
const SEED_DIGITS: usize = 13;

/// Reads the three fields. Without a `seed` the job's id decides.
pub(crate) fn sampling(object: &mut JsonObject<'_>, job: JobId) -> Result<Sampling, Invalid> {
    Ok(Sampling { temperature: temperature(object)?, topk: topk(object)?, seed: seed(object, job)? })
}

fn temperature(object: &mut JsonObject<'_>) -> Result<Temperature, Invalid> {
    let Some(number) = object.number("temperature")? else { return Ok(Temperature::default()) };
    // A number too large for an f32 becomes infinite and is refused; the refusal shows it as sent.
    let shown = || Invalid::malformed("temperature", number, "").value;
    Temperature::new(number as f32).map_err(|invalid| Invalid { value: shown(), ..invalid })
}

fn topk(object: &mut JsonObject<'_>) -> Result<TopK, Invalid> {
    let Some(number) = object.integer(&["topk", "top_k"])? else { return Ok(TopK::default()) };
    TopK::new(u32::try_from(number).map_err(|_| Invalid::outside("topk", number, &TOPK))?)
}

/// Reads the seed. Without one the job's id decides.
pub(crate) fn seed(object: &mut JsonObject<'_>, job: JobId) -> Result<Seed, Invalid> {
    let Some(number) = object.integer(&["seed"])? else { return Ok(seed_of(job)) };
    let limit = || format!("a whole number from 0 to {}", u64::MAX);
    u64::try_from(number).map(Seed::new).map_err(|_| Invalid::malformed("seed", number, limit()))
}

/// Derives the seed of a job whose request names none.
///
/// The job's id decides, so that a repeated request has the first one's seed, whichever gateway
/// answers. The seed is below 2^53, so that every JSON reader keeps it exactly.
pub(crate) fn seed_of(job: JobId) -> Seed {
    let digest = sha256_hex(job.to_string().as_bytes());
    Seed::new(u64::from_str_radix(&digest[..SEED_DIGITS], 16).unwrap_or_default())
}
