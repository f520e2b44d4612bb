//! Decoding of a clip as the package does it: one symbol for each frame, and a vote.

use super::cipher_model::SYMBOLS;
use super::payload::{PERIOD, Payload};

/// Result of the vote of a clip's frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    /// The forty bits.
    pub payload: Payload,
    /// Share of the frames that agree with the vote; 1 for any clip of one round only.
    pub confidence: f32,
}

/// Returns the most likely symbol of each frame, the smallest of equals.
pub(super) fn argmax(logits: &[[f32; SYMBOLS]]) -> Vec<u8> {
    let best = |frame: &[f32; SYMBOLS]| {
        (1..SYMBOLS).fold(0, |best, symbol| if frame[symbol] > frame[best] { symbol } else { best }) as u8
    };
    logits.iter().map(best).collect()
}

/// Votes over whole rounds: for each place of the round the commonest symbol, the smallest of
/// equals. Returns `None` if there is no whole round, or not exactly one terminator.
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
