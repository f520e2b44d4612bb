//! `csm queue`, `csm dlq` and `csm top` on a real Redis, with jobs that the test itself enqueues
//! and ends.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Output, Stdio};
use std::time::Duration;

use csm_queue::local_redis::{LocalRedis, LocalRedisOptions};
use csm_queue::queue::{
    Claim, Enqueue, Lease, Queue, QueueArgs, QueueError, Ticket, WorkerCapacity, WorkerId, WorkerReport,
};
use csm_queue::redis_client::{RedisArgs, RedisClient};
use csm_shared::job::{Failure, FailureClass, JobId, JobSpec, JobState, Lane};
use tempfile::TempDir;

use crate::{assert_status, csm, run, stderr, stdout};

/// Queue of a test, with `csm` beside it.
struct TestQueue {
    redis: LocalRedis,
    queue: Queue,
    owner: WorkerId,
    shards: u16,
    folder: TempDir,
}

impl TestQueue {
    async fn start(shards: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let redis = LocalRedis::spawn(&folder.path().join("redis"), &LocalRedisOptions::default()).await.unwrap();
        let args = RedisArgs::new(redis.url(), "test");
        let client = RedisClient::new(&args, Duration::from_secs(5)).unwrap();
        let queue = Queue::new(client, &QueueArgs { queue_shards: shards, ..QueueArgs::default() });
        Self { redis, queue, owner: WorkerId::of_this_process("box"), shards, folder }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = csm(self.folder.path());
        command.args(arguments).env("CSM_REDIS_URL", self.redis.url()).env("CSM_KEY_PREFIX", "test");
        command.env("CSM_QUEUE_SHARDS", self.shards.to_string());
        command
    }

    fn csm(&self, arguments: &[&str]) -> Output {
        run(&mut self.command(arguments))
    }

    /// Runs a command that must succeed, and returns its output.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.csm(arguments);
        assert_status(&output, 0);
        stdout(&output)
    }

    /// Runs a command that must fail, and returns its complaint in one line.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.csm(arguments);
        assert_status(&output, 1);
        assert_eq!(stdout(&output), "");
        assert_eq!(stderr(&output).lines().count(), 1, "{}", stderr(&output));
        stderr(&output)
    }

    async fn enqueue(&self, lane: Lane) -> (JobId, Option<Duration>) {
        let id = JobId::generate();
        match self.queue.enqueue(&Ticket::new(id), &spec(lane)).await.unwrap() {
            Enqueue::Accepted { wait } => (id, wait),
            Enqueue::Paused => (id, None),
            Enqueue::Exists(state) => panic!("the job was there, {state}"),
        }
    }

    async fn claim(&self) -> Option<Lease> {
        match self.queue.claimer(&self.owner, "0.1.0").claim(WorkerCapacity::empty(5)).await.unwrap() {
            Claim::Job(job) => Some(job.lease),
            Claim::Expired(_) | Claim::Nothing | Claim::Hold => None,
        }
    }

    /// Enqueues a job and makes it a dead letter.
    async fn bury(&self, message: &str) -> JobId {
        let (id, _) = self.enqueue(Lane::Standard).await;
        let lease = self.claim().await.expect("a job waits");
        assert_eq!(lease.at().id, id);
        lease.fail(&Failure::new(FailureClass::Resource, message)).await.unwrap();
        id
    }

    async fn report(&self, frames_per_second: f64, frames: u64) {
        let report = WorkerReport {
            host: "box".into(),
            model: "m".into(),
            build: "9.9.9".into(),
            slots: 4,
            lane_slots: [1; 3],
            running: 1,
            frames_per_second,
            frames,
            draining: false,
        };
        self.queue.report(&self.owner, &report).await.unwrap();
    }

    async fn state(&self, id: &JobId) -> JobState {
        self.queue.record(id).await.unwrap().expect("known").state
    }
}

fn spec(lane: Lane) -> JobSpec {
    let text = "A sentence of a few words, so that it takes some time to say.";
    csm_testing::job().text(text).frames(1_125).lane(lane).spec()
}

/// Returns the cells of a table's row.
fn row<'a>(table: &'a str, name: &str) -> Vec<&'a str> {
    let line = table.lines().find(|line| line.starts_with(name));
    line.unwrap_or_else(|| panic!("no {name} in:\n{table}")).split_whitespace().collect()
}

