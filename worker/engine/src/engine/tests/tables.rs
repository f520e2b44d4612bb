//! Tests of the pure parts: slot table, schedule, prompt, caches, guard, device names.

use std::time::Instant;

use proptest::prelude::*;

use super::super::active_utterance::ActiveUtterance;
use super::super::encoder_thread::CodesCache;
use super::super::guard::{
    Budget, FRAMES_OF_ANY_TEXT, Guard, GuardDecision, HELD_FRAMES, REPEATED_FRAMES, SILENCE_RMS, SILENT_FRAMES,
};
use super::super::prefill::Prompt;
use super::super::prefix_cache::{MAX_PREFIXES, PrefixCache, PromptContext};
use super::super::schedule::{Need, NextWork, Schedule};
use super::super::slots::{SlotId, Slots};
use super::*;
use crate::model::{END_FRAME, Position};

const PREFILL_BLOCK: usize = 128;

#[derive(Debug, Clone)]
enum SlotOperation {
    Admit,
    /// Release the n-th id ever given, whether old or current.
    Release(usize),
}

proptest! {
    /// The slot table agrees with a plain list of occupants.
    #[test]
    fn an_id_finds_its_occupant_until_released_and_never_another(
        count in 1usize..6,
        operations in prop::collection::vec(prop_oneof![Just(SlotOperation::Admit), (0usize..40).prop_map(SlotOperation::Release)], 0..80),
    ) {
        let mut slots = Slots::new(count);
        let mut given: Vec<(SlotId, bool)> = Vec::new();
        for operation in operations {
            let occupied = given.iter().filter(|(_, occupied)| *occupied).count();
            match operation {
                SlotOperation::Admit => match slots.admit(given.len()) {
                    Ok(id) => {
                        prop_assert!(occupied < count && id.index < count);
                        prop_assert!(given.iter().all(|(old, _)| *old != id), "an id was given twice");
                        given.push((id, true));
                    }
                    Err(back) => {
                        prop_assert_eq!(occupied, count);
                        prop_assert_eq!(back, given.len());
                    }
                },
                SlotOperation::Release(which) => if let Some((id, occupied)) = given.get_mut(which) {
                    prop_assert_eq!(slots.release(*id), occupied.then_some(which));
                    *occupied = false;
                },
            }
            for (occupant, (id, occupied)) in given.iter().enumerate() {
                prop_assert_eq!(slots.get_mut(*id).copied(), occupied.then_some(occupant));
            }
            let now: Vec<_> = given.iter().filter(|(_, occupied)| *occupied).collect();
            prop_assert_eq!(slots.iter().count(), now.len());
            prop_assert_eq!(slots.has_free(), now.len() < count);
        }
    }

    /// A slot that can make a frame waits for at most one prefill block, whatever the others need.
    /// Every step includes all slots that can make a frame. A prompt waits for one block of each
    /// other slot and the steps between.
    #[test]
    fn nobody_waits_for_more_than_one_piece(
        needs in prop::collection::vec(prop::collection::vec(0u8..3, 5), 1..60),
        watched in 0usize..5,
        fed in any::<bool>(),
    ) {
        let mut schedule = Schedule::default();
        let (mut pieces, mut steps) = ([0; 5], 0);
        for needs in needs {
            let need = |index: usize| match needs[index] {
                _ if index == watched && fed => Need::Prompt,
                _ if index == watched => Need::Frame,
                0 => Need::Frame,
                1 => Need::Prompt,
                _ => Need::Nothing,
            };
            let slots: Vec<_> = (0..5).map(|index| (SlotId { index, generation: 0 }, need(index))).collect();
            match schedule.next(&slots) {
                Some(NextWork::Step(ids)) => {
                    let able: Vec<_> = slots.iter().filter(|slot| slot.1 == Need::Frame).map(|slot| slot.0).collect();
                    prop_assert_eq!(ids, able);
                    steps += 1;
                    if !fed {
                        pieces = [0; 5];
                    }
                }
                Some(NextWork::Prompt(id)) => {
                    prop_assert_eq!(need(id.index), Need::Prompt);
                    pieces[id.index] += 1;
                    if fed && id.index == watched {
                        (pieces, steps) = ([0; 5], 0);
                    }
                }
                None => prop_assert!(false, "the watched slot could have moved"),
            }
            if fed {
                prop_assert!(pieces.iter().all(|&fed| fed <= 1) && steps <= 5, "{pieces:?} {steps}");
            } else {
                prop_assert!(pieces.iter().sum::<i32>() <= 1, "{pieces:?}");
            }
        }
    }

    /// Any frames, in runs of silence and of repeats of the frame before.
    #[test]
    fn no_more_frames_are_held_than_leave_room_for_a_block(
        runs in prop::collection::vec((any::<bool>(), prop::bool::weighted(0.8), 1u32..26), 1..20),
    ) {
        let (mut guard, mut codes, mut held) = (Guard::default(), [0; 32], 0);
        for (same, silent, frames) in runs {
            for _ in 0..frames {
                codes[0] += u32::from(!same);
                match guard.observe(&codes, &[if silent { 0.0 } else { 2.0 * SILENCE_RMS }]) {
                    GuardDecision::Deliver => held = 0,
                    GuardDecision::Hold => held += 1,
                    GuardDecision::Stop => return Ok(()),
                }
                prop_assert!(held <= HELD_FRAMES);
            }
        }
    }

    /// The prefix cache agrees with a plain list of all prefixes ever saved.
    #[test]
    fn a_prefix_is_found_where_all_of_it_begins_the_context(
        kept in prop::collection::vec(contexts(), 1..12),
        sought in prop::collection::vec(contexts(), 1..12),
    ) {
        let mut cache = PrefixCache::new(1 << 20);
        for (index, (positions, cuts)) in kept.iter().enumerate() {
            cache.keep(PromptContext { positions, cuts }, index, 10);
        }
        for (positions, cuts) in &sought {
            let context = PromptContext { positions, cuts };
            let begins = |(known, ends): &&(Vec<Position>, Vec<usize>)| {
                positions.starts_with(known) && cuts.starts_with(ends)
            };
            let longest = kept.iter().filter(begins).map(|(known, _)| known.len()).max();
            let found = cache.find(context).map(|(positions, &index)| (positions, &kept[index]));
            prop_assert_eq!(found.map(|found| found.0), longest);
            prop_assert!(found.is_none_or(|(count, (known, _))| known[..] == positions[..count]));
            prop_assert_eq!(cache.holds(context), kept.contains(&(positions.clone(), cuts.clone())));
        }
    }
}

