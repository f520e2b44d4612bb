//! Tests of the mark as a whole: audio comes out marked, and only the mark's own key finds the
//! mark.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the measuring tests print what they measured")]

mod detection;
mod embedding;
mod keys;
mod null;
mod parts;
mod report;
mod signals;

use super::{BuiltinMarked, Watermark, WatermarkKey};

/// Returns the development key's mark.
fn watermark() -> Watermark {
    Watermark::new(&WatermarkKey::development())
}

/// Marks a whole clip, handed in codec frame by codec frame.
fn mark(clip: &[f32]) -> BuiltinMarked {
    let mut stream = watermark().stream();
    let mut marked = BuiltinMarked::default();
    for piece in clip.chunks(1_920) {
        marked.append(stream.push(piece));
    }
    marked.append(stream.finish());
    marked
}

/// Converts a ratio of amplitudes to decibels.
fn db(ratio: f32) -> f32 {
    20.0 * ratio.log10()
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32).sqrt()
}
