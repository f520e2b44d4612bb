//! The progress number stands still only while nothing makes progress.

use super::scripted::{ModelScript, ScriptedOutcome};
use super::*;

/// Checks that the number stands still for a while; returns it.
async fn still(engine: &Engine) -> u64 {
    let before = engine.progress();
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(engine.progress(), before);
    before
}

#[tokio::test]
async fn progress_stands_still_while_the_model_is_stuck_and_goes_on_with_it() {
    let (script, release) = ModelScript::default().blocked_at(1, 7);
    let engine = script.start(2).await;
    let begun = engine.progress();
    let mut stream = engine.admit(say(vec![1], 0, 20)).await.unwrap();
    // The seventh frame waits for the eighth, because one block holds both.
    for _ in 0..6 {
        soon(stream.next()).await.unwrap().unwrap();
    }
    soon(script.reached(1, 8)).await;
    let stuck = still(&engine).await;
    assert_eq!(
        stuck - begun,
        1 + 7 + 5,
        "a piece, seven steps, and their sound in five calls of the codec: 1, 1, 1, 1, 2"
    );
    drop(release);
    soon(listen(stream)).await;
    assert!(engine.progress() >= stuck + 13);
}

/// A recording under way counts as progress within its time limit, and once more when it is done.
#[tokio::test]
async fn a_recording_counts_while_it_is_encoded() {
    let (release, blocked) = std::sync::mpsc::channel();
    let script = ModelScript::default().recording(4, ScriptedOutcome::Block(blocked));
    let engine = script.start(1).await;
    let context = vec![clip_segment(vec![1], Clip::from_samples(vec![1; 1920 * 4]))];
    let waiting = engine.admit(Utterance { context, ..say(vec![2], 0, 3) }).await.unwrap();
    soon(script.until(|script| script.encoded() == [4])).await;
    let first = engine.progress();
    assert!(engine.progress() > first);
    drop(release);
    soon(listen(waiting)).await;
    still(&engine).await;
}

/// A thread that may never return is not joined.
#[tokio::test]
async fn an_engine_that_was_given_up_has_ended_and_is_not_waited_for() {
    let (script, release) = ModelScript::default().blocked_at(1, 0);
    let engine = script.start(1).await;
    let stream = engine.admit(say(vec![1], 0, 20)).await.unwrap();
    soon(script.reached(1, 1)).await;
    let watching = engine.clone();
    engine.give_up();
    assert_eq!(soon(watching.closed()).await, EngineError::Stuck);
    soon(tokio::task::spawn_blocking(move || drop((engine, watching, stream)))).await.unwrap();
    assert_eq!(script.steps_of(1), 1, "the thread is still in its step");
    drop(release);
}