/// Returns contexts of few and short segments of few different positions, so that many share a
/// beginning.
fn contexts() -> impl Strategy<Value = (Vec<Position>, Vec<usize>)> {
    prop::collection::vec(prop::collection::vec(0u32..2, 1..3), 1..4).prop_map(|segments| {
        let (mut positions, mut cuts) = (Vec::new(), Vec::new());
        for segment in segments {
            positions.extend(segment.into_iter().map(Position::Text));
            cuts.push(positions.len());
        }
        (positions, cuts)
    })
}

#[test]
fn the_prefixes_used_longest_ago_make_room() {
    let context = |name: u32| vec![Position::Text(name); 10];
    fn of(positions: &[Position]) -> PromptContext<'_> {
        PromptContext { positions, cuts: &[10] }
    }
    let mut cache = PrefixCache::new(10_000);
    for name in 0..3 {
        cache.keep(of(&context(name)), name, 1000);
    }
    let each = cache.bytes() / 3;
    assert!(each > 1000, "positions count too");
    assert!(cache.find(of(&context(0))).is_some());
    cache.keep(of(&context(3)), 3, 10_000 - 2 * each);
    assert!(cache.bytes() <= 10_000, "{}", cache.bytes());
    assert_eq!((0..4).map(|name| cache.holds(of(&context(name)))).collect::<Vec<_>>(), [true, false, false, true]);
    cache.keep(of(&context(4)), 4, 10_000);
    assert!(
        !cache.holds(of(&context(4))) && cache.holds(of(&context(0))),
        "what is larger than the cache harms nobody"
    );
    let mut cache = PrefixCache::new(u64::MAX);
    for name in 0..MAX_PREFIXES as u32 + 5 {
        cache.keep(of(&context(name)), name, 1);
    }
    let kept = (0..).take(MAX_PREFIXES + 5).filter(|&name| cache.holds(of(&context(name))));
    assert_eq!(kept.collect::<Vec<_>>(), (5..MAX_PREFIXES as u32 + 5).collect::<Vec<_>>());
}

