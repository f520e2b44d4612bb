//! Order of work and stalls, over the scripted model.

use std::pin::pin;
use std::sync::Arc;

use super::super::decoder_thread::{DecodeJob, DecoderHandle, GeneratedCodes};
use super::super::side_thread::EngineNotifier;
use super::super::slots::SlotId;
use super::scripted::{ModelCall, ModelScript, PREFILL_BLOCK, WINDOW, info};
use super::*;

/// Looks in a row at which a sleeping thread must not have been scheduled.
#[cfg(target_os = "linux")]
const LOOKS: usize = 2_000;

type Loaded = Result<(EngineParts<crate::model::Model>, ModelInfo), EngineError>;

#[tokio::test]
async fn five_speak_and_a_sixth_is_told_that_no_slot_is_free() {
    let (script, release) = ModelScript::default().blocked_at(0, 0);
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

/// Once all prompts are in, every step takes all utterances that are not done. No utterance repeats
/// a frame or makes one out of order.
#[tokio::test]
async fn rows_are_stepped_together_and_leave_when_they_are_done() {
    let (script, release) = ModelScript::default().blocked_at(9, 0);
    let engine = script.start(4).await;
    let first = engine.admit(say(vec![9], 0, 9)).await.unwrap();
    soon(script.reached(9, 1)).await;
    let rest = futures::future::join_all([3, 5, 7].map(|frames| engine.admit(say(vec![frames], 0, frames))));
    let mut rest = pin!(rest);
    assert!(futures::poll!(&mut rest).is_pending());
    drop(release);
    let rest = soon(rest).await.into_iter().map(|stream| listen(stream.unwrap()));
    let heard = soon(futures::future::join_all(rest.chain([listen(first)]))).await;
    assert_eq!(heard.iter().map(|(codes, _, _)| codes.len()).collect::<Vec<_>>(), [3, 5, 7, 9]);
    let last_prompt = script.calls().iter().rposition(|asked| matches!(asked, ModelCall::Prefill { .. })).unwrap();
    let (mut made, mut steps) = ([0; 10], 0);
    for (index, asked) in script.calls().iter().enumerate() {
        let ModelCall::Step(rows) = asked else { continue };
        steps += 1;
        let left: Vec<_> = [9, 3, 5, 7].into_iter().filter(|&name| made[name as usize] < name).collect();
        let names: Vec<_> = rows.iter().map(|row| row.0).collect();
        assert!(index < last_prompt || names == left, "{names:?} of {left:?}");
        for &(name, draw) in rows {
            assert_eq!(draw, made[name as usize]);
            made[name as usize] += 1;
        }
    }
    assert!(steps <= 12, "{steps} steps for 24 frames");
    let stats = engine.take_stats();
    assert_eq!((stats.steps, stats.frames, stats.prefill_blocks, stats.positions), (steps, 24, 4, 4));
    assert_eq!(engine.take_stats(), EngineStats::default(), "counting begins anew");
}

#[tokio::test]
async fn dropping_a_stream_frees_its_slot_within_a_frame() {
    let (script, release) = ModelScript::default().blocked_at(1, 6);
    let engine = script.start(1).await;
    let mut stream = engine.admit(say(vec![1], 0, 500)).await.unwrap();
    for _ in 0..4 {
        soon(stream.next()).await.unwrap().unwrap();
    }
    soon(script.reached(1, 7)).await;
    // The thread is inside frame 6.
    drop(stream);
    let mut next = pin!(engine.admit(say(vec![2], 0, 3)));
    assert!(futures::poll!(&mut next).is_pending());
    drop(release);
    let (codes, _, _) = soon(listen(soon(next).await.unwrap())).await;
    assert_eq!(codes.len(), 3);
    assert_eq!(script.steps_of(1), 7, "nothing was spoken after the frame under way");
}

#[tokio::test]
async fn a_stream_dropped_while_every_slot_waits_for_its_reader_leaves_a_free_slot() {
    let script = ModelScript::default();
    let engine = script.start(2).await;
    let (one, two) = (engine.admit(say(vec![1], 0, 500)).await, engine.admit(say(vec![2], 0, 500)).await);
    soon(script.reached(1, FRAMES_AHEAD)).await;
    soon(script.reached(2, FRAMES_AHEAD)).await;
    assert_eq!(engine.admit(say(vec![3], 0, 1)).await.err(), Some(EngineError::NoFreeSlot));
    drop(one);
    let (codes, _, _) = soon(listen(engine.admit(say(vec![3], 0, 2)).await.unwrap())).await;
    assert_eq!(codes.len(), 2);
    assert!(two.is_ok());
}

#[tokio::test]
async fn a_slow_reader_stalls_its_own_slot_only() {
    let script = ModelScript::default();
    let engine = script.start(2).await;
    // The text is long enough for so many frames.
    let slow = engine.admit(say(vec![1; 10], 0, 200)).await.unwrap();
    let quick = engine.admit(say(vec![2; 10], 0, 200)).await.unwrap();
    let (codes, _, _) = soon(listen(quick)).await;
    assert_eq!(codes.len(), 200);
    assert_eq!(script.steps_of(1), FRAMES_AHEAD, "no frame is made that has no room");
    let (codes, _, finish) = soon(listen(slow)).await;
    assert_eq!((codes.len(), finish), (200, FinishReason::Length));
    assert_eq!(codes.iter().map(|frame| frame[0]).collect::<Vec<_>>(), (1..=200).collect::<Vec<_>>());
}

/// Returns how often each of the engine's threads was scheduled, or `None` if one of them runs.
#[cfg(target_os = "linux")]
fn switches_of_sleeping_threads() -> Option<Vec<String>> {
    let mut switches = Vec::new();
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        // A thread may end between the two reads.
        let Ok(status) = std::fs::read_to_string(task.unwrap().path().join("status")) else { continue };
        let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim();
        if !["csm-engine", "csm-codec", "csm-encode"].contains(&field("Name:")) {
            continue;
        }
        if !field("State:").starts_with('S') {
            return None;
        }
        switches.push([field("voluntary_ctxt_switches:"), field("nonvoluntary_ctxt_switches:")].join(" "));
    }
    Some(switches)
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_threads_sleep_while_every_slot_waits_for_its_reader() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let _unread = engine.admit(say(vec![1], 0, 200)).await.unwrap();
    soon(script.reached(1, FRAMES_AHEAD)).await;
    // A thread that polls is scheduled again between two looks, sooner or later.
    let asleep = async {
        let (mut looks, mut before) = (0, None);
        while looks < LOOKS {
            let now = switches_of_sleeping_threads();
            looks = if now.is_some() && now == before { looks + 1 } else { 0 };
            before = now;
            tokio::task::yield_now().await;
        }
        before.unwrap().len()
    };
    assert!(soon(asleep).await >= 2, "the engine's and the codec's thread were looked at");
}

