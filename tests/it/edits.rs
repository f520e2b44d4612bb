//! Sentences of an ended job that are spoken again: a new take in its place, and nothing else changed.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::cut_off::{RedisView, audio, replace_worker};
use crate::test_client::{assert_marked, read_wav};
use crate::test_system::TestSystem;

/// Least likeness of two recordings of the same samples. The mark hangs on the whole recording, so the
/// samples are not equal.
const SAME_MIN: f64 = 0.99;
/// Greatest likeness of two takes.
const OTHER_MAX: f64 = 0.9;
/// Samples of a millisecond.
const MS: usize = 24;

/// Sentences of a job.
const SENTENCES: [&str; 4] = [
    "The boy was there when the sun rose.",
    "Take the winding path to reach the lake.",
    "The meal was cooked before the bell rang.",
    "The young girl gave no clear response.",
];

/// Returns a job of all sentences: turns, because short sentences of one text are spoken together.
fn job(editable: bool) -> Value {
    let turns = SENTENCES.map(|text| json!({ "text": text, "speaker": 0 }));
    json!({ "turns": turns, "seed": 4, "editable": editable })
}

/// Returns the cosine between two recordings, over the shorter of them.
fn likeness(a: &[i16], b: &[i16]) -> f64 {
    let dot = |a: &[i16], b: &[i16]| a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>();
    let length = a.len().min(b.len());
    dot(a, b) / (dot(&a[..length], &a[..length]) * dot(&b[..length], &b[..length])).sqrt()
}

/// Returns the samples of each sentence.
fn sentences(wav: &[u8], record: &Value) -> Vec<Vec<i16>> {
    let (samples, _) = read_wav(wav);
    let sentences = record["receipt"]["sentences"].as_array().unwrap().iter();
    let samples = sentences.map(|sentence| {
        let at = |field: &str| sentence[field].as_u64().unwrap() as usize * MS;
        samples[at("start_ms")..(at("start_ms") + at("duration_ms")).min(samples.len())].to_vec()
    });
    samples.collect()
}

/// Orders a take, and returns the id of the job that speaks it.
async fn order(system: &TestSystem, id: &str, number: u32, body: &Value) -> String {
    let answer = system.client.post(&format!("/v1/jobs/{id}/sentences/{number}"), body).await;
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let accepted: Value = answer.json().await.unwrap();
    if let Some(seed) = body.get("seed") {
        assert_eq!(&accepted["seed"], seed, "the seed of the take");
    }
    accepted["id"].as_str().unwrap().to_owned()
}

async fn submit(system: &TestSystem, body: &Value) -> String {
    let accepted: Value = system.client.post("/v1/jobs", body).await.json().await.unwrap();
    accepted["id"].as_str().unwrap().to_owned()
}

