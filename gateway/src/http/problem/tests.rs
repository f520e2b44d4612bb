//! Documents of problems: callers see codes, fields and limits, and never the inner cause.

use axum::response::IntoResponse as _;
use csm_queue::queue::QueueError;
use csm_queue::redis_client::RedisFault;
use csm_shared::job::{Lane, Tenant, TopK};
use csm_shared::store::StoreError;
use serde_json::{Value, json};

use super::*;

fn document(problem: &Problem) -> Value {
    serde_json::from_str(&problem.to_message("r-1")).unwrap_or_default()
}

#[test]
fn a_refused_value_names_field_value_and_limit() {
    let Err(invalid) = TopK::new(0) else { panic!("0 is refused") };
    assert_eq!(
        document(&invalid.into()),
        json!({
            "type": "/problems/out_of_range", "status": 422, "title": "Value out of range",
            "detail": "topk: 0 is not allowed; the limit is 1 to 2048 codes.",
            "code": "out_of_range", "field": "topk", "value": "0", "limit": "1 to 2048 codes", "request_id": "r-1",
        })
    );
}

#[test]
fn a_failure_inside_shows_no_inner_text() {
    let secret = "redis://user:password@10.0.0.7";
    let faults: [Problem; 3] = [
        QueueError::Redis(RedisFault::Unavailable(secret.into())).into(),
        QueueError::Corrupt(secret.into()).into(),
        StoreError::Denied(secret.into()).into(),
    ];
    for problem in &faults {
        assert!(problem.0.status.is_server_error());
        assert!(!document(problem).to_string().contains("10.0.0.7"), "{problem:?}");
        assert_eq!(problem.0.cause.as_deref().map(|cause| cause.contains(secret)), Some(true));
    }
}

#[test]
fn what_may_pass_says_when_to_come_back() {
    let full: Problem = QueueError::Full { lane: Lane::Bulk, depth: 9, limit: 9 }.into();
    let down: Problem = QueueError::Redis(RedisFault::Unavailable(String::new())).into();
    let tenant = QueueError::TenantFull { tenant: Tenant::default(), open: 3, limit: 3 }.into();
    let rate = QueueError::TenantRate { tenant: Tenant::default(), limit: 3, pause: Duration::from_secs(9) }.into();
    let late: Problem = StoreError::Timeout(String::new()).into();
    for (problem, status) in
        [(full, 429), (tenant, 429), (rate, 429), (QueueError::Closed.into(), 503), (down, 503), (late, 503)]
    {
        let response = render(problem.into_response(), "r-1");
        assert_eq!(response.status().as_u16(), status);
        assert!(response.headers().contains_key(RETRY_AFTER));
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

#[test]
fn a_busy_queue_says_when_the_wait_will_be_short_enough() {
    for (wait_ms, limit_ms, seconds) in
        [(95_000, 60_000, 35), (60_001, 60_000, 1), (61_001, 60_000, 2), (u64::MAX, 0, 3_600), (5, 5, 1)]
    {
        let (wait, limit) = (Duration::from_millis(wait_ms), Duration::from_millis(limit_ms));
        let problem: Problem = QueueError::Busy { lane: Lane::Live, wait, limit }.into();
        assert_eq!(problem.0.headers[RETRY_AFTER], HeaderValue::from(seconds), "{wait_ms} {limit_ms}");
    }
}

#[test]
fn what_redis_cannot_promise_is_no_passing_fault() {
    let secret = "appendonly is no on 10.0.0.7";
    let problem: Problem = QueueError::Redis(RedisFault::Unsupported(secret.into())).into();
    assert_eq!((problem.0.status.as_u16(), problem.0.headers.len()), (501, 0));
    assert!(!document(&problem).to_string().contains("10.0.0.7"));
}

#[test]
fn constructors_answer_with_a_status_of_their_catalogue_entry() {
    let (job, limit) = (JobId::generate(), Duration::from_secs(60));
    let problems = [
        Problem::internal(""),
        Problem::unavailable(""),
        Problem::slow_body(),
        Problem::took_too_long(job, limit),
        Problem::unreadable(StatusCode::BAD_REQUEST),
        Problem::no_upgrade(StatusCode::UPGRADE_REQUIRED, String::new()),
        Problem::no_audio(job, JobState::Failed, None),
        Problem::no_audio(job, JobState::Cancelled, None),
        Problem::no_audio(job, JobState::Expired, None),
        Problem::job_ended(job, JobState::Failed, None),
        Problem::job_ended(job, JobState::Cancelled, None),
        Problem::job_ended(job, JobState::Expired, None),
        QueueError::Conflict(job).into(),
    ];
    for problem in problems {
        let ProblemParts { kind, status, .. } = &*problem.0;
        assert!(kind.statuses.contains(&status.as_u16()), "{}: {status}", kind.code);
    }
}
