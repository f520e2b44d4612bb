//! Sentences whose takes have faults.

use super::*;
use crate::speak::sentence_stream::StreamedFrame;
use csm_queue::live::ResumedSentence;
use csm_shared::job::{ReceiptWarning, TakeFault, WarningCode};

/// Returns an utterance without a sound.
fn silent(frames: u32) -> ScriptedUtterance {
    ScriptedUtterance { frames: [frames, 0, 0], end: FinishReason::Eos }
}

/// Returns an utterance that ends in silence, as speech does.
fn good(frames: u32) -> ScriptedUtterance {
    ScriptedUtterance { frames: [0, frames, 1], end: FinishReason::Eos }
}

/// Returns the plan of a job whose takes are checked, and whose samples do not leave before the end of
/// their sentence.
fn checked(frames: &[u32], budget: u32) -> AttemptPlan {
    AttemptPlan { take_check: TakeCheck::Limits(TakeLimits::default()), live: false, ..attempt_plan(frames, budget) }
}

#[tokio::test]
async fn a_faulty_take_leaves_no_trace_in_audio_budget_and_context() {
    let away = ScriptedUtterance { end: FinishReason::Runaway, ..good(20) };
    let engine = ScriptedEngine::new([good(3), silent(9), away, good(5), good(6)]);
    let (audio, ending) = collect(&engine, checked(&[50, 60, 70], 25)).await;
    let asked = engine.asked();
    let draws: Vec<_> = asked.iter().map(|utterance| (utterance.text_ids[0], utterance.first_frame)).collect();
    assert_eq!(draws, [(0, 0), (1, 50), (1, 50 + (1 << 27)), (1, 50 + (2 << 27)), (2, 110)]);
    assert_eq!(asked[3].max_frames, asked[1].max_frames, "the frames of a take that was given up are not counted");
    assert_eq!(asked[4].context.len(), 2);
    assert_eq!(asked[4].context[1], PromptSegment { text_ids: vec![1; 10], ..spoken_segment(4, 6) });
    let retakes: Vec<_> = ending.sentences.iter().map(|sentence| sentence.retakes.clone()).collect();
    assert_eq!(retakes, [vec![], vec![TakeFault::Silent, TakeFault::Runaway], vec![]]);
    assert!(ending.sentences.iter().all(|sentence| sentence.fault.is_none()));
    let again = ReceiptWarning { code: WarningCode::SpokenAgain, sentences: vec![1] };
    assert_eq!((ending.warnings, ending.finish), (vec![again], FinishReason::Eos));

    let engine = ScriptedEngine::new([good(3), good(5), good(6)]);
    let (undisturbed, _) = collect(&engine, checked(&[50, 60, 70], 25)).await;
    assert_eq!(audio.len(), undisturbed.len());
}

#[tokio::test]
async fn the_last_take_is_kept_with_its_fault_and_heard_by_no_other_sentence() {
    let engine = ScriptedEngine::new([silent(9), silent(8), silent(7), good(4)]);
    let (_, ending) = collect(&engine, checked(&[50; 2], 1_000)).await;
    assert_eq!(engine.asked()[3].context, []);
    let first = &ending.sentences[0];
    assert_eq!(
        (first.frames, &first.retakes[..], first.fault),
        (7, &[TakeFault::Silent; 2][..], Some(TakeFault::Silent))
    );
    let warning = |code| ReceiptWarning { code, sentences: vec![0] };
    assert_eq!(ending.warnings, [warning(WarningCode::SpokenAgain), warning(WarningCode::Faulty)]);
}

/// A take of which a sound was heard is kept.
#[tokio::test]
async fn a_live_sentence_is_spoken_again_until_its_first_sound() {
    let engine = ScriptedEngine::new([silent(9), eos_after(5), good(4)]);
    let take_check = TakeCheck::Limits(TakeLimits { take_end_level: 0.5, ..TakeLimits::default() });
    let (audio, ending) = collect(&engine, AttemptPlan { take_check, live: true, ..checked(&[50; 2], 1_000) }).await;
    let told: Vec<_> = ending.sentences.iter().map(|s| (s.frames, s.retakes.clone(), s.fault)).collect();
    // Sound up to the last sample is a fault, and is heard.
    let kept = (5, vec![TakeFault::Silent], Some(TakeFault::LoudEnd));
    assert_eq!(told, [kept, (5, vec![], None)]);
    assert!(audio[0].abs() > VOICE / 2.0, "nothing of the silent take");
}

#[tokio::test]
async fn samples_wait_for_the_end_of_their_sentence_unless_they_are_live() {
    for live in [true, false] {
        let engine = ScriptedEngine::new([good(6), good(7)]);
        let mut stream = SentenceStream::new(&engine, AttemptPlan { live, ..checked(&[50; 2], 1_000) });
        let mut samples = Vec::new();
        while let Some(frame) = stream.next().await.unwrap() {
            samples.push((frame.sentence, frame.pcm.len()));
        }
        let before_the_end = samples.iter().any(|(sentence, samples)| *sentence == 0 && *samples > 0);
        assert_eq!(before_the_end, live);
        let all = samples.iter().map(|(_, samples)| samples).sum::<usize>() + stream.finish().pcm.len();
        assert!(all > 13 * FRAME_SAMPLES, "{all}");
    }
}

#[tokio::test]
async fn frames_say_their_take_and_resumed_ones_go_to_theirs() {
    let script = || ScriptedEngine::new([silent(2), good(2), good(1)]);
    let engine = script();
    let mut stream = SentenceStream::new(&engine, checked(&[50; 2], 1_000));
    let mut told = Vec::new();
    while let Some(StreamedFrame { sentence, take, .. }) = stream.next().await.unwrap() {
        told.push((sentence, take));
    }
    assert_eq!(told, [(0, 0), (0, 0), (0, 1), (0, 1), (0, 1), (1, 0), (1, 0)]);

    let engine = script();
    let spoken = ResumedSentence { take: 1, frames: (0..3).map(|index| codes(2, index)).collect() };
    let next = ResumedSentence { take: 0, frames: vec![codes(3, 0)] };
    let resumed = vec![spoken.clone(), next.clone()];
    let (_, ending) = collect(&engine, AttemptPlan { resumed, ..checked(&[50; 2], 1_000) }).await;
    let given: Vec<_> = engine.asked().into_iter().map(|utterance| utterance.resumed_frames).collect();
    assert_eq!(given, [vec![], spoken.frames, next.frames]);
    assert_eq!(ending.sentences[0].retakes, [TakeFault::Silent], "as in an undisturbed run");
}
