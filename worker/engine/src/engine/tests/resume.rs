//! Resumed utterances: wherever an earlier attempt was cut off, the resumed stream is bit for bit
//! that of an undisturbed run.

use super::super::guard::{FRAMES_OF_ANY_TEXT, FRAMES_PER_ID, REPEATED_FRAMES, SILENT_FRAMES};
use super::invariance::Random;
use super::scripted::{ModelCall, ModelScript, PREFILL_BLOCK, ScriptedOutcome};
use super::*;
use crate::model::END_FRAME;
use crate::random_model::{FolderLayout, make_noise};

/// Number of random utterances of each weight format; each is cut at every frame.
const UTTERANCES: usize = 14;
/// Number of resumed utterances that run side by side.
const SIDE_BY_SIDE: usize = 4;

type Output = (Vec<Frame>, Vec<f32>, FinishReason);

/// Reads a stream to its end. Returns also how many frames were replayed, which come first.
async fn heard(mut stream: FrameStream) -> (Output, usize) {
    let (mut codes, mut pcm, mut replayed) = (Vec::new(), Vec::new(), 0);
    while let Some(frame) = stream.next().await {
        let frame = frame.unwrap();
        if frame.replayed {
            assert_eq!(replayed, codes.len(), "replayed frames come first");
            replayed += 1;
        }
        codes.push(frame.codes);
        pcm.extend(frame.pcm);
    }
    ((codes, pcm, stream.finish_reason().unwrap()), replayed)
}

/// Runs an utterance undisturbed, then once for each frame at which it may be cut, each time with a
/// fresh script.
async fn cut_everywhere(script: impl Fn() -> ModelScript, utterance: Utterance) -> Output {
    let engine = script().start(1).await;
    let (undisturbed, none) = soon(heard(engine.admit(utterance.clone()).await.unwrap())).await;
    assert_eq!(none, 0);
    for cut in 1..=undisturbed.0.len() {
        let script = script();
        let engine = script.start(1).await;
        let resumed_frames = undisturbed.0[..cut].to_vec();
        let stream = engine.admit(Utterance { resumed_frames, ..utterance.clone() }).await.unwrap();
        let (resumed, replayed) = soon(heard(stream)).await;
        assert!(resumed == undisturbed, "cut at {cut}: {:?} instead of {:?}", resumed.0, undisturbed.0);
        assert_eq!(replayed, cut);
        assert!(engine.admit(say(vec![9], 0, 1)).await.is_ok(), "its slot is free");
    }
    undisturbed
}

