//! Jobs that are cut off in mid-utterance resume. Whatever frame their worker is killed at, their
//! audio is byte for byte that of an undisturbed run.

use std::collections::BTreeSet;

use csm_testing::process::program_path;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cut_off::{FRAMES, JOBS, RedisView, audio, replace_worker, submit};
use crate::test_system::TestSystem;

/// Cuts to make. A cut is a job and the frame at which it was cut off.
const CUTS: usize = 50;
/// Most rounds. A round kills the worker of all jobs, then the worker of a job that runs alone.
/// Fewer suffice unless a job starts anew.
const ROUNDS_MAX: usize = 8;

#[tokio::test]
async fn killed_at_fifty_frames_jobs_go_on_to_the_same_bytes() {
    let seed = rand::random();
    println!("seed {seed}");
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let worker = program_path("csm-worker").unwrap();
    let mut system = TestSystem::start(1, JOBS as u8).await;
    let mut redis_view = RedisView::of(&system).await;
    let mut undisturbed = Vec::new();
    for id in submit(&system).await {
        let (wav, record) = audio(&system, &id).await;
        assert_eq!((record["attempt"].as_u64(), record["receipt"]["resumed_frames"].as_u64()), (Some(1), Some(0)));
        undisturbed.push(wav);
    }
    let (mut cuts, mut anew, mut frames, mut kills) = (0, 0, BTreeSet::new(), 0);
    for _ in 0..ROUNDS_MAX {
        if cuts >= CUTS {
            break;
        }
        let ids = submit(&system).await;
        // The first kill hits all jobs at once, the second a suspect, which runs alone.
        for (attempt, earliest) in [(1, FRAMES / 4), (2, 6)] {
            // At that frame every job has frames, even the last one submitted.
            let frame = random.random_range(earliest..FRAMES * 3 / 4);
            if redis_view.reaches(&ids, attempt, frame).await {
                replace_worker(&mut system, &mut redis_view, &worker).await;
                kills += 1;
            }
        }
        for (id, undisturbed) in ids.iter().zip(&undisturbed) {
            let (wav, record) = audio(&system, id).await;
            assert!(wav == *undisturbed, "{record}");
            let (attempts, resumed) = (record["attempt"].as_u64(), record["receipt"]["resumed_frames"].as_u64());
            match (attempts.unwrap(), resumed.unwrap()) {
                (1, 0) => {}
                (_, 0) => anew += 1,
                (1, _) => panic!("nothing to resume: {record}"),
                (attempts, resumed) => {
                    cuts += attempts as usize - 1;
                    frames.insert(resumed);
                }
            }
        }
    }
    println!("{kills} kills, {cuts} cuts resumed, {anew} begun anew, at {} different frames: {frames:?}", frames.len());
    assert!(cuts >= CUTS && anew * 2 < cuts, "{cuts} resumed, {anew} begun anew");
}
