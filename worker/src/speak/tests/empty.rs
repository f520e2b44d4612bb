//! Sentences for which the model speaks nothing at first.

use super::*;
use crate::speak::attempt_error::AttemptError;
use csm_shared::job::{ReceiptWarning, WarningCode};

fn warning(code: WarningCode, sentence: u32) -> ReceiptWarning {
    ReceiptWarning { code, sentences: vec![sentence] }
}

#[tokio::test]
async fn an_empty_sentence_is_spoken_again_with_other_draws() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(0), eos_after(0), eos_after(4), eos_after(5)]);
    let (audio, ending) = collect(&engine, attempt_plan(&[50, 60, 70], 1_000)).await;
    let asked = engine.asked();
    let draws: Vec<_> = asked.iter().map(|utterance| (utterance.text_ids[0], utterance.first_frame)).collect();
    assert_eq!(draws, [(0, 0), (1, 50), (1, 50 + (1 << 27)), (1, 50 + (2 << 27)), (2, 110)]);
    assert_eq!(asked[3].context, asked[1].context, "each try has the same context");
    let spoken_at_last = PromptSegment { text_ids: vec![1; 10], ..spoken_segment(4, 4) };
    assert_eq!(asked[4].context, [spoken_segment(1, 3), spoken_at_last], "what was spoken at last is context");
    assert_eq!(ending.sentences.iter().map(|sentence| sentence.frames).collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!((ending.warnings, ending.finish), (vec![warning(WarningCode::SpokenAgain, 1)], FinishReason::Eos));

    // The pause before the sentence is that of a sentence which was spoken at once.
    let at_once = ScriptedEngine::new([eos_after(3), eos_after(4), eos_after(5)]);
    let (undisturbed, _) = collect(&at_once, attempt_plan(&[50, 60, 70], 1_000)).await;
    assert_eq!(audio.len(), undisturbed.len());
}

#[tokio::test]
async fn a_sentence_that_stays_empty_fails_the_job() {
    let engine = ScriptedEngine::new([eos_after(3), eos_after(0), eos_after(0), eos_after(0), eos_after(0)]);
    let mut stream = SentenceStream::new(&engine, attempt_plan(&[50, 60, 70], 1_000));
    let failed = loop {
        match stream.next().await {
            Ok(Some(_)) => {}
            other => break other,
        }
    };
    assert!(matches!(failed, Err(AttemptError::Empty { sentence: 2, tries: 4 })), "{failed:?}");
    assert_eq!(engine.busy.load(Ordering::SeqCst), 0, "its slot is free");
}

/// At temperature 0 every try is the same.
#[tokio::test]
async fn nothing_is_tried_again_if_nothing_is_drawn() {
    let engine = ScriptedEngine::new([eos_after(0)]);
    let sampling = Sampling { temperature: Temperature::new(0.0).unwrap(), ..sampling() };
    let mut stream = SentenceStream::new(&engine, AttemptPlan { sampling, ..attempt_plan(&[50], 1_000) });
    let failed = stream.next().await;
    assert!(matches!(failed, Err(AttemptError::Empty { sentence: 1, tries: 1 })), "{failed:?}");
}

#[tokio::test]
async fn what_was_cut_off_is_told() {
    let cut = ScriptedUtterance { end: FinishReason::Length, ..eos_after(60) };
    let away = ScriptedUtterance { end: FinishReason::Runaway, ..eos_after(9) };
    let engine = ScriptedEngine::new([cut, away, eos_after(3)]);
    let (_, ending) = collect(&engine, attempt_plan(&[50; 4], 65)).await;
    let expected = [
        warning(WarningCode::CutOff, 0),
        ReceiptWarning { code: WarningCode::NotSpoken, sentences: vec![2, 3] },
        warning(WarningCode::Runaway, 1),
    ];
    assert_eq!(ending.warnings, expected);
    let engine = ScriptedEngine::new([eos_after(3)]);
    assert_eq!(collect(&engine, attempt_plan(&[50], 50)).await.1.warnings, [], "nothing to tell");
}
