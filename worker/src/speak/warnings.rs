//! Finish reason of a whole job, and the ways in which its audio differs from what was asked for.

use csm_shared::job::{FinishReason, ReceiptWarning, SentenceReceipt, WarningCode};

/// Returns the finish reason of a job; `cut_off` says whether sentences were skipped.
pub(super) fn finish_reason(sentences: &[SentenceReceipt], cut_off: bool) -> FinishReason {
    let ended = |reason| sentences.iter().any(|sentence| sentence.finish_reason == reason);
    if cut_off {
        FinishReason::Length
    } else if ended(FinishReason::Runaway) {
        FinishReason::Runaway
    } else if ended(FinishReason::Length) {
        FinishReason::Length
    } else {
        FinishReason::Eos
    }
}

/// Lists the ways in which the audio differs from what was asked for, without those that affect no
/// sentence.
pub(super) fn warnings(sentences: &[SentenceReceipt]) -> Vec<ReceiptWarning> {
    let places = |fits: fn(&SentenceReceipt) -> bool| {
        (0..).zip(sentences).filter(|(_, sentence)| fits(sentence)).map(|(place, _)| place).collect::<Vec<u32>>()
    };
    let cut_off = |sentence: &SentenceReceipt| sentence.finish_reason == FinishReason::Length && sentence.frames > 0;
    let found = [
        (WarningCode::CutOff, places(cut_off)),
        (WarningCode::NotSpoken, places(|sentence| sentence.frames == 0)),
        (WarningCode::Runaway, places(|sentence| sentence.finish_reason == FinishReason::Runaway)),
        (WarningCode::SpokenAgain, places(|sentence| !sentence.retakes.is_empty())),
        (WarningCode::Faulty, places(|sentence| sentence.fault.is_some())),
    ];
    let found = found.into_iter().filter(|(_, sentences)| !sentences.is_empty());
    found.map(|(code, sentences)| ReceiptWarning { code, sentences }).collect()
}
