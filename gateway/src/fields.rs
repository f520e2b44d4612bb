//! From the request of a caller to a checked [`JobRequest`]: JSON, then each field through its constructor.
//!
//! Every refusal is an [`Invalid`] with the field's path, the value, and what would be right.

mod caller;
mod json;
mod object;
mod recording;
mod terms;
#[cfg(test)]
mod tests;

use csm_queue::queue::Ticket;
use csm_shared::job::limits::{CONTEXT_AUDIO_MS, CONTEXT_SEGMENTS, MAX_AUDIO_LENGTH_MS, SPEAKER, TEXT_CHARS, TOPK};
use csm_shared::job::{
    AudioBudget, AudioFormat, Context, Delivery, Invalid, JobId, JobSpec, Lane, Sampling, Seed, Segment, Speaker,
    Temperature, Text, TopK,
};
use csm_shared::process::digest::sha256_hex;
use serde_json::Value;

use object::Object;

pub(crate) use caller::{Caller, tenant};

/// The API style of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ApiStyle {
    /// `/generate` and `/ws`: unknown fields are passed over, as old clients expect; the lane is `live`.
    Compat,
    /// `/v1`: unknown fields are refused.
    Native,
}

/// A job that may join the queue.
#[derive(Clone, Debug)]
pub(crate) struct JobRequest {
    /// Which job, whose, and on which terms.
    pub(crate) ticket: Ticket,
    /// What to say.
    pub(crate) spec: JobSpec,
    /// The same request may come again and mean the same job.
    pub(crate) repeats: bool,
}

const CONTEXT: &str = "context_segments";
const REQUEST_FIELDS: &str = "text, normalize, speaker, max_audio_length_ms, temperature, topk (top_k), seed, \
    context_segments (context), lane, format, delivery, expires_in, deadline, durability";
const SEGMENT_FIELDS: &str = "text, speaker, audio";

/// Reads a request's body. The model's window is not measured here.
pub(crate) fn read(body: &[u8], style: ApiStyle, caller: Caller) -> Result<JobRequest, Invalid> {
    let body = json::parse(body)?;
    let ticket = Ticket { fingerprint: caller.fingerprint(&body), tenant: caller.tenant, ..Ticket::new(caller.job) };
    let mut request = Object::new("", body)?;
    let budget = budget(&mut request)?;
    let mut spec = JobSpec {
        text: text(&mut request)?,
        normalize: request.boolean("normalize")?.unwrap_or(true),
        speaker: speaker(&mut request)?,
        budget: budget.unwrap_or_default(),
        sampling: sampling(&mut request, caller.job)?,
        context: context(&mut request, style)?,
        lane: lane(&mut request, style)?,
        format: format(&mut request, style)?,
        delivery: delivery(&mut request, style)?,
    };
    let ticket = terms(&mut request, style, ticket)?;
    finish(request, style, REQUEST_FIELDS)?;
    if budget.is_none() {
        spec.budget = AudioBudget::of_sentences(&spec.sentences());
    }
    spec.delivery.check(spec.budget)?;
    Ok(JobRequest { ticket, spec, repeats: caller.repeats })
}

/// The old style knows no terms.
fn terms(request: &mut Object, style: ApiStyle, ticket: Ticket) -> Result<Ticket, Invalid> {
    match style {
        ApiStyle::Compat => Ok(ticket),
        ApiStyle::Native => Ok(Ticket {
            expires_in: terms::expires_in(request)?,
            deadline: terms::deadline(request)?,
            durability: terms::durability(request)?,
            ..ticket
        }),
    }
}

fn finish(object: Object, style: ApiStyle, known: &str) -> Result<(), Invalid> {
    match style {
        ApiStyle::Compat => Ok(()),
        ApiStyle::Native => object.refuse_rest(known),
    }
}

fn text(object: &mut Object) -> Result<Text, Invalid> {
    match object.string("text")? {
        Some(text) => Text::new(&text),
        None => Err(Invalid::malformed("text", "(missing)", TEXT_CHARS.describe())),
    }
}

fn speaker(object: &mut Object) -> Result<Speaker, Invalid> {
    let number = object.integer(&["speaker"])?.unwrap_or(0);
    let number = i64::try_from(number).map_err(|_| Invalid::outside("speaker", number, &SPEAKER))?;
    Speaker::new(number)
}

