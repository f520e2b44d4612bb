//! A fleet in virtual time: real scripts on a real Redis, whose clock is a key that the test sets.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::queue::script::Scripts;
use crate::queue::tests::{LuaDefect, TestRedis, receipt, replaced};
use crate::queue::{
    Claim, Claimer, Enqueue, Lease, Queue, QueueArgs, QueueError, Ticket, WorkerCapacity, WorkerId, WorkerReport,
};
use csm_shared::job::{JobId, JobSpec, Lane};

/// Start of the virtual clock, in ms.
const EPOCH: u64 = 1_700_000_000_000;
/// Time in ms between two reports of a worker.
const REPORT: u64 = 5_000;
/// Hash that holds the time.
const CLOCK: &str = "clock";

/// Workers of a fleet, all alike.
#[derive(Clone, Copy)]
pub(super) struct VirtualWorkers {
    pub(super) workers: usize,
    pub(super) slots: u8,
    pub(super) live_reserve: u8,
    /// Time in ms that a slot needs for one frame.
    pub(super) frame_ms: u64,
}

/// A job to come.
#[derive(Clone)]
pub(super) struct Arrival {
    pub(super) label: &'static str,
    /// Time of the request in ms, from the beginning.
    pub(super) at: u64,
    pub(super) spec: JobSpec,
    /// Time in ms for which the job holds a slot.
    pub(super) takes: u64,
}

/// What became of a job.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) label: &'static str,
    #[expect(dead_code, reason = "read by those who debug a failure")]
    pub(super) at: u64,
    /// Predicted wait in ms; `None` if the job was refused.
    pub(super) told: Option<u64>,
    /// Wait in ms that the job then had.
    pub(super) waited: Option<u64>,
}

struct VirtualWorker {
    id: WorkerId,
    claimer: Claimer,
    running: Vec<Lane>,
}

/// End of a running job: its worker, lane and lease.
struct End {
    worker: usize,
    lane: Lane,
    lease: Lease,
}

pub(super) struct VirtualFleet {
    queue: Queue,
    clock: u64,
    kind: VirtualWorkers,
    workers: Vec<VirtualWorker>,
    /// Ends to come, by time and number.
    ends: BTreeMap<(u64, u64), End>,
    begun: u64,
    takes: BTreeMap<JobId, (usize, u64)>,
}

impl VirtualFleet {
    pub(super) async fn new(
        redis: &TestRedis,
        kind: VirtualWorkers,
        live_wait_max_seconds: u64,
        defect: Option<LuaDefect>,
    ) -> Self {
        let scripts = Scripts::edited(&|name, source| {
            let source = if name == "prelude" {
                replaced(source, "redis.call('TIME')", &format!("redis.call('HMGET', ROOT .. '{CLOCK}', 's', 'us')"))
            } else {
                source.to_owned()
            };
            match defect {
                Some(LuaDefect { script, old, new }) if script == name => replaced(&source, old, new),
                _ => source,
            }
        });
        let options = QueueArgs { live_wait_max_seconds, ..QueueArgs::default() };
        let queue = Queue::with_scripts(redis.client("virtual"), &options, scripts);
        let worker = |number: usize| {
            let id = WorkerId::of_this_process(&format!("w{number}"));
            VirtualWorker { claimer: queue.claimer(&id, "virtual"), id, running: Vec::new() }
        };
        let workers = (0..kind.workers).map(worker).collect();
        let (ends, takes) = (BTreeMap::new(), BTreeMap::new());
        Self { queue, clock: 0, kind, workers, ends, begun: 0, takes }
    }