#[tokio::test]
async fn draws_go_on_behind_what_was_spoken() {
    let script = ModelScript::default();
    let engine = script.start(1).await;
    let utterance = Utterance { first_frame: 70, ..say(vec![1; 200], 0, 700) };
    let (undisturbed, _) = soon(heard(engine.admit(utterance.clone()).await.unwrap())).await;
    let before = script.calls().len();
    let resumed_frames = undisturbed.0[..697].to_vec();
    let (resumed, replayed) = soon(heard(engine.admit(Utterance { resumed_frames, ..utterance }).await.unwrap())).await;
    assert!(resumed == undisturbed);
    assert_eq!(replayed, 697);
    let asked = script.calls().split_off(before);
    let step = |draw| ModelCall::Step(vec![(1, draw)]);
    let pieces = (697 - 1) / PREFILL_BLOCK;
    let expected = [
        ModelCall::Prefill { slot: 0, positions: PREFILL_BLOCK },
        ModelCall::Prefill { slot: 0, positions: 200 - PREFILL_BLOCK },
    ]
    .into_iter()
    .chain([step(70)])
    .chain(std::iter::repeat_n(ModelCall::Replay(PREFILL_BLOCK), pieces))
    .chain([ModelCall::Replay(696 - pieces * PREFILL_BLOCK), step(70 + 697), step(70 + 698), step(70 + 699)]);
    assert_eq!(asked, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn whatever_ends_an_utterance_ends_it_after_every_cut() {
    let say = |frames| say(vec![1], 0, frames);
    let (codes, _, finish) = cut_everywhere(|| ModelScript::default().at(1, 9, ScriptedOutcome::End), say(40)).await;
    assert_eq!((codes.len(), finish), (9, FinishReason::Eos));
    let (codes, _, finish) = cut_everywhere(ModelScript::default, say(12)).await;
    assert_eq!((codes.len(), finish), (12, FinishReason::Length));
    let needed = FRAMES_OF_ANY_TEXT + FRAMES_PER_ID;
    let (codes, _, finish) = cut_everywhere(ModelScript::default, say(needed + 5)).await;
    assert_eq!((codes.len() as u32, finish), (needed, FinishReason::Runaway));
}

/// The guard counts across the cut: repeats and silence that began before it, whether or not they
/// end in time.
#[tokio::test]
async fn the_guard_has_heard_what_was_spoken() {
    let repeats = |frames| {
        move || {
            (3..3 + frames).fold(ModelScript::default(), |script, draw| script.at(1, draw, ScriptedOutcome::Say(77)))
        }
    };
    let (codes, _, finish) = cut_everywhere(repeats(60), say(vec![1], 0, 50)).await;
    assert_eq!((codes.len(), finish), (4, FinishReason::Runaway));
    let (codes, _, finish) = cut_everywhere(repeats(REPEATED_FRAMES - 1), say(vec![1], 0, 30)).await;
    assert_eq!((codes.len(), finish), (30, FinishReason::Length));
    let silence = |frames| {
        move || {
            (6..6 + frames).fold(ModelScript::default(), |script, code| script.sound(1, code, ScriptedOutcome::Silence))
        }
    };
    let (_, _, finish) = cut_everywhere(silence(SILENT_FRAMES), say(vec![1], 0, 60)).await;
    assert_eq!(finish, FinishReason::Runaway);
    let (codes, _, finish) = cut_everywhere(silence(SILENT_FRAMES - 1), say(vec![1], 0, 60)).await;
    assert_eq!((codes.len(), finish), (60, FinishReason::Length));
}

/// Frames of a second try continue with the second try's draws.
#[tokio::test]
async fn a_second_try_is_known_again() {
    const AGAIN: u32 = 1 << 30;
    // The first try ends at once; each draw of the second has a code of its own.
    let script = || {
        let ends = ModelScript::default().at(2, 5, ScriptedOutcome::End).at(2, 5 + AGAIN + 6, ScriptedOutcome::End);
        (0..6).fold(ends, |script, frame| script.at(2, 5 + AGAIN + frame, ScriptedOutcome::Say(300 + frame)))
    };
    let (codes, _, finish) = cut_everywhere(script, Utterance { first_frame: 5, ..say(vec![1, 2], 0, 40) }).await;
    let draws: Vec<_> = codes.iter().map(|frame| frame[0]).collect();
    assert_eq!((draws, finish), ((300..306).collect(), FinishReason::Eos));
}

#[tokio::test]
async fn what_this_model_would_not_say_is_spoken_anew() {
    let engine = ModelScript::default().start(1).await;
    let (undisturbed, _) = soon(heard(engine.admit(say(vec![1], 0, 20)).await.unwrap())).await;
    let frames = |count: usize| undisturbed.0[..count].to_vec();
    let broken = |at: usize, frame: Frame| {
        let mut resumed_frames = frames(9);
        resumed_frames[at] = frame;
        resumed_frames
    };
    for (resumed_frames, taken_over) in [
        (broken(0, [500; 32]), 0),
        (broken(4, END_FRAME), 4),
        (broken(0, END_FRAME), 0),
        (broken(7, [2048; 32]), 7),
        ([frames(20), frames(5)].concat(), 20),
    ] {
        let stream = engine.admit(Utterance { resumed_frames, ..say(vec![1], 0, 20) }).await.unwrap();
        let (resumed, replayed) = soon(heard(stream)).await;
        assert!(resumed == undisturbed);
        assert_eq!(replayed, taken_over);
    }
}

/// Resumed frames go to a reader as it takes them, and no other slot waits.
#[tokio::test]
async fn a_slow_reader_of_what_was_spoken_stalls_its_own_slot_only() {
    let script = ModelScript::default();
    let engine = script.start(2).await;
    let long = |name| say(vec![name; 10], 0, 200);
    let (undisturbed, _) = soon(heard(engine.admit(long(1)).await.unwrap())).await;
    let before = script.steps_of(1);
    let resumed_frames = undisturbed.0[..180].to_vec();
    let slow = engine.admit(Utterance { resumed_frames, ..long(1) }).await.unwrap();
    let (quick, _) = soon(heard(engine.admit(long(2)).await.unwrap())).await;
    assert_eq!(quick.0.len(), 200);
    assert_eq!(script.steps_of(1) - before, 1, "nothing new is made while the old frames wait");
    let (resumed, replayed) = soon(heard(slow)).await;
    assert!(resumed == undisturbed);
    assert_eq!((replayed, script.steps_of(1) - before), (180, 1 + 20));
}

async fn noise_cut_everywhere(format: WeightFormat) {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let config = EngineConfig { weights: WeightChoice::Format(format), ..settings(folder.path(), SIDE_BY_SIDE) };
    let first = Engine::start(config.clone()).unwrap().ready().await.unwrap();
    let second = Engine::start(EngineConfig { threads: Some(1), ..config }).unwrap().ready().await.unwrap();
    let mut random = Random::new(41);
    let mut cuts = 0;
    for index in 0..UTTERANCES {
        let utterance = random.utterance(index);
        let undisturbed = soon(listen(first.admit(utterance.clone()).await.unwrap())).await;
        let all: Vec<_> = (1..=undisturbed.0.len()).collect();
        for together in all.chunks(SIDE_BY_SIDE) {
            let resumed = together.iter().map(|&cut| {
                let (resumed_frames, utterance, second) = (undisturbed.0[..cut].to_vec(), utterance.clone(), &second);
                async move { heard(second.admit(Utterance { resumed_frames, ..utterance }).await.unwrap()).await }
            });
            for (&cut, (resumed, replayed)) in together.iter().zip(soon(futures::future::join_all(resumed)).await) {
                assert!(resumed.0 == undisturbed.0, "{format} utterance {index} cut at {cut}: the codes");
                assert!(resumed.1 == undisturbed.1, "{format} utterance {index} cut at {cut}: the sound");
                assert_eq!((resumed.2, replayed), (undisturbed.2, cut), "{format} utterance {index}");
            }
        }
        cuts += all.len();
    }
    assert!(cuts > 90, "{cuts}");
}

#[tokio::test]
async fn cut_anywhere_an_utterance_goes_on_as_if_nothing_had_happened_in_f32() {
    noise_cut_everywhere(WeightFormat::F32).await;
}

#[tokio::test]
async fn cut_anywhere_an_utterance_goes_on_as_if_nothing_had_happened_in_q8_0() {
    noise_cut_everywhere(WeightFormat::Q8_0).await;
}

#[tokio::test]
async fn cut_anywhere_an_utterance_goes_on_as_if_nothing_had_happened_in_q4_k() {
    noise_cut_everywhere(WeightFormat::Q4K).await;
}