#[test]
fn codes_are_kept_by_their_samples_and_bounded() {
    let mut cache = CodesCache::default();
    let clip = |level: i16, frames: usize| Clip::from_samples(vec![level; frames * 1920]);
    let mut codes = |clip: &Clip, encodes: bool| {
        let mut encoded = false;
        let codes = cache.codes(clip, |clip| {
            encoded = true;
            Ok(vec![[clip.samples()[0] as u32; 32]; clip.frames()])
        });
        assert_eq!(codes.unwrap(), vec![[clip.samples()[0] as u32; 32]; clip.frames()]);
        assert_eq!(encoded, encodes);
        cache.frames()
    };
    codes(&clip(1, 2), true);
    codes(&clip(2, 2), true);
    assert_eq!(codes(&clip(1, 2), false), 4);
    assert_eq!(codes(&clip(3, (1 << 16) - 2), true), 1 << 16, "the one used longest ago has made room");
    codes(&clip(1, 2), false);
    codes(&clip(2, 2), true);
}

/// Steps of the loop, by hand: 50 ms a frame, with a reader that keeps up or falls behind.
#[test]
fn gaps_are_between_frames_that_nobody_held_up() {
    let (frames, mut reader) = mpsc::channel(2);
    let mut active = ActiveUtterance::new(say(vec![1], 0, 10), 2048, frames, tracing::Span::none());
    assert_eq!(active.need(), Need::Prompt);
    active.prompt.fed(1);
    let (begun, frame) = (Instant::now(), Duration::from_millis(50));
    let spoken = || AudioFrame { codes: END_FRAME, pcm: Vec::new(), replayed: false };
    assert_eq!((active.need(), active.gap(begun)), (Need::Frame, None));
    active.frames.try_send(spoken()).unwrap();
    assert_eq!((active.need(), active.gap(begun + frame)), (Need::Frame, Some(frame)));
    active.frames.try_send(spoken()).unwrap();
    assert_eq!(active.need(), Need::Nothing);
    reader.try_recv().unwrap();
    assert_eq!((active.need(), active.gap(begun + 9 * frame)), (Need::Frame, None));
    assert_eq!(active.gap(begun + 11 * frame), Some(2 * frame));
}

#[test]
fn a_budget_is_what_was_asked_for_unless_no_text_can_need_it() {
    let budget = |ids, frames| Budget::new(ids, frames);
    assert_eq!(budget(1, FRAMES_OF_ANY_TEXT), Budget { frames: FRAMES_OF_ANY_TEXT, reason: FinishReason::Length });
    assert_eq!(budget(10, 1125), Budget { frames: 245, reason: FinishReason::Runaway });
    assert_eq!(budget(10, 245), Budget { frames: 245, reason: FinishReason::Length });
    assert_eq!(budget(usize::MAX, u32::MAX).reason, FinishReason::Length);
}