#[tokio::test]
async fn long_prompts_do_not_stall_a_running_utterance() {
    let (script, release) = ModelScript::default().blocked_at(1, 1);
    let engine = script.start(3).await;
    // The utterance has as many frames as the stream holds, so that the reader plays no part.
    let running = engine.admit(say(vec![1], 0, FRAMES_AHEAD as u32)).await.unwrap();
    soon(script.reached(1, 2)).await;
    let long = [2, 3].map(|name| engine.admit(say(vec![name; 5 * PREFILL_BLOCK + 1], 0, 4)));
    let mut long = pin!(futures::future::join_all(long));
    assert!(futures::poll!(&mut long).is_pending());
    drop(release);
    let long = soon(long).await;
    soon(listen(running)).await;
    soon(futures::future::join_all(long.into_iter().map(|stream| listen(stream.unwrap())))).await;
    let asked = script.calls();
    let (mut since_frame, mut pieces) = (0, [Vec::new(), Vec::new(), Vec::new()]);
    for one in asked.iter().skip_while(|one| !matches!(one, ModelCall::Step(rows) if rows[..] == [(1, 1)])) {
        match one {
            ModelCall::Prefill { slot, positions } => {
                since_frame += 1;
                pieces[*slot].push(*positions);
                assert_eq!(since_frame, 1, "two pieces without a frame between them: {asked:?}");
            }
            ModelCall::Step(rows) if rows.iter().any(|row| row.0 == 1) => since_frame = 0,
            _ => {}
        }
    }
    assert_eq!(
        pieces,
        [
            vec![],
            vec![PREFILL_BLOCK, PREFILL_BLOCK, PREFILL_BLOCK, PREFILL_BLOCK, PREFILL_BLOCK, 1],
            vec![PREFILL_BLOCK, PREFILL_BLOCK, PREFILL_BLOCK, PREFILL_BLOCK, PREFILL_BLOCK, 1]
        ]
    );
}

