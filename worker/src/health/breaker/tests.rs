//! The stages of the breaker, and work that outlasts a fault.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use super::*;

const STORE: SharedPart = SharedPart::Store;

fn away() -> SharedFault {
    SharedFault::new(STORE, &"away")
}

/// Work that fails by the store until `works`, and counts its tries.
#[derive(Clone, Default)]
struct Work {
    works: Arc<AtomicBool>,
    tries: Arc<AtomicU32>,
}

impl Work {
    async fn run(self) -> Result<u32, PartError<String>> {
        let tries = self.tries.fetch_add(1, Ordering::SeqCst) + 1;
        if self.works.load(Ordering::SeqCst) { Ok(tries) } else { Err(PartError::Shared(away())) }
    }

    fn start(&self, breaker: &Breaker) -> tokio::task::JoinHandle<Result<u32, PartError<String>>> {
        let (work, breaker) = (self.clone(), breaker.clone());
        tokio::spawn(async move { breaker.outlast(|_| work.clone().run()).await })
    }

    /// Waits until the store failed after `tries` tries.
    async fn has_failed(&self, tries: u32, breaker: &Breaker) {
        while self.tries.load(Ordering::SeqCst) < tries || breaker.broken().await != STORE {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn kept_work_comes_before_new_jobs() {
    let (breaker, work) = (Breaker::default(), Work::default());
    assert!(breaker.is_closed() && breaker.reason().is_none());
    let kept = work.start(&breaker);
    work.has_failed(1, &breaker).await;
    assert_eq!(breaker.reason().as_deref(), Some("store: away"));

    // The check passes, and the work fails again: nothing may be claimed in between.
    breaker.half_open(STORE);
    assert!(!breaker.is_closed());
    assert!(!breaker.trial_passed(STORE).await);
    work.has_failed(2, &breaker).await;

    work.works.store(true, Ordering::SeqCst);
    breaker.half_open(STORE);
    assert!(breaker.trial_passed(STORE).await);
    assert!(breaker.is_closed());
    assert_eq!(kept.await.ok(), Some(Ok(3)));
}

#[tokio::test]
async fn without_kept_work_a_passed_check_is_enough() {
    let breaker = Breaker::default();
    breaker.trip(&away());
    breaker.trip(&SharedFault::new(SharedPart::Marks, &"lost"));
    assert_eq!(breaker.reason().as_deref(), Some("store: away; marks: lost"));
    breaker.half_open(STORE);
    assert!(breaker.trial_passed(STORE).await);
    assert_eq!(breaker.reason().as_deref(), Some("marks: lost"), "the other part has its own check");
    assert!(!breaker.is_closed());
}

/// A caller who cancels takes the kept work along; the breaker must not wait for it.
#[tokio::test]
async fn work_that_is_dropped_holds_nothing_up() {
    let (breaker, work) = (Breaker::default(), Work::default());
    let kept = work.start(&breaker);
    work.has_failed(1, &breaker).await;
    kept.abort();
    assert!(kept.await.is_err());
    breaker.half_open(STORE);
    assert!(breaker.trial_passed(STORE).await);
}

#[tokio::test]
async fn work_is_kept_for_a_bounded_time() {
    let (breaker, work) = (Breaker::default(), Work::default());
    let kept = breaker.outlast_for(Duration::from_millis(20), |_| work.clone().run());
    assert_eq!(kept.await, Err(PartError::Shared(away())));
    assert!(!breaker.is_closed(), "the part is still out of order");
}

#[tokio::test]
async fn a_failure_of_the_work_itself_opens_nothing() {
    let breaker = Breaker::default();
    let refused = breaker.outlast(|_| async { Err::<(), _>(PartError::Own("too long")) }).await;
    assert_eq!(refused, Err(PartError::Own("too long")));
    assert!(breaker.is_closed());
}
