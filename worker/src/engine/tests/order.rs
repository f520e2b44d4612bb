//! Order of work, stalls and endings, over the scripted model.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Asked, Fate, Script, WINDOW, info};
use super::*;
use crate::model::PREFILL_PIECE;

/// An end that should come at once must come within this.
const SOON: Duration = Duration::from_secs(20);

type Made = Result<(speech::Resident, ModelInfo), EngineError>;

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(SOON, future).await.unwrap()
}

#[tokio::test]
async fn an_utterance_is_cut_at_its_budget() {
    let engine = Script::default().start(1).await;
    let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![1], 0, 40)).await.unwrap())).await;
    assert_eq!(finish, FinishReason::Length);
    assert_eq!(codes.iter().map(|frame| frame[31]).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
    assert_eq!(pcm.len(), 40 * 1920);
}

#[tokio::test]
async fn the_end_frame_is_no_audio() {
    let script = Script::default().at(1, 3, Fate::End).at(2, 0, Fate::End);
    let engine = script.start(1).await;
    let (codes, _, finish) = soon(listen(engine.admit(say(vec![1], 0, 40)).await.unwrap())).await;
    assert_eq!((codes.len(), finish), (3, FinishReason::Eos));
    let (codes, pcm, finish) = soon(listen(engine.admit(say(vec![2], 0, 40)).await.unwrap())).await;
    assert_eq!((codes.len(), pcm.len(), finish), (0, 0, FinishReason::Eos));
}

#[tokio::test]
async fn five_speak_and_a_sixth_is_told_that_no_slot_is_free() {
    let (script, release) = Script::default().blocked_at(0, 0);
    let engine = script.start(5).await;
    let mut streams = Vec::new();
    for name in 0..5 {
        streams.push(engine.admit(say(vec![name], 0, 30)));
    }
    let streams = futures::future::join_all(streams);
    let sixth = engine.admit(say(vec![5], 0, 30));
    let (streams, sixth) = soon(async {
        let both = futures::future::join(streams, sixth);
        let mut both = pin!(both);
        assert!(futures::poll!(&mut both).is_pending());
        drop(release);
        both.await
    })
    .await;
    assert_eq!(sixth.err(), Some(EngineError::NoFreeSlot));
    let done = soon(futures::future::join_all(streams.into_iter().map(|stream| listen(stream.unwrap())))).await;
    assert!(done.iter().all(|(codes, _, finish)| codes.len() == 30 && *finish == FinishReason::Length));
    assert!(engine.admit(say(vec![5], 0, 1)).await.is_ok(), "a finished utterance has freed its slot");
}

#[tokio::test]
async fn dropping_a_stream_frees_its_slot_within_a_frame() {
    let (script, release) = Script::default().blocked_at(1, 4);
    let engine = script.start(1).await;
    let mut stream = engine.admit(say(vec![1], 0, 500)).await.unwrap();
    for _ in 0..4 {
        soon(stream.next()).await.unwrap().unwrap();
    }
    soon(script.reached(1, 5)).await;
    // The thread is inside frame 4.
    drop(stream);
    let mut next = pin!(engine.admit(say(vec![2], 0, 3)));
    assert!(futures::poll!(&mut next).is_pending());
    drop(release);
    let (codes, _, _) = soon(listen(soon(next).await.unwrap())).await;
    assert_eq!(codes.len(), 3);
    assert_eq!(script.steps_of(1), 5, "nothing was spoken after the frame under way");
}

