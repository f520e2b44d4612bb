//! What a failed attempt is blamed on, in particular marks.

use csm_queue::redis_client::RedisFault;
use csm_shared::job::FailureClass;

use crate::health::{Breaker, PartError, SharedFault, SharedPart};
use crate::marks::{Finding, MarkError, Marker, Scheme, Verdict, WatermarkKey, broken_marker};
use crate::sink::SinkError;
use crate::speak::attempt_error::{AttemptError, Blame, blame};
use csm_engine::engine::EngineError;

fn lost() -> AttemptError {
    let key = WatermarkKey::development();
    let finding = Finding {
        scheme: Scheme::Builtin,
        verdict: Verdict::NotDetected,
        p_value: 0.5,
        score: 0.0,
        key_id: key.id().to_string(),
        regions: Vec::new(),
    };
    MarkError::Lost(Box::new(finding)).into()
}

#[tokio::test]
async fn marks_that_fail_their_self_test_burn_no_job() {
    let key = WatermarkKey::development();
    let (sound, breaker) = (Marker::new(&key).unwrap(), Breaker::default());
    let job = blame(&lost(), &sound, &breaker).await;
    assert!(matches!(&job, Blame::Job(failure) if failure.class == FailureClass::Resource), "{job:?}");
    assert!(breaker.is_closed(), "the marks work, so the fault is that of one recording");

    let shared = blame(&lost(), &broken_marker(&key), &breaker).await;
    assert!(matches!(&shared, Blame::Shared(fault) if fault.part == SharedPart::Marks), "{shared:?}");
    assert!(breaker.reason().is_some_and(|reason| reason.starts_with("marks: ")), "{:?}", breaker.reason());
}

/// Check of the blame for an error.
type Check = fn(&Blame) -> bool;

#[tokio::test]
async fn a_part_that_all_jobs_share_is_never_the_fault_of_a_job() {
    let (marker, breaker) = (Marker::new(&WatermarkKey::development()).unwrap(), Breaker::default());
    let store = SharedFault::new(SharedPart::Store, &"away");
    let cases: [(AttemptError, Check); 6] = [
        (PartError::<SinkError>::Shared(store).into(), |blame| matches!(blame, Blame::Shared(_))),
        (RedisFault::Unavailable("away".into()).into(), |blame| matches!(blame, Blame::Shared(_))),
        (RedisFault::Untrusted("UnknownIssuer".into()).into(), |blame| matches!(blame, Blame::Shared(_))),
        (EngineError::Model("no memory".into()).into(), |blame| matches!(blame, Blame::Engine(_))),
        (EngineError::Refused("too long".into()).into(), |blame| matches!(blame, Blame::Job(_))),
        (
            AttemptError::Empty { sentence: 2, tries: 4 },
            |blame| matches!(blame, Blame::Job(failure) if failure.class == FailureClass::Invalid),
        ),
    ];
    for (error, expected) in cases {
        let found = blame(&error, &marker, &breaker).await;
        assert!(expected(&found), "{error}: {found:?}");
    }
}