/// Returns the refusal of an order: its status, its code and its detail.
async fn refusal(system: &TestSystem, id: &str, number: &str, body: &Value) -> (u16, String, String) {
    let answer = system.client.post(&format!("/v1/jobs/{id}/sentences/{number}"), body).await;
    let status = answer.status().as_u16();
    let problem: Value = answer.json().await.unwrap();
    (status, problem["code"].as_str().unwrap().to_owned(), problem["detail"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_sentence_is_spoken_again_and_nothing_else_changes() {
    let mut system = TestSystem::start_speaking(1, 2).await;
    let id = submit(&system, &job(true)).await;
    let (wav, record) = audio(&system, &id).await;
    let before = sentences(&wav, &record);
    assert_eq!(before.len(), SENTENCES.len());

    let edited = order(&system, &id, 2, &json!({ "seed": 9 })).await;
    let (new_wav, new_record) = audio(&system, &edited).await;
    assert_marked(&new_wav);
    let after = sentences(&new_wav, &new_record);
    let alike: Vec<_> = before.iter().zip(&after).map(|(a, b)| likeness(a, b)).collect();
    println!("likeness of each sentence to itself before: {alike:.4?}");
    for kept in [0, 2, 3] {
        assert!(alike[kept] > SAME_MIN && before[kept].len() == after[kept].len(), "sentence {kept}");
    }
    assert!(alike[1] < OTHER_MAX, "another seed speaks in another way");
    let of = |record: &Value, sentence: usize, field: &str| record["receipt"]["sentences"][sentence][field].clone();
    assert_eq!((of(&new_record, 1, "seed"), of(&new_record, 0, "seed")), (json!(9), Value::Null));
    assert_eq!(of(&new_record, 1, "context_positions"), of(&record, 1, "context_positions"), "it hears the same");
    assert_eq!(new_record["receipt"]["seed"], json!(4));

    // An edit can be edited. The first seed brings the first take back, and with it the first bytes.
    let third = order(&system, &edited, 4, &json!({ "seed": 12 })).await;
    let (third_wav, third_record) = audio(&system, &third).await;
    let both = sentences(&third_wav, &third_record);
    assert!(likeness(&both[1], &after[1]) > SAME_MIN, "the take of the edit before stays");
    println!("another take: {:.4}", likeness(&both[3], &after[3]));
    assert!(likeness(&both[3], &after[3]) < OTHER_MAX);
    // The second sentence first, because the fourth one hears it.
    let mut undone = third;
    for number in [2, 4] {
        undone = order(&system, &undone, number, &json!({ "seed": 4 })).await;
        audio(&system, &undone).await;
    }
    let (undone_wav, _) = audio(&system, &undone).await;
    assert!(undone_wav == wav, "the first takes are the first recording, byte for byte");

    // A worker that dies while it speaks the take changes nothing.
    let program = csm_testing::process::program_path("csm-worker").unwrap();
    let mut redis_view = RedisView::of(&system).await;
    let ids = [order(&system, &id, 2, &json!({ "seed": 9 })).await];
    let in_the_take = of(&record, 0, "frames").as_u64().unwrap() + 8;
    assert!(redis_view.reaches(&ids, 1, in_the_take).await, "the edit has ended before the kill");
    replace_worker(&mut system, &mut redis_view, &program).await;
    let (again, record) = audio(&system, &ids[0]).await;
    assert!(again == new_wav);
    assert_eq!(record["receipt"]["attempt"], json!(2));
    assert!(record["receipt"]["resumed_frames"].as_u64().unwrap() >= in_the_take, "{record}");
}

#[tokio::test]
async fn orders_that_cannot_be_carried_out_are_refused_by_name() {
    let system = TestSystem::start_speaking(1, 2).await;
    let closed = submit(&system, &job(false)).await;
    let open = submit(&system, &job(true)).await;
    let running = refusal(&system, &open, "1", &json!({})).await;
    assert_eq!((running.0, running.1.as_str()), (409, "job_not_finished"));
    for id in [&closed, &open] {
        audio(&system, id).await;
    }
    let (status, code, detail) = refusal(&system, &closed, "1", &json!({})).await;
    assert_eq!((status, code.as_str()), (409, "job_not_editable"), "{detail}");
    for number in ["0", "5", "-1", "one", "4294967297"] {
        let (status, code, detail) = refusal(&system, &open, number, &json!({})).await;
        assert_eq!((status, code.as_str()), (404, "sentence_not_found"));
        assert!(detail.contains(number) && detail.contains("1 to 4"), "{detail}");
    }
    let (status, _, detail) = refusal(&system, &open, "1", &json!({ "seeds": 3 })).await;
    assert!(status == 422 && detail.contains("seeds") && detail.contains("seed"), "{status} {detail}");
    let (status, _, detail) = refusal(&system, &open, "1", &json!({ "seed": -3 })).await;
    assert!(status == 422 && detail.contains("seed") && detail.contains("-3"), "{status} {detail}");
    let (status, code, _) = refusal(&system, "0190b3f0-0000-7000-8000-000000000000", "1", &json!({})).await;
    assert_eq!((status, code.as_str()), (404, "job_not_found"));

    // A key means one sentence of one job.
    let address = system.client.address;
    let keyed = async |number: u32| {
        let path = format!("http://{address}/v1/jobs/{open}/sentences/{number}");
        let request = reqwest::Client::new().post(path).header("idempotency-key", "again-1");
        let answer = request.json(&json!({ "seed": 1 })).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let (first, repeated, other) = (keyed(1).await, keyed(1).await, keyed(2).await);
    assert_eq!((first.0, repeated.0, &first.1["id"]), (202, 202, &repeated.1["id"]));
    assert_eq!((other.0, other.1["code"].as_str()), (422, Some("idempotency_mismatch")), "{}", other.1);
    // Another tenant sees no job, and a body may be absent.
    let path = format!("http://{address}/v1/jobs/{open}/sentences/1");
    let foreign = reqwest::Client::new().post(&path).header("x-tenant", "other").send().await.unwrap();
    assert_eq!(foreign.status(), StatusCode::NOT_FOUND);
    let bare = reqwest::Client::new().post(&path).send().await.unwrap();
    assert_eq!(bare.status(), StatusCode::ACCEPTED);

    // The codes are gone.
    let folder = system.store_folder().join("speech");
    let accepted = {
        let id = order(&system, &open, 1, &json!({ "seed": 1 })).await;
        system.client.finished(&id).await;
        id
    };
    std::fs::remove_dir_all(folder.join(&open)).unwrap();
    let (status, code, detail) = refusal(&system, &open, "1", &json!({})).await;
    assert_eq!((status, code.as_str()), (409, "job_not_editable"), "{detail}");
    assert!(detail.contains("no longer kept"), "{detail}");
    assert!(folder.join(accepted).exists(), "the edit has codes of its own");
}
