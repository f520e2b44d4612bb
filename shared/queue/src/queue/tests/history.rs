//! Play of a history on a real Redis beside the model, with a comparison of every answer and every
//! fact.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::{Timestamp, ToSpan as _};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use proptest_state_machine::ReferenceStateMachine as _;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::model::{Fence, OPEN_MAX, QueueModel, RUNNING_MAX};
use super::moves::{Histories, QueueMove, TimeLimit, WORKERS};
use super::{LuaDefect, QUEUES, TEXTS, TestRedis, queue_with, receipt, spec};
use crate::queue::{
    Cancel, Claim, LEASE, Lease, Queue, QueueArgs, QueueError, Reaped, RedisKeys, Ticket, WorkerCapacity, WorkerId,
};
use csm_shared::job::{Failure, FailureClass, JobId, JobState, Lane};

/// Time longer than any history takes.
const LONG: Duration = Duration::from_secs(3_600);

/// Queue for one history.
struct System {
    queue: Queue,
    keys: RedisKeys,
    jobs: Vec<JobId>,
    workers: Vec<WorkerId>,
    facts: Arc<redis::Script>,
}

impl System {
    fn new(redis: &TestRedis, prefix: &str, defect: Option<LuaDefect>, facts: Arc<redis::Script>) -> Self {
        let options = QueueArgs {
            tenant_running_max: RUNNING_MAX as u64,
            tenant_open_max: OPEN_MAX as u64,
            ..QueueArgs::default()
        };
        let workers = (0..WORKERS).map(|worker| WorkerId::of_this_process(&format!("w{worker}"))).collect();
        let queue = queue_with(redis, prefix, &options, defect);
        Self { queue, keys: RedisKeys::new(prefix, 0), jobs: Vec::new(), workers, facts }
    }

