//! The run from the first process to the verdict.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use csm_shared::outln;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use uuid::Uuid;

use super::SoakReport;
use super::census;
use super::chaos::Chaos;
use super::checker::{SoakMinimum, check};
use super::observer::{SharedWatch, connect, observe};
use super::plan::{Arrival, EntryPoint, GATEWAYS, SoakPlan, WORKERS, kills_wanted};
use super::soak_callers::{Accounts, Callers};
use super::soak_evidence::SoakEvidence;
use super::soak_fleet::SoakFleet;

/// Times that each utterance is spoken before the first fault.
const ROUNDS: usize = 2;
/// Longest time for all utterances before the first fault.
const UNDISTURBED_LIMIT: Duration = Duration::from_secs(120);
/// Longest time without an ended job after the last fault. Then the open jobs count as lost.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
/// Longest time for the queue to remove what ended jobs have left.
const CLEAR_LIMIT: Duration = Duration::from_secs(30);
/// Callers at a time that read their jobs once more.
const LOOKS_AT_ONCE: usize = 16;
/// Pause between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// Options of a run.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Time in which jobs arrive and faults happen.
    pub duration: Duration,
    /// Number of jobs that arrive.
    pub jobs: usize,
    /// Seed of every choice.
    pub seed: u64,
    /// Redis speaks TLS alone and knows the fleet's users and their rights.
    pub secure: bool,
}

/// Runs the fleet and checks the result; prints progress on standard output. To be called within a
/// [`tokio::task::LocalSet`].
///
/// # Errors
/// If the run could not be completed. Damages of a completed run are in the report.
pub async fn run(options: Options) -> anyhow::Result<SoakReport> {
    let Options { duration, jobs, seed, secure } = options;
    let redis = if secure { "TLS and rules in Redis" } else { "a plain Redis" };
    let seconds = duration.as_secs();
    outln!("soak: {seconds} s, {jobs} jobs, seed {seed}; {GATEWAYS} gateways, {WORKERS} workers, {redis}");
    let folder = tempfile::Builder::new().prefix("csm-soak-").tempdir()?;
    let evidence = Box::pin(gather(options, folder.path())).await;
    let evidence = match evidence {
        Ok(evidence) => evidence,
        Err(error) => return Err(error.context(format!("see {}", folder.keep().display()))),
    };
    let report = check(&evidence, SoakMinimum { jobs, kills: kills_wanted(duration) });
    if !report.passed() {
        outln!("logs, files and the data of Redis are in {}", folder.keep().display());
    }
    Ok(report)
}

async fn gather(options: Options, folder: &Path) -> anyhow::Result<SoakEvidence> {
    let plan = SoakPlan::new(options.seed, options.duration, options.jobs);
    let watch = SharedWatch::default();
    let fleet = SoakFleet::start(folder, options.secure).await?;
    let url = fleet.redis.admin_url();
    let callers = Callers::new(&fleet.addresses, Rc::clone(&watch))?;
    let began = Instant::now();
    timeout(UNDISTURBED_LIMIT, undisturbed(&callers, &plan)).await.context("the undisturbed run takes too long")?;
    let before = callers.accounts.all.borrow().len();
    outln!("undisturbed: {before} jobs in {:.1} s; now the faults", began.elapsed().as_secs_f64());

    let mut tasks = JoinSet::new();
    tasks.spawn_local(observe(url.clone(), Rc::clone(&watch)));
    let mut chaos = Chaos::new(fleet, Rc::clone(&watch));
    let start = Instant::now();
    tasks.spawn_local(tell(start, Rc::clone(&callers.accounts), before));
    let mut load = JoinSet::new();
    load.spawn_local(arrive(callers.clone(), plan.clone(), start));
    chaos.run(&plan.actions, start, options.duration).await?;
    drain(&mut chaos, &callers.accounts, &mut load).await?;
    outln!("drained after {:.1} s; checking", start.elapsed().as_secs_f64());
    look_again(&callers).await;

    let mut connection = connect(&url).await.context("Redis, at the end")?;
    let end = Instant::now() + CLEAR_LIMIT;
    while !census::leftovers(&mut connection).await?.is_empty() && Instant::now() < end {
        chaos.guard_until(Instant::now() + Duration::from_millis(500)).await?;
    }
    let census = census::census(&mut connection, &folder.join("store")).await?;
    tasks.shutdown().await;
    load.shutdown().await;
    outln!("{:<30}{}", "requests without success", troubles(&callers.accounts));
    chaos.fleet.redis.check_logs(&folder.join("log"))?;
    let Chaos { kills, died, .. } = chaos;
    let mut watch = watch.borrow_mut();
    let recovery = std::mem::take(&mut watch.recoveries).finish();
    let accounts = callers.accounts.all.take();
    Ok(SoakEvidence { accounts, watched: std::mem::take(&mut watch.watched), census, kills, died, recovery })
}

