//! Contexts: recordings, their order, and the cached prefixes, over the scripted model.

use super::scripted::{ModelCall, ModelScript, PREFILL_BLOCK, ScriptedOutcome};
use super::*;

/// Returns a clip of `frames` frames; `level` tells it from others of that length.
fn clip(frames: usize, level: i16) -> Clip {
    Clip::from_samples(vec![level; 1920 * frames - 5])
}

async fn speak(engine: &Engine, context: Vec<PromptSegment>, name: u32) -> usize {
    let utterance = Utterance { context, ..say(vec![5, 6, name], 0, 2) };
    soon(listen(engine.admit(utterance).await.unwrap())).await.0.len()
}

/// Returns the model calls that read prompts.
fn prompts(script: &ModelScript) -> Vec<ModelCall> {
    script.calls().into_iter().filter(|asked| !matches!(asked, ModelCall::Step(_))).collect()
}

const fn fed(positions: usize) -> ModelCall {
    ModelCall::Prefill { slot: 0, positions }
}

const fn saved(positions: usize) -> ModelCall {
    ModelCall::Save { positions }
}

const fn restored(positions: usize) -> ModelCall {
    ModelCall::Restore { slot: 0, positions }
}

#[tokio::test]
async fn context_comes_before_the_text_in_pieces_of_its_own() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let codes = PromptSegment { text_ids: vec![3, 4], audio: SegmentAudio::Codes(vec![[9; 32]; PREFILL_BLOCK]) };
    speak(&engine, vec![clip_segment(vec![3, 4], clip(2, 1)), codes, clip_segment(vec![3], clip(1, 1))], 7).await;
    assert_eq!(script.encoded(), [2, 1], "codes are not encoded");
    // Text ids, frames and an end frame for each segment; then 3 text ids.
    let (one, two, three) = (2 + 2 + 1, 2 + PREFILL_BLOCK + 1, 1 + 1 + 1);
    let all = one + two + three;
    let expected = [fed(one), saved(one), fed(PREFILL_BLOCK), fed(two - PREFILL_BLOCK), fed(three), saved(all), fed(3)];
    assert_eq!(prompts(&script), expected);
}

#[tokio::test]
async fn a_running_utterance_does_not_wait_for_a_recording() {
    let (release, blocked) = std::sync::mpsc::channel();
    let script = ModelScript::default().recording(4, ScriptedOutcome::Block(blocked));
    let engine = script.start(2).await;
    let context = vec![clip_segment(vec![1], clip(4, 1))];
    let waiting = engine.admit(Utterance { context, ..say(vec![2], 0, 3) }).await.unwrap();
    soon(script.until(|script| script.encoded() == [4])).await;
    let (codes, _, _) = soon(listen(engine.admit(say(vec![1; 10], 0, 200)).await.unwrap())).await;
    assert_eq!((codes.len(), script.steps_of(2)), (200, 0), "others speak while the recording is encoded");
    drop(release);
    assert_eq!(soon(listen(waiting)).await.0.len(), 3);
}

/// More slots wait for the encoder than its queue takes; if the callers leave, the recordings are
/// not encoded.
#[tokio::test]
async fn recordings_that_nobody_waits_for_are_not_encoded() {
    let (release, blocked) = std::sync::mpsc::channel();
    let script = ModelScript::default().recording(2, ScriptedOutcome::Block(blocked));
    let engine = script.start(2).await;
    let with =
        |frames: usize| Utterance { context: vec![clip_segment(vec![1], clip(frames, 1))], ..say(vec![2], 0, 1) };
    let first = engine.admit(with(2)).await.unwrap();
    soon(script.until(|script| script.encoded() == [2])).await;
    for _ in 0..2 * MAX_SLOTS {
        drop(engine.admit(with(3)).await.unwrap());
    }
    let last = engine.admit(with(4)).await.unwrap();
    drop(release);
    soon(listen(first)).await;
    soon(listen(last)).await;
    assert_eq!(script.encoded(), [2, 4]);
}