    /// Returns the number of a job, which is new if a replay made it.
    fn number(&mut self, id: JobId) -> usize {
        self.jobs.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.jobs.push(id);
            self.jobs.len() - 1
        })
    }

    fn lease(&self, fence: Fence) -> Lease {
        Lease::new(self.queue.clone(), self.jobs[fence.job], self.workers[fence.worker].clone(), fence.attempt)
    }

    async fn facts(&self) -> Result<Vec<String>, QueueError> {
        let mut script = self.facts.key(self.keys.root());
        let names: Vec<_> = self.jobs.iter().map(ToString::to_string).collect();
        for name in &names {
            script.arg(name);
        }
        let mut lines: Vec<String> = self.queue.redis().script_once(&script).await?;
        for line in &mut lines {
            for (job, name) in names.iter().enumerate() {
                *line = line.replace(name, &format!("j{job}"));
            }
            for (worker, owner) in self.workers.iter().enumerate() {
                *line = line.replace(owner.as_str(), &format!("w{worker}"));
            }
        }
        lines.sort_unstable();
        Ok(lines)
    }

    /// Makes a move and returns what the queue answered. `fence` is the lease that the move is
    /// about.
    async fn apply(&mut self, step: &QueueMove, fence: Option<Fence>) -> Result<String, QueueError> {
        let queue = self.queue.clone();
        let lease = fence.map(|fence| self.lease(fence));
        Ok(match (step, lease) {
            (QueueMove::Beat(_), Some(lease)) => format!("{:?}", queue.beat(lease.at(), LEASE).await?),
            (QueueMove::Succeed(_), Some(lease)) => {
                let receipt = receipt(lease.at().attempt);
                format!("{:?}", lease.succeed(&receipt).await?)
            }
            (QueueMove::Fail(_, class), Some(lease)) => format!("{:?}", lease.fail(&Failure::new(*class, "no")).await?),
            (QueueMove::GiveUp(_), Some(lease)) => format!("{:?}", lease.cancelled().await?),
            (QueueMove::Retry { delayed, .. }, Some(lease)) => {
                let delay = if *delayed { LONG } else { Duration::ZERO };
                format!("{:?}", lease.retry(&Failure::new(FailureClass::Transient, "again"), delay).await?)
            }
            (QueueMove::Suspect(_), Some(lease)) => {
                format!("{:?}", lease.suspect(&Failure::new(FailureClass::Transient, "again")).await?)
            }
            (QueueMove::Release { delayed, .. }, Some(lease)) => {
                let delay = if *delayed { LONG } else { Duration::ZERO };
                format!("{:?}", lease.release_after(delay).await?)
            }
            (&QueueMove::Enqueue { lane, text, tenant, limit }, _) => {
                let id = JobId::from(Uuid::from_u128(self.jobs.len() as u128));
                let answer = self.enqueue(id, lane, text, tenant, limit, "f").await?;
                if answer == "accepted" {
                    self.jobs.push(id);
                }
                answer
            }
            (&QueueMove::Repeat { job, same }, _) => {
                let print = if !same {
                    "other"
                } else if self.made_by_replay(job) {
                    ""
                } else {
                    "f"
                };
                self.enqueue(self.jobs[job], Lane::Live, 0, 0, TimeLimit::None, print).await?
            }
            (&QueueMove::Claim { worker, idle, standard, bulk }, _) => {
                let room = WorkerCapacity {
                    running: u8::from(!idle),
                    standard: if standard { 0 } else { 4 },
                    bulk: if bulk { 0 } else { 3 },
                    live_reserve: 1,
                    reserve: 1,
                    ..WorkerCapacity::empty(5)
                };
                self.claim(worker, room).await?
            }
            _ => self.operate(step).await?,
        })
    }

    fn made_by_replay(&self, job: usize) -> bool {
        self.jobs[job] > JobId::from(Uuid::from_u128(u128::from(u32::MAX)))
    }

    async fn enqueue(
        &self,
        id: JobId,
        lane: Lane,
        text: usize,
        tenant: usize,
        limit: TimeLimit,
        fingerprint: &str,
    ) -> Result<String, QueueError> {
        let mut ticket = Ticket { fingerprint: fingerprint.into(), ..Ticket::new(id) };
        if tenant == 1 {
            ticket.tenant = "other".parse().expect("valid");
        }
        match limit {
            TimeLimit::None => {}
            TimeLimit::Wait => ticket.expires_in = Some(LONG),
            TimeLimit::Deadline => ticket.deadline = Some(Timestamp::now() + 1.hour()),
        }
        match self.queue.enqueue(&ticket, &spec(lane, TEXTS[text])).await {
            Ok(crate::queue::Enqueue::Accepted { .. }) => Ok("accepted".into()),
            Ok(crate::queue::Enqueue::Paused) => Ok("accepted".into()),
            Ok(crate::queue::Enqueue::Exists(state)) => Ok(format!("exists {state}")),
            Err(QueueError::Conflict(_)) => Ok("conflict".into()),
            Err(QueueError::Closed) => Ok("closed".into()),
            Err(QueueError::TenantFull { .. }) => Ok("tenant full".into()),
            Err(error) => Err(error),
        }
    }

    async fn claim(&mut self, worker: usize, room: WorkerCapacity) -> Result<String, QueueError> {
        Ok(match self.queue.claimer(&self.workers[worker], "a test").claim(room).await? {
            Claim::Job(job) => {
                let at = job.lease.at();
                format!("job j{} attempt {} alone {}", self.number(at.id), at.attempt, job.alone)
            }
            Claim::Expired(id) => format!("expired j{}", self.number(id)),
            Claim::Nothing | Claim::Hold => "nothing".into(),
        })
    }

    async fn operate(&mut self, step: &QueueMove) -> Result<String, QueueError> {
        let queue = self.queue.clone();
        match *step {
            QueueMove::Cancel(job) => {
                return queue.cancel(&self.jobs[job]).await.map(|answer: Cancel| format!("{answer:?}"));
            }
            QueueMove::LeaseEnds(job) => self.pass(&self.keys.leases(), job).await?,
            QueueMove::RetryFallsDue(job) => self.pass(&self.keys.delayed(), job).await?,
            QueueMove::TimeIsOver(job) => self.time_is_over(job).await?,
            QueueMove::Reap => {
                let reaped = queue.reap().await?.into_iter().map(|Reaped { id, state }| (self.number(id), state));
                return Ok(format!("{:?}", reaped.collect::<Vec<(usize, JobState)>>()));
            }
            QueueMove::Promote => return Ok(queue.promote().await?.to_string()),
            QueueMove::Expire => {
                let expired = queue.expire().await?;
                return Ok(format!("{:?}", expired.into_iter().map(|id| self.number(id)).collect::<Vec<_>>()));
            }
            QueueMove::Reconcile => {
                let mended = queue.reconcile_after(Duration::ZERO).await?;
                return Ok(format!("{:?}", mended.into_iter().map(|id| self.number(id)).collect::<Vec<_>>()));
            }
            QueueMove::Tidy => drop(queue.tidy().await?),
            QueueMove::Pause(lane, paused) => queue.pause(lane, paused).await?,
            QueueMove::Close(closed) => queue.close(closed).await?,
            QueueMove::Replay(job) => {
                let made = queue.replay(&self.jobs[job]).await?;
                return Ok(made.map_or_else(|| "none".into(), |id| format!("j{}", self.number(id))));
            }
            QueueMove::Purge(job) => return Ok(queue.purge(&self.jobs[job]).await?.to_string()),
            QueueMove::WardenEnds => self.command(&["DEL", &format!("{}warden", self.keys.root())]).await?,
            QueueMove::GroupLost(queue) => {
                // The stream may have no group.
                let _ = self
                    .command(&["XGROUP", "DESTROY", &format!("{}s:{}", self.keys.root(), QUEUES[queue]), "workers"])
                    .await;
            }
            _ => {}
        }
        Ok(String::new())
    }

    /// Moves a job's time in a sorted set into the past.
    async fn pass(&self, key: &str, job: usize) -> Result<(), QueueError> {
        self.command(&["ZADD", key, "XX", "1", &self.jobs[job].to_string()]).await
    }

    async fn time_is_over(&self, job: usize) -> Result<(), QueueError> {
        let hash = self.keys.job(&self.jobs[job]);
        self.command(&["HSET", &hash, "expires_ms", "1"]).await?;
        let mut has_deadline = redis::cmd("HEXISTS");
        if self.queue.redis().command(has_deadline.arg(&hash).arg("deadline_ms")).await? {
            self.command(&["HSET", &hash, "deadline_ms", "1"]).await?;
        }
        self.pass(&self.keys.deadlines(), job).await
    }

    async fn command(&self, words: &[&str]) -> Result<(), QueueError> {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        Ok(self.queue.redis().command(&command).await?)
    }
}

