//! `POST /generate`, as clients of the replaced integration use it.

use csm_shared::job::{Failure, FailureClass, Lane};
use serde_json::json;

use crate::app::TestApp;
use crate::speech::{OLD_REQUEST, decode, segment};
use crate::worker::{TestWorker, wav};

#[tokio::test]
async fn text_in_audio_out() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (answer, spec) = tokio::join!(app.post("/generate", OLD_REQUEST), async {
        let job = worker.claim(&app).await;
        let spec = job.spec.clone();
        worker.succeed(&app, job).await;
        spec
    });
    assert_eq!(answer.status, 200);
    let mut fields: Vec<_> = answer.body.as_object().unwrap().keys().cloned().collect();
    fields.sort_unstable();
    assert_eq!(fields, ["audio", "format", "sample_rate"], "exactly these");
    assert_eq!((answer.text("format"), &answer.body["sample_rate"]), ("wav", &24_000.into()));
    assert_eq!(decode(answer.text("audio")), wav("Hello from Sesame TTS!"));
    assert_eq!((spec.lane, spec.budget.frames()), (Lane::Live, 125));
}

/// The body keeps its old shape, so the headers tell.
#[tokio::test]
async fn an_answer_says_that_its_audio_was_cut_off() {
    let app = TestApp::start().await;
    for (worker, finish, warnings) in
        [(TestWorker::new(), "eos", None), (TestWorker::who_cuts_off(), "length", Some("cut_off"))]
    {
        let (answer, id) = tokio::join!(app.post("/generate", OLD_REQUEST), async {
            let job = worker.claim(&app).await;
            let id = job.lease.at().id;
            worker.succeed(&app, job).await;
            id
        });
        let header = |name: &str| answer.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header("x-job-id"), Some(id.to_string()));
        assert_eq!(header("x-finish-reason").as_deref(), Some(finish));
        assert_eq!(header("x-warnings").as_deref(), warnings);
        assert_eq!(answer.body.as_object().unwrap().len(), 3, "the old shape");
    }
}

#[tokio::test]
async fn context_and_unknown_fields_are_taken() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let body = json!({"text": "How are you?", "style": "old field", "context_segments": [segment(3), segment(2)]});
    let (answer, frames) = tokio::join!(app.post("/generate", body.to_string()), async {
        let job = worker.claim(&app).await;
        let clips = job.spec.context.segments().iter().map(|segment| segment.recording.frames()).collect::<Vec<_>>();
        worker.succeed(&app, job).await;
        clips
    });
    assert_eq!((answer.status.as_u16(), frames), (200, vec![3, 2]));
}

#[tokio::test]
async fn a_failed_job_is_a_problem_with_its_class() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (answer, ()) = tokio::join!(app.post("/generate", OLD_REQUEST), async {
        let job = worker.claim(&app).await;
        worker.fail(&app, job.lease, &Failure::new(FailureClass::Resource, "the device failed")).await;
    });
    assert_eq!(answer.status, 502);
    insta::assert_json_snapshot!("generate_failed", answer.body, {".job" => "[id]", ".request_id" => "[id]"});
}

#[tokio::test]
async fn a_job_cancelled_meanwhile_is_a_conflict() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (answer, ()) = tokio::join!(app.post("/generate", OLD_REQUEST), async {
        let job = worker.claim(&app).await;
        app.delete(&format!("/v1/jobs/{}", job.lease.at().id)).await;
        let id = job.lease.at().id;
        job.lease.cancelled().await.unwrap();
        app.live.conclude(&app.queue, &id).await.unwrap();
    });
    assert_eq!((answer.status.as_u16(), answer.text("code")), (409, "job_cancelled"));
}
