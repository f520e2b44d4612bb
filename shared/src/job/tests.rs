//! Tests of the job types: refusals name field, value and limit; the wire form is lossless; no
//! final state has a successor.

use super::*;
use crate::audio::Clip;
use crate::text::Pronunciation;

fn spec() -> JobSpec {
    let segment = Segment {
        text: Text::new("Good morning.").expect("valid"),
        speaker: Speaker::new(1).expect("valid"),
        recording: Clip::from_samples((0..4_000).map(|n| (n % 300) as i16 - 150).collect()).into(),
    };
    JobSpec {
        turns: Turns::default(),
        normalize: false,
        pronunciations: Pronunciations::new(vec![Pronunciation { word: "GIF".into(), say: "jif".into() }])
            .expect("valid"),
        budget: AudioBudget::from_ms(1_000).expect("valid"),
        context: Context::new(vec![segment]).expect("valid"),
        lane: Lane::Live,
        ..JobSpec::new(Text::new("  How are you?  ").expect("valid"), Seed::new(u64::MAX))
    }
}

#[test]
fn the_wire_twin_gives_back_the_same_spec() {
    let spec = spec();
    let payload = wire::encode(&spec).expect("encodes");
    assert_eq!(wire::decode(&payload).expect("decodes"), spec);
}