/// The first frames are delivered one by one; then the codec takes two, then four at a time, and
/// the rest at the end.
#[tokio::test]
async fn sound_is_made_frame_by_frame_first_and_in_blocks_later() {
    let script = ModelScript::default();
    let engine = script.start(2).await;
    let one = engine.admit(say(vec![1], 0, 18)).await.unwrap();
    let two = engine.admit(say(vec![2], 0, 6)).await.unwrap();
    soon(futures::future::join(listen(one), listen(two))).await;
    let blocks = |name: u32| -> Vec<usize> {
        script.pushed().iter().flatten().filter(|row| row.0 == name).map(|row| row.1).collect()
    };
    assert_eq!(blocks(1), [1, 1, 1, 1, 2, 2, 2, 2, 4, 2]);
    assert_eq!(blocks(2), [1, 1, 1, 1, 2]);
    let stats = engine.take_stats();
    assert_eq!((stats.pushes, stats.decoded), (script.pushed().len() as u64, 24));
}

/// The model makes frames while the codec works, and one call decodes the frames that have
/// gathered.
#[tokio::test]
async fn the_codec_works_beside_the_model() {
    let (release, blocked) = std::sync::mpsc::channel();
    let (script, go_on) =
        ModelScript::default().sound(1, 1, scripted::ScriptedOutcome::Block(blocked)).blocked_at(1, 1);
    let engine = script.start(3).await;
    let first = engine.admit(say(vec![1], 0, 20)).await.unwrap();
    // The codec now holds the first frame alone, because there was no other to gather.
    soon(script.until(|script| !script.pushed().is_empty())).await;
    soon(script.reached(1, 2)).await;
    let mut more = pin!(futures::future::join_all([2, 3].map(|name| engine.admit(say(vec![name], 0, 20)))));
    assert!(futures::poll!(&mut more).is_pending());
    drop(go_on);
    let more = soon(more).await.into_iter().map(Result::unwrap);
    for name in 1..=3 {
        soon(script.reached(name, 20)).await;
    }
    assert_eq!(script.pushed(), [[(1, 1)]], "the codec is at the first frame");
    drop(release);
    let heard = soon(futures::future::join_all(more.chain([first]).map(listen))).await;
    assert!(heard.iter().all(|(codes, pcm, _)| codes.len() == 20 && pcm.len() == 20 * 1920));
    assert!(script.pushed().iter().any(|rows| rows.len() == 3), "{:?}", script.pushed());
}

/// Late frames of a slot's last occupant do not reach the next one.
#[tokio::test]
async fn sound_goes_to_the_occupant_it_was_made_for() {
    let (notices, _heard) = std::sync::mpsc::sync_channel(8);
    let (commands, _none) = mpsc::channel(1);
    let notifier = EngineNotifier { notices, commands: commands.downgrade() };
    let decoder = DecoderHandle::start(ModelScript::default().decoder(), 1, notifier, Arc::new(Meter::new())).unwrap();
    let [old, new] = [0, 1].map(|generation| SlotId { index: 0, generation });
    let (sender, mut stream) = mpsc::channel(4);
    let made = |id, code| {
        let permit = sender.clone().try_reserve_owned().unwrap();
        DecodeJob::Step {
            frames: vec![GeneratedCodes { id, codes: [code; 32], replayed: false, permit }],
            ends: Vec::new(),
        }
    };
    let (finish, finished) = oneshot::channel();
    for job in [
        made(old, 1),
        DecodeJob::Begin { id: new, finish, span: tracing::Span::none() },
        made(old, 2),
        made(new, 3),
        DecodeJob::Forget(old),
    ] {
        assert!(decoder.send(job));
    }
    assert!(decoder.send(DecodeJob::Step { frames: Vec::new(), ends: vec![(old, FinishReason::Eos)] }));
    assert!(decoder.send(made(new, 4)));
    assert!(decoder.send(DecodeJob::Step { frames: Vec::new(), ends: vec![(new, FinishReason::Length)] }));
    assert_eq!(soon(finished).await, Ok(FinishReason::Length));
    drop(sender);
    let mut heard = Vec::new();
    while let Some(frame) = stream.recv().await {
        heard.push(frame.codes[0]);
    }
    assert_eq!(heard, [3, 4]);
}