/// Plays a history. Fails at the first difference between model and queue, with the steps that led
/// to it.
async fn play(mut system: System, history: &[QueueMove], seen: Option<&AtomicUsize>) -> Result<(), String> {
    let mut model = QueueModel::default();
    for (at, step) in history.iter().enumerate() {
        if let Some(seen) = seen {
            seen.fetch_add(1, Ordering::SeqCst);
        }
        let fence = match *step {
            QueueMove::Beat(fence)
            | QueueMove::Succeed(fence)
            | QueueMove::Fail(fence, _)
            | QueueMove::GiveUp(fence)
            | QueueMove::Retry { fence, .. }
            | QueueMove::Suspect(fence)
            | QueueMove::Release { fence, .. } => Some(model.fences[fence]),
            _ => None,
        };
        let expected = model.apply(step);
        let mut wrong = Vec::new();
        match system.apply(step, fence).await {
            Ok(answer) if answer == expected => {}
            Ok(answer) => wrong.push(format!("answered {answer:?} instead of {expected:?}")),
            Err(error) => wrong.push(format!("failed: {error}")),
        }
        let (must, are) = (model.facts(), system.facts().await.map_err(|error| error.to_string())?);
        wrong.extend(must.iter().filter(|line| !are.contains(line)).map(|line| format!("should be  {line}")));
        wrong.extend(are.iter().filter(|line| !must.contains(line)).map(|line| format!("but is     {line}")));
        if !wrong.is_empty() {
            let steps = history[..=at].iter().map(|step| format!("  {step:?}\n")).collect::<String>();
            return Err(format!("after\n{steps}{}", wrong.join("\n")));
        }
    }
    Ok(())
}

/// A difference that random histories found, and the shortest history that shows it.
#[derive(Debug)]
pub(super) struct Counterexample {
    pub(super) what: String,
    pub(super) history: Vec<QueueMove>,
}

/// Plays random histories until one shows a difference. `seeded` draws the same ones every time.
pub(super) fn search(cases: u32, shrinks: u32, seeded: bool, defect: Option<LuaDefect>) -> Option<Counterexample> {
    let runtime = Runtime::new().expect("runtime");
    let redis = runtime.block_on(TestRedis::start());
    let facts = Arc::new(redis::Script::new(include_str!("facts.lua")));
    let config = Config { cases, max_shrink_iters: shrinks, failure_persistence: None, ..Config::default() };
    let mut runner = if seeded {
        TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
    } else {
        TestRunner::new(config)
    };
    let played = AtomicUsize::new(0);
    let outcome = runner.run(&Histories::sequential_strategy(1..80), |(_, history, seen)| {
        let prefix = format!("h{}", played.fetch_add(1, Ordering::SeqCst));
        let system = System::new(&redis, &prefix, defect, facts.clone());
        // A runner that does not shrink panics if it is told what was played.
        let seen = seen.filter(|_| shrinks > 0);
        let outcome = runtime.block_on(play(system, &history, seen.as_deref()));
        outcome.map_err(TestCaseError::fail)
    });
    match outcome {
        Ok(()) => None,
        Err(TestError::Fail(reason, (_, history, _))) => Some(Counterexample { what: reason.to_string(), history }),
        Err(TestError::Abort(reason)) => panic!("no histories: {reason}"),
    }
}
