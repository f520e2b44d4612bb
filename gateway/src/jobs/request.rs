//! Request body of the native face. Unknown fields are refused.

use csm_shared::job::{AudioBudget, JobSpec};

use crate::caller::Caller;
use crate::fields::{
    FieldError, JsonObject, UnknownFields, budget, context, delivery, editing, format, lane, normalize, parse_json,
    pronunciations, sampling, speed, terms, text_or_turns, voice_and_speaker,
};
use crate::resources::DecodeRecording;
use crate::submit::JobRequest;

/// Reads a request's body.
pub(crate) fn read(body: &[u8], caller: &Caller, decode: &mut DecodeRecording<'_>) -> Result<JobRequest, FieldError> {
    let body = parse_json(body)?;
    let mut ticket = caller.ticket(&body);
    let mut request = JsonObject::of_request(body, UnknownFields::Refuse)?;
    // The refusal of an unknown field lists the fields in this order. Of several refused values the
    // budget is reported first.
    let (text, normalize) = (text_or_turns(&mut request), normalize(&mut request));
    let (pronunciations, voice) = (pronunciations(&mut request), voice_and_speaker(&mut request));
    let budget = budget(&mut request)?;
    let ((text, turns), normalize, pronunciations) = (text?, normalize?, pronunciations?);
    pronunciations.check(&text)?;
    let (voice, speaker) = voice?;
    let mut spec = JobSpec {
        text,
        turns,
        normalize,
        pronunciations,
        speaker,
        voice,
        speed: speed(&mut request)?,
        budget: budget.unwrap_or_default(),
        sampling: sampling(&mut request, caller.job)?,
        context: context(&mut request, decode, &mut ticket.warnings)?,
        lane: lane(&mut request)?,
        format: format(&mut request)?,
        delivery: delivery(&mut request)?,
        audio_name: None,
        editing: editing(&mut request)?,
        trace: None,
    };
    let ticket = terms(&mut request, ticket)?;
    request.finish()?;
    if budget.is_none() {
        spec.budget = AudioBudget::of_sentences(&spec.sentences());
    }
    spec.speed.check(spec.budget)?;
    spec.delivery.check(spec.budget, spec.speed)?;
    Ok(JobRequest { ticket, spec, repeats: caller.repeats })
}

#[cfg(test)]
mod tests;
