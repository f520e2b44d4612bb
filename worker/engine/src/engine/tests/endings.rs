//! Endings of utterances and of the engine, over the scripted model.

use std::pin::pin;

use super::super::guard::{FRAMES_OF_ANY_TEXT, FRAMES_PER_ID, REPEATED_FRAMES, SILENT_FRAMES, SILENT_KEPT};
use super::scripted::{ModelCall, ModelScript, ScriptedOutcome};
use super::*;

fn first_codes(codes: &[Frame]) -> Vec<u32> {
    codes.iter().map(|frame| frame[0]).collect()
}

#[tokio::test]
async fn an_utterance_is_cut_at_its_budget() {
    let engine = ModelScript::default().start(1).await;
    let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![1], 0, 40)).await.unwrap())).await;
    assert_eq!(finish, FinishReason::Length);
    assert_eq!(first_codes(&codes), (1..=40).collect::<Vec<_>>());
    assert_eq!(pcm.iter().step_by(1920).map(|sample| *sample as u32).collect::<Vec<_>>(), first_codes(&codes));
    assert_eq!(pcm.len(), 40 * 1920);
}

#[tokio::test]
async fn the_end_frame_is_no_audio() {
    let engine = ModelScript::default().at(1, 3, ScriptedOutcome::End).start(1).await;
    let (codes, _, finish) = soon(listen(engine.admit(say(vec![1], 0, 40)).await.unwrap())).await;
    assert_eq!((codes.len(), finish), (3, FinishReason::Eos));
}

#[tokio::test]
async fn draws_are_counted_from_where_the_utterance_says() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let utterance = Utterance { first_frame: 70, ..say(vec![1], 0, 3) };
    soon(listen(engine.admit(utterance).await.unwrap())).await;
    assert_eq!(script.steps(), [[(1, 70)], [(1, 71)], [(1, 72)]]);
}

/// An end frame before any other causes one second try, from the same prompt with other draws.
#[tokio::test]
async fn an_end_at_once_is_tried_again_once() {
    const AGAIN: u32 = 1 << 30;
    let script = ModelScript::default().at(2, 5, ScriptedOutcome::End).at(2, 5 + AGAIN + 2, ScriptedOutcome::End);
    let engine = script.start(1).await;
    let utterance = Utterance { first_frame: 5, ..say(vec![1, 2], 0, 40) };
    let (codes, _, finish) = soon(listen(engine.admit(utterance).await.unwrap())).await;
    assert_eq!((first_codes(&codes), finish), (vec![AGAIN + 6, AGAIN + 7], FinishReason::Eos));
    let prompts = script.calls().into_iter().filter(|asked| matches!(asked, ModelCall::Prefill { positions: 2, .. }));
    assert_eq!(prompts.count(), 2, "the prompt is read again, as a whole");

    let script = ModelScript::default().at(2, 0, ScriptedOutcome::End).at(2, AGAIN, ScriptedOutcome::End);
    let engine = script.start(1).await;
    let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![1, 2], 0, 40)).await.unwrap())).await;
    assert_eq!((codes.len(), pcm.len(), finish), (0, 0, FinishReason::Eos));
    assert_eq!(script.steps().len(), 2);
}

#[tokio::test]
async fn an_end_at_once_without_draws_is_the_end() {
    let script = ModelScript::default().at(2, 0, ScriptedOutcome::End);
    let engine = script.start(1).await;
    let greedy = Sampling { temperature: Temperature::new(0.0).unwrap(), ..sampling(0) };
    let utterance = Utterance { sampling: greedy, ..say(vec![2], 0, 40) };
    let (codes, _, finish) = soon(listen(engine.admit(utterance).await.unwrap())).await;
    assert_eq!((codes.len(), finish, script.steps().len()), (0, FinishReason::Eos, 1));
}

/// From draw 3 on the model repeats code 77. The first of these frames is delivered, the repeats
/// are not.
#[tokio::test]
async fn a_model_that_repeats_itself_is_stopped() {
    let script = (3..100).fold(ModelScript::default(), |script, draw| script.at(1, draw, ScriptedOutcome::Say(77)));
    let engine = script.start(1).await;
    let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![1], 0, 90)).await.unwrap())).await;
    assert_eq!((first_codes(&codes), finish), (vec![1, 2, 3, 77], FinishReason::Runaway));
    assert_eq!(pcm.len(), 4 * 1920);
    assert!(engine.admit(say(vec![2], 0, 1)).await.is_ok(), "whoever hears of the end finds the slot free");
}

