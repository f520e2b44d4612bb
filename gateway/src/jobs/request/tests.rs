//! Native requests: accepted fields, and refusals with their path, value and limit.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use csm_queue::queue::Durability;
use csm_shared::job::{Delivery, Invalid, Lane, Tenant};

use super::*;

/// Reads the payload of a request for a new job of the default tenant.
fn read(body: &str) -> Result<JobSpec, Invalid> {
    read_as(body, &Caller::new(Tenant::default())).map(|job_request| job_request.spec)
}

/// Reads a caller's request.
fn read_as(body: &str, caller: &Caller) -> Result<JobRequest, Invalid> {
    let mut decode = |file: &[u8], most_ms| Ok(csm_shared::audio::read_within(file, most_ms)?);
    super::read(body.as_bytes(), caller, &mut decode).map_err(|error| match error {
        FieldError::Invalid(invalid) => invalid,
        FieldError::Overloaded => panic!("places are unlimited here"),
    })
}

/// Returns status, field, value and limit of a refusal.
fn refused(body: &str) -> (u16, String, String, String) {
    let Invalid { status, field, value, limit, .. } = read(body).unwrap_err();
    (status, field, value, limit)
}

#[test]
fn live_delivery_is_for_short_results() {
    let delivery = |body: &str| read(body).map(|spec| spec.delivery);
    assert_eq!(delivery(r#"{"text": "Hello", "delivery": "both"}"#), Ok(Delivery::Both));
    assert_eq!(delivery(r#"{"text": "Hello"}"#), Ok(Delivery::Store));
    let most = |ms| format!(r#"{{"text": "Hello", "delivery": "both", "max_audio_length_ms": {ms}}}"#);
    assert_eq!(delivery(&most(120_000)), Ok(Delivery::Both));
    let long = format!(r#"{{"text": "{}", "delivery": "both"}}"#, "This is one of many sentences. ".repeat(60));
    for body in [most(120_080), long] {
        let (status, field, value, limit) = refused(&body);
        assert_eq!((status, field.as_str(), limit.as_str()), (422, "delivery", "80 to 120000 ms"));
        assert!(
            value.starts_with("both, of up to ") && value.ends_with(" ms of audio (max_audio_length_ms)"),
            "{value}"
        );
    }
}

fn wav() -> String {
    use base64::Engine as _;
    let clip = csm_shared::audio::Clip::from_samples(vec![7; 1_920]);
    base64::engine::general_purpose::STANDARD.encode(clip.to_wav())
}

#[test]
fn defaults_are_those_of_the_compatible_face_but_for_the_lane() {
    let spec = read(r#"{"text": "Hello"}"#).unwrap();
    assert_eq!((spec.speaker.get(), spec.budget.ms(), spec.lane), (0, 10_000, Lane::Standard));
    assert_eq!((spec.sampling.temperature.get(), spec.sampling.topk.get()), (0.9, 50));
    assert!(spec.normalize);
}

#[test]
fn a_long_text_gets_the_time_it_needs_unless_the_request_says_how_much() {
    let sentence = "This is one of many sentences that follow one another for quite a while. ";
    let body = |more: &str| format!(r#"{{"text": "{}"{more}}}"#, sentence.repeat(40));
    assert_eq!(read(&body("")).unwrap().budget.ms(), 40 * ((2_000 + 72 * 100) / 80 * 80));
    assert!(read(&body(r#", "normalize": false"#)).is_ok_and(|spec| !spec.normalize));
    assert_eq!(read(&body(r#", "max_audio_length_ms": 10000"#)).unwrap().budget.ms(), 10_000);
}

#[test]
fn aliases_nulls_and_whole_floats_are_taken() {
    let body = format!(
        r#"{{"text": "a", "top_k": 9.0, "seed": 18446744073709551615, "speaker": null,
            "context": [{{"text": "b", "speaker": 1, "audio": "{}"}}], "lane": "bulk"}}"#,
        wav()
    );
    let spec = read(&body).unwrap();
    assert_eq!((spec.sampling.topk.get(), spec.sampling.seed.get(), spec.lane), (9, u64::MAX, Lane::Bulk));
    assert_eq!(spec.context.segments()[0].recording.frames(), 1);
}

#[test]
fn broken_text_names_its_place_and_field() {
    let (status, field, value, limit) = refused(r#"{"text": "a", "temperature": NaN}"#);
    assert_eq!((status, field.as_str(), value.as_str()), (400, "temperature", "NaN}"));
    assert!(limit.contains("line 1 column 30"), "{limit}");

    let (status, field, value, _) = refused("{\"text\": \"a\",\n \"context\": [{\"text\": \"b\"}, {\"text\": +1}]}");
    assert_eq!((status, field.as_str(), value.as_str()), (400, "context[1].text", "+1}]}"));

    let (_, field, value, _) = refused(r#"{"text": "a", "temperature": -1e999}"#);
    assert_eq!((field.as_str(), value.as_str()), ("temperature", "-1e999}"));
    assert_eq!(refused(r#"{"text": "a"#).2, "(end of the text)");
    assert_eq!(refused("").1, "(body)");
    assert_eq!(refused(r#"{"text": "a"} x"#).1, "(body)");
}

#[test]
fn wrong_types_name_path_value_and_what_was_expected() {
    let named = |status: u16, field: &str, value: &str, limit: &str| (status, field.into(), value.into(), limit.into());
    let cases = [
        (r#"[1]"#, named(422, "(body)", "[1]", "a JSON object")),
        (r#"{"text": "a", "normalize": "no"}"#, named(422, "normalize", "\"no\"", "true or false")),
        (r#"{"text": 5}"#, named(422, "text", "5", "a string")),
        (r#"{"text": "a", "temperature": "hot"}"#, named(422, "temperature", "\"hot\"", "a number")),
        (r#"{"text": "a", "topk": 1.5}"#, named(422, "topk", "1.5", "a whole number")),
        (r#"{"text": "a", "top_k": true}"#, named(422, "top_k", "true", "a whole number")),
        (r#"{"text": "a", "context": {}}"#, named(422, "context", "{}", "a list")),
        (r#"{"text": "a", "context": [3]}"#, named(422, "context_segments[0]", "3", "a JSON object")),
        (r#"{"text": "a", "lane": "fast"}"#, named(422, "lane", "fast", "live, standard or bulk")),
    ];
    for (body, expected) in cases {
        assert_eq!(refused(body), expected, "{body}");
    }
}

#[test]
fn an_unknown_field_is_refused_with_the_list_of_fields() {
    let (status, field, value, limit) = refused(r#"{"text": "a", "tempo": 1}"#);
    assert_eq!((status, field.as_str(), value.as_str()), (422, "tempo", "1"));
    let fields = "text, turns, normalize, pronunciations, speaker, voice, max_audio_length_ms, speed, temperature, topk (top_k), seed, \
        context_segments (context), lane, format, delivery, editable, expires_in, deadline, durability";
    assert_eq!(limit, format!("a known field; there are {fields}"));

    let audio = wav();
    let body =
        format!(r#"{{"text": "a", "context": [{{"text": "b", "speaker": 1, "audio": "{audio}", "voice": 2}}]}}"#);
    let (status, field, value, limit) = refused(&body);
    assert_eq!((status, field.as_str(), value.as_str()), (422, "context_segments[0].voice", "2"));
    assert_eq!(limit, "a known field; there are text, speaker, audio");
}

#[test]
fn pronunciations_are_read_and_refused_by_place() {
    let body = |list: &str| format!(r#"{{"text": "A GIF of 5 a", "pronunciations": {list}}}"#);
    let spec = read(&body(r#"[{"word": "gif", "say": "jif"}]"#)).unwrap();
    assert_eq!(spec.sentences()[0].text, "A jif of five a");
    let one = r#"{"word": "a", "say": "b"}"#;
    let long = format!(r#"[{{"word": "a", "say": "{}"}}]"#, "b".repeat(101));
    for (list, field, limit) in [
        ("{}", "pronunciations", "a list"),
        ("[5]", "pronunciations[0]", "a JSON object"),
        (r#"[{"word": "a"}]"#, "pronunciations[0].say", "1 to 100 characters"),
        (r#"[{"say": "a"}]"#, "pronunciations[0].word", "1 to 100 characters"),
        (r#"[{"word": "a", "say": "[pause:1s]"}]"#, "pronunciations[0].say", "words without pauses and tags"),
        (r#"[{"word": " ", "say": "b"}]"#, "pronunciations[0].word", "1 to 100 characters"),
        (&long, "pronunciations[0].say", "1 to 100 characters"),
        (
            &format!(r#"[{one}, {{"word": "A", "say": "c"}}]"#),
            "pronunciations[1].word",
            "a word that is not in the list before",
        ),
        (&format!("[{}]", vec![one; 101].join(", ")), "pronunciations", "0 to 100 pronunciations"),
        (r#"[{"word": "a", "say": "b", "ipa": "c"}]"#, "pronunciations[0].ipa", "a known field; there are word, say"),
    ] {
        let (status, named, _, expected) = refused(&body(list));
        assert_eq!((status, named.as_str(), expected.as_str()), (422, field, limit), "{list}");
    }
    let text = "a ".repeat(2_000);
    let longer = format!(r#"{{"text": "{text}", "pronunciations": [{{"word": "a", "say": "{}"}}]}}"#, "b".repeat(50));
    let (status, field, value, limit) = refused(&longer);
    assert_eq!((status, field.as_str(), limit.as_str()), (422, "pronunciations", "1 to 8192 characters"));
    assert_eq!(value, "a text of 101999 characters");
}

#[test]
fn marks_that_cannot_be_meant_are_refused() {
    let body = |text: &str| serde_json::json!({ "text": text }).to_string();
    let (status, field, value, limit) = refused(&body("Wait [pause:11s] here."));
    assert_eq!((status, field.as_str(), value.as_str()), (422, "text", "[pause:11s]"));
    assert_eq!(limit, "[pause:500ms] or [pause:1.5s], at most 10000 ms");
    let (status, field, value, limit) = refused(&body("<speak>Wait <b>here</speak>"));
    assert_eq!((status, field.as_str(), value.as_str()), (422, "text", "</speak>"));
    assert!(limit.starts_with("well-formed SSML ("), "{limit}");
    let spec = read(&body("<speak>Wait <break time='2s'/> here</speak>")).unwrap();
    assert_eq!(spec.sentences().iter().map(|sentence| sentence.text.as_str()).collect::<Vec<_>>(), ["Wait", "here"]);
}

#[test]
fn of_several_refused_values_the_budget_is_reported_first() {
    assert_eq!(refused(r#"{"speaker": 99, "max_audio_length_ms": 1}"#).1, "max_audio_length_ms");
    assert_eq!(refused(r#"{"speaker": 99}"#).1, "text");
    assert_eq!(refused(r#"{"text": "a", "speaker": 99, "topk": 0, "tempo": 1}"#).1, "speaker");
}

#[test]
fn numbers_out_of_range_are_shown_as_sent() {
    for (body, field, value) in [
        (r#"{"text": "a", "topk": 0}"#, "topk", "0"),
        (r#"{"text": "a", "topk": -1}"#, "topk", "-1"),
        (r#"{"text": "a", "topk": 99999999999999999999}"#, "topk", "100000000000000000000"),
        (r#"{"text": "a", "speaker": 99}"#, "speaker", "99"),
        (r#"{"text": "a", "speaker": 18446744073709551615}"#, "speaker", "18446744073709551615"),
        (r#"{"text": "a", "seed": -7}"#, "seed", "-7"),
        (r#"{"text": "a", "max_audio_length_ms": -80}"#, "max_audio_length_ms", "-80"),
        (r#"{"text": "a", "temperature": 2.5}"#, "temperature", "2.5"),
        (r#"{"text": "a", "temperature": 1e39}"#, "temperature", "1000000000000000000000000000000000000000"),
    ] {
        let (status, named, shown, _) = refused(body);
        assert_eq!((status, named.as_str(), shown.as_str()), (422, field, value), "{body}");
    }
}

#[test]
fn recordings_are_named_by_their_place() {
    let body = |audio: &str| {
        format!(r#"{{"text": "a", "context_segments": [{{"text": "b", "speaker": 0, "audio": {audio}}}]}}"#)
    };
    for audio in ["\"@@@\"", "\"aGVsbG8gd29ybGQ=\"", "\"\"", "null"] {
        let (status, field, _, limit) = refused(&body(audio));
        assert_eq!((status, field.as_str()), (422, "context_segments[0].audio"), "{audio}");
        assert!(limit.starts_with(&format!("base64 of {}", csm_shared::audio::FORMATS)), "{limit}");
    }
    assert_eq!(refused(&body("7")), (422, "context_segments[0].audio".into(), "7".into(), "a string".into()));
    let blank = r#"{"text": "a", "context_segments": [{"text": " ", "audio": ""}]}"#;
    assert_eq!(refused(blank).1, "context_segments[0].text");
    let typed = r#"{"text": "a", "context_segments": [{"text": "b", "speaker": "x", "audio": ""}]}"#;
    assert_eq!(refused(typed).1, "context_segments[0].speaker");
    let many = format!(r#"{{"text": "a", "context_segments": [{}]}}"#, vec!["0"; 33].join(","));
    assert_eq!(refused(&many), (422, "context_segments".into(), "33".into(), "0 to 32 segments".into()));
}

#[test]
fn warnings_about_recordings_name_their_place() {
    let mut decode = |file: &[u8], most_ms| {
        let read = csm_shared::audio::read_within(file, most_ms)?;
        Ok(csm_shared::audio::Recording { warnings: vec!["it ends early".into()], ..read })
    };
    let caller = Caller::new(Tenant::default());
    let segment = format!(r#"{{"text": "b", "audio": "{}"}}"#, wav());
    let body = format!(r#"{{"text": "a", "context": [{segment}, {segment}]}}"#);
    let warnings = super::read(body.as_bytes(), &caller, &mut decode).unwrap().ticket.warnings;
    let fields: Vec<_> = warnings.as_slice().iter().map(|warning| warning.field.as_str()).collect();
    assert_eq!(fields, ["context_segments[0].audio", "context_segments[1].audio"]);
    assert!(warnings.as_slice().iter().all(|warning| warning.message == "it ends early"), "{warnings:?}");
    assert!(super::read(br#"{"text": "a"}"#, &caller, &mut decode).unwrap().ticket.warnings.is_empty());
}

/// Reads a request for the job `id` of a tenant.
fn job_request(body: &str, tenant: &str, id: &str) -> JobRequest {
    let caller = Caller { tenant: tenant.parse().unwrap(), job: id.parse().unwrap(), repeats: true };
    read_as(body, &caller).unwrap()
}

#[test]
fn a_request_is_known_again_by_tenant_and_content() {
    let (one, two) = ("6f1c0a52-9d0b-4c53-8f0e-2d5f2f6f9a11", "6f1c0a52-9d0b-4c53-8f0e-2d5f2f6f9a12");
    let first = job_request(r#"{"text": "a", "topk": 9}"#, "acme", one);
    let again = job_request(r#"{"topk": 9, "text": "a"}"#, "acme", one);
    assert_eq!(first.ticket.fingerprint, again.ticket.fingerprint);
    assert_eq!(first.spec.sampling.seed, again.spec.sampling.seed, "the seed is the job's");
    assert!(first.spec.sampling.seed.get() < 1 << 53);
    assert_ne!(first.spec.sampling.seed, job_request(r#"{"text": "a", "topk": 9}"#, "acme", two).spec.sampling.seed);
    for (body, tenant) in [(r#"{"text": "a", "topk": 8}"#, "acme"), (r#"{"text": "a", "topk": 9}"#, "other")] {
        assert_ne!(first.ticket.fingerprint, job_request(body, tenant, one).ticket.fingerprint, "{body} of {tenant}");
    }
}

#[test]
fn terms_become_those_of_the_ticket() {
    let body = r#"{"text": "a", "expires_in": 60, "deadline": "2999-01-31T12:00:00Z", "durability": "fsync"}"#;
    let ticket = read_as(body, &Caller::new(Tenant::default())).unwrap().ticket;
    assert_eq!(ticket.expires_in.map(|wait| wait.as_secs()), Some(60));
    assert!(ticket.deadline.is_some());
    assert_eq!(ticket.durability, Durability::Fsync);
}