/// Running `csm` whose lines are read as they come. Killed if a test fails.
struct RunningCsm {
    child: Child,
    lines: Box<dyn Iterator<Item = std::io::Result<String>>>,
    seen: String,
}

impl RunningCsm {
    fn out(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Box::new(BufReader::new(child.stdout.take().unwrap()).lines());
        Self { child, lines, seen: String::new() }
    }

    fn err(mut command: std::process::Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Box::new(BufReader::new(child.stderr.take().unwrap()).lines());
        Self { child, lines, seen: String::new() }
    }

    fn line_with(&mut self, wanted: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if line.contains(wanted) {
                return line;
            }
            self.seen += &(line + "\n");
        }
        panic!("no line with {wanted:?} in:\n{}", self.seen);
    }

    fn interrupt(&self) {
        let kill = format!("kill -s INT {}", self.child.id());
        assert!(std::process::Command::new("sh").args(["-c", &kill]).status().unwrap().success());
    }

    fn status(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for RunningCsm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn stats_tell_lanes_workers_and_the_wait_that_the_queue_promises() {
    let fleet = TestQueue::start(1).await;
    let table = fleet.told(&["queue", "stats"]);
    assert_eq!(row(&table, "live"), ["live", "0", "0.0s", "0.0s", "-", "-"]);

    fleet.report(2.5, 1_000).await;
    for lane in [Lane::Live, Lane::Bulk, Lane::Bulk, Lane::Bulk, Lane::Bulk, Lane::Standard] {
        fleet.enqueue(lane).await;
    }
    let running = fleet.claim().await.expect("a job waits");
    let json: serde_json::Value = serde_json::from_str(&fleet.told(&["queue", "stats", "--json"])).unwrap();
    assert_eq!((json["open"].as_u64(), json["running"].as_u64()), (Some(6), Some(1)));
    assert_eq!((json["lanes"][2]["lane"].as_str(), json["lanes"][2]["depth"].as_u64()), (Some("bulk"), Some(4)));
    assert_eq!(json["workers"][0]["report"]["frames"].as_u64(), Some(1_000));

    let table = fleet.told(&["top", "--once"]);
    assert!(table.contains("6 open: 1 running, 0 suspects, 0 delayed; dead letters 0; intake open"), "{table}");
    assert!(table.contains("frames a second: 2.5 that 1 worker can make"), "{table}");
    let worker = row(&table, "box ");
    assert_eq!(worker[2..], ["█░░░", "1/4", "2.5", "1000", "9.9.9", "busy"], "{table}");
    for lane in Lane::ALL {
        let table = fleet.told(&["queue", "stats"]);
        let (_, promised) = fleet.enqueue(lane).await;
        let promised = promised.expect("a worker has told its rate");
        let shown = row(&table, lane.name())[5].to_owned();
        let near =
            [promised.saturating_sub(Duration::from_millis(100)), promised, promised + Duration::from_millis(100)];
        assert!(near.map(in_words).contains(&shown), "{lane}: {shown}, while the queue promises {promised:?}");
        assert!(lane == Lane::Live || promised > Duration::from_secs(1), "{lane}: {promised:?} tells nothing");
    }
    running.release().await.unwrap();
}

/// Formats a duration below an hour as the table does.
fn in_words(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..10 => format!("{seconds}.{}s", time.subsec_millis() / 100),
        seconds @ 10..60 => format!("{seconds}s"),
        seconds => format!("{}m{:02}s", seconds / 60, seconds % 60),
    }
}

#[tokio::test]
async fn a_paused_lane_is_held_back_on_every_shard_until_it_is_resumed() {
    let fleet = TestQueue::start(3).await;
    assert_eq!(fleet.told(&["queue", "pause", "bulk"]), "lane bulk is paused\n");
    for _ in 0..6 {
        fleet.enqueue(Lane::Bulk).await;
    }
    assert!(fleet.claim().await.is_none());
    let table = fleet.told(&["queue", "stats"]);
    let bulk = row(&table, "bulk");
    assert_eq!((bulk[1], bulk[5]), ("6", "paused"), "{table}");
    fleet.enqueue(Lane::Live).await;
    assert!(fleet.claim().await.is_some(), "the other lanes go on");

    assert_eq!(fleet.told(&["queue", "resume", "bulk"]), "lane bulk goes on\n");
    for _ in 0..6 {
        assert!(fleet.claim().await.is_some());
    }
    let output = fleet.csm(&["queue", "pause", "express"]);
    assert_status(&output, 2);
    assert!(stderr(&output).contains("live, standard or bulk"), "{}", stderr(&output));
}