#[tokio::test]
async fn a_stream_dropped_while_every_slot_waits_for_its_reader_is_noticed() {
    let script = Script::default();
    let engine = script.start(2).await;
    let (one, two) = (engine.admit(say(vec![1], 0, 500)).await, engine.admit(say(vec![2], 0, 500)).await);
    soon(script.reached(1, FRAMES_AHEAD)).await;
    soon(script.reached(2, FRAMES_AHEAD)).await;
    drop(one);
    soon(async {
        while script.alive() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(two.is_ok());
}

#[tokio::test]
async fn a_slow_reader_stalls_its_own_slot_only() {
    let script = Script::default();
    let engine = script.start(2).await;
    let slow = engine.admit(say(vec![1], 0, 200)).await.unwrap();
    let quick = engine.admit(say(vec![2], 0, 200)).await.unwrap();
    let (codes, _, _) = soon(listen(quick)).await;
    assert_eq!(codes.len(), 200);
    assert_eq!(script.steps_of(1), FRAMES_AHEAD, "no frame is made that has no room");
    let (codes, _, finish) = soon(listen(slow)).await;
    assert_eq!((codes.len(), finish), (200, FinishReason::Length));
    assert_eq!(codes.iter().map(|frame| frame[0]).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
}

/// Ticks of processor time that the engine's thread has used.
#[cfg(target_os = "linux")]
fn engine_ticks() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let stats = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).ok());
    stats
        .filter_map(|stat| {
            let fields: Vec<_> = stat.split_once("(csm-engine) ")?.1.split(' ').map(str::to_owned).collect();
            Some(fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap())
        })
        .sum()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_thread_sleeps_while_every_slot_waits_for_its_reader() {
    let script = Script::default();
    let engine = script.start(1).await;
    let _unread = engine.admit(say(vec![1], 0, 200)).await.unwrap();
    soon(script.reached(1, FRAMES_AHEAD)).await;
    let before = engine_ticks();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let used = engine_ticks() - before;
    assert!(used <= 5, "{used} of about 50 ticks were used");
}

#[tokio::test]
async fn a_long_prompt_does_not_stall_a_running_utterance() {
    let (script, release) = Script::default().blocked_at(1, 1);
    let engine = script.start(2).await;
    // As many frames as there is room for, so that the reader plays no part.
    let frames = FRAMES_AHEAD as u32;
    let running = engine.admit(say(vec![1], 0, frames)).await.unwrap();
    soon(script.reached(1, 2)).await;
    let mut long = pin!(engine.admit(say(vec![2; 5 * PREFILL_PIECE + 1], 0, 4)));
    assert!(futures::poll!(&mut long).is_pending());
    drop(release);
    let long = soon(long).await.unwrap();
    soon(listen(running)).await;
    soon(listen(long)).await;
    let asked = script.asked();
    let (mut since_frame, mut pieces) = (0, Vec::new());
    for one in asked.iter().skip_while(|one| !matches!(one, Asked::Step { name: 1, frame: 1 })) {
        match one {
            Asked::Prefill { name: 2, positions } => {
                since_frame += 1;
                pieces.push(*positions);
                assert_eq!(since_frame, 1, "two pieces without a frame between them: {asked:?}");
            }
            Asked::Step { name: 1, .. } => since_frame = 0,
            _ => {}
        }
    }
    assert_eq!(pieces, [PREFILL_PIECE, PREFILL_PIECE, PREFILL_PIECE, PREFILL_PIECE, PREFILL_PIECE, 1]);
}

#[tokio::test]
async fn context_is_encoded_and_comes_before_the_text() {
    let script = Script::default();
    let engine = script.start(1).await;
    let turn = |frames: usize| Segment { text_ids: vec![3, 4], clip: Clip::from_samples(vec![1; 1920 * frames - 5]) };
    let utterance = Utterance { context: vec![turn(2), turn(1)], ..say(vec![5, 6, 7], 0, 1) };
    soon(listen(engine.admit(utterance).await.unwrap())).await;
    let asked = script.asked();
    // Two turns of 2 text ids, their frames and an end frame each, then 3 text ids.
    let expected = [
        Asked::Encode { frames: 2 },
        Asked::Encode { frames: 1 },
        Asked::Prefill { name: 3, positions: 2 + 3 + 2 + 2 + 3 },
        Asked::Step { name: 3, frame: 0 },
    ];
    assert_eq!(asked, expected);
}

#[tokio::test]
async fn what_can_never_be_spoken_is_refused_and_harms_nobody() {
    let script = Script::default();
    let engine = script.start(1).await;
    let silent = Segment { text_ids: vec![1], clip: Clip::from_samples(Vec::new()) };
    let refused = [
        (say(vec![], 0, 10), "no text"),
        (say(vec![1], 0, 0), "no frames"),
        (say(vec![1, 100], 0, 10), "text id 100 is not below 100"),
        (say(vec![1; WINDOW - 9], 0, 10), "2039"),
        (Utterance { context: vec![silent], ..say(vec![1], 0, 10) }, "no audio"),
    ];
    for (utterance, why) in refused {
        let error = engine.admit(utterance).await.err().unwrap();
        assert!(error.is_invalid(), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(script.asked().is_empty());
    let fits = say(vec![1; WINDOW - 10], 0, 10);
    assert_eq!(soon(listen(engine.admit(fits).await.unwrap())).await.0.len(), 10);
}

async fn everyone_hears(fate: Fate, expected: EngineError) {
    let (script, release) = Script::default().at(1, 2, fate).blocked_at(1, 0);
    let engine = script.start(2).await;
    let mut failing = engine.admit(say(vec![1], 0, 10)).await.unwrap();
    soon(script.reached(1, 1)).await;
    let mut beside = pin!(engine.admit(say(vec![2], 0, 10)));
    assert!(futures::poll!(&mut beside).is_pending());
    drop(release);
    let mut beside = soon(beside).await.unwrap();
    for stream in [&mut failing, &mut beside] {
        let ended = soon(async {
            loop {
                match stream.next().await.unwrap() {
                    Ok(_) => {}
                    Err(error) => break error,
                }
            }
        })
        .await;
        assert_eq!(ended, expected);
        assert!(stream.next().await.is_none());
        assert_eq!(stream.finish_reason(), None);
    }
    assert_eq!(soon(engine.closed()).await, expected);
    assert_eq!(soon(engine.admit(say(vec![3], 0, 10))).await.err(), Some(expected.clone()));
    assert!(!expected.is_invalid());
}

#[tokio::test]
async fn a_failing_model_ends_every_stream_with_the_reason() {
    everyone_hears(Fate::Fail, EngineError::Model("told to fail".to_owned())).await;
}

#[tokio::test]
async fn a_panicking_model_ends_every_stream_with_the_reason() {
    everyone_hears(Fate::Panic, EngineError::Panicked("told to panic".to_owned())).await;
}

#[tokio::test]
async fn dropping_the_last_handle_ends_streams_and_joins_the_thread() {
    let script = Script::default();
    let engine = script.start(1).await;
    let mut stream = engine.admit(say(vec![1], 0, 2000)).await.unwrap();
    let other = engine.clone();
    drop(engine);
    soon(stream.next()).await.unwrap().unwrap();
    drop(other);
    assert_eq!(Arc::strong_count(&script.asked), 1, "the thread and its model are gone");
    let ended = soon(async {
        loop {
            match stream.next().await.unwrap() {
                Ok(_) => {}
                Err(error) => break error,
            }
        }
    })
    .await;
    assert_eq!(ended, EngineError::Closed);
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    for slots in [0, MAX_SLOTS + 1] {
        let load = |_: &watch::Sender<LoadStage>| -> Made { unreachable!("no thread is started") };
        assert!(matches!(Engine::spawn(slots, load), Err(EngineError::Start(_))));
    }
    let nowhere = tempfile::tempdir().unwrap();
    let config = EngineConfig {
        folder: nowhere.path().to_owned(),
        model: "nothing".to_owned(),
        device: DeviceChoice::Cpu,
        slots: 1,
    };
    let error = soon(Engine::start(config).unwrap().ready()).await.err().unwrap();
    assert!(matches!(&error, EngineError::Start(why) if why.contains("config.json")), "{error}");
}

#[tokio::test]
async fn a_panic_while_loading_is_an_error() {
    let loading = Engine::spawn(1, |_: &watch::Sender<LoadStage>| -> Made { panic!("no memory") }).unwrap();
    assert_eq!(soon(loading.ready()).await.err(), Some(EngineError::Panicked("no memory".to_owned())));
}

#[tokio::test]
async fn stages_are_told_until_ready() {
    let loading = Script::default().load(3);
    let mut stage = loading.stage();
    soon(stage.wait_for(|stage| *stage == LoadStage::Ready)).await.unwrap();
    assert_eq!(loading.ready().await.unwrap().info(), &info(3));
}
