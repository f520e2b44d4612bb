//! Constructors refuse with field, value and limit; the wire twin is lossless; the state machine has no way out of an end.

use super::*;
use crate::audio::Clip;

fn spec() -> JobSpec {
    let segment = Segment {
        text: Text::new("Good morning.").expect("valid"),
        speaker: Speaker::new(1).expect("valid"),
        clip: Clip::from_samples((0..4_000).map(|n| (n % 300) as i16 - 150).collect()),
    };
    JobSpec {
        text: Text::new("  How are you?  ").expect("valid"),
        speaker: Speaker::new(0).expect("valid"),
        budget: AudioBudget::from_ms(1_000).expect("valid"),
        sampling: Sampling {
            temperature: Temperature::new(0.9).expect("valid"),
            topk: TopK::new(50).expect("valid"),
            seed: Seed::new(u64::MAX),
        },
        context: Context::new(vec![segment]).expect("valid"),
        lane: Lane::Live,
    }
}

#[test]
fn the_wire_twin_gives_back_the_same_spec() {
    let spec = spec();
    let payload = wire::encode(&spec).expect("encodes");
    assert_eq!(wire::decode(&payload).expect("decodes"), spec);
}

#[test]
fn the_wire_twin_refuses_unknown_versions_and_broken_limits() {
    let payload = wire::encode(&spec()).expect("encodes");
    assert!(wire::decode(&payload.replace(r#""v":"1""#, r#""v":"2""#)).is_err());
    assert!(wire::decode(&payload.replace(r#""topk":50"#, r#""topk":0"#)).is_err());
    assert!(wire::decode(&payload.replace(r#""speaker":1"#, r#""speaker":99"#)).is_err());
}

#[test]
fn refusals_name_field_value_and_limit() {
    let blank = Text::new(" \n ").expect_err("blank");
    assert_eq!((blank.field.as_str(), blank.status), ("text", 422));
    assert_eq!(blank.limit, "1 to 4096 characters");

    let speaker = Speaker::new(-1).expect_err("negative");
    assert_eq!((speaker.field.as_str(), speaker.value.as_str()), ("speaker", "-1"));

    let topk = TopK::new(0).expect_err("zero");
    assert_eq!((topk.field.as_str(), topk.value.as_str(), topk.limit.as_str()), ("topk", "0", "1 to 2048 codes"));

    for temperature in [f32::NAN, f32::INFINITY, -0.1, 2.1] {
        assert_eq!(Temperature::new(temperature).expect_err("refused").field, "temperature");
    }
    for ms in [0, 79, 90_001, u64::MAX] {
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
        clip: Clip::from_samples(vec![1; seconds * 24_000]),
    };
    assert!(Context::new((0..32).map(|_| segment(1)).collect()).is_ok());
    assert_eq!(Context::new((0..33).map(|_| segment(1)).collect()).expect_err("too many").status, 422);
    assert_eq!(Context::new(vec![segment(121)]).expect_err("too long").status, 413);
    assert!(Context::new(vec![segment(0)]).is_err(), "a segment without samples");
}

#[test]
fn a_final_state_has_no_successor() {
    for from in JobState::ALL {
        for to in JobState::ALL {
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
