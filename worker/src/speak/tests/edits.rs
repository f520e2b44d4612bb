//! Edits: one sentence is spoken again as it was asked for the first time, all others are decoded.

use csm_queue::live::{KeptSentence, KeptSpeech, ResumedSentence};
use csm_shared::job::{JobSpec, SentenceEdit, Text};

use super::*;
use crate::speak::edits::{Edit, EditError};

fn order(sentence: u32) -> SentenceEdit {
    SentenceEdit { location: "speech/j/a1.json".into(), sha256: "0".repeat(64), sentence, seed: Seed::new(77) }
}

/// Returns what an attempt has spoken.
fn speech(ending: &Ending) -> KeptSpeech {
    let sentences = ending.sentences.iter().zip(&ending.codes);
    KeptSpeech {
        spec: JobSpec::new(Text::new("Pieces.").unwrap(), Seed::new(3)),
        weights_sha256: "aa".into(),
        sentences: sentences
            .map(|(receipt, frames)| KeptSentence { receipt: receipt.clone(), frames: frames.clone() })
            .collect(),
    }
}

#[tokio::test]
async fn one_piece_is_asked_for_again_as_before_and_all_others_are_only_decoded() {
    let away = ScriptedUtterance { end: FinishReason::Runaway, ..eos_after(9) };
    let engine = ScriptedEngine::new([eos_after(3), away, eos_after(4), eos_after(6)]);
    let plan = || AttemptPlan { context: vec![voice()], ..attempt_plan(&[50; 4], 100) };
    let (_, first) = collect(&engine, plan()).await;
    let asked = engine.asked();

    // The script of an utterance decides its frames, so those of kept pieces come as they were.
    let again = ScriptedEngine::new([eos_after(3), eos_after(9), eos_after(60), eos_after(6)]);
    let edit = Edit::new(&order(2), speech(&first), "aa", &plan().plan).unwrap();
    let (audio, second) = collect(&again, AttemptPlan { edit: Some(edit), ..plan() }).await;
    let asked_again = again.asked();
    for kept in [0, 1, 3] {
        let Utterance { context, resumed_frames, max_frames, decode_only, .. } = &asked_again[kept];
        assert!(*decode_only && context.is_empty(), "piece {kept}");
        assert_eq!((resumed_frames, *max_frames as usize), (&first.codes[kept], first.codes[kept].len()));
        assert_eq!(second.sentences[kept].frames, first.sentences[kept].frames);
        assert_eq!(second.sentences[kept].finish_reason, first.sentences[kept].finish_reason);
        assert_eq!(second.sentences[kept].seed, None);
    }
    let (before, new) = (&asked[2], &asked_again[2]);
    assert_eq!((&new.context, new.first_frame, &new.text_ids), (&before.context, before.first_frame, &before.text_ids));
    assert_eq!(new.context, [voice(), spoken_segment(1, 3)], "the piece that ran away is not heard");
    assert_eq!(new.sampling, Sampling { seed: Seed::new(77), ..before.sampling });
    assert!(!new.decode_only);
    assert_eq!((second.sentences[2].seed, second.sentences[2].frames), (Some(77), 50), "its own bound, not the job's");
    assert_eq!(second.finish, FinishReason::Runaway, "the worst of all, as before");
    let frames = second.codes.iter().map(Vec::len).sum::<usize>();
    assert!(audio.len() <= (frames + 3 * 3 + 1) * FRAME_SAMPLES, "frames and pauses");
}

#[tokio::test]
async fn a_new_take_has_the_room_that_the_other_pieces_leave() {
    let engine = ScriptedEngine::new([eos_after(30), eos_after(10), eos_after(20)]);
    let (_, first) = collect(&engine, attempt_plan(&[50; 3], 70)).await;
    let again = ScriptedEngine::new([eos_after(30), eos_after(40), eos_after(20)]);
    let edit = Edit::new(&order(1), speech(&first), "aa", &attempt_plan(&[50; 3], 70).plan).unwrap();
    let (audio, second) = collect(&again, AttemptPlan { edit: Some(edit), ..attempt_plan(&[50; 3], 70) }).await;
    assert_eq!(second.sentences[1].frames, 70 - 30 - 20 - 2 * 3, "a pause takes 3");
    assert!(audio.len() <= 70 * FRAME_SAMPLES);
}

