//! One attack after the other, each on a new gateway.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use csm_shared::outln;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, sleep_until};

use super::attack_table::{ATTACKS, Attack, Attacker, FEW_DESCRIPTORS, HONEST_SOURCE, Needs, Tally, attacking_source};
use super::attacks::payloads::Payloads;
use super::gateway_memory::{MemoryLimit, Resident, until_below, watch_memory};
use super::honest_caller::HonestCaller;
use super::probe::Probe;
use super::siege_fleet::{SiegeFleet, SiegeGateway};
use super::siege_report::{AttackReport, Ending, SiegeReport};
use super::{RECOVERY_LIMIT, REST_FACTOR};

/// Time before an attack in which the honest caller is alone, so that memory at rest is that of a
/// gateway at work.
const WARM_UP: Duration = Duration::from_secs(2);
/// Length of the second attack before SIGTERM.
const SECOND_ATTACK: Duration = Duration::from_secs(1);
/// Pause between two rounds of one attacker.
const ROUND_PAUSE: Duration = Duration::from_millis(20);
/// Pause between two looks at the gateway during an attack.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// File descriptors that the siege needs beyond one for each attacker.
const SPARE_DESCRIPTORS: usize = 256;

/// Options of a siege.
#[derive(Clone, Debug)]
pub struct SiegeOptions {
    /// Names of the attacks to run; all of them if empty.
    pub only: Vec<String>,
    /// Length of each attack.
    pub duration: Duration,
    /// Memory that the gateway may use, in bytes.
    pub memory: u64,
    /// Most attackers of one attack.
    pub attackers_max: usize,
    /// More of the gateway's environment, as names and values.
    pub environment: Vec<(String, String)>,
    /// True if attackers have the honest caller's address, as behind a reverse proxy.
    pub one_address: bool,
}

/// Runs the attacks and prints a report of each.
///
/// # Errors
/// If a name is unknown, or if the fleet cannot be started. What an attack does to the gateway is
/// in the report.
pub async fn run(options: &SiegeOptions) -> anyhow::Result<SiegeReport> {
    for name in &options.only {
        let names = || ATTACKS.iter().map(|attack| attack.name).collect::<Vec<_>>().join(", ");
        ensure!(ATTACKS.iter().any(|attack| attack.name == name), "no attack {name:?}; there are {}", names());
    }
    let folder = tempfile::Builder::new().prefix("csm-siege-").tempdir()?;
    match Box::pin(attack_all(options, folder.path())).await {
        Ok(report) if report.passed() => Ok(report),
        Ok(report) => {
            outln!("\nthe log of all processes is {}", folder.keep().join("log").display());
            Ok(report)
        }
        Err(error) => Err(error.context(format!("see {}", folder.keep().display()))),
    }
}

async fn attack_all(options: &SiegeOptions, folder: &Path) -> anyhow::Result<SiegeReport> {
    let (limit, descriptors) = (MemoryLimit::new(options.memory), open_files_max()?);
    outln!("siege: {} MiB for the gateway, {}", options.memory >> 20, limit.describe());
    let more = limit.setting(options.memory).into_iter().chain(options.environment.iter().cloned());
    let mut fleet = SiegeFleet::start(folder, more).await?;
    fleet.ready().await?;
    let payloads = Arc::new(Payloads::new());
    let mut siege = Siege { options, fleet, limit, payloads, long_job: None, descriptors };
    let mut report = SiegeReport::default();
    let chosen = |attack: &&Attack| options.only.is_empty() || options.only.iter().any(|name| name == attack.name);
    for attack in ATTACKS.iter().filter(chosen) {
        let one = Box::pin(siege.attack(attack)).await.context(attack.name)?;
        outln!("\n{one}");
        report.attacks.push(one);
    }
    Ok(report)
}

/// Returns the soft limit of open files of this process.
fn open_files_max() -> anyhow::Result<u32> {
    let limits = fs::read_to_string("/proc/self/limits").context("the limits of this process")?;
    let line =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")).context("the limit of open files")?;
    Ok(line.split_whitespace().next().and_then(|soft| soft.parse().ok()).unwrap_or(u32::MAX))
}

struct Siege<'a> {
    options: &'a SiegeOptions,
    fleet: SiegeFleet,
    limit: MemoryLimit,
    payloads: Arc<Payloads>,
    long_job: Option<Arc<str>>,
    /// Open files that this process, and each gateway, may have.
    descriptors: u32,
}

/// What goes on beside an attack.
struct Beside {
    honest: HonestCaller,
    probe: Probe,
    memory: watch::Receiver<Resident>,
    tasks: JoinSet<()>,
}

