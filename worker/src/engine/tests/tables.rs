//! The pure parts: slot table, schedule, prompt, device names.

use proptest::prelude::*;

use super::super::prompt::{Prompt, Work};
use super::super::schedule::{Need, Schedule, Turn};
use super::super::slots::{SlotId, Slots};
use super::*;
use crate::model::{END_FRAME, PREFILL_PIECE, Position};

#[derive(Debug, Clone)]
enum Deed {
    Admit,
    /// Release the n-th id ever given, be it old or current.
    Release(usize),
}

proptest! {
    /// Against a plain list of who sits where.
    #[test]
    fn an_id_finds_its_tenant_until_released_and_never_another(
        count in 1usize..6,
        deeds in prop::collection::vec(prop_oneof![Just(Deed::Admit), (0usize..40).prop_map(Deed::Release)], 0..80),
    ) {
        let mut slots = Slots::new(count);
        let mut given: Vec<(SlotId, bool)> = Vec::new();
        for deed in deeds {
            let seated = given.iter().filter(|(_, seated)| *seated).count();
            match deed {
                Deed::Admit => match slots.admit(given.len()) {
                    Ok(id) => {
                        prop_assert!(seated < count && id.index < count);
                        prop_assert!(given.iter().all(|(old, _)| *old != id), "an id was given twice");
                        given.push((id, true));
                    }
                    Err(back) => {
                        prop_assert_eq!(seated, count);
                        prop_assert_eq!(back, given.len());
                    }
                },
                Deed::Release(which) => if let Some((id, seated)) = given.get_mut(which) {
                    prop_assert_eq!(slots.release(*id), seated.then_some(which));
                    *seated = false;
                },
            }
            for (tenant, (id, seated)) in given.iter().enumerate() {
                prop_assert_eq!(slots.get_mut(*id).copied(), seated.then_some(tenant));
            }
            let now: Vec<_> = given.iter().filter(|(_, seated)| *seated).collect();
            prop_assert_eq!(slots.iter().count(), now.len());
            prop_assert_eq!(slots.has_free(), now.len() < count);
        }
    }

    /// Whatever the others need, a slot that can make a frame makes one before any other has made two, and waits for
    /// one piece of prompt at most.
    #[test]
    fn nobody_waits_for_more_than_one_frame_each_and_one_piece(
        needs in prop::collection::vec(prop::collection::vec(0u8..3, 5), 1..60),
        watched in 0usize..5,
    ) {
        let mut schedule = Schedule::default();
        let (mut frames, mut pieces) = ([0; 5], 0);
        for needs in needs {
            let need = |index: usize| match needs[index] {
                _ if index == watched => Need::Frame,
                0 => Need::Frame,
                1 => Need::Prompt,
                _ => Need::Reader,
            };
            let slots: Vec<_> = (0..5).map(|index| (SlotId { index, generation: 0 }, need(index))).collect();
            match schedule.next(&slots) {
                Some(Turn::Frame(id)) => {
                    prop_assert_eq!(need(id.index), Need::Frame);
                    frames[id.index] += 1;
                    if id.index == watched {
                        (frames, pieces) = ([0; 5], 0);
                    }
                }
                Some(Turn::Prompt(id)) => {
                    prop_assert_eq!(need(id.index), Need::Prompt);
                    pieces += 1;
                }
                None => prop_assert!(false, "the watched slot could have made a frame"),
            }
            prop_assert!(pieces <= 1 && frames.iter().all(|&made| made <= 1), "{frames:?} {pieces}");
        }
    }
}

#[test]
fn prompts_take_turns() {
    let mut schedule = Schedule::default();
    let slots: Vec<_> = (0..3).map(|index| (SlotId { index, generation: 0 }, Need::Prompt)).collect();
    let turns: Vec<_> = (0..7).filter_map(|_| schedule.next(&slots)).collect();
    let order = turns.iter().map(|turn| match turn {
        Turn::Prompt(id) => id.index,
        Turn::Frame(_) => 99,
    });
    assert_eq!(order.collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2, 0]);
    let waiting: Vec<_> = slots.iter().map(|(id, _)| (*id, Need::Reader)).collect();
    assert_eq!(schedule.next(&waiting), None);
}

#[test]
fn a_prompt_is_its_turns_then_its_text_in_equal_pieces() {
    let turn =
        |id: u32, frames: usize| Segment { text_ids: vec![id; 3], clip: Clip::from_samples(vec![0; 1920 * frames]) };
    let mut prompt = Prompt::new(vec![turn(1, 200), turn(2, 1)], vec![9; 4]);
    let mut fed = Vec::new();
    let mut pieces = Vec::new();
    loop {
        match prompt.work() {
            Some(Work::Encode(clip)) => {
                let frames = vec![[clip.frames() as u32; 32]; clip.frames()];
                prompt.encoded(frames);
            }
            Some(Work::Feed(positions)) => {
                pieces.push(positions.len());
                fed.extend(positions.to_vec());
                prompt.fed();
            }
            None => break,
        }
    }
    let mut expected = vec![Position::Text(1); 3];
    expected.extend(vec![Position::Audio([200; 32]); 200]);
    expected.push(Position::Audio(END_FRAME));
    expected.extend(vec![Position::Text(2); 3]);
    expected.extend([Position::Audio([1; 32]), Position::Audio(END_FRAME)]);
    expected.extend(vec![Position::Text(9); 4]);
    assert_eq!(fed, expected);
    assert_eq!(pieces, [PREFILL_PIECE, expected.len() - PREFILL_PIECE]);
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