#[tokio::test]
async fn drain_takes_nothing_in_and_ends_when_nothing_is_left() {
    let fleet = TestQueue::start(2).await;
    fleet.enqueue(Lane::Standard).await;
    let lease = fleet.claim().await.expect("a job waits");
    let mut drain = RunningCsm::err(fleet.command(&["queue", "drain"]));
    let line = drain.line_with("1 job left");
    assert!(line.contains("0 waiting, 1 running") && line.contains("no worker takes jobs"), "{line}");
    let refused = fleet.queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await;
    assert!(matches!(refused, Err(QueueError::Closed)), "{refused:?}");
    assert!(fleet.told(&["queue", "stats"]).contains("intake closed"));
    lease.cancelled().await.unwrap();
    assert_eq!(drain.status(), Some(0));

    let refused = fleet.queue.enqueue(&Ticket::new(JobId::generate()), &spec(Lane::Live)).await;
    assert!(matches!(refused, Err(QueueError::Closed)), "it stays closed: {refused:?}");
    assert_eq!(fleet.told(&["queue", "open"]), "intake open\n");
    fleet.enqueue(Lane::Live).await;

    let mut drain = RunningCsm::err(fleet.command(&["queue", "drain"]));
    drain.line_with("1 waiting");
    drain.interrupt();
    drain.line_with("interrupted with 1 job left; intake closed until `csm queue open`");
    assert_eq!(drain.status(), Some(1));

    fleet.claim().await.expect("what waited still does").cancelled().await.unwrap();
    assert_eq!(fleet.told(&["queue", "drain", "--reopen"]), "empty; intake open again\n");
    fleet.enqueue(Lane::Live).await;
}

#[tokio::test]
async fn dead_letters_are_listed_shown_and_tried_again() {
    let fleet = TestQueue::start(2).await;
    assert_eq!(fleet.told(&["dlq", "list"]), "");
    let first = fleet.bury("the device ran out of memory\nand more").await;
    let second = fleet.bury("the device is gone").await;

    let list = fleet.told(&["dlq", "list"]);
    assert_eq!(list.lines().count(), 2);
    assert!(list.lines().next().unwrap().contains(&first.to_string()), "oldest first: {list}");
    assert!(list.contains("standard of default  attempts 1  resource: the device ran out of memory..."), "{list}");
    let one = fleet.csm(&["dlq", "list", "--limit", "1"]);
    assert_eq!(stdout(&one).lines().count(), 1);
    assert!(stderr(&one).contains("1 of 2 dead letters"), "{}", stderr(&one));
    let json: serde_json::Value = serde_json::from_str(&fleet.told(&["dlq", "list", "--json"])).unwrap();
    assert_eq!(json[0]["error"], "the device ran out of memory\nand more");

    let shown = fleet.told(&["dlq", "show", &second.to_string()]);
    for part in ["resource: the device is gone", "state     failed", "build 0.1.0", "1: 0 failed by themselves"] {
        assert!(shown.contains(part), "no {part:?} in:\n{shown}");
    }
    let other = JobId::generate().to_string();
    for command in ["show", "retry", "purge"] {
        let told = fleet.refused(&["dlq", command, &other]);
        assert_eq!(told, format!("error: no job {other} among the dead letters\n"));
        assert_status(&fleet.csm(&["dlq", command, "no-id"]), 2);
        assert_status(&fleet.csm(&["dlq", command]), 2);
    }

    let told = fleet.told(&["dlq", "retry", &first.to_string()]);
    let new: JobId = told.trim().strip_prefix(&format!("{first} ")).unwrap().parse().unwrap();
    assert_eq!((fleet.state(&first).await, fleet.state(&new).await), (JobState::Failed, JobState::Queued));
    assert_eq!(fleet.told(&["dlq", "retry", &first.to_string()]), told, "once is enough");
    assert!(fleet.refused(&["dlq", "show", &first.to_string()]).contains(&format!("made into job {new}")));
    assert_eq!(fleet.queue.stats().await.unwrap().dead, 1);
}

