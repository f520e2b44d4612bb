//! Context of each sentence of a job: the voice, and the sentences before it.
//!
//! The caller's context comes first and always. If there is none, the first sentence that ended
//! well becomes the voice of all others. Without it, a voice that was drawn once would drift from
//! sentence to sentence. The last sentences follow, as far as the model's window has room. The
//! oldest of them are dropped first, and the job's own voice last.

use std::collections::VecDeque;

use csm_shared::audio::Frame;
use csm_shared::prompt::{SegmentSize, Window};

use csm_engine::engine::{PromptSegment, SegmentAudio};

/// Most earlier sentences in a context, not counting the job's own voice. Each one costs a prefill
/// of its text and frames, and more than the last two do not change how the model goes on.
pub(super) const CARRIED_SENTENCES_MAX: usize = 2;

/// Segments of one job that later sentences can have as context.
pub(super) struct ContextWindow {
    /// Context that the caller gave.
    given: Vec<PromptSegment>,
    /// First sentence that ended well, if the caller gave no context.
    voice: Option<PromptSegment>,
    /// Last sentences, oldest first.
    last: VecDeque<PromptSegment>,
    /// Number of positions that the model has.
    limit: usize,
}

/// Context of one utterance.
#[derive(Debug, PartialEq)]
pub(super) struct UtteranceContext {
    /// Context segments, oldest first.
    pub(super) context: Vec<PromptSegment>,
    /// Number of leading segments that later sentences will have as context too.
    pub(super) recurring: usize,
    /// Positions that the context takes.
    pub(super) positions: usize,
}

impl ContextWindow {
    pub(super) fn new(given: Vec<PromptSegment>, limit: usize) -> Self {
        Self { given, voice: None, last: VecDeque::new(), limit }
    }

    /// Selects the context of a sentence of `text_ids` ids and at most `max_frames` frames.
    pub(super) fn select(&self, text_ids: usize, max_frames: u32) -> UtteranceContext {
        let mut positions = positions(&self.given);
        let fits = |positions| Window {
            prompt_positions: positions + text_ids,
            max_frames: max_frames as usize,
            limit: self.limit,
        };
        // By importance: the voice, then the latest sentences.
        let mut carried = VecDeque::new();
        for segment in self.voice.iter().chain(self.last.iter().rev()) {
            let more = positions + size(segment).positions();
            if fits(more).check().is_err() {
                break;
            }
            positions = more;
            carried.push_front(segment);
        }
        let voice = if self.voice.is_some() { 1.min(carried.len()) } else { 0 };
        // The voice was generated first, so it goes to the front.
        carried.rotate_right(voice);
        let context = self.given.iter().chain(carried).cloned().collect();
        UtteranceContext { context, recurring: self.given.len() + voice, positions }
    }

    /// Adds a sentence that ended by itself. A sentence that was cut off or ran away must not be
    /// added. Its text and sound do not match, and the model would go on like that.
    pub(super) fn push(&mut self, text_ids: Vec<u32>, frames: Vec<Frame>) {
        let segment = PromptSegment { text_ids, audio: SegmentAudio::Codes(frames) };
        if self.given.is_empty() && self.voice.is_none() {
            self.voice = Some(segment);
            return;
        }
        self.last.push_back(segment);
        if self.last.len() > CARRIED_SENTENCES_MAX {
            self.last.pop_front();
        }
    }
}

fn size(segment: &PromptSegment) -> SegmentSize {
    SegmentSize::context(segment.text_ids.len(), segment.audio.frames())
}

fn positions(segments: &[PromptSegment]) -> usize {
    segments.iter().map(|segment| size(segment).positions()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a context segment of `size` positions.
    fn segment(size: usize) -> PromptSegment {
        PromptSegment { text_ids: vec![7; 3], audio: SegmentAudio::Codes(vec![[size as u32; 32]; size - 4]) }
    }

    fn push(window: &mut ContextWindow, size: usize) {
        let PromptSegment { text_ids, audio: SegmentAudio::Codes(frames) } = segment(size) else { return };
        window.push(text_ids, frames);
    }

    fn sizes(before: &UtteranceContext) -> Vec<usize> {
        let sizes: Vec<_> = before.context.iter().map(|segment| size(segment).positions()).collect();
        assert_eq!(before.positions, sizes.iter().sum::<usize>());
        sizes
    }

    #[test]
    fn what_stays_before_every_piece_is_the_callers_context_or_the_voice() {
        for (given, expected) in [(vec![segment(10), segment(11)], [2, 2, 2, 2]), (Vec::new(), [0, 1, 1, 1])] {
            let mut window = ContextWindow::new(given, 2_048);
            for (piece, expected) in expected.into_iter().enumerate() {
                assert_eq!(window.select(5, 100).recurring, expected);
                push(&mut window, 20 + piece);
            }
        }
        let mut full = ContextWindow::new(Vec::new(), 1);
        push(&mut full, 20);
        assert_eq!(full.select(5, 100).recurring, 0);
    }

    #[test]
    fn the_callers_voice_and_the_last_two_pieces_come_first() {
        let mut window = ContextWindow::new(vec![segment(10), segment(11)], 2_048);
        assert_eq!(sizes(&window.select(5, 100)), [10, 11]);
        for piece in [20, 21, 22, 23] {
            push(&mut window, piece);
        }
        assert_eq!(sizes(&window.select(5, 100)), [10, 11, 22, 23]);
    }

    #[test]
    fn without_a_context_the_first_piece_is_the_voice() {
        let mut window = ContextWindow::new(Vec::new(), 2_048);
        assert_eq!(sizes(&window.select(5, 100)), [0; 0]);
        for (piece, expected) in [(20, vec![20]), (21, vec![20, 21]), (22, vec![20, 21, 22]), (23, vec![20, 22, 23])] {
            push(&mut window, piece);
            assert_eq!(sizes(&window.select(5, 100)), expected);
        }
    }

    #[test]
    fn the_window_drops_the_oldest_piece_first_and_the_callers_context_never() {
        let room = |limit: usize, given: Vec<PromptSegment>| {
            let mut window = ContextWindow::new(given, limit);
            for piece in [20, 21, 22] {
                push(&mut window, piece);
            }
            sizes(&window.select(5, 100))
        };
        let given = || vec![segment(10)];
        assert_eq!(room(105 + 10 + 21 + 22, given()), [10, 21, 22], "exactly full");
        assert_eq!(room(105 + 10 + 21 + 22 - 1, given()), [10, 22]);
        assert_eq!(room(105 + 10 + 22 - 1, given()), [10]);
        assert_eq!(room(1, given()), [10], "whether that fits is not judged here");
        assert_eq!(room(105 + 20 + 21 + 22, vec![]), [20, 21, 22]);
        assert_eq!(room(105 + 20 + 21 + 22 - 1, vec![]), [20, 22]);
        assert_eq!(room(105 + 20 + 22 - 1, vec![]), [20], "its own voice last");
        assert_eq!(room(105 + 20 - 1, vec![]), [0; 0]);
    }
}