#[test]
fn the_guard_counts_runs_not_frames() {
    let loud = [SILENCE_RMS * 1.01, -SILENCE_RMS * 1.01];
    let soft = [SILENCE_RMS * 0.99, -SILENCE_RMS * 0.99];
    let mut guard = Guard::default();
    for round in 0..3 {
        for frame in 0..REPEATED_FRAMES - 1 {
            let expected = if frame == 0 { GuardDecision::Deliver } else { GuardDecision::Hold };
            assert_eq!(guard.observe(&[round; 32], &loud), expected);
        }
    }
    for frame in 0..3 * SILENT_FRAMES {
        let pcm = if frame % SILENT_FRAMES == SILENT_FRAMES - 1 { loud } else { soft };
        assert_ne!(guard.observe(&[100 + frame; 32], &pcm), GuardDecision::Stop, "frame {frame}");
    }
    let verdicts: Vec<_> = (0..SILENT_FRAMES).map(|frame| guard.observe(&[500 + frame; 32], &soft)).collect();
    assert_eq!(verdicts.iter().position(|verdict| *verdict == GuardDecision::Stop), Some(SILENT_FRAMES as usize - 1));
}

#[test]
fn prompts_take_turns() {
    let mut schedule = Schedule::default();
    let slots: Vec<_> = (0..3).map(|index| (SlotId { index, generation: 0 }, Need::Prompt)).collect();
    let work: Vec<_> = (0..7).filter_map(|_| schedule.next(&slots)).collect();
    let order = work.iter().map(|next| match next {
        NextWork::Prompt(id) => id.index,
        NextWork::Step(_) => 99,
    });
    assert_eq!(order.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
    let waiting: Vec<_> = slots.iter().map(|(id, _)| (*id, Need::Nothing)).collect();
    assert_eq!(schedule.next(&waiting), None);
}

/// Feeds a whole prompt; returns its positions and the sizes of the blocks.
fn feed(prompt: &mut Prompt) -> (Vec<Position>, Vec<usize>) {
    let (mut fed, mut pieces) = (Vec::new(), Vec::new());
    while !prompt.is_complete() {
        let block = prompt.block(PREFILL_BLOCK).to_vec();
        prompt.fed(block.len());
        pieces.push(block.len());
        fed.extend(block);
    }
    (fed, pieces)
}

#[test]
fn a_prompt_is_its_turns_then_its_text_in_pieces_of_each() {
    let clip = |frames: usize| Clip::from_samples(vec![0; 1920 * frames]);
    let codes = PromptSegment { text_ids: vec![2; 3], audio: SegmentAudio::Codes(vec![[8; 32]]) };
    let context = vec![clip_segment(vec![1; 3], clip(200)), codes, clip_segment(vec![3; 3], clip(1))];
    let mut prompt = Prompt::new(context, 3, vec![9; 4]);
    assert!(prompt.waits_for_codes());
    let recordings = prompt.clips().iter().map(|clip| vec![[clip.frames() as u32; 32]; clip.frames()]).collect();
    prompt.encoded(recordings);
    assert!(!prompt.waits_for_codes());
    let mut expected = vec![Position::Text(1); 3];
    expected.extend(vec![Position::Audio([200; 32]); 200]);
    expected.push(Position::Audio(END_FRAME));
    expected.extend(vec![Position::Text(2); 3]);
    expected.extend([Position::Audio([8; 32]), Position::Audio(END_FRAME)]);
    expected.extend(vec![Position::Text(3); 3]);
    expected.extend([Position::Audio([1; 32]), Position::Audio(END_FRAME)]);
    assert_eq!(prompt.context(), Some(PromptContext { positions: &expected, cuts: &[204, 209, 214] }));
    expected.extend(vec![Position::Text(9); 4]);
    for _ in 0..2 {
        assert!(prompt.is_untouched());
        assert_eq!(feed(&mut prompt), (expected.clone(), vec![PREFILL_BLOCK, 204 - PREFILL_BLOCK, 5, 5, 4]));
        prompt.rewind();
    }
}

#[test]
fn devices_are_read_as_they_are_written() {
    for choice in [DeviceChoice::Cpu, DeviceChoice::Cuda(0), DeviceChoice::Cuda(3), DeviceChoice::Auto] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
    }
    assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda(0)));
    for wrong in ["", "gpu", "cuda:", "cuda:x", "cuda:-1", "CPU "] {
        assert!(wrong.parse::<DeviceChoice>().is_err(), "{wrong:?}");
    }
}
