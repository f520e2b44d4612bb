//! Requests as clients send them, and refusals by field.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_shared::job::Tenant;

use csm_shared::job::VoiceName;

use super::*;

fn read_form(body: &str) -> Result<(Option<JobRequest>, SpeechRequest), Invalid> {
    let mut decode = |file: &[u8], most_ms| Ok(csm_shared::audio::read_within(file, most_ms)?);
    let caller = Caller::new(Tenant::default());
    read(body.as_bytes(), &caller, &mut decode, "tiny").map_err(|error| match error {
        FieldError::Invalid(invalid) => invalid,
        FieldError::Overloaded => panic!("places are unlimited here"),
    })
}

fn spec(body: &str) -> JobSpec {
    read_form(body).unwrap().0.unwrap().spec
}

#[test]
fn defaults_are_those_of_openai() {
    let (_, form) = read_form(r#"{"model": "tts-1", "input": "Hello", "voice": "alloy"}"#).unwrap();
    let expected =
        SpeechForm { format: AudioFormat::Mp3, rate: 24_000, stream: StreamFormat::Audio, instructions: false };
    assert_eq!(form.form, expected);
    let spec = spec(r#"{"model": "tts-1", "input": "Hello", "voice": "alloy"}"#);
    assert_eq!((spec.lane, spec.delivery, spec.format), (Lane::Live, Delivery::Both, AudioFormat::Mp3));
    assert_eq!((spec.voice, spec.speaker.get()), (Some(VoiceName::Alloy), 1));
    assert!(spec.speed.is_original());
}

#[test]
fn what_clients_send_beside_the_documented_fields_is_taken() {
    // LiveKit, SillyTavern, LibreChat and a custom voice as an object.
    for body in [
        r#"{"input":"Hi.","model":"gpt-4o-mini-tts","voice":"ash","response_format":"mp3","speed":1.0,"stream_format":"sse","instructions":"calm"}"#,
        r#"{"input":"Hi.","response_format":"mp3","voice":"Nova","speed":1,"model":"tts-1"}"#,
        r#"{"input":"Hi.","model":"tiny","voice":{"id":"cedar"},"backend":"x"}"#,
        r#"{"input":"Hi.","model":"gpt-4o-mini-tts-2025-03-20","voice":"verse","instructions":null}"#,
        r#"{"input":"Hi."}"#,
    ] {
        assert!(read_form(body).is_ok(), "{body}");
    }
    let spec = spec(r#"{"input":"Hi.","speaker":1,"seed":5,"temperature":0,"topk":3,"lane":"bulk"}"#);
    assert_eq!((spec.voice, spec.speaker.get(), spec.lane, spec.sampling.seed.get()), (None, 1, Lane::Bulk, 5));
}

#[test]
fn refusals_name_the_field_and_what_it_may_be() {
    let refused = |fields: &str| {
        let body = format!(r#"{{"input": "Hi.", {fields}}}"#);
        let invalid = read_form(&body).err().unwrap();
        (invalid.field, invalid.status, invalid.limit)
    };
    let (field, status, limit) = refused(r#""voice": "nobody""#);
    assert_eq!((field.as_str(), status), ("voice", 422));
    assert!(limit.contains("alloy, ash") && limit.contains("cedar"), "{limit}");
    for (fields, field, status) in [
        (r#""model": "whisper-1""#, "model", 404),
        (r#""response_format": "aac""#, "response_format", 422),
        (r#""stream_format": "ws""#, "stream_format", 422),
        (r#""speed": 4.1"#, "speed", 422),
        (r#""speed": "fast""#, "speed", 422),
        (r#""sample_rate": 11025, "response_format": "wav""#, "sample_rate", 422),
        (r#""sample_rate": 8000"#, "sample_rate", 422),
        (r#""voice": 3"#, "voice", 422),
        (r#""voice": {"name": "ash"}"#, "voice.id", 422),
        (r#""voice": "ash", "temperature": 9"#, "temperature", 422),
    ] {
        let refused = refused(fields);
        assert_eq!((refused.0.as_str(), refused.1), (field, status), "{fields}");
    }
    for (body, value) in [(r#"{"voice": "ash"}"#, "(missing)"), (r#"{"input": " "}"#, "\" \" (blank)")] {
        let invalid = read_form(body).err().unwrap();
        assert_eq!((invalid.field.as_str(), invalid.value.as_str()), ("input", value));
    }
    assert_eq!(read_form(&format!(r#"{{"input": "{}"}}"#, "a".repeat(100_001))).err().unwrap().field, "input");
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
    let context = serde_json::json!([{"text": "b", "audio": audio}]);
    let body = serde_json::json!({"input": "Hi.", "context_segments": context}).to_string();
    let caller = Caller::new(Tenant::default());
    let speech = read(body.as_bytes(), &caller, &mut decode, "tiny").unwrap().0.unwrap();
    let line = read_line(body.as_bytes(), &caller, &mut decode, "tiny").unwrap();
    for warnings in [speech.ticket.warnings, line.ticket.warnings] {
        let [warning] = warnings.as_slice() else { panic!("{warnings:?}") };
        assert_eq!((&*warning.field, &*warning.message), ("context_segments[0].audio", "it ends early"));
    }
}

#[test]
fn punctuation_alone_is_silence() {
    for input in ["...", "?!", "- -", "\u{2026}"] {
        let body = serde_json::json!({ "input": input }).to_string();
        assert!(read_form(&body).unwrap().0.is_none(), "{input}");
    }
}

#[test]
fn a_text_over_the_limit_of_live_audio_becomes_several_jobs() {
    let long = "This is one of many sentences that follow one another for quite a while. ".repeat(40);
    let body = serde_json::json!({ "input": long, "response_format": "opus" }).to_string();
    let (job, SpeechRequest { texts, .. }) = read_form(&body).unwrap();
    let spec = job.unwrap().spec;
    assert_eq!((spec.delivery, spec.text.as_str()), (Delivery::Both, texts[0].trim()));
    assert_eq!(texts.concat().trim(), long.trim());
    let (_, SpeechRequest { texts, .. }) = read_form(r#"{"input": "Short."}"#).unwrap();
    assert!(texts.is_empty());
    let whole = "words without an end ".repeat(4_700);
    let (_, SpeechRequest { texts, .. }) = read_form(&serde_json::json!({ "input": whole }).to_string()).unwrap();
    assert!(texts.len() > 190, "{}", texts.len());
    let budgeted = serde_json::json!({ "input": whole, "max_audio_length_ms": 60_000 }).to_string();
    assert_eq!(read_form(&budgeted).err().unwrap().field, "max_audio_length_ms");
}

#[test]
fn a_result_whose_length_is_allowed_by_the_caller_is_read_from_its_file() {
    let slow = r#"{"input": "Hi.", "speed": 0.25, "max_audio_length_ms": 40000}"#;
    let spec = spec(slow);
    assert_eq!((spec.delivery, spec.format), (Delivery::Store, AudioFormat::Pcm));
}