#[test]
fn a_payload_refers_to_recordings_in_the_store() {
    let pcm: Vec<u8> = (0..=u8::MAX).cycle().take(2 * 24_000).collect();
    let stored = StoredRecording::of(&pcm, |sha256| format!("context/1/{sha256}.pcm"));
    let mut spec = spec();
    spec.context = spec.context.map_recordings(|_| Recording::Stored(stored.clone()));
    let recording = &spec.context.segments()[0].recording;
    assert_eq!((recording.samples(), recording.duration_ms(), recording.frames()), (24_000, 1_000, 13));
    let payload = wire::encode(&spec).expect("encodes");
    assert!(payload.len() < 1_000, "{} bytes", payload.len());
    assert_eq!(wire::decode(&payload).expect("decodes"), spec);
    assert!(wire::decode(&payload.replace(r#""samples":24000"#, r#""samples":0"#)).is_err(), "no sample");
    assert!(wire::decode(&payload.replace(r#""samples":24000"#, r#""samples":2904001"#)).is_err(), "121 s");
    assert!(wire::decode(&payload.replace(&stored.sha256, "abc")).is_err(), "no digest");

    assert_eq!(stored.read(&pcm).expect("the same bytes").samples().len(), 24_000);
    let mut other = pcm;
    other[100] ^= 1;
    assert!(matches!(stored.read(&other), Err(WrongRecording::Digest { .. })));
}

#[test]
fn the_wire_twin_refuses_unknown_versions_and_broken_limits() {
    let payload = wire::encode(&spec()).expect("encodes");
    assert!(wire::decode(&payload.replace(r#""v":"1""#, r#""v":"2""#)).is_err());
    assert!(wire::decode(&payload.replace(r#""topk":50"#, r#""topk":0"#)).is_err());
    let older = payload.replace(r#""normalize":false,"#, "");
    assert_ne!(older, payload);
    assert!(wire::decode(&older).expect("of an older gateway").normalize);
    let older = payload.replace(r#""pronunciations":[{"word":"GIF","say":"jif"}],"#, "");
    assert_ne!(older, payload);
    assert_eq!(wire::decode(&older).expect("of an older gateway").pronunciations, Pronunciations::default());
    assert!(wire::decode(&payload.replace(r#""speaker":1"#, r#""speaker":99"#)).is_err());
}

#[test]
fn refusals_name_field_value_and_limit() {
    let blank = Text::new(" \n ").expect_err("blank");
    assert_eq!((blank.field.as_str(), blank.status), ("text", 422));
    assert_eq!(blank.limit, "1 to 4096 characters");

    for unseen in ["\u{200b}", "\0", "\u{feff}\u{2060} \u{ad}", "\u{3164}", "\u{1b}\u{7f}", "\u{180e}\u{fe0f}"] {
        let blank = Text::new(unseen).expect_err("nothing to speak");
        assert!(blank.value.ends_with("(blank)"), "{blank}");
    }
    for seen in ["a\u{200b}", "\0.", "é", "e\u{301}", "🙂", "\u{e000}"] {
        assert!(Text::new(seen).is_ok(), "{seen:?}");
    }

    let speaker = Speaker::new(-1).expect_err("negative");
    assert_eq!((speaker.field.as_str(), speaker.value.as_str()), ("speaker", "-1"));

    let topk = TopK::new(0).expect_err("zero");
    assert_eq!((topk.field.as_str(), topk.value.as_str(), topk.limit.as_str()), ("topk", "0", "1 to 2048 codes"));

    for temperature in [f32::NAN, f32::INFINITY, -0.1, 2.1] {
        assert_eq!(Temperature::new(temperature).expect_err("refused").field, "temperature");
    }
    for ms in [0, 79, 600_001, u64::MAX] {
        assert_eq!(AudioBudget::from_ms(ms).expect_err("refused").field, "max_audio_length_ms");
    }
    let long = Text::new(&"a".repeat(5_000)).expect_err("too long");
    assert!(long.value.ends_with("(5000 characters)"), "{}", long.value);
}

#[test]
fn context_is_bounded_in_number_and_in_seconds() {
    let segment = |seconds: usize| Segment {
        text: Text::new("hm").expect("valid"),
        speaker: Speaker::new(0).expect("valid"),
        recording: Clip::from_samples(vec![1; seconds * 24_000]).into(),
    };
    assert!(Context::new((0..32).map(|_| segment(1)).collect()).is_ok());
    assert_eq!(Context::new((0..33).map(|_| segment(1)).collect()).expect_err("too many").status, 422);
    assert_eq!(Context::new(vec![segment(121)]).expect_err("too long").status, 413);
    assert!(Context::new(vec![segment(0)]).is_err(), "a segment without samples");
}

#[test]
fn a_final_state_has_no_successor() {
    for from in JobState::ALL.iter().copied() {
        for to in JobState::ALL.iter().copied() {
            assert!(!(from.is_final() && from.may_become(to)), "{from} -> {to}");
        }
        assert_eq!(from.name().parse::<JobState>(), Ok(from));
    }
    assert!(JobState::Running.may_become(JobState::Queued));
    assert!(!JobState::Queued.may_become(JobState::Succeeded));
}

#[test]
fn budgets_round_down_to_whole_frames() {
    assert_eq!(AudioBudget::from_ms(159).expect("valid").frames(), 1);
    assert_eq!(AudioBudget::default().frames(), 125);
}

#[test]
fn live_audio_is_bounded_in_seconds() {
    let mut spec = spec();
    spec.budget = AudioBudget::from_ms(600_000).expect("valid");
    assert!(wire::decode(&wire::encode(&spec).expect("encodes")).is_ok(), "as a file it may be longer");
    spec.delivery = Delivery::Both;
    assert!(wire::decode(&wire::encode(&spec).expect("encodes")).is_err(), "not in a payload either");
    let check = |ms| Delivery::Both.check(AudioBudget::from_ms(ms).expect("valid"), Speed::default());
    assert_eq!(check(120_000), Ok(()));
    let refused = check(120_080).expect_err("too long");
    assert_eq!((refused.field.as_str(), refused.limit.as_str(), refused.status), ("delivery", "80 to 120000 ms", 422));
    assert_eq!(refused.value, "both, of up to 120080 ms of audio (max_audio_length_ms)");
}

#[test]
fn the_budget_of_a_long_text_is_what_its_pieces_may_take() {
    let mut spec = spec();
    assert_eq!(sentence_frames(&spec.sentences()).collect::<Vec<_>>(), [1_125], "one utterance: 90 s at most");
    assert_eq!(AudioBudget::of_sentences(&spec.sentences()), AudioBudget::default());
    let default_ms = |bytes: usize| {
        let mut spec = self::spec();
        spec.text = Text::new(&"word ".repeat(bytes / 5 + 1)[..bytes]).expect("valid");
        AudioBudget::of_sentences(&spec.sentences()).ms()
    };
    assert_eq!([4, 79].map(default_ms), [10_000; 2], "never less than the least");
    assert_eq!([99, 199, 239].map(default_ms), [11_840, 21_840, 25_840], "2 s and 100 ms a byte, in whole frames");
    assert!(default_ms(244).abs_diff(default_ms(239)) <= 3_000, "one utterance or two, it is the same pace");

    let sentence =
        "A sentence of one hundred characters, give or take none, is what this one here has to be, is it not?";
    assert_eq!(sentence.len(), 100);
    spec.text = Text::new(&[sentence; 3].join(" ")).expect("valid");
    let sentences = spec.sentences();
    assert_eq!(sentence_frames(&sentences).collect::<Vec<_>>(), [150; 3], "12 s each");
    assert_eq!(AudioBudget::of_sentences(&sentences).ms(), 36_000);

    spec.text = Text::new(&"9 ".repeat(2_048)).expect("valid");
    assert!(spec.sentences().len() < 40);
    spec.normalize = true;
    assert!(spec.sentences().len() < 60, "nine is longer than 9");
    spec.text = Text::new(&"±".repeat(4_096)).expect("valid");
    assert_eq!(AudioBudget::of_sentences(&spec.sentences()).ms(), 600_000, "never more than can be asked for");
}

#[test]
fn a_job_speaks_its_text_in_words_unless_told_otherwise() {
    let mut spec = spec();
    spec.text = Text::new("At 10:30 (sharp).").expect("valid");
    assert_eq!(spec.sentences()[0].text, "At 10:30 (sharp).");
    spec.normalize = true;
    assert_eq!(spec.sentences()[0].text, "At ten thirty, sharp.");
}

#[test]
fn receipts_from_before_there_were_sentences_are_read() {
    let json = serde_json::json!({
        "seed": 1, "model": "m", "noise_only": true, "weights_sha256": "00", "worker": "w", "attempt": 1, "frames": 1,
        "samples": 1920, "duration_ms": 80, "finish_reason": "length", "queue_ms": 1, "compute_ms": 1,
        "first_audio_ms": null, "rtf": null, "bytes": 10, "sha256": "ab", "watermark": "builtin:0", "watermark_z": 9.0,
        "location": "audio/x/a1.wav"
    });
    let receipt: Receipt = serde_json::from_value(json).expect("an older receipt");
    assert!(receipt.sentences.is_empty());
}

#[test]
fn a_job_costs_its_speech_its_prompt_and_the_recordings_to_be_encoded() {
    let say = |text: &str| JobSpec::new(Text::new(text).expect("valid"), Seed::new(1));
    let word = say("Yes.");
    assert_eq!(word.expected_cost(), word.expected_frames(), "a prompt of a word costs nothing");
    // 119 s of recordings are 1,487 frames: positions of the prompt, and work of the encoder.
    let (text, speaker) = (Text::new("What was said before.").expect("valid"), Speaker::default());
    let clip = Clip::from_samples(vec![0; crate::audio::FRAME_SAMPLES * 372]);
    let context = Context::new(vec![Segment { text, speaker, recording: clip.into() }; 4]).expect("valid");
    let recorded = JobSpec { context, ..word.clone() };
    assert_eq!(recorded.expected_cost(), word.expected_frames() + 1_509 / 100 + 1_488 / 8);
    // Jobs that take unlike are of unlike kinds: by recordings, budget, freedom and length.
    let mut free = word.clone();
    free.sampling.temperature = Temperature::new(2.0).expect("valid");
    let short = JobSpec { budget: AudioBudget::from_ms(1_000).expect("valid"), ..word.clone() };
    let kinds = [&word, &recorded, &free, &short, &say(&"Yes. ".repeat(80))].map(JobSpec::cost_kind);
    assert_eq!(kinds.iter().collect::<std::collections::BTreeSet<_>>().len(), kinds.len(), "{kinds:?}");
    assert_eq!(word.cost_kind(), say("No!").cost_kind());
}

#[test]
fn tempos_are_bounded_by_number_and_by_the_longest_result() {
    for bad in [0.24, 4.01, -1.0, f64::NAN, f64::INFINITY] {
        assert_eq!(Speed::new(bad).map_err(|invalid| invalid.field), Err("speed".to_owned()), "{bad}");
    }
    let (slow, budget) = (Speed::new(0.25).expect("valid"), |ms| AudioBudget::from_ms(ms).expect("valid"));
    assert_eq!(slow.stretched_ms(1_000), 4_000);
    assert!(slow.check(budget(150_000)).is_ok());
    let refused = slow.check(budget(150_080)).expect_err("600.32 s");
    assert_eq!((refused.field.as_str(), refused.status), ("speed", 422));
    assert!(Delivery::Both.check(budget(40_000), slow).is_err(), "160 s of live audio");
}

#[test]
fn voices_have_names_prompts_and_seeds_of_their_own() {
    let seeds: std::collections::BTreeSet<_> =
        VoiceName::ALL.iter().map(|voice| voice.prompt_sampling().seed.get()).collect();
    assert_eq!((VoiceName::ALL.len(), seeds.len()), (13, 13));
    for voice in VoiceName::ALL {
        assert_eq!(voice.name().parse(), Ok(*voice));
    }
    let refused = "bob".parse::<VoiceName>().expect_err("unknown");
    assert!(refused.limit.starts_with("one of alloy, ash"), "{}", refused.limit);
}