/// With one repeat less than counts as stuck, all frames are delivered, wherever the utterance
/// ends.
#[tokio::test]
async fn repeats_that_end_in_time_are_spoken() {
    let repeated = 3..3 + REPEATED_FRAMES - 1;
    for last in [repeated.end, repeated.end + 5] {
        let script =
            repeated.clone().fold(ModelScript::default(), |script, draw| script.at(1, draw, ScriptedOutcome::Say(77)));
        let engine = script.start(1).await;
        let (codes, _, finish) = soon(listen(engine.admit(say(vec![1], 0, last)).await.unwrap())).await;
        let expected = (0..last).map(|draw| if repeated.contains(&draw) { 77 } else { draw + 1 });
        assert_eq!((first_codes(&codes), finish), (expected.collect(), FinishReason::Length));
    }
}

fn silent_from(code: u32, frames: u32) -> ModelScript {
    (code..code + frames).fold(ModelScript::default(), |script, code| script.sound(1, code, ScriptedOutcome::Silence))
}

#[tokio::test]
async fn a_silent_tail_is_cut_short() {
    let engine = silent_from(6, SILENT_FRAMES).start(1).await;
    let (codes, _, finish) = soon(listen(engine.admit(say(vec![1], 0, 130)).await.unwrap())).await;
    assert_eq!((first_codes(&codes), finish), ((1..=5 + SILENT_KEPT).collect(), FinishReason::Runaway));
}

#[tokio::test]
async fn a_pause_is_spoken_in_full() {
    for last in [4 + SILENT_FRAMES, 70] {
        let engine = silent_from(6, SILENT_FRAMES - 1).start(1).await;
        let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![1], 0, last)).await.unwrap())).await;
        assert_eq!((first_codes(&codes), finish), ((1..=last).collect(), FinishReason::Length));
        assert_eq!(pcm.iter().filter(|sample| **sample == 0.0).count(), (SILENT_FRAMES as usize - 1) * 1920);
    }
}

/// A pause whose codes repeat for a while, with one frame just above silence. Neither run is long
/// enough to end the utterance, but together they would fill the stream.
#[tokio::test]
async fn silence_and_repeats_by_turns_are_stopped_before_the_stream_is_full() {
    const SAME: u32 = 77;
    let repeated = 5 + SILENT_FRAMES - 2..5 + SILENT_FRAMES - 2 + 9;
    let mut script =
        silent_from(6, 200).sound(1, SAME, ScriptedOutcome::Silence).sound(1, SAME, ScriptedOutcome::Say(SAME));
    for draw in repeated {
        script = script.at(1, draw, ScriptedOutcome::Say(SAME)).sound(1, SAME, ScriptedOutcome::Silence);
    }
    let engine = script.start(1).await;
    let (codes, _, finish) = soon(listen(engine.admit(say(vec![1], 0, 130)).await.unwrap())).await;
    assert_eq!((first_codes(&codes), finish), ((1..=5 + SILENT_KEPT).collect(), FinishReason::Runaway));
}

/// A pause whose codes repeat from its start is not cut short.
#[tokio::test]
async fn a_pause_that_begins_with_repeats_is_spoken_in_full() {
    const SAME: u32 = 77;
    let mut script = silent_from(6, SILENT_FRAMES - 1);
    for draw in 5..5 + REPEATED_FRAMES - 1 {
        script = script.at(1, draw, ScriptedOutcome::Say(SAME)).sound(1, SAME, ScriptedOutcome::Silence);
    }
    let engine = script.start(1).await;
    let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![1], 0, 70)).await.unwrap())).await;
    assert_eq!((codes.len(), finish), (70, FinishReason::Length));
    assert_eq!(pcm.iter().filter(|sample| **sample == 0.0).count(), (SILENT_FRAMES as usize - 1) * 1920);
}

