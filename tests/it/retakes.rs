//! Sentences with bad audio: they are spoken again, the receipt and the metrics say so, and a job that
//! is cut off among its takes ends with the bytes of an undisturbed run.

use csm_testing::process::program_path;
use serde_json::{Value, json};

use crate::cut_off::{RedisView, audio, replace_worker};
use crate::test_system::TestSystem;

/// Letters in a second, near the pace of the toy voice: some of its takes are above.
const LETTERS_PER_SECOND: &str = "13.3";
/// Frame from which on the worker may be killed: in the third sentence, whose takes are short.
const CUT_AT: u64 = 60;
/// Jobs of a run.
const JOBS: u64 = 5;
/// Turns of a job.
const TURNS: [&str; 5] = [
    "The boy was there when the sun rose.",
    "Take the winding path to reach the lake.",
    "The meal was cooked before the bell rang.",
    "The young girl gave no clear response.",
    "The navy attacked the big task force.",
];

/// Submits the jobs; returns their ids in the order of their seeds.
async fn submit(system: &TestSystem) -> Vec<String> {
    let mut ids = Vec::new();
    for seed in 0..JOBS {
        let turns = TURNS.map(|text| json!({ "text": text, "speaker": seed % 2 }));
        let job = json!({ "turns": turns, "seed": seed });
        let accepted: Value = system.client.post("/v1/jobs", &job).await.json().await.unwrap();
        ids.push(accepted["id"].as_str().unwrap().to_owned());
    }
    ids
}

/// Returns the faults of all takes in a receipt, by sentence.
fn faults(record: &Value) -> Vec<Value> {
    let sentences = record["receipt"]["sentences"].as_array().unwrap();
    sentences.iter().map(|sentence| json!([sentence["retakes"], sentence["fault"]])).collect()
}

/// Returns the number of takes that the receipts say were given up.
fn given_up(records: &[Value]) -> usize {
    let sentences = records.iter().flat_map(|record| record["receipt"]["sentences"].as_array().unwrap());
    sentences.map(|sentence| sentence["retakes"].as_array().map_or(0, Vec::len)).sum()
}

/// Returns the number of takes that a worker counts as too short.
async fn counted(system: &TestSystem) -> usize {
    let page = system.metrics().await.pop().unwrap();
    let counter = r#"csm_retakes_total{reason="too_short"} "#;
    page.lines().find_map(|line| line.strip_prefix(counter)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_job_cut_off_among_its_takes_ends_as_an_undisturbed_one() {
    let mut system = TestSystem::start_speaking(0, JOBS as u8).await;
    system.set("CSM_TAKE_LETTERS_PER_SECOND", LETTERS_PER_SECOND);
    system.add_worker();
    system.ready().await;
    let mut redis_view = RedisView::of(&system).await;
    let (mut undisturbed, mut records) = (Vec::new(), Vec::new());
    for id in submit(&system).await {
        let (wav, record) = audio(&system, &id).await;
        undisturbed.push((wav, faults(&record)));
        records.push(record);
    }
    println!("{} takes given up: {:?}", given_up(&records), undisturbed.iter().map(|job| &job.1).collect::<Vec<_>>());
    assert!(given_up(&records) >= 2);
    assert_eq!(counted(&system).await, given_up(&records));
    let spoken_again = |record: &Value| record["receipt"]["warnings"].to_string().contains("spoken_again");
    assert!(records.iter().all(|record| spoken_again(record) == (given_up(std::slice::from_ref(record)) > 0)));

    let worker = program_path("csm-worker").unwrap();
    let ids = submit(&system).await;
    for attempt in [1, 2] {
        assert!(redis_view.reaches(&ids, attempt, CUT_AT).await, "every job has ended before the kill");
        replace_worker(&mut system, &mut redis_view, &worker).await;
    }
    let mut resumed = 0;
    for (id, undisturbed) in ids.iter().zip(&undisturbed) {
        let (wav, record) = audio(&system, id).await;
        assert_eq!(faults(&record), undisturbed.1, "{record}");
        assert!(wav == undisturbed.0, "{record}");
        resumed += record["receipt"]["resumed_frames"].as_u64().unwrap();
    }
    println!("{resumed} frames resumed");
    assert!(resumed > 0);
}
