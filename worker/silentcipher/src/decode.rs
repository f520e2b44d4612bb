//! The package's own reading of a clip: one symbol for each frame, and a vote.

use super::cipher_model::SYMBOLS;
use super::payload::{PERIOD, Payload};

/// What the vote of a clip's frames came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    /// The forty bits.
    pub payload: Payload,
    /// Share of the frames that agree with the vote; 1 when the clip holds one round only, whatever is in it.
    pub confidence: f32,
}

/// The most likely symbol of each frame; the smallest of equals.
pub(super) fn argmax(logits: &[[f32; SYMBOLS]]) -> Vec<u8> {
    let best = |frame: &[f32; SYMBOLS]| {
        (1..SYMBOLS).fold(0, |best, symbol| if frame[symbol] > frame[best] { symbol } else { best }) as u8
    };
    logits.iter().map(best).collect()
}

/// The vote over whole rounds: by place of the round the commonest symbol, the smallest of equals. `None` when there is no
/// whole round, or not exactly one terminator.
pub(super) fn vote(symbols: &[u8]) -> Option<Decoded> {
    let (rounds, _) = symbols.as_chunks::<PERIOD>();
    if rounds.is_empty() {
        return None;
    }
    let voted: [u8; PERIOD] = std::array::from_fn(|place| {
        let mut votes = [0_usize; SYMBOLS];
        rounds.iter().for_each(|round| votes[usize::from(round[place])] += 1);
        (1..SYMBOLS).fold(0, |best, symbol| if votes[symbol] > votes[best] { symbol } else { best }) as u8
    });
    let end = voted.iter().position(|&symbol| symbol == 0)?;
    let payload = Payload::of((1..PERIOD).map(|after| voted[(end + after) % PERIOD]))?;
    let agree: usize = rounds.iter().map(|round| round.iter().zip(&voted).filter(|(a, b)| a == b).count()).sum();
    Some(Decoded { payload, confidence: agree as f32 / (rounds.len() * PERIOD) as f32 })
}