#[tokio::test]
async fn all_dead_letters_at_once_and_none_thrown_away_unasked() {
    let fleet = TestQueue::start(2).await;
    for number in 0..7 {
        fleet.bury(&format!("failure {number}")).await;
    }
    assert_eq!(fleet.told(&["dlq", "retry", "--all"]).lines().count(), 7);
    let stats = fleet.queue.stats().await.unwrap();
    assert_eq!((stats.dead, stats.open), (0, 7));
    while let Some(lease) = fleet.claim().await {
        lease.fail(&Failure::new(FailureClass::Resource, "again")).await.unwrap();
    }

    let told = fleet.refused(&["dlq", "purge", "--all"]);
    assert!(told.contains("7 dead letters") && told.contains("csm dlq purge --all --yes"), "{told}");
    assert_eq!(fleet.queue.stats().await.unwrap().dead, 7, "nothing is thrown away unasked");
    assert_status(&fleet.csm(&["dlq", "purge", "--yes"]), 2);
    let one = fleet.queue.dead_letters(1).await.unwrap()[0].id.clone();
    assert_eq!(fleet.told(&["dlq", "purge", &one]), format!("{one} purged\n"));
    fleet.told(&["dlq", "purge", "--all", "--yes"]);
    assert_eq!(fleet.queue.stats().await.unwrap().dead, 0);
}

/// After an outage, the letters of the outage are tried again, and no others.
#[tokio::test]
async fn dead_letters_of_one_class_are_counted_and_tried_again() {
    let fleet = TestQueue::start(2).await;
    for number in 0..3 {
        fleet.bury(&format!("failure {number}")).await;
    }
    let (id, _) = fleet.enqueue(Lane::Standard).await;
    let failure = Failure::new(FailureClass::Transient, "the audio could not be stored");
    fleet.claim().await.expect("a job waits").fail(&failure).await.unwrap();

    let none = fleet.csm(&["dlq", "retry", "--all", "--class", "worker_lost"]);
    assert_status(&none, 0);
    assert!(stderr(&none).starts_with("0 dead letters of class worker_lost to be"), "{}", stderr(&none));
    let one = fleet.csm(&["dlq", "retry", "--all", "--class", "transient"]);
    assert_status(&one, 0);
    let told = stderr(&one);
    assert!(told.starts_with("1 dead letters of class transient to be made into new jobs\n"), "{told}");
    assert!(stdout(&one).starts_with(&id.to_string()) && stdout(&one).lines().count() == 1, "{}", stdout(&one));
    assert_eq!(fleet.queue.stats().await.unwrap().dead, 3, "the others stay");

    let refused = fleet.refused(&["dlq", "purge", "--all", "--class", "resource"]);
    assert!(refused.contains("3 dead letters of class resource"), "{refused}");
    assert!(refused.contains("csm dlq purge --all --yes --class resource"), "{refused}");
    for wrong in [&["dlq", "retry", "--all", "--class", "bad"][..], &["dlq", "retry", "--class", "resource"]] {
        assert_status(&fleet.csm(wrong), 2);
    }
    assert_eq!(fleet.told(&["dlq", "retry", "--all", "--yes"]).lines().count(), 3);
}

#[tokio::test]
async fn top_prints_rates_once_it_has_looked_twice() {
    let fleet = TestQueue::start(1).await;
    fleet.report(10.0, 500).await;
    let mut top = RunningCsm::out(fleet.command(&["top"]));
    top.line_with("frames a second: 10.0 that 1 worker can make");
    assert!(!top.seen.contains("jobs a second"), "one look has no rates:\n{}", top.seen);
    fleet.bury("away").await;
    fleet.report(10.0, 700).await;
    loop {
        let rates = top.line_with("jobs a second: ");
        let frames = top.line_with("frames a second: ");
        if !rates.contains("0.0 failed") && !frames.starts_with("frames a second: 0.0 of") {
            assert!(frames.ends_with(" of 10.0 that 1 worker can make"), "{frames}");
            break;
        }
    }
    top.interrupt();
    assert_eq!(top.status(), Some(0));
}

#[tokio::test]
async fn a_redis_that_is_away_is_told_of_without_its_password() {
    let fleet = TestQueue::start(1).await;
    let url = fleet.redis.url().replace("redis://", "redis://:hush@");
    let wrong = fleet.refused(&["queue", "stats", "--redis-url", &url]);
    assert!(wrong.starts_with("error: Redis"), "{wrong}");
    assert!(!wrong.contains("hush"), "{wrong}");
    let away = fleet.refused(&["top", "--once", "--redis-url", "redis://127.0.0.1:9"]);
    assert!(away.contains("Redis is unavailable"), "{away}");
    assert_eq!(row(&fleet.told(&["queue", "stats", "--key-prefix", "other"]), "live")[1], "0");
}