fn budget(object: &mut Object) -> Result<Option<AudioBudget>, Invalid> {
    let Some(ms) = object.integer(&["max_audio_length_ms"])? else { return Ok(None) };
    let ms = u64::try_from(ms).map_err(|_| Invalid::outside("max_audio_length_ms", ms, &MAX_AUDIO_LENGTH_MS))?;
    AudioBudget::from_ms(ms).map(Some)
}

fn sampling(object: &mut Object, job: JobId) -> Result<Sampling, Invalid> {
    Ok(Sampling { temperature: temperature(object)?, topk: topk(object)?, seed: seed(object, job)? })
}

fn temperature(object: &mut Object) -> Result<Temperature, Invalid> {
    let Some(number) = object.number("temperature")? else { return Ok(Temperature::default()) };
    // What is too large for an f32 becomes infinite, and is refused as that; the caller sees what was sent.
    Temperature::new(number as f32).map_err(|invalid| Invalid { value: number.to_string(), ..invalid })
}

fn topk(object: &mut Object) -> Result<TopK, Invalid> {
    let Some(number) = object.integer(&["topk", "top_k"])? else { return Ok(TopK::default()) };
    TopK::new(u32::try_from(number).map_err(|_| Invalid::outside("topk", number, &TOPK))?)
}

fn seed(object: &mut Object, job: JobId) -> Result<Seed, Invalid> {
    let Some(number) = object.integer(&["seed"])? else { return Ok(seed_of(job)) };
    let limit = || format!("a whole number from 0 to {}", u64::MAX);
    u64::try_from(number).map(Seed::new).map_err(|_| Invalid::malformed("seed", number, limit()))
}

/// The seed of a job whose request names none. The job's id decides, so that a repeated request has the seed of the first,
/// whichever gateway answers it. Below 2^53, so that it survives every JSON reader.
fn seed_of(job: JobId) -> Seed {
    const DIGITS: usize = 13;
    let digest = sha256_hex(job.to_string().as_bytes());
    Seed::new(u64::from_str_radix(&digest[..DIGITS], 16).unwrap_or_default())
}

fn lane(object: &mut Object, style: ApiStyle) -> Result<Lane, Invalid> {
    match style {
        ApiStyle::Compat => Ok(Lane::Live),
        ApiStyle::Native => object.string("lane")?.map_or(Ok(Lane::default()), |name| name.parse()),
    }
}

/// The old style answers WAV files.
fn format(object: &mut Object, style: ApiStyle) -> Result<AudioFormat, Invalid> {
    match style {
        ApiStyle::Compat => Ok(AudioFormat::Wav),
        ApiStyle::Native => object.string("format")?.map_or(Ok(AudioFormat::default()), |name| name.parse()),
    }
}

fn delivery(object: &mut Object, style: ApiStyle) -> Result<Delivery, Invalid> {
    match style {
        ApiStyle::Compat => Ok(Delivery::Store),
        ApiStyle::Native => object.string("delivery")?.map_or(Ok(Delivery::default()), |name| name.parse()),
    }
}

fn context(object: &mut Object, style: ApiStyle) -> Result<Context, Invalid> {
    let values = object.list(&[CONTEXT, "context"])?.unwrap_or_default();
    // Counted before anything is decoded.
    if !CONTEXT_SEGMENTS.allows(values.len() as u64) {
        return Err(Invalid::outside(CONTEXT, values.len(), &CONTEXT_SEGMENTS));
    }
    let (mut segments, mut total_ms) = (Vec::with_capacity(values.len()), 0);
    for (index, value) in values.into_iter().enumerate() {
        let segment = segment(&format!("{CONTEXT}[{index}]"), value, style)?;
        total_ms += segment.clip.duration_ms();
        // Before the next is decoded: a small WAV of a low rate can hold minutes.
        if !CONTEXT_AUDIO_MS.allows(total_ms) {
            return Err(Invalid::outside(CONTEXT, format!("{total_ms} ms of audio or more"), &CONTEXT_AUDIO_MS));
        }
        segments.push(segment);
    }
    Context::new(segments)
}

fn segment(path: &str, value: Value, style: ApiStyle) -> Result<Segment, Invalid> {
    let mut object = Object::new(path, value)?;
    let within = |invalid: Invalid| if invalid.field.starts_with(path) { invalid } else { invalid.within(path) };
    let segment = Segment {
        text: text(&mut object).map_err(within)?,
        speaker: speaker(&mut object).map_err(within)?,
        clip: recording::clip(&format!("{path}.audio"), object.string("audio")?)?,
    };
    finish(object, style, SEGMENT_FIELDS)?;
    Ok(segment)
}
