//! The server's clock is set back and forth. The scripts of these tests read a clock that a key of
//! the test shifts, so that time also passes as fast as a test wants.

use super::{LuaDefect, TestRedis, replaced, spec};
use crate::queue::script::Scripts;
use crate::queue::{
    BEAT_EVERY, Beat, Claim, Enqueue, LEASE, Lease, Queue, QueueArgs, Reaped, Ticket, WorkerCapacity, WorkerId,
};
use csm_shared::job::{JobId, JobState, Lane};
use jiff::{SignedDuration, Timestamp};

/// Seconds by which the clock is set.
const HOUR: i64 = 3_600;
/// Seconds within which a dead worker's job must go on: its lease, and five more.
const GOES_ON_WITHIN: u64 = LEASE.as_secs() + 5;

/// Queue on a server whose clock can be set.
struct Shifted {
    redis: TestRedis,
    queue: Queue,
    /// Seconds by which the clock is ahead of the real one.
    shift: i64,
}

impl Shifted {
    async fn start(defect: Option<LuaDefect>) -> Self {
        let redis = TestRedis::start().await;
        let scripts = Scripts::edited(&|name, source| {
            let mut source = source.to_owned();
            if let Some(LuaDefect { script, old, new }) = defect
                && script == name
            {
                source = replaced(&source, old, new);
            }
            if name == "prelude" {
                let time = "local time = redis.call('TIME')";
                let shift = "\ntime[1] = time[1] + (redis.call('GET', ROOT .. 'test:shift') or 0)";
                source = replaced(&source, time, &format!("{time}{shift}"));
            }
            source
        });
        let queue = Queue::with_scripts(redis.client("test"), &QueueArgs::default(), scripts);
        Self { redis, queue, shift: 0 }
    }

    async fn set_clock(&mut self, by: i64) {
        self.shift += by;
        let mut set = redis::cmd("SET");
        set.arg("test:{q0}:test:shift").arg(self.shift);
        self.redis.client("test").command::<()>(&set).await.expect("set");
    }

    /// Lets a second pass, at whose end a janitor checks the leases.
    async fn second(&mut self) -> Vec<Reaped> {
        self.set_clock(1).await;
        self.queue.reap().await.expect("reap")
    }

    /// Enqueues a job and claims it for a worker of this name.
    async fn running(&self, worker: &str) -> Lease {
        self.enqueue().await;
        let owner = WorkerId::of_this_process(worker);
        match self.queue.claimer(&owner, "a test").claim(WorkerCapacity::empty(5)).await.expect("claim") {
            Claim::Job(job) => job.lease,
            other => panic!("{other:?}"),
        }
    }

    async fn enqueue(&self) -> JobId {
        let id = JobId::generate();
        self.queue.enqueue(&Ticket::new(id), &spec(Lane::Live, "Hi.")).await.expect("enqueue");
        id
    }

    async fn created(&self, id: &JobId) -> Timestamp {
        self.queue.record(id).await.expect("record").expect("kept").created
    }
}

/// Sets the clock while one worker is dead and another one beats. Returns the seconds after which
/// the dead worker's job waits again, or `None` if it does not in time.
async fn seconds_until_taken_back(settings: &[(u64, i64)], defect: Option<LuaDefect>) -> Option<u64> {
    let mut server = Shifted::start(defect).await;
    for _ in 0..2 {
        server.second().await;
    }
    let (dead, lives) = (server.running("dead").await, server.running("lives").await);
    for second in 1..=GOES_ON_WITHIN {
        for (_, by) in settings.iter().filter(|(at, _)| *at == second) {
            server.set_clock(*by).await;
        }
        if second % BEAT_EVERY.as_secs() == 0 {
            assert_eq!(server.queue.beat(lives.at(), LEASE).await.expect("beat"), Beat::Kept, "at {second} s");
        }
        let reaped = server.second().await;
        if !reaped.is_empty() {
            assert_eq!(reaped, [Reaped { id: dead.at().id, state: JobState::Queued }]);
            return Some(second);
        }
    }
    None
}