/// A reader that takes nothing until the model has run away gets the same frames and the same end.
#[tokio::test]
async fn a_late_reader_hears_the_same_runaway() {
    let script = silent_from(3, SILENT_FRAMES);
    let engine = script.start(2).await;
    let stream = engine.admit(say(vec![1], 0, 130)).await.unwrap();
    soon(script.reached(1, FRAMES_AHEAD)).await;
    let (codes, _, finish) = soon(listen(stream)).await;
    assert_eq!((first_codes(&codes), finish), ((1..=2 + SILENT_KEPT).collect(), FinishReason::Runaway));
}

#[tokio::test]
async fn a_text_that_takes_far_too_long_has_run_away() {
    let engine = ModelScript::default().start(1).await;
    let needed = FRAMES_OF_ANY_TEXT + 2 * FRAMES_PER_ID;
    for (asked, expected) in [(needed + 1, FinishReason::Runaway), (needed, FinishReason::Length)] {
        let (codes, _, finish) = soon(listen(engine.admit(say(vec![1, 1], 0, asked)).await.unwrap())).await;
        assert_eq!((codes.len(), finish), (needed as usize, expected));
    }
}

/// Checks that the failing utterance and the one beside it both get the error.
async fn everyone_hears(script: ModelScript, expected: EngineError) {
    let (script, release) = script.blocked_at(1, 0);
    let engine = script.start(2).await;
    let mut failing = engine.admit(say(vec![1], 0, 10)).await.unwrap();
    soon(script.reached(1, 1)).await;
    let mut beside = pin!(engine.admit(say(vec![2], 0, 1000)));
    assert!(futures::poll!(&mut beside).is_pending());
    drop(release);
    let mut beside = soon(beside).await.unwrap();
    for stream in [&mut failing, &mut beside] {
        assert_eq!(fails(stream).await, expected);
        assert!(stream.next().await.is_none());
        assert_eq!(stream.finish_reason(), None);
    }
    assert_eq!(soon(engine.closed()).await, expected);
    assert_eq!(soon(engine.admit(say(vec![3], 0, 10))).await.err(), Some(expected.clone()));
    assert!(!expected.is_invalid());
}

#[tokio::test]
async fn a_failing_model_ends_every_stream_with_the_reason() {
    everyone_hears(
        ModelScript::default().at(1, 2, ScriptedOutcome::Fail),
        EngineError::Model("told to fail".to_owned()),
    )
    .await;
}

#[tokio::test]
async fn a_panicking_model_ends_every_stream_with_the_reason() {
    everyone_hears(
        ModelScript::default().at(1, 2, ScriptedOutcome::Panic),
        EngineError::Panicked("told to panic".to_owned()),
    )
    .await;
}

#[tokio::test]
async fn a_failing_codec_ends_every_stream_with_the_reason() {
    everyone_hears(
        ModelScript::default().sound(1, 3, ScriptedOutcome::Fail),
        EngineError::Model("told to fail".to_owned()),
    )
    .await;
}

#[tokio::test]
async fn a_panicking_codec_ends_every_stream_with_the_reason() {
    everyone_hears(
        ModelScript::default().sound(1, 3, ScriptedOutcome::Panic),
        EngineError::Panicked("told to panic".to_owned()),
    )
    .await;
}

#[tokio::test]
async fn a_sample_that_is_no_number_ends_every_stream() {
    let reason = EngineError::Model("the codec made a sample that is not a number".to_owned());
    everyone_hears(ModelScript::default().sound(1, 3, ScriptedOutcome::NotANumber), reason).await;
}

/// The engine sleeps, because its only utterance waits for codes; the end of the failing thread
/// wakes it.
#[tokio::test]
async fn a_failing_encoder_ends_every_stream_with_the_reason() {
    for (outcome, expected) in [
        (ScriptedOutcome::Fail, EngineError::Model("told to fail".to_owned())),
        (ScriptedOutcome::Panic, EngineError::Panicked("told to panic".to_owned())),
    ] {
        let engine = ModelScript::default().recording(2, outcome).start(1).await;
        let context = vec![clip_segment(vec![1], Clip::from_samples(vec![1; 1920 * 2]))];
        let mut stream = engine.admit(Utterance { context, ..say(vec![2], 0, 5) }).await.unwrap();
        assert_eq!(fails(&mut stream).await, expected);
        assert_eq!(soon(engine.closed()).await, expected);
    }
}
