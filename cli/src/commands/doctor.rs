//! `csm doctor`: checks everything that a fleet needs on this machine, with advice for each fault.
//!
//! The checks change nothing and load no model. CUDA is checked from outside: this binary links no
//! CUDA library, so it also runs on a machine that cannot start a CUDA worker.

mod cuda_check;
mod machine_check;
mod model_check;
mod places;
mod program;
mod redis_check;
#[cfg(test)]
mod tests;
mod watermark_check;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use csm_queue::redis_client::RedisTlsArgs;
use csm_shared::models::{HubOptions, ModelSource};
use csm_shared::outln;
use csm_worker::marks::MarkArgs;
use secrecy::SecretString;
use serde::Serialize;

use crate::local_fleet::{DEFAULT_DATA, DEFAULT_LISTEN};

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// Redis server to check, beside the one that `csm dev` starts itself
    #[arg(long, env = "CSM_REDIS_URL", hide_env_values = true, value_name = "URL")]
    redis_url: Option<SecretString>,
    #[command(flatten)]
    redis_tls: RedisTlsArgs,
    /// Model to look for: a hub id, a folder, `tiny` or `noise`
    #[arg(long, env = "CSM_MODEL", default_value = "unsloth/csm-1b", value_name = "MODEL")]
    model: ModelSource,
    /// Data folder of `csm dev`
    #[arg(long, default_value = DEFAULT_DATA, value_name = "DIR")]
    data: PathBuf,
    /// Address of the API
    #[arg(long, env = "CSM_LISTEN", default_value_t = DEFAULT_LISTEN, value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Worker built for CUDA [default: the one that `make cuda` left beside this program]
    #[arg(long, value_name = "FILE")]
    cuda_worker: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Secret of the watermark [default: the published development key]
    #[arg(long, env = "CSM_WATERMARK_KEY", hide_env_values = true, value_name = "SECRET")]
    watermark_key: Option<SecretString>,
    #[command(flatten)]
    marks: MarkArgs,
    #[command(flatten)]
    hub: HubOptions,
}

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    /// No action needed.
    Ok,
    /// Works, but slowly or only in part.
    Warning,
    /// Does not work.
    Problem,
}

/// Line of the report.
#[derive(Debug, Serialize)]
struct CheckResult {
    check: &'static str,
    verdict: Severity,
    what: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl CheckResult {
    fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self { check, verdict: Severity::Ok, what: what.into(), advice: None }
    }

    fn warning(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Severity::Warning, what: what.into(), advice: Some(advice.into()) }
    }

    fn problem(check: &'static str, what: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { check, verdict: Severity::Problem, what: what.into(), advice: Some(advice.into()) }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem => "problem",
        })
    }
}

impl fmt::Display for CheckResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8} {:12} {}", self.verdict, self.check, self.what)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, ". {advice}"))
    }
}

pub(crate) async fn run(args: DoctorArgs) -> anyhow::Result<ExitCode> {
    let mut findings = vec![redis_check::server(args.redis_url.is_some()).await];
    if let Some(url) = &args.redis_url {
        findings.push(redis_check::reachable(url, &args.redis_tls).await);
    }
    findings.push(model_check::present(&args.model, &args.hub).await);
    findings.extend(watermark_check::check(&args.marks, args.watermark_key.as_ref(), &args.hub).await);
    findings.extend([machine_check::processor(), machine_check::memory()]);
    findings.extend(cuda_check::check(args.cuda_worker.as_deref()).await);
    findings.extend([places::folder(&args.data), places::disk(&args.data).await, places::ports(args.listen)]);

    let problems = findings.iter().filter(|finding| finding.verdict == Severity::Problem).count();
    if args.json {
        let report = serde_json::json!({ "problems": problems, "checks": findings });
        outln!("{report:#}");
    } else {
        for finding in &findings {
            outln!("{finding}");
        }
    }
    Ok(if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
