//! Jobs a second and wait of a job, csm-fleet beside its peers, on one Redis.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use csm_shared::outln;
use csm_testing::proxy::FaultProxy;
use serde_json::Value;
use tokio::process::Command;

use super::bench_workers::BenchServer;
use super::{BenchQueueArgs, ours};

/// Names of the peers.
const PEERS: [&str; 4] = ["bullmq", "bullmq-official", "apalis-redis", "celery"];
/// Longest run of one peer.
const LIMIT: Duration = Duration::from_secs(900);

/// Prints one table for each round trip.
pub(crate) async fn run(args: &BenchQueueArgs) -> anyhow::Result<()> {
    for (title, each_way) in [("no added round trip", 0), ("1 ms added round trip", 500)] {
        let server = BenchServer::start().await?;
        let upstream = server.redis.url().trim_start_matches("redis://").trim_end_matches('/').parse()?;
        let proxy = FaultProxy::start(upstream).await?;
        proxy.delay(Duration::from_micros(each_way));
        // Without a delay the consumers bypass the proxy.
        let url = if each_way == 0 { server.redis.url() } else { format!("redis://{}", proxy.address()) };
        outln!("\n### {} no-op jobs, {} consumers, {title}, appendfsync always\n", args.jobs, args.consumers);
        outln!(
            "| queue | jobs/s | ours is | wait p50 ms | p99 ms | Redis calls per job | its CPU per job µs | guarantee |"
        );
        outln!("|---|---:|---:|---:|---:|---:|---:|---|");
        let mut rate = None;
        for peer in std::iter::once("csm-fleet").chain(PEERS) {
            let before = (calls(&server).await?, cpu(&server).await?);
            let seen = if peer == "csm-fleet" { ours::run(&url, args).await } else { measure(peer, &url, args).await };
            match seen {
                Ok(seen) => {
                    let jobs = f64::from(args.jobs + args.latency_jobs);
                    let calls = (calls(&server).await? - before.0) as f64 / jobs;
                    let micros = (cpu(&server).await? - before.1) * 1e6 / jobs;
                    outln!("{}", row(&seen, *rate.get_or_insert(number(&seen, "jobs_per_second")), calls, micros));
                }
                Err(error) => outln!("| {peer} | not measured: {error:#} |"),
            }
        }
    }
    Ok(())
}

async fn measure(peer: &str, url: &str, args: &BenchQueueArgs) -> anyhow::Result<Value> {
    let number = |n: u32| n.to_string();
    let run = Command::new(&args.runner)
        .args([peer, "--redis", url, "--jobs", &number(args.jobs), "--consumers", &number(args.consumers)])
        .args(["--latency-jobs", &number(args.latency_jobs)])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(LIMIT, run).await.context("took too long")??;
    if !output.status.success() {
        bail!("{} ended with {}; was `{} setup` run?", peer, output.status, args.runner.display());
    }
    let line = String::from_utf8(output.stdout)?;
    serde_json::from_str(line.trim()).with_context(|| format!("{peer} printed {line:?}"))
}

/// Returns the seconds of processor time of Redis' main thread.
async fn cpu(server: &BenchServer) -> anyhow::Result<f64> {
    let text = info(server, "cpu").await?;
    let seconds = text.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.ends_with("_main_thread").then(|| value.trim().parse::<f64>().ok())?
    });
    Ok(seconds.sum())
}

async fn info(server: &BenchServer, section: &str) -> anyhow::Result<String> {
    let mut info = redis::cmd("INFO");
    Ok(server.queue()?.redis().command(info.arg(section)).await?)
}

/// Returns the number of commands that Redis has run, including those inside scripts.
async fn calls(server: &BenchServer) -> anyhow::Result<u64> {
    let text = info(server, "commandstats").await?;
    let calls = text.lines().filter_map(|line| line.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok());
    Ok(calls.sum())
}

fn number(seen: &Value, name: &str) -> f64 {
    seen[name].as_f64().unwrap_or(f64::NAN)
}

fn row(seen: &Value, ours: f64, calls: f64, micros: f64) -> String {
    let rate = number(seen, "jobs_per_second");
    format!(
        "| {} {} | {rate:.0} | {:.2}x | {:.2} | {:.2} | {calls:.1} | {micros:.0} | {} |",
        seen["peer"].as_str().unwrap_or("?"),
        seen["version"].as_str().unwrap_or("?"),
        ours / rate,
        number(seen, "wait_p50_ms"),
        number(seen, "wait_p99_ms"),
        seen["guarantee"].as_str().unwrap_or("?"),
    )
}
