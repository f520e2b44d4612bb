//! Defects planted in the scripts. Each must be found, by random histories or by a check of the one
//! thing that it breaks.
#![allow(clippy::print_stderr, reason = "the measuring tests print what they measured")]

use std::time::Duration;

use super::history::{Counterexample, search};
use super::{LuaDefect, TestRedis, queue_with, spec};
use crate::janitor::Janitor;
use crate::live::Live;
use crate::queue::{Claim, Queue, QueueArgs, Ticket, WorkerCapacity, WorkerId};
use csm_shared::job::{Failure, FailureClass, JobId, Lane};

/// Histories within which a defect must be found.
const HISTORIES: u32 = 600;

fn find(script: &'static str, old: &'static str, new: &'static str, shrinks: u32) -> Counterexample {
    let found = search(HISTORIES, shrinks, true, Some(LuaDefect { script, old, new }));
    found.unwrap_or_else(|| panic!("no history shows what is wrong with {script}: {new:?} in place of {old:?}"))
}

macro_rules! planted {
    ($($name:ident: $script:literal, $old:literal => $new:literal;)+) => {
        $(
            #[test]
            fn $name() {
                eprintln!("{}", find($script, $old, $new, 0).what);
            }
        )+
    };
}

planted! {
    the_owner_check_is_gone: "prelude",
        "job.state == 'running' and job.owner == owner and job.attempt == attempt" => "job.state == 'running'";
    the_attempt_is_not_checked: "prelude",
        "job.owner == owner and job.attempt == attempt" => "job.owner == owner";
    an_entry_is_acknowledged_before_its_result: "claim",
        "return begin(id, job, queue == SUSPECTS), job"
        => "drop_entry(queue, found.entry)\nreturn begin(id, job, queue == SUSPECTS), job";
    a_result_is_acknowledged_and_not_committed: "finish",
        "settle(id, job, state, ttl_ms, field, value)" => "";
    a_heartbeat_steals: "beat",
        "local job = held(id, owner, attempt)" => "local job = job_of(id)";
    a_reaper_does_not_count_the_crash: "prelude",
        "redis.call('HINCRBY', JOB .. id, 'crashes', 1)" => "";
    a_reaper_does_not_wait_for_the_end_of_a_lease: "reap",
        "'-inf', now, " => "'-inf', '+inf', ";
    a_cancelled_job_leaves_its_entry: "prelude",
        "      withdraw(id, job)" => "";
    a_cancelled_suspect_is_still_counted: "prelude",
        "redis.call('HINCRBY', BOOK, 'suspects', -1)" => "";
    a_work_stream_has_a_greatest_length: "prelude",
        "redis.call('XADD', STREAM .. queue, '*', 'id', id)"
        => "redis.call('XADD', STREAM .. queue, 'MAXLEN', '=', 3, '*', 'id', id)";
    an_ended_job_stays_open: "prelude",
        "redis.call('ZREM', OPEN, id)" => "";
    a_requeued_job_keeps_its_owner: "prelude",
        "redis.call('HDEL', JOB .. id, 'owner', 'queue', 'entry', 'alone')"
        => "redis.call('HDEL', JOB .. id, 'queue', 'entry', 'alone')";
    a_suspect_is_not_known_to_run_alone: "claim",
        "if alone then" => "if false then";
    a_suspect_waits_among_the_others: "prelude",
        "push_into(job.suspect and SUSPECTS or job.lane, id)" => "push_into(job.lane, id)";
    a_result_after_the_cancel_is_taken: "finish",
        "if state == 'succeeded' and job.cancel then" => "if false then";
    a_retry_forgets_the_cancel: "prelude",
        "if job.cancel then" => "if false then";
    a_second_replay_does_not_name_the_first: "replay",
        "if job.replayed_as then" => "if false then";
    a_wait_that_is_over_ends_a_job_that_began_in_time: "claim",
        "redis.call('HDEL', JOB .. id, 'expires_ms')" => "local kept = true";
    a_requeued_job_no_longer_expires: "prelude",
        "if expires then\n    redis.call('ZADD', DEADLINES, expires, id)\n  end\n  if delay_ms"
        => "if delay_ms";
    a_claim_runs_what_is_overdue: "claim",
        "if job.expires_ms and tonumber(job.expires_ms) <= now then" => "if false then";
    a_retry_does_not_wait_out_its_delay: "prelude",
        "redis.call('ZRANGEBYSCORE', DELAYED, '-inf', now_ms()" => "redis.call('ZRANGEBYSCORE', DELAYED, '-inf', '+inf'";
    a_tidied_consumer_takes_its_entry_along: "tidy",
        "consumer.pending == 0 and" => "";
    a_standard_job_takes_a_slot_of_the_live_reserve: "claim",
        "(lane ~= 'standard' or standard) and" => "";
    a_job_that_left_its_slot_still_counts_as_running: "prelude",
        "redis.call('ZREM', ENDS .. job.lane, id)" => "";
    a_paused_lane_is_served: "claim",
        "if not book['paused:' .. lane] and" => "if";
    a_tenant_may_run_any_number: "claim",
        "if tenant_running_max > 0\n    and" => "if false and";
    a_lease_ends_with_the_group_of_its_stream: "beat",
        "redis.pcall('XCLAIM'" => "redis.call('XCLAIM'";
    a_running_job_loses_its_entry_with_the_group: "claim",
        "redis.call('XCLAIM', STREAM .. queue, GROUP, job.owner, 0, found.entry, 'JUSTID')"
        => "drop_entry(queue, found.entry)";
    a_running_job_keeps_its_place_in_line: "claim",
        "redis.call('ZREM', WAITS .. queue, id or '')" => "local kept = true";
    a_requeued_job_has_no_place_in_line: "prelude",
        "redis.call('ZADD', WAITS .. queue, place_of(entry), id)" => "";
    suspects_are_counted_again_after_their_group_was_lost: "claim",
        "    return nil\n  end\n  if queue == SUSPECTS then" => "  end\n  if queue == SUSPECTS then";
}

