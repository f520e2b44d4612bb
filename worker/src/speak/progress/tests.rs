#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::*;
use crate::marks::{MarkStream, Watermark, WatermarkKey};

fn sentence_frame(sentence: usize, number: u32, replayed: bool) -> StreamedFrame {
    StreamedFrame { sentence, take: 0, codes: [number; 32], replayed, pcm: Vec::new() }
}

fn origin() -> Origin {
    Origin::of(&["a"])
}

/// Publishes `new` frames after `old` replayed ones; `written` decides which events reach the
/// stream.
fn published(old: u32, new: u32, written: impl Fn(u32) -> bool) -> Vec<(u32, Vec<u32>)> {
    let (mut publisher, mut told) = (ProgressPublisher::new(origin(), PublishPace::Often, 100, None), Vec::new());
    for number in 0..old + new {
        publisher.push(&sentence_frame(0, number, number < old), &Marked::default());
        while let Some(pending) = publisher.due() {
            let Event::Progress { frames, max_frames: 100, audio: None } = pending.event else { panic!("{pending:?}") };
            assert!(frames <= number + 1 && pending.sequence >= 2);
            if !written(number + 1) {
                publisher.defer();
                break;
            }
            let spoken = pending.codes.as_ref().unwrap();
            told.push((spoken.from, spoken.frames.iter().map(|frame| frame.codes[0]).collect()));
            publisher.mark_published();
        }
    }
    assert_eq!((publisher.frames(), publisher.resumed()), (old + new, old));
    publisher.end(&Marked::default(), &Marked::default());
    assert_eq!(publisher.due(), None, "codes alone are not worth an event at the end");
    told
}

#[test]
fn the_first_frame_is_told_at_once_and_then_every_fifth() {
    let told = published(0, 12, |_| true);
    assert_eq!(told, [(0, vec![0]), (1, vec![1, 2, 3, 4, 5]), (6, vec![6, 7, 8, 9, 10])]);
}

#[test]
fn what_the_stream_holds_is_not_told_again() {
    assert_eq!(published(8, 6, |_| true), [(8, vec![8]), (9, vec![9, 10, 11, 12, 13])]);
    assert_eq!(published(8, 0, |_| true), []);
}

#[test]
fn what_was_not_written_goes_before_the_next_event() {
    let told = published(2, 12, |frames| frames != 3 && frames != 8);
    assert_eq!(told, [(2, vec![2]), (3, (3..13).collect())]);
}

/// If an attempt differs from the earlier one, everything from there is published, so that the
/// stream holds its codes.
#[test]
fn a_replayed_frame_behind_a_new_one_is_told() {
    let mut publisher = ProgressPublisher::new(origin(), PublishPace::Often, 100, None);
    let mut hear = |sentence_frame: StreamedFrame| {
        publisher.push(&sentence_frame, &Marked::default());
        let spoken = publisher.due().and_then(|pending| pending.codes.clone());
        publisher.mark_published();
        (spoken.map(|chunk| (chunk.from, chunk.frames.len())), publisher.resumed())
    };
    assert_eq!(hear(sentence_frame(0, 0, true)), (None, 1));
    assert_eq!(hear(sentence_frame(0, 1, false)), (Some((1, 1)), 1));
    for number in 2..6 {
        assert_eq!(hear(sentence_frame(1, number, true)), (None, 1));
    }
    assert_eq!(hear(sentence_frame(1, 6, true)), (Some((2, 5)), 1));
}

/// The frames of a take that was given up are replaced in the stream, written or not.
#[test]
fn a_further_take_begins_behind_the_sentence_before() {
    let mut publisher = ProgressPublisher::new(origin(), PublishPace::Often, 100, None);
    let mut chunks = Vec::new();
    let mut hear = |sentence, take, numbers: std::ops::Range<u32>| {
        for number in numbers {
            publisher.push(&StreamedFrame { take, ..sentence_frame(sentence, number, false) }, &Marked::default());
            while let Some(pending) = publisher.due() {
                let CodesChunk { from, frames, .. } = pending.codes.clone().unwrap();
                let frames =
                    frames.iter().map(|frame| (frame.sentence, frame.take, frame.codes[0])).collect::<Vec<_>>();
                chunks.push((from, frames));
                publisher.mark_published();
            }
        }
        publisher.frames()
    };
    assert_eq!(hear(0, 0, 0..3), 3);
    assert_eq!(hear(1, 0, 10..14), 7);
    assert_eq!(hear(1, 1, 20..24), 7, "the frames of the first take do not count");
    let second = |numbers: std::ops::Range<u32>| numbers.map(|number| (1, 1, number));
    let first = [(0, 0, 1), (0, 0, 2), (1, 0, 10), (1, 0, 11), (1, 0, 12)].to_vec();
    assert_eq!(chunks, [(0, vec![(0, 0, 0)]), (1, first), (3, second(20..23).collect())]);
}

/// Follower that keeps every event by its number: the same number twice is one event.
#[derive(Default)]
struct LiveReceiver {
    pcm: Vec<u8>,
    last: u64,
    events: Vec<u32>,
}

impl LiveReceiver {
    fn receive(&mut self, pending: &PendingEvent) {
        if pending.sequence <= self.last {
            return;
        }
        self.last = pending.sequence;
        let Event::Progress { audio, .. } = &pending.event else { panic!("{pending:?}") };
        let Some(audio) = audio else { return };
        assert_eq!(audio.offset() as usize, self.pcm.len() / 2, "no sample twice, none left out");
        self.pcm.extend_from_slice(audio.pcm());
        self.events.push(audio.samples());
    }
}