const SETTINGS: [&[(u64, i64)]; 7] = [
    &[(1, -HOUR)],
    &[(8, -HOUR)],
    &[(15, -HOUR)],
    &[(1, HOUR)],
    &[(2, HOUR), (9, -HOUR)],
    &[(2, -HOUR), (9, HOUR)],
    &[(1, -HOUR), (3, HOUR), (5, -HOUR), (7, -HOUR), (9, HOUR), (11, HOUR)],
];

#[tokio::test]
async fn a_dead_workers_job_goes_on_in_time_though_the_clock_is_set_back_and_forth() {
    for settings in SETTINGS {
        let after = seconds_until_taken_back(settings, None).await;
        assert!(after.is_some(), "{settings:?}: not within {GOES_ON_WITHIN} s");
    }
}

#[tokio::test]
async fn finds_planted_defect_the_book_has_the_servers_clock() {
    let defect = LuaDefect {
        script: "prelude",
        old: "math.max(server_clock + (book.ahead_ms or 0), tonumber(book.reaped_ms or 0))",
        new: "server_clock",
    };
    assert_eq!(seconds_until_taken_back(&[(1, -HOUR)], Some(defect)).await, None);
}

#[tokio::test]
async fn finds_planted_defect_a_clock_set_back_is_not_noted() {
    let defect = LuaDefect { script: "reap", old: "or ahead > tonumber(book.ahead_ms or 0)", new: "" };
    assert_eq!(seconds_until_taken_back(&[(1, -HOUR)], Some(defect)).await, None);
}

#[tokio::test]
async fn times_of_the_book_follow_each_other_and_become_true_again() {
    let mut server = Shifted::start(None).await;
    let mut before = Timestamp::UNIX_EPOCH;
    for by in [0, HOUR, -2 * HOUR, 30, -30, HOUR, -100] {
        server.second().await;
        server.set_clock(by).await;
        let created = server.created(&server.enqueue().await).await;
        assert!(created >= before, "{before} to {created} with the clock set by {by} s");
        before = created;
    }
    // The clock was set back by 2:01 hours in all, and each second lessens the difference by 50 ms.
    let ahead = async |server: &Shifted| {
        let now = Timestamp::now() + SignedDuration::from_secs(server.shift);
        server.created(&server.enqueue().await).await.duration_since(now).as_secs_f64()
    };
    let first = ahead(&server).await;
    for _ in 0..100 {
        server.second().await;
    }
    let then = ahead(&server).await;
    assert!(first > 7_000.0 && (4.0..7.0).contains(&(first - then)), "{first} s to {then} s");
}

#[tokio::test]
async fn a_deadline_is_as_far_away_as_the_server_says() {
    let mut server = Shifted::start(None).await;
    server.second().await;
    server.set_clock(-HOUR).await;
    let now = Timestamp::now() + SignedDuration::from_secs(server.shift);
    let near = Ticket { deadline: Some(now + SignedDuration::from_secs(10)), ..Ticket::new(JobId::generate()) };
    let enqueued = server.queue.enqueue(&near, &spec(Lane::Live, "Hi.")).await.expect("enqueue");
    assert_eq!(enqueued, Enqueue::Accepted { wait: None });
    for _ in 0..8 {
        server.second().await;
        assert!(server.queue.expire().await.expect("expire").is_empty(), "there is time left");
    }
    for _ in 0..5 {
        server.second().await;
    }
    assert_eq!(server.queue.expire().await.expect("expire"), [near.id]);
}

#[tokio::test]
async fn a_dead_warden_gives_way_though_the_clock_was_set_back() {
    let mut server = Shifted::start(None).await;
    server.second().await;
    let _dead = server.running("dead").await;
    while server.second().await.is_empty() {}
    let busy = WorkerCapacity { running: 1, ..WorkerCapacity::empty(5) };
    let [warden, other] = ["warden", "other"].map(WorkerId::of_this_process);
    let claims = async |owner| server.queue.claimer(owner, "a test").claim(busy).await.expect("claim");
    assert!(matches!(claims(&warden).await, Claim::Hold));
    assert!(matches!(claims(&other).await, Claim::Nothing), "one is enough");
    server.set_clock(-HOUR).await;
    for _ in 0..3 {
        server.second().await;
    }
    let claimed = server.queue.claimer(&other, "a test").claim(busy).await.expect("claim");
    assert!(matches!(claimed, Claim::Hold), "{claimed:?}");
}