/// Speaks every utterance before the first fault; later results must have the same bytes.
async fn undisturbed(callers: &Callers, plan: &SoakPlan) {
    let mut all = JoinSet::new();
    for (utterance, spoken) in (0..ROUNDS).flat_map(|_| plan.utterances.iter().enumerate()) {
        let arrival = Arrival {
            at: Duration::ZERO,
            key: Uuid::new_v4(),
            entry_point: EntryPoint::Key,
            utterance,
            lane: "standard",
            tenant: "default",
            repeats: false,
            cancel_after: None,
        };
        all.spawn_local(callers.clone().call(arrival, spoken.clone(), true));
    }
    while all.join_next().await.is_some() {}
}

/// Starts each caller at its time, without waiting for earlier ones, and returns when all are done.
async fn arrive(callers: Callers, plan: SoakPlan, start: Instant) {
    let mut all = JoinSet::new();
    for arrival in plan.arrivals {
        tokio::time::sleep_until((start + arrival.at).into()).await;
        let utterance = plan.utterances[arrival.utterance].clone();
        all.spawn_local(callers.clone().call(arrival, utterance, false));
        while all.try_join_next().is_some() {}
    }
    while all.join_next().await.is_some() {}
}

/// Waits for the callers; gives up if no job ends for too long.
async fn drain(chaos: &mut Chaos, accounts: &Accounts, load: &mut JoinSet<()>) -> anyhow::Result<()> {
    let mut last = (accounts.ended.get(), Instant::now());
    while load.try_join_next().is_none() {
        chaos.guard_until(Instant::now() + Duration::from_millis(200)).await?;
        if accounts.ended.get() > last.0 {
            last = (accounts.ended.get(), Instant::now());
        }
        if last.1.elapsed() > SILENCE_LIMIT {
            outln!("nothing has ended for {} s; what is open is lost", SILENCE_LIMIT.as_secs());
            return Ok(());
        }
    }
    ensure!(load.is_empty(), "the load has ended");
    Ok(())
}

/// Lets every caller read its job's end once more.
async fn look_again(callers: &Callers) {
    let count = callers.accounts.all.borrow().len();
    let mut all = JoinSet::new();
    for caller in 0..count {
        let callers = callers.clone();
        all.spawn_local(async move { timeout(SILENCE_LIMIT, callers.look_again(caller)).await });
        if all.len() >= LOOKS_AT_ONCE {
            all.join_next().await;
        }
    }
    while all.join_next().await.is_some() {}
}

/// Prints the progress of the run until the future is dropped.
async fn tell(start: Instant, accounts: Rc<Accounts>, before: usize) {
    loop {
        sleep(TELL_EVERY).await;
        let (accepted, ended) = (accounts.accepted.get() - before, accounts.ended.get() - before);
        outln!("{:>5.0} s: {accepted} accepted, {ended} followed to the end", start.elapsed().as_secs_f64());
    }
}

fn troubles(accounts: &Accounts) -> String {
    let troubles: BTreeMap<_, _> = accounts.troubles.take();
    let all: Vec<_> = troubles.iter().map(|(what, count)| format!("{what}: {count}")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}