#[tokio::test]
async fn what_another_model_or_another_text_spoke_is_not_edited() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(4)]);
    let (_, first) = collect(&engine, attempt_plan(&[50; 2], 100)).await;
    let refused = |order: SentenceEdit, weights: &str, plan: &SpeechPlan| {
        Edit::new(&order, speech(&first), weights, plan).unwrap_err()
    };
    let plan = attempt_plan(&[50; 2], 100).plan;
    assert!(matches!(refused(order(0), "bb", &plan), EditError::OtherModel(_)));
    assert!(matches!(refused(order(2), "aa", &plan), EditError::OtherText));
    assert!(matches!(refused(order(0), "aa", &attempt_plan(&[50; 3], 100).plan), EditError::OtherText));

    // Codes that the engine does not give back.
    let other = ScriptedEngine::new([eos_after(3), eos_after(2)]);
    let edit = Edit::new(&order(0), speech(&first), "aa", &plan).unwrap();
    let mut stream = SentenceStream::new(&other, AttemptPlan { edit: Some(edit), ..attempt_plan(&[50; 2], 100) });
    let error = loop {
        match stream.next().await {
            Ok(frame) => assert!(frame.is_some(), "the stream ended"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "sentence 2 has codes that this model does not know");
}

#[tokio::test]
async fn sentences_that_were_not_spoken_take_no_room_and_no_place() {
    let engine = ScriptedEngine::new([eos_after(30), eos_after(37)]);
    let plan = || attempt_plan(&[50; 6], 70);
    let (_, first) = collect(&engine, plan()).await;
    assert_eq!(first.sentences.iter().map(|one| one.frames).collect::<Vec<_>>(), [30, 37, 0, 0, 0, 0]);
    let edited = async |speech: KeptSpeech, number: u32, script: &[u32]| {
        let again = ScriptedEngine::new(script.iter().map(|&frames| eos_after(frames)));
        let edit = Edit::new(&order(number), speech, "aa", &plan().plan).unwrap();
        collect(&again, AttemptPlan { edit: Some(edit), ..plan() }).await.1
    };
    let second = edited(speech(&first), 0, &[10, 37]).await;
    assert_eq!(second.sentences.iter().map(|one| one.frames).collect::<Vec<_>>(), [10, 37, 0, 0, 0, 0]);
    let third = edited(speech(&second), 5, &[10, 37, 9]).await;
    let told: Vec<_> = third.sentences.iter().map(|one| (one.frames, one.duration_ms)).collect();
    assert_eq!(told, [(10, 800), (37, 2_960), (0, 0), (0, 0), (0, 0), (9, 720)]);
    assert!(third.sentences[5].start_ms >= 3_760, "behind all others: {}", third.sentences[5].start_ms);
}

#[tokio::test]
async fn an_edit_goes_on_after_the_frames_that_it_has_published() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(4), eos_after(5)]);
    let (_, first) = collect(&engine, attempt_plan(&[50; 3], 100)).await;
    let again = ScriptedEngine::new([eos_after(3), eos_after(6), eos_after(5)]);
    let take: Vec<_> = (0..2).map(|index| codes(2, index)).collect();
    let resumed = [first.codes[0].clone(), take.clone()].map(|frames| ResumedSentence { take: 0, frames });
    let edit = Edit::new(&order(1), speech(&first), "aa", &attempt_plan(&[50; 3], 100).plan).unwrap();
    let plan = AttemptPlan { edit: Some(edit), resumed: resumed.into(), ..attempt_plan(&[50; 3], 100) };
    let mut stream = SentenceStream::new(&again, plan);
    let mut replayed = Vec::new();
    while let Some(frame) = stream.next().await.unwrap() {
        replayed.push((frame.sentence, frame.replayed));
    }
    assert_eq!(replayed[..3], [(0, true); 3], "its stream has the kept sentence already");
    assert_eq!(replayed[9..], [(2, false); 5]);
    assert_eq!(again.asked()[1].resumed_frames, take);
}
