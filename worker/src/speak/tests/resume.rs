//! Sentence streams that resume a cut-off attempt from its resume point.

use super::super::origin;
use super::super::sentence_stream::StreamedFrame;
use super::*;
use csm_engine::engine::ModelInfo;
use csm_queue::live::ResumedSentence;

fn frames_of(number: u32, frames: u32) -> Vec<Frame> {
    (0..frames).map(|index| codes(number, index)).collect()
}

fn of_take(take: u8, frames: Vec<Frame>) -> ResumedSentence {
    ResumedSentence { take, frames }
}

/// Only an engine that would draw the same bits takes a resume point.
#[test]
fn a_checkpoint_is_of_one_model_in_one_form_and_of_one_plan() {
    let info = || ModelInfo {
        model: "m".into(),
        weights_sha256: "aa".into(),
        noise_only: false,
        device: "cuda:0".into(),
        dtype: "bf16".into(),
        kernels: "cuda".into(),
        slots: 5,
        max_positions: WINDOW,
        load_seconds: 1.0,
    };
    let plan = |frames: &[u32]| attempt_plan(frames, 100).plan;
    let ours = origin(&info(), &plan(&[4, 5]));
    let beside = ModelInfo { model: "n".into(), device: "cuda:1".into(), slots: 2, load_seconds: 2.0, ..info() };
    assert_eq!(origin(&beside, &plan(&[4, 5])), ours);
    for other in [
        ModelInfo { weights_sha256: "ab".into(), ..info() },
        ModelInfo { dtype: "q8_0".into(), ..info() },
        ModelInfo { kernels: "cpu-x86_64".into(), ..info() },
    ] {
        assert_ne!(origin(&other, &plan(&[4, 5])), ours, "{other:?}");
    }
    assert_ne!(origin(&info(), &plan(&[4, 6])), ours, "the text is cut in another way");
}

/// Each sentence gets its own frames, as long as the sentences before it did not change.
#[tokio::test]
async fn what_was_spoken_of_each_piece_goes_to_its_utterance() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(4), eos_after(5), eos_after(4)]);
    let resumed_frames = vec![frames_of(1, 3), frames_of(2, 4), frames_of(3, 2)];
    let resumed = resumed_frames.iter().cloned().map(|frames| of_take(0, frames)).collect();
    collect(&engine, AttemptPlan { resumed, ..attempt_plan(&[50; 4], 1_000) }).await;
    let mut given: Vec<_> = engine.asked().into_iter().map(|utterance| utterance.resumed_frames).collect();
    assert_eq!(given.pop(), Some(vec![]));
    assert_eq!(given, resumed_frames);

    // The second piece was spoken by the second take, which alone gets the frames.
    let engine = ScriptedEngine::new([eos_after(3), eos_after(0), eos_after(4), eos_after(5)]);
    let [first, second, third] = [frames_of(1, 3), frames_of(3, 4), frames_of(4, 2)];
    let resumed = vec![of_take(0, first.clone()), of_take(1, second.clone()), of_take(0, third.clone())];
    collect(&engine, AttemptPlan { resumed, ..attempt_plan(&[50; 3], 1_000) }).await;
    let given: Vec<_> = engine.asked().into_iter().map(|utterance| utterance.resumed_frames).collect();
    assert_eq!(given, [first, vec![], second, third]);

    for other in [frames_of(1, 4), frames_of(2, 3), vec![]] {
        let engine = ScriptedEngine::new([eos_after(3), eos_after(4), eos_after(5)]);
        let resumed = [other.clone(), frames_of(2, 4), frames_of(3, 5)].map(|frames| of_take(0, frames)).into();
        collect(&engine, AttemptPlan { resumed, ..attempt_plan(&[50; 3], 1_000) }).await;
        let given: Vec<_> = engine.asked().into_iter().map(|utterance| utterance.resumed_frames).collect();
        assert_eq!(given, [other, vec![], vec![]], "the first piece is another one, and so are all that hear it");
    }
}

#[tokio::test]
async fn every_frame_says_which_piece_it_is_of() {
    let engine = ScriptedEngine::new([eos_after(2), eos_after(0), eos_after(3), eos_after(4)]);
    let mut stream = SentenceStream::new(&engine, attempt_plan(&[50; 3], 1_000));
    let mut told = Vec::new();
    while let Some(StreamedFrame { sentence, codes, .. }) = stream.next().await.unwrap() {
        told.push((sentence, codes));
    }
    let of = |sentence: usize, frames: Vec<Frame>| frames.into_iter().map(move |frame| (sentence, frame));
    let expected = of(0, frames_of(1, 2)).chain(of(1, frames_of(3, 3))).chain(of(2, frames_of(4, 4)));
    assert_eq!(told, expected.collect::<Vec<_>>());
}
