//! A short siege: each attack for a few seconds, without the limits on time that depend on this
//! machine's other work. `make siege` checks those too.

use std::time::Duration;

use csm_tests::siege::{MEMORY_LIMIT_BYTES, SiegeOptions, run};

/// Most attackers of one attack, so that few open files suffice.
const ATTACKERS_MAX: usize = 600;
/// Length of each attack.
const ATTACK: Duration = Duration::from_secs(3);

async fn survives(only: &[&str]) {
    let options = SiegeOptions {
        only: only.iter().map(|&name| name.to_owned()).collect(),
        duration: ATTACK,
        memory: MEMORY_LIMIT_BYTES,
        attackers_max: ATTACKERS_MAX,
        environment: Vec::new(),
        one_address: false,
    };
    let report = run(&options).await.unwrap();
    let damages: Vec<_> = report.attacks().iter().map(|attack| (attack.name(), attack.damages())).collect();
    assert!(damages.iter().all(|(_, damages)| damages.is_empty()), "{damages:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn costly_bodies_stay_within_the_gateway_s_memory() {
    survives(&["json-tree", "flac-constant", "base64-greatest"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_endless_uploads_take_nothing_from_an_honest_caller() {
    survives(&["chunked-endless", "idle-upload-2000", "slow-upload-22"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_shut_neither_the_gateway_nor_its_probes() {
    survives(&["silent", "half-header", "admin-silent"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unfinished_messages_and_unread_answers_hold_no_memory() {
    survives(&["socket-unfinished-46", "socket-contexts-6", "unread-answer-40"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_page_uses_no_gateway_on_this_machine() {
    survives(&["foreign-origin", "foreign-host", "form-post"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_tenant_reads_no_job() {
    survives(&["foreign-job"]).await;
}