#[tokio::test]
async fn what_can_never_be_spoken_is_refused_and_harms_nobody() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let silent = clip_segment(vec![1], Clip::from_samples(Vec::new()));
    let strange = PromptSegment { text_ids: vec![1], audio: SegmentAudio::Codes(vec![[3; 32], [2048; 32]]) };
    let refused = [
        (say(vec![], 0, 10), "no text"),
        (say(vec![1], 0, 0), "no frames"),
        (say(vec![1, 100], 0, 10), "text id 100 is not below 100"),
        (say(vec![1; WINDOW - 9], 0, 10), "2039"),
        (Utterance { context: vec![silent], ..say(vec![1], 0, 10) }, "no audio"),
        (Utterance { context: vec![strange], ..say(vec![1], 0, 10) }, "code 2048"),
    ];
    for (utterance, why) in refused {
        let error = engine.admit(utterance).await.err().unwrap();
        assert!(error.is_invalid(), "{error}");
        assert!(error.to_string().contains(why), "{error}");
    }
    assert!(script.calls().is_empty());
    let fits = say(vec![1; WINDOW - 10], 0, 10);
    assert_eq!(soon(listen(engine.admit(fits).await.unwrap())).await.0.len(), 10);
}

#[tokio::test]
async fn dropping_the_last_handle_ends_streams_and_joins_the_threads() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let mut stream = engine.admit(say(vec![1], 0, 2000)).await.unwrap();
    let other = engine.clone();
    drop(engine);
    soon(stream.next()).await.unwrap().unwrap();
    drop(other);
    assert_eq!(Arc::strong_count(&script.calls), 1, "the threads, the model and the codec are gone");
    assert_eq!(fails(&mut stream).await, EngineError::Closed);
}

#[tokio::test]
async fn a_start_that_fails_says_why() {
    for slots in [0, MAX_SLOTS + 1] {
        let load = |_: &watch::Sender<LoadStage>| -> Loaded { unreachable!("no thread is started") };
        assert!(matches!(
            Engine::spawn(EngineCapacity { slots, prefix_cache_bytes: 0 }, load),
            Err(EngineError::Start(_))
        ));
    }
    let nowhere = tempfile::tempdir().unwrap();
    let error = soon(Engine::start(settings(nowhere.path(), 1)).unwrap().ready()).await.err().unwrap();
    assert!(matches!(&error, EngineError::Start(why) if why.contains("config.json")), "{error}");
}

#[tokio::test]
async fn a_panic_while_loading_is_an_error() {
    let load = |_: &watch::Sender<LoadStage>| -> Loaded { panic!("no memory") };
    let loading = Engine::spawn(EngineCapacity { slots: 1, prefix_cache_bytes: 0 }, load).unwrap();
    assert_eq!(soon(loading.ready()).await.err(), Some(EngineError::Panicked("no memory".to_owned())));
}

#[tokio::test]
async fn stages_are_told_until_ready() {
    let loading = ModelScript::default().load(3, 0);
    let mut stage = loading.stage();
    soon(stage.wait_for(|stage| *stage == LoadStage::Ready)).await.unwrap();
    assert_eq!(loading.ready().await.unwrap().info(), &info(3));
}