impl Siege<'_> {
    async fn attack(&mut self, attack: &Attack) -> anyhow::Result<AttackReport> {
        let attackers = attack.attackers.min(self.options.attackers_max);
        ensure!(
            attackers + SPARE_DESCRIPTORS <= self.descriptors as usize,
            "{attackers} attackers need more open files than {}: ulimit -n {}",
            self.descriptors,
            attackers + SPARE_DESCRIPTORS
        );
        let descriptors = if attack.needs == Needs::FewDescriptors { FEW_DESCRIPTORS } else { self.descriptors };
        let mut gateway = self.fleet.gateway(&self.limit, descriptors).await?;
        self.long_job(attack.needs, gateway.public).await?;
        let mut beside = self.beside(&gateway)?;
        sleep(WARM_UP).await;
        let rest = beside.memory.borrow().now;
        let (warm_up, _) = (beside.honest.take(), beside.probe.take());
        ensure!(warm_up.served() > 0, "the honest caller is not served without an attack: {warm_up:?}");

        let tally = Arc::new(Tally::default());
        let began = Instant::now();
        let mut rounds = self.attackers(attackers, attack, &gateway, &tally);
        let over = began + self.options.duration;
        while Instant::now() < over && gateway.process.ended()?.is_none() {
            sleep_until((Instant::now() + LOOK_EVERY).min(over).into()).await;
        }
        let (honest, probes) = (beside.honest.take(), beside.probe.take());
        rounds.shutdown().await;
        let target = (rest as f64 * REST_FACTOR) as u64;
        let recovery = match gateway.process.ended()? {
            Some(_) => None,
            None => until_below(&mut beside.memory, target, RECOVERY_LIMIT).await,
        };
        let after = beside.memory.borrow().now;
        let works = gateway.process.ended()?.is_none() && beside.honest.succeeds().await;
        // SIGTERM comes in the middle of a second attack.
        let again = self.attackers(attackers, attack, &gateway, &Arc::default());
        sleep(SECOND_ATTACK).await;
        let ending = end(&mut gateway, works).await?;
        drop(again);
        let seen = *beside.memory.borrow();
        beside.tasks.shutdown().await;
        Ok(AttackReport {
            name: attack.name,
            what: attack.what,
            attackers,
            duration: began.elapsed().min(self.options.duration),
            limit: self.options.memory,
            rest,
            peak: seen.peak,
            after,
            recovery,
            honest,
            probes,
            ending,
            outcomes: tally.outcomes(),
            breaches: tally.breaches(),
        })
    }

    /// Begins the long job, or waits for its end, if an attack needs that.
    async fn long_job(&mut self, needs: Needs, gateway: SocketAddr) -> anyhow::Result<()> {
        if !matches!(needs, Needs::LongJob | Needs::LongAnswer) {
            return Ok(());
        }
        let job = match self.long_job.take() {
            Some(job) => job,
            None => self.fleet.long_job(gateway).await?,
        };
        if needs == Needs::LongAnswer {
            self.fleet.finished(gateway, &job).await?;
        }
        self.long_job = Some(job);
        Ok(())
    }

    /// Starts what goes on beside the attack.
    fn beside(&self, gateway: &SiegeGateway) -> anyhow::Result<Beside> {
        let (honest, probe) = (HonestCaller::new(gateway.public)?, Probe::default());
        let (told, memory) = watch::channel(Resident::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(watch_memory(gateway.pid, self.options.memory, told));
        tasks.spawn(honest.clone().call());
        let (asking, admin) = (probe.clone(), gateway.admin);
        tasks.spawn(async move {
            if let Err(error) = asking.ask(admin).await {
                outln!("cannot ask the probes: {error}");
            }
        });
        Ok(Beside { honest, probe, memory, tasks })
    }

    /// Starts the attackers. Each repeats its round until it is dropped.
    fn attackers(&self, count: usize, attack: &Attack, gateway: &SiegeGateway, tally: &Arc<Tally>) -> JoinSet<()> {
        let act = attack.act;
        let mut attackers = JoinSet::new();
        for number in 0..count {
            let mut attacker = Attacker {
                public: gateway.public,
                admin: gateway.admin,
                round: number,
                payloads: Arc::clone(&self.payloads),
                tally: Arc::clone(tally),
                long_job: self.long_job.clone(),
                source: if self.options.one_address { HONEST_SOURCE } else { attacking_source(number) },
            };
            attackers.spawn(async move {
                loop {
                    let outcome = act(attacker.clone()).await.unwrap_or_else(|error| fault(&error));
                    attacker.tally.count(outcome);
                    attacker.round += count;
                    sleep(ROUND_PAUSE).await;
                }
            });
        }
        attackers
    }
}

/// Ends the gateway by SIGTERM.
async fn end(gateway: &mut SiegeGateway, works: bool) -> anyhow::Result<Ending> {
    if let Some(status) = gateway.process.ended()? {
        return Ok(Ending::Died(status.to_string()));
    }
    let began = Instant::now();
    match gateway.process.terminate().await {
        Ok(status) => Ok(Ending::Ended { works, after: began.elapsed(), status: status.to_string() }),
        Err(_) => {
            gateway.process.kill9().await?;
            Ok(Ending::Hung)
        }
    }
}

/// Names a fault of a connection, as an outcome of a round.
fn fault(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "closed without an answer".to_owned(),
        kind => kind.to_string(),
    }
}