    /// Plays the arrivals to the end of the last job, and returns what became of each.
    pub(super) async fn play(mut self, mut arrivals: Vec<Arrival>) -> Vec<Seen> {
        arrivals.sort_by_key(|arrival| arrival.at);
        let mut seen: Vec<Seen> = Vec::new();
        let (mut arrivals, mut report) = (arrivals.into_iter().peekable(), 0);
        loop {
            let arrival = arrivals.peek().map(|arrival| arrival.at);
            let end = self.ends.keys().next().map(|(at, _)| *at);
            let Some(next) = [arrival, end].into_iter().flatten().min() else { return seen };
            if report <= next {
                self.set_clock(report).await;
                self.report().await;
                report += REPORT;
            } else if end == Some(next) {
                self.set_clock(next).await;
                self.end_next().await;
            } else if let Some(arrival) = arrivals.next() {
                self.set_clock(next).await;
                let told = self.enqueue(&arrival, seen.len()).await;
                seen.push(Seen { label: arrival.label, at: arrival.at, told, waited: None });
            }
            self.claim_all(&mut seen).await;
        }
    }

    async fn set_clock(&mut self, at: u64) {
        self.clock = at;
        let now = EPOCH + at;
        let mut set = redis::cmd("HSET");
        set.arg(format!("{}{CLOCK}", self.queue.shards[0].root()));
        set.arg("s").arg(now / 1_000).arg("us").arg(now % 1_000 * 1_000);
        self.queue.redis().command::<u64>(&set).await.expect("the clock");
    }

    fn room(&self, worker: usize) -> WorkerCapacity {
        let running = &self.workers[worker].running;
        let of = |lane: Lane| running.iter().filter(|running| **running == lane).count() as u8;
        WorkerCapacity {
            running: running.len() as u8,
            standard: of(Lane::Standard),
            bulk: of(Lane::Bulk),
            live_reserve: self.kind.live_reserve,
            reserve: 1,
            ..WorkerCapacity::empty(self.kind.slots)
        }
    }

    async fn report(&self) {
        for (number, worker) in self.workers.iter().enumerate() {
            let room = self.room(number);
            let report = WorkerReport {
                host: "virtual".into(),
                model: "none".into(),
                build: "virtual".into(),
                slots: room.slots,
                lane_slots: room.lane_slots(),
                running: room.running,
                frames_per_second: f64::from(room.slots) * 1_000.0 / self.kind.frame_ms as f64,
                frames: 0,
                draining: false,
            };
            self.queue.report(&worker.id, &report).await.expect("report");
        }
    }

    async fn enqueue(&mut self, arrival: &Arrival, number: usize) -> Option<u64> {
        let id = JobId::generate();
        self.takes.insert(id, (number, arrival.takes));
        match self.queue.enqueue(&Ticket::new(id), &arrival.spec).await {
            Ok(Enqueue::Accepted { wait }) => Some(wait.expect("a rate is known").as_millis() as u64),
            Err(QueueError::Busy { .. }) => None,
            other => panic!("{other:?}"),
        }
    }

    async fn end_next(&mut self) {
        let Some((_, End { worker, lane, lease })) = self.ends.pop_first() else { return };
        lease.succeed(&receipt(1)).await.expect("finish");
        let running = &mut self.workers[worker].running;
        if let Some(place) = running.iter().position(|running| *running == lane) {
            running.remove(place);
        }
    }

    /// Lets all workers claim while they have room and there is work.
    async fn claim_all(&mut self, seen: &mut [Seen]) {
        let mut idle = 0;
        for worker in (0..self.workers.len()).cycle() {
            let room = self.room(worker);
            let claim = if room.running < room.slots {
                self.workers[worker].claimer.claim(room).await.expect("claim")
            } else {
                Claim::Nothing
            };
            let Claim::Job(job) = claim else {
                idle += 1;
                if idle == self.workers.len() {
                    return;
                }
                continue;
            };
            idle = 0;
            let (number, takes) = self.takes[&job.lease.at().id];
            seen[number].waited = Some(Duration::as_millis(&job.waited) as u64);
            self.workers[worker].running.push(job.spec.lane);
            self.begun += 1;
            let end = End { worker, lane: job.spec.lane, lease: job.lease };
            self.ends.insert((self.clock + takes, self.begun), end);
        }
    }
}
