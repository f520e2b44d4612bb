//! Request body of the compatible face. Unknown fields are ignored, as its clients expect.

use csm_shared::job::{AudioBudget, AudioFormat, Delivery, Editing, JobSpec, Lane, Pronunciations, Turns};

use crate::caller::Caller;
use crate::fields::{
    FieldError, JsonObject, UnknownFields, budget, context, normalize, parse_json, sampling, speed, text,
    voice_and_speaker,
};
use crate::live_audio::deliver_live;
use crate::resources::DecodeRecording;
use crate::submit::JobRequest;

/// Reads a message of a socket: the request, and whether its audio is sent while it is made.
pub(super) fn read_message(
    body: &[u8],
    caller: &Caller,
    decode: &mut DecodeRecording<'_>,
) -> Result<(Option<JobRequest>, bool), FieldError> {
    let mut request = JsonObject::of_request(parse_json(body)?, UnknownFields::Ignore)?;
    let stream = request.boolean("stream")?.unwrap_or(false);
    let mut job = read(body, caller, decode)?;
    if stream {
        deliver_live(&mut job.spec);
    }
    Ok((Some(job), stream))
}

/// Reads a request's body.
pub(super) fn read(body: &[u8], caller: &Caller, decode: &mut DecodeRecording<'_>) -> Result<JobRequest, FieldError> {
    let body = parse_json(body)?;
    let mut ticket = caller.ticket(&body);
    let mut request = JsonObject::of_request(body, UnknownFields::Ignore)?;
    let budget = budget(&mut request)?;
    let (voice, speaker) = voice_and_speaker(&mut request)?;
    let mut spec = JobSpec {
        text: text(&mut request)?,
        turns: Turns::default(),
        normalize: normalize(&mut request)?,
        pronunciations: Pronunciations::default(),
        speaker,
        voice,
        speed: speed(&mut request)?,
        budget: budget.unwrap_or_default(),
        sampling: sampling(&mut request, caller.job)?,
        context: context(&mut request, decode, &mut ticket.warnings)?,
        lane: Lane::Live,
        format: AudioFormat::Wav,
        delivery: Delivery::Store,
        audio_name: None,
        editing: Editing::Off,
        trace: None,
    };
    request.finish()?;
    if budget.is_none() {
        spec.budget = AudioBudget::of_sentences(&spec.sentences());
    }
    spec.speed.check(spec.budget)?;
    Ok(JobRequest { ticket, spec, repeats: caller.repeats })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

    use csm_queue::queue::Durability;
    use csm_shared::job::Tenant;

    use super::*;

    fn request(body: &str) -> JobRequest {
        let mut decode = |file: &[u8], most_ms| Ok(csm_shared::audio::read_within(file, most_ms)?);
        read(body.as_bytes(), &Caller::new(Tenant::default()), &mut decode).unwrap()
    }

    #[test]
    fn defaults_are_those_of_the_integration_replaced() {
        let spec = request(r#"{"text": "Hello"}"#).spec;
        assert_eq!((spec.speaker.get(), spec.budget.ms(), spec.lane), (0, 10_000, Lane::Live));
        assert_eq!((spec.sampling.temperature.get(), spec.sampling.topk.get()), (0.9, 50));
        assert!(spec.normalize);
    }

    #[test]
    fn warnings_about_recordings_come_with_the_ticket() {
        use base64::Engine as _;
        let wav = csm_shared::audio::Clip::from_samples(vec![7; 1_920]).to_wav();
        let audio = base64::engine::general_purpose::STANDARD.encode(wav);
        let mut decode = |file: &[u8], most_ms| {
            let read = csm_shared::audio::read_within(file, most_ms)?;
            Ok(csm_shared::audio::Recording { warnings: vec!["it ends early".into()], ..read })
        };
        let body = serde_json::json!({"text": "a", "context": [{"text": "b", "audio": audio}]}).to_string();
        let warnings = read(body.as_bytes(), &Caller::new(Tenant::default()), &mut decode).unwrap().ticket.warnings;
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert_eq!((&*warning.field, &*warning.message), ("context_segments[0].audio", "it ends early"));
    }

    #[test]
    fn a_long_text_gets_the_time_it_needs() {
        let sentence = "This is one of many sentences that follow one another for quite a while. ";
        let spec = request(&format!(r#"{{"text": "{}"}}"#, sentence.repeat(40))).spec;
        assert_eq!(spec.budget.ms(), 40 * ((2_000 + 72 * 100) / 80 * 80));
    }

    #[test]
    fn unknown_fields_and_those_of_the_native_face_are_ignored() {
        let body = r#"{"text": "a", "tempo": 1, "lane": "bulk", "format": "flac", "delivery": "both",
            "expires_in": 60, "deadline": "2999-01-31T12:00:00Z", "durability": "fsync"}"#;
        let JobRequest { ticket, spec, .. } = request(body);
        assert_eq!((spec.lane, spec.format, spec.delivery), (Lane::Live, AudioFormat::Wav, Delivery::Store));
        assert_eq!((ticket.expires_in, ticket.deadline), (None, None));
        assert_eq!(ticket.durability, Durability::Default);
    }
}