#[tokio::test]
async fn a_recording_heard_before_is_not_encoded_again() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    for level in [1, 2, 1] {
        speak(
            &engine,
            vec![clip_segment(vec![3, 4], clip(2, level)), clip_segment(vec![level as u32], clip(3, level))],
            7,
        )
        .await;
    }
    assert_eq!(script.encoded(), [2, 3, 2, 3], "each voice once");
}

#[tokio::test]
async fn a_voice_is_read_once_and_then_copied() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let voice = || clip_segment(vec![3, 4], clip(2, 1));
    for name in [7, 8] {
        assert_eq!(speak(&engine, vec![voice()], name).await, 2);
    }
    assert_eq!(prompts(&script), [fed(5), saved(5), fed(3), restored(5), fed(3)]);
    // The voice and one more segment: the voice is copied, the segment is read, and both are
    // cached.
    let more = || vec![voice(), clip_segment(vec![9], clip(1, 1))];
    speak(&engine, more(), 7).await;
    speak(&engine, more(), 8).await;
    assert_eq!(prompts(&script)[5..], [restored(5), fed(3), saved(8), fed(3), restored(8), fed(3)]);
    let stats = engine.take_stats();
    assert_eq!((stats.prefix_hits, stats.prefix_parts, stats.prefix_misses), (2, 1, 1));
    assert!(stats.prefix_bytes > 0);
    // The same ids as one segment are another prompt: no prefix matches.
    let other = PromptSegment { text_ids: vec![3, 4, 9], audio: SegmentAudio::Codes(vec![[7; 32]; 2]) };
    speak(&engine, vec![other], 7).await;
    assert_eq!(engine.take_stats().prefix_misses, 1);
}

/// Each sentence of a long text has other sentences before it as context. Only the caller's
/// segments recur, so later ones are not cached.
#[tokio::test]
async fn what_cannot_be_asked_for_again_is_not_kept() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let given = || vec![clip_segment(vec![3, 4], clip(2, 1)), clip_segment(vec![9], clip(1, 1))];
    for piece in [1, 2] {
        let mut context = given();
        context.push(clip_segment(vec![piece], clip(3, piece as i16)));
        let utterance = Utterance { context, recurring: 2, ..say(vec![5, 6, 7], 0, 2) };
        soon(listen(engine.admit(utterance).await.unwrap())).await;
    }
    let first = [fed(5), saved(5), fed(3), saved(8), fed(5), fed(3)];
    assert_eq!(prompts(&script), [&first[..], &[restored(8), fed(5), fed(3)]].concat());
    let utterance = Utterance { context: given(), recurring: 0, ..say(vec![5, 6, 7], 0, 2) };
    let other = script.clone().start(1).await;
    soon(listen(other.admit(utterance).await.unwrap())).await;
    assert_eq!(prompts(&script)[9..], [fed(5), fed(3), fed(3)]);
}

#[tokio::test]
async fn what_has_no_room_is_not_copied() {
    let script = ModelScript::default();
    let engine = script.load(1, 10).ready().await.unwrap();
    speak(&engine, vec![clip_segment(vec![3, 4], clip(2, 1))], 7).await;
    assert_eq!(prompts(&script), [fed(5), fed(3)]);
}

#[tokio::test]
async fn without_room_nothing_is_kept() {
    let script = ModelScript::default();
    let engine = script.load(1, 0).ready().await.unwrap();
    for name in [7, 8] {
        speak(&engine, vec![clip_segment(vec![3, 4], clip(2, 1))], name).await;
    }
    assert_eq!(prompts(&script), [fed(5), fed(3), fed(5), fed(3)]);
    let stats = engine.take_stats();
    assert_eq!((stats.prefix_hits, stats.prefix_misses, stats.prefix_bytes), (0, 0, 0));
}