/// A history that shows a defect is short enough to read.
#[test]
fn what_is_found_is_told_in_few_steps() {
    let found = find("prelude", "job.owner == owner and job.attempt == attempt", "job.owner == owner", 4_000);
    eprintln!("{}", found.what);
    assert!(found.history.len() <= 15, "{:#?}", found.history);
}

/// Returns whether one round of a gateway's housekeeping puts a due retry into its lane while no
/// worker claims anything.
async fn wakes_a_retry_without_workers(defect: Option<LuaDefect>) -> bool {
    let redis = TestRedis::start().await;
    let queue = queue_with(&redis, "test", &QueueArgs::default(), defect);
    queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Bulk, "Hi.")).await.expect("enqueue");
    let claimed =
        queue.claimer(&WorkerId::of_this_process("a"), "a test").claim(WorkerCapacity::empty(1)).await.expect("claim");
    let Claim::Job(job) = claimed else { panic!("a job waits") };
    let failure = Failure::new(FailureClass::Transient, "the store was away");
    job.lease.retry(&failure, Duration::from_millis(1)).await.expect("retry");
    let waits = async |queue: &Queue| queue.stats().await.expect("stats").lanes[Lane::Bulk as usize].depth == 1;
    assert!(!waits(&queue).await, "it waits elsewhere");
    // The retry is due by the clock of Redis, and no change of a key shows it.
    tokio::time::sleep(Duration::from_millis(2)).await;
    Janitor::new(queue.clone(), Live::new(redis.client("test"))).round().await;
    waits(&queue).await
}

#[tokio::test]
async fn retries_are_promoted_by_workers_only() {
    assert!(wakes_a_retry_without_workers(None).await);
    let script = "return promote(tonumber(limit), tonumber(tenant_running_max))";
    let defect = LuaDefect { script: "promote", old: script, new: "return 0" };
    assert!(!wakes_a_retry_without_workers(Some(defect)).await);
}
