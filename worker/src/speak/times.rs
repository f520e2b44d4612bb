//! Times of sentences and turns in the recording.

use csm_shared::job::{JobSpec, SentenceReceipt, Speed, Turn, TurnReceipt};

/// Returns the account of each turn of a dialogue, from the sentences of all turns.
pub(super) fn turns(spec: &JobSpec, sentences: &[SentenceReceipt]) -> Vec<TurnReceipt> {
    let spoken = spec.spoken();
    let receipt = |(number, turn): (usize, &Turn)| {
        let mut places = spoken.iter().zip(sentences).filter(|(spoken, _)| spoken.turn == number);
        let first = places.next().map(|(_, sentence)| sentence);
        let last = places.next_back().map(|(_, sentence)| sentence).or(first);
        let start_ms = first.map_or(0, |sentence| sentence.start_ms);
        let end_ms = last.map_or(0, |sentence| sentence.start_ms + sentence.duration_ms);
        TurnReceipt {
            text: turn.text.as_str().to_owned(),
            speaker: turn.speaker.get(),
            voice: turn.voice,
            start_ms,
            duration_ms: end_ms.saturating_sub(start_ms),
        }
    };
    spec.turns.as_slice().iter().enumerate().map(receipt).collect()
}

/// Moves the sentences to their places in speech of another tempo.
pub(super) fn stretch_times(sentences: &mut [SentenceReceipt], speed: Speed) {
    for sentence in sentences {
        let end = speed.stretched_ms(sentence.start_ms + sentence.duration_ms);
        sentence.start_ms = speed.stretched_ms(sentence.start_ms);
        sentence.duration_ms = end - sentence.start_ms;
    }
}
