//! Whose a job is: ids that others cannot compute, and lookups by the job's own tenant alone.

use csm_gateway::IdSecretArgs;
use reqwest::Method;
use sha2::{Digest as _, Sha256};
use uuid::Builder;

use crate::app::{TestApp, TestResponse};
use crate::speech::say;
use crate::worker::TestWorker;

/// Posts a job of the tenant `acme` under the key `order-1`; returns its id.
async fn post_with_key(app: &TestApp) -> String {
    let headers = [("x-tenant", "acme"), ("idempotency-key", "order-1")];
    let answer = app.send_with(Method::POST, "/v1/jobs", &headers, &say("a secret")).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.text("id").to_owned()
}

#[tokio::test]
async fn the_id_of_a_job_cannot_be_computed_from_its_tenant_and_key() {
    let app = TestApp::start().await;
    let id = post_with_key(&app).await;
    let public = Sha256::digest(b"acme\norder-1");
    let computed = Builder::from_custom_bytes(public[..16].try_into().unwrap()).into_uuid();
    assert_ne!(id, computed.to_string());
    let other_fleet = TestApp::start().await;
    assert_ne!(id, post_with_key(&other_fleet).await, "each fleet has a secret of its own");
}

#[tokio::test]
async fn gateways_of_one_redis_agree_on_the_ids_without_a_setting() {
    let app = TestApp::start().await;
    let second = TestApp::start_with(|args| args.redis.redis_url = app.redis.url()).await;
    let (one, two) = tokio::join!(post_with_key(&app), post_with_key(&second));
    assert_eq!(one, two);
    assert_eq!(app.depth().await, 1);

    let forget = redis::cmd("FLUSHALL");
    app.queue.redis().command::<()>(&forget).await.unwrap();
    let (three, four) = (post_with_key(&app).await, post_with_key(&second).await);
    assert_eq!(three, four, "they agree again after Redis has lost the secret");
    assert_ne!(one, three);
}

#[tokio::test]
async fn a_secret_of_the_settings_decides_the_ids() {
    let with_secret = async |secret: &str| {
        let id_secret = IdSecretArgs { id_secret: Some(secret.into()), id_secret_file: None };
        let app = TestApp::start_with(|args| args.id_secret = id_secret).await;
        post_with_key(&app).await
    };
    let first = with_secret("the secret of all gateways").await;
    assert_eq!(first, with_secret("the secret of all gateways").await, "whatever Redis they use");
    assert_ne!(first, with_secret("another secret of gateways").await);
}

/// Sends every request that names a job, in the name of `tenant`.
async fn all_about(app: &TestApp, id: &str, tenant: &str) -> Vec<(String, TestResponse)> {
    let mut answers = Vec::new();
    for (method, path) in [
        (Method::GET, format!("/v1/jobs/{id}")),
        (Method::GET, format!("/v1/jobs/{id}?wait=1")),
        (Method::GET, format!("/v1/jobs/{id}/audio")),
        (Method::HEAD, format!("/v1/jobs/{id}/audio")),
        (Method::GET, format!("/v1/jobs/{id}/events")),
        (Method::DELETE, format!("/v1/jobs/{id}")),
        (Method::POST, format!("/v1/watermark/detect?job={id}")),
    ] {
        let answer = app.send_with(method.clone(), &path, &[("x-tenant", tenant)], "").await;
        answers.push((format!("{method} {path} of {tenant}"), answer));
    }
    answers
}

#[tokio::test]
async fn no_route_tells_another_tenant_that_a_job_exists() {
    let (app, worker) = (TestApp::start().await, TestWorker::new());
    let (waiting, done) = (post_with_key(&app).await, TestWorker::new());
    let check = async |id: &str| {
        for tenant in ["default", "other"] {
            for (request, answer) in all_about(&app, id, tenant).await {
                assert_eq!(answer.status, 404, "{request}: {}", answer.body);
                if !request.starts_with("HEAD") {
                    assert_eq!(answer.text("code"), "job_not_found", "{request}");
                    let never = format!("There is no job {id}; records are kept for a day after the end.");
                    assert_eq!(answer.text("detail"), never, "{request}");
                }
            }
        }
    };
    check(&waiting).await;
    let job = worker.claim(&app).await;
    assert!(!app.record(&job.lease.at().id).await.cancel_requested, "another tenant cancels nothing");
    done.succeed(&app, job).await;
    check(&waiting).await;

    let own: Vec<_> =
        all_about(&app, &waiting, "acme").await.into_iter().map(|(_, answer)| answer.status.as_u16()).collect();
    // A job that has ended cannot be cancelled, and an empty body is no recording.
    assert_eq!(own, [200, 200, 200, 200, 200, 409, 422]);
}

#[tokio::test]
async fn a_lookup_by_a_tenant_without_a_plain_name_is_refused() {
    let app = TestApp::start().await;
    let id = post_with_key(&app).await;
    for (request, answer) in all_about(&app, &id, "a/b").await {
        assert_eq!(answer.status, 422, "{request}");
    }
}
