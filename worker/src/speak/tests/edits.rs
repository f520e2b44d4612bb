//! Edits: one sentence is spoken again as it was asked for the first time, all others are decoded.

use csm_queue::live::{KeptSentence, KeptSpeech};
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