/// Outcome of a write.
#[derive(Clone, Copy, PartialEq)]
enum Written {
    Yes,
    No,
    /// Written, but reported as failed.
    Silently,
}

fn frame(number: usize) -> Vec<f32> {
    (0..FRAME_SAMPLES).map(|n| ((n * 7_919 + number * 104_729) % 2_001) as f32 / 4_000.0 - 0.25).collect()
}

fn stream() -> MarkStream {
    Watermark::new(&WatermarkKey::development()).stream()
}

/// Runs an attempt of `frames` frames, the first `old` of them replayed. Every fourth frame brings
/// no samples, and the next one more. Stops after `cut` frames, as if killed, if `cut` is not more
/// than `frames`.
fn attempt(to: &mut LiveReceiver, old: usize, frames: usize, cut: usize, written: impl Fn(usize) -> Written) {
    to.last = 0;
    let (mut publisher, mut stream) =
        (ProgressPublisher::new(origin(), PublishPace::Often, 100, Some(to.pcm.len() as u64 / 2)), stream());
    let mut tell = |publisher: &mut ProgressPublisher, at: usize| {
        while let Some(pending) = publisher.due() {
            let written = written(at);
            if written != Written::No {
                to.receive(pending);
            }
            if written != Written::Yes {
                return publisher.defer();
            }
            publisher.mark_published();
        }
    };
    let mut held = Vec::new();
    for number in 0..frames.min(cut) {
        held.extend(frame(number));
        let ready = stream.push(&if number % 4 == 3 { Vec::new() } else { std::mem::take(&mut held) });
        publisher.push(&sentence_frame(0, number as u32, number < old), &ready.into());
        tell(&mut publisher, number);
    }
    if cut > frames {
        let ready = stream.push(&held);
        publisher.end(&ready.into(), &stream.finish().into());
        tell(&mut publisher, usize::MAX);
        assert_eq!(publisher.due(), None);
    }
}

fn recording(frames: usize) -> Vec<u8> {
    let mut stream = stream();
    let mut marked = stream.push(&(0..frames).flat_map(frame).collect::<Vec<_>>());
    marked.append(stream.finish());
    encode::pcm(&marked.into())
}

#[test]
fn samples_go_out_from_the_first_frame_to_the_last() {
    let mut receiver = LiveReceiver::default();
    attempt(&mut receiver, 0, 23, usize::MAX, |_| Written::Yes);
    assert!(receiver.pcm == recording(23));
    assert!(receiver.events[0] < FRAME_SAMPLES as u32, "with the first frame, but for what the mark holds back");
    assert!(receiver.events.len() < 10, "{:?}", receiver.events);
    let mut short = LiveReceiver::default();
    attempt(&mut short, 0, 1, usize::MAX, |_| Written::Yes);
    assert!(short.pcm == recording(1));
}

/// Silence that was held back comes at once: more events, none of them large.
#[test]
fn many_samples_at_once_are_cut_into_bounded_events() {
    let (mut receiver, mut stream) = (LiveReceiver::default(), stream());
    let mut publisher = ProgressPublisher::new(origin(), PublishPace::Often, 100, Some(0));
    publisher.push(&sentence_frame(0, 0, false), &Marked::default());
    assert!(
        matches!(publisher.due(), Some(PendingEvent { event: Event::Progress { audio: None, .. }, .. })),
        "codes alone"
    );
    publisher.mark_published();
    publisher.push(&sentence_frame(0, 1, false), &stream.push(&(0..20).flat_map(frame).collect::<Vec<_>>()).into());
    while let Some(pending) = publisher.due() {
        receiver.receive(pending);
        assert_eq!(pending.codes.is_some(), receiver.events.len() == 1, "the codes go with the first");
        publisher.mark_published();
    }
    let most = AudioChunk::SAMPLES_MAX as u32;
    assert_eq!(receiver.events, [most, most, most, 20 * FRAME_SAMPLES as u32 - 3 * most - 480]);
}

/// The follower receives the recording, whatever fails and however.
#[test]
fn an_event_in_doubt_is_written_again_as_it_was() {
    for fault in [Written::No, Written::Silently] {
        for from in 0..14 {
            let mut receiver = LiveReceiver::default();
            let away = from..from + 7;
            attempt(&mut receiver, 0, 23, usize::MAX, |at| if away.contains(&at) { fault } else { Written::Yes });
            assert!(receiver.pcm == recording(23), "away from frame {from}");
        }
    }
}

/// The next attempt replays the published codes, and sends samples from the first unsent one. The
/// point where the earlier attempt was killed does not matter, nor whether anything is replayed.
#[test]
fn an_attempt_goes_on_behind_the_last_sample_that_was_sent() {
    for cut in 0..23 {
        for old in [0, cut / 5 * 5] {
            let mut receiver = LiveReceiver::default();
            attempt(&mut receiver, 0, 23, cut, |_| Written::Yes);
            attempt(&mut receiver, old, 23, cut + 3, |_| Written::Yes);
            attempt(&mut receiver, old, 23, usize::MAX, |_| Written::Yes);
            assert!(receiver.pcm == recording(23), "cut at {cut}");
        }
    }
}

/// Another build may make less than was sent. No sample is sent twice, and none after the end.
#[test]
fn a_shorter_recording_sends_nothing_more() {
    let mut receiver = LiveReceiver::default();
    attempt(&mut receiver, 0, 23, 15, |_| Written::Yes);
    let sent = receiver.pcm.clone();
    attempt(&mut receiver, 0, 2, usize::MAX, |_| Written::Yes);
    assert!(!sent.is_empty() && receiver.pcm == sent);
}
