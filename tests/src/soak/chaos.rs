//! The driver: applies the plan's actions to the fleet, each at its time, and records them.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::observer::SharedWatch;
use super::plan::{ChaosAction, Target};
use super::soak_evidence::Kills;
use super::soak_fleet::{Member, SoakFleet};

/// Longest wait of a kill for its worker to be in the middle of a job, because an idle worker loses
/// nothing.
const BUSY_WAIT: Duration = Duration::from_secs(3);
/// Time after which a kill takes another worker that is in the middle of a job.
const OWN_WAIT: Duration = Duration::from_millis(500);
/// Longest wait of an absence for its worker to be in the middle of a very long utterance. The
/// worker then comes back while another still runs the job.
const DEEP_WAIT: Duration = Duration::from_secs(8);
/// Longest time that an overdue worker stays away until another has one of its jobs. At that moment
/// a write of the first would do the most harm.
const TAKEN_WAIT: Duration = Duration::from_secs(4);
/// Pause between two checks for busy or dead processes.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Driver with its record of a run.
pub(super) struct Chaos {
    pub(super) fleet: SoakFleet,
    pub(super) kills: Kills,
    /// Processes that ended without a kill.
    pub(super) died: Vec<String>,
    watch: SharedWatch,
}

impl Chaos {
    pub(super) fn new(fleet: SoakFleet, watch: SharedWatch) -> Self {
        Self { fleet, kills: Kills::default(), died: Vec::new(), watch }
    }

    /// Applies all actions, waits until the end of the time, then repairs everything.
    pub(super) async fn run(
        &mut self,
        actions: &[(Duration, ChaosAction)],
        start: Instant,
        end: Duration,
    ) -> anyhow::Result<()> {
        for &(at, what) in actions {
            self.guard_until(start + at).await?;
            self.make(what).await.with_context(|| format!("{what:?}"))?;
        }
        self.guard_until(start + end).await?;
        for member in self.fleet.gateways.iter_mut().chain(&mut self.fleet.workers) {
            member.line.heal();
            member.process.resume().await?;
        }
        Ok(())
    }

    /// Waits, and restarts each process that ends by itself.
    pub(super) async fn guard_until(&mut self, end: Instant) -> anyhow::Result<()> {
        loop {
            for member in self.fleet.gateways.iter_mut().chain(&mut self.fleet.workers) {
                if let Some(status) = member.process.ended()? {
                    self.died.push(format!("{}: {status}", member.tag()));
                    self.watch.borrow_mut().recoveries.killed(&member.tag(), Instant::now());
                    member.restart()?;
                }
            }
            if Instant::now() >= end {
                return Ok(());
            }
            tokio::time::sleep(LOOK_EVERY.min(end - Instant::now())).await;
        }
    }

    async fn make(&mut self, what: ChaosAction) -> anyhow::Result<()> {
        let what = match what {
            ChaosAction::Kill(Target::Worker(worker)) => ChaosAction::Kill(Target::Worker(self.busy_one(worker).await)),
            what => what,
        };
        if let ChaosAction::Pause(Target::Worker(worker)) | ChaosAction::Stall(Target::Worker(worker)) = what {
            self.until_deep(worker).await;
        }
        if let ChaosAction::Resume(Target::Worker(worker)) | ChaosAction::Flow(Target::Worker(worker)) = what {
            self.until_taken(worker).await;
        }
        match what {
            ChaosAction::Kill(target) => self.kill(target).await?,
            ChaosAction::Pause(Target::Redis) => self.fleet.signal_redis("STOP").await?,
            ChaosAction::Resume(Target::Redis) => self.fleet.signal_redis("CONT").await?,
            ChaosAction::Pause(target) => {
                self.absent(target);
                self.member(target)?.process.pause().await?;
            }
            ChaosAction::Resume(target) => {
                self.member(target)?.process.resume().await?;
                self.back(target);
            }
            ChaosAction::Stall(target) => {
                self.absent(target);
                self.member(target)?.line.stall(true);
            }
            ChaosAction::Flow(target) => {
                self.member(target)?.line.stall(false);
                self.back(target);
            }
            ChaosAction::Cut(target) => self.member(target)?.line.cut(),
            ChaosAction::Delay(target, each_way) => self.member(target)?.line.delay(each_way),
        }
        Ok(())
    }

    async fn kill(&mut self, target: Target) -> anyhow::Result<()> {
        match target {
            Target::Redis => {
                self.kills.redis += 1;
                return self.fleet.restart_redis().await;
            }
            Target::Worker(_) => self.kills.workers += 1,
            Target::Gateway(_) => self.kills.gateways += 1,
        }
        let member = self.member(target)?;
        let (tag, at) = (member.tag(), Instant::now());
        member.process.kill9().await?;
        member.restart()?;
        self.watch.borrow_mut().recoveries.killed(&tag, at);
        Ok(())
    }

    /// Waits until a worker is in the middle of a job. If it stays idle for a while, takes another one that
    /// is busy: at the end of a run most are idle.
    async fn busy_one(&self, worker: usize) -> usize {
        let begun = Instant::now();
        while !self.is_busy(worker) && begun.elapsed() < BUSY_WAIT {
            if begun.elapsed() > OWN_WAIT
                && let Some(other) = (0..self.fleet.workers.len()).find(|&other| self.is_busy(other))
            {
                return other;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        worker
    }

    async fn until_busy(&self, worker: usize) {
        let end = Instant::now() + BUSY_WAIT;
        while !self.is_busy(worker) && Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn is_busy(&self, worker: usize) -> bool {
        let tag = self.fleet.workers.get(worker).map(Member::tag);
        tag.is_some_and(|tag| self.watch.borrow().busy.contains(&tag))
    }

    async fn until_deep(&self, worker: usize) {
        let Some(tag) = self.fleet.workers.get(worker).map(Member::tag) else { return };
        let end = Instant::now() + DEEP_WAIT;
        while !self.watch.borrow().deep.contains(&tag) && Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.until_busy(worker).await;
    }

    /// Waits, after a long absence, until another worker has one of the jobs. A short absence loses
    /// no job.
    async fn until_taken(&self, worker: usize) {
        let Some(tag) = self.fleet.workers.get(worker).map(Member::tag) else { return };
        let victims = || self.watch.borrow().recoveries.victims_of(&tag);
        if !self.watch.borrow().recoveries.is_overdue(&tag, Instant::now()) {
            return;
        }
        let (before, end) = (victims(), Instant::now() + TAKEN_WAIT);
        while before > 0 && victims() == before && Instant::now() < end {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn member(&mut self, target: Target) -> anyhow::Result<&mut Member> {
        self.fleet.member(target).with_context(|| format!("{target:?} has no line of its own"))
    }

    fn absent(&mut self, target: Target) {
        if let Some(member) = self.fleet.member(target) {
            self.watch.borrow_mut().recoveries.absent(&member.tag(), Instant::now());
        }
    }

    fn back(&mut self, target: Target) {
        if let Some(member) = self.fleet.member(target) {
            self.watch.borrow_mut().recoveries.back(&member.tag(), Instant::now());
        }
    }
}
