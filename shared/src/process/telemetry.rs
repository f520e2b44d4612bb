//! Logs and metrics of every process, and the list of all metric names.

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::{Args, ValueEnum};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use super::log_queue::{self, LineWriter};
use super::traces;

/// Declares the names of all metrics with their kinds and meanings, once for the code and once for
/// `/metrics`. A name ends in its unit: seconds, bytes, or none for a count.
macro_rules! metric_names {
    ($($kind:ident $name:ident = $text:literal: $meaning:literal;)*) => {
        $(#[doc = $meaning] pub const $name: &str = $text;)*

        /// Gives the meaning of each metric to the recorder of the process.
        fn describe_metrics() {
            $(metric_names!(@$kind $name, $meaning);)*
        }
    };
    (@counter $name:ident, $meaning:literal) => { metrics::describe_counter!($name, $meaning) };
    (@gauge $name:ident, $meaning:literal) => { metrics::describe_gauge!($name, $meaning) };
    (@histogram $name:ident, $meaning:literal) => { metrics::describe_histogram!($name, $meaning) };
}

metric_names! {
    counter JOBS_TOTAL = "csm_jobs_total":
        "Jobs that reached a final state, by `lane` and `outcome`";
    counter JOBS_ACCEPTED_TOTAL = "csm_jobs_accepted_total":
        "Jobs accepted, by `lane`";
    counter REFUSED_TOTAL = "csm_refused_total":
        "Requests refused, by `code`";
    histogram HTTP_REQUEST_SECONDS = "csm_http_request_seconds":
        "Time from a request's headers to those of its answer, by `route`, `method` and `status`";
    gauge HTTP_CONNECTIONS = "csm_http_connections":
        "Open HTTP connections of the public API; a connection that became a WebSocket is none";
    gauge WEBSOCKETS = "csm_websockets":
        "Open WebSockets";
    gauge QUEUE_DEPTH = "csm_queue_depth":
        "Entries of a lane that wait, run, or are cancelled but not yet skipped; by `lane`";
    gauge QUEUE_OLDEST_SECONDS = "csm_queue_oldest_seconds":
        "Age of a lane's oldest waiting or running entry since it was last queued, by `lane`";
    gauge QUEUE_RUNNING = "csm_queue_running":
        "Jobs that hold a lease";
    histogram QUEUE_WAIT_SECONDS = "csm_queue_wait_seconds":
        "Time from acceptance to claim";
    histogram FIRST_AUDIO_SECONDS = "csm_first_audio_seconds":
        "Time from claim to the first frame";
    histogram RTF = "csm_rtf":
        "Real-time factor: compute time divided by audio time";
    gauge SLOTS = "csm_slots":
        "Slots of this worker, by `state` (busy, free)";
    histogram FRAME_STEP_SECONDS = "csm_frame_step_seconds":
        "Time of a batched step of the engine, by `stage` (backbone, depth, sampling, codec)";
    histogram FRAME_GAP_SECONDS = "csm_frame_gap_seconds":
        "Time between two frames of one utterance whose reader is not behind";
    histogram PREFILL_PIECE_SECONDS = "csm_prefill_piece_seconds":
        "Time of prefilling one block of a prompt, during which every running utterance waits";
    counter PREFIX_CACHE_TOTAL = "csm_prefix_cache_total":
        "Contexts looked up in the prefix cache, by `result` (hit, part, miss)";
    gauge PREFIX_CACHE_BYTES = "csm_prefix_cache_bytes":
        "Bytes in the prefix cache";
    counter LEASE_LOST_TOTAL = "csm_lease_lost_total":
        "Leases that expired and were reaped by this process";
    counter RECONCILED_TOTAL = "csm_reconciled_total":
        "Jobs that were lost from the queue and put back by this process";
    gauge BACKLOG_AUDIO_SECONDS = "csm_backlog_audio_seconds":
        "Expected seconds of audio that wait or run, by `lane`";
    gauge DESIRED_SLOTS = "csm_desired_slots":
        "Slots that a lane wants: those that run its jobs, and those that would speak its backlog within its \
         target wait; by `lane`";
    gauge DLQ_SIZE = "csm_dlq_size":
        "Number of dead letters";
    gauge FLEET_FRAMES_PER_SECOND = "csm_fleet_frames_per_second":
        "Frames a second that the live workers can generate";
    gauge WORKERS = "csm_workers":
        "Workers with a recent report";
    gauge SHARED_PART_BROKEN = "csm_shared_part_broken":
        "1 while a part that all jobs share is out of order, else 0; by `part` (store, marks, signer, fleet, redis)";
    gauge GATEWAY_MEMORY_BYTES = "csm_gateway_memory_bytes":
        "Memory that requests of this gateway hold, in bytes";
    gauge GATEWAY_MEMORY_LIMIT_BYTES = "csm_gateway_memory_limit_bytes":
        "Memory that requests of this gateway may hold, in bytes";
    gauge MODEL_LOAD_SECONDS = "csm_model_load_seconds":
        "Time of loading the model, in seconds";
    counter LOG_LINES_DROPPED_TOTAL = "csm_log_lines_dropped_total":
        "Log lines that could not be written, or did not fit the queue in front of standard error";
    counter RETAKES_TOTAL = "csm_retakes_total":
        "Takes of sentences that this worker gave up, by `reason` (empty, runaway, too_short, silent, \
         repeated, loud_end, clipped)";
    counter BATCH_LINES_TOTAL = "csm_batch_lines_total":
        "Lines of batches whose outcome this gateway has written, by `outcome` (spoken, failed)";
}

/// Histograms and their bucket bounds. A histogram without bounds would be rendered as a summary,
/// and summaries of several processes cannot be added up.
const BUCKETS: [(&str, &[f64]); 7] = [
    (
        HTTP_REQUEST_SECONDS,
        &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0],
    ),
    (QUEUE_WAIT_SECONDS, &[0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0]),
    (FIRST_AUDIO_SECONDS, &[0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0]),
    (RTF, &[0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 4.0, 10.0, 30.0]),
    (FRAME_STEP_SECONDS, &[0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.06, 0.08, 0.12, 0.2, 0.5, 1.0, 2.0, 5.0]),
    (FRAME_GAP_SECONDS, &[0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.12, 0.16, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0]),
    (PREFILL_PIECE_SECONDS, &[0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.5, 5.0]),
];

/// Interval of folding histograms, whose memory would otherwise grow without bound, and of
/// publishing the count of dropped log lines.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Filter for targets that log errors which this code handles and reports itself. The operator's
/// filter can override it.
const QUIET: &str = "hf_hub=off";

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum LogFormat {
    /// A readable line for each event.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
}

/// Options for logging.
#[derive(Args, Clone, Debug)]
pub struct TelemetryArgs {
    /// Log filter, such as `info` or `info,csm_worker=debug`
    #[arg(long, env = "CSM_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
    /// Log lines as text or JSON
    #[arg(long, env = "CSM_LOG_FORMAT", default_value = "text", value_enum)]
    pub log_format: LogFormat,
}

/// Error in the setup of logs or metrics.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter cannot be parsed.
    #[error("CSM_LOG: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// Logging was set up twice.
    #[error("logging: {0}")]
    Logs(#[from] tracing_subscriber::util::TryInitError),
    /// Wrong settings of the export of traces.
    #[error("OTEL_EXPORTER_OTLP_*: {0}")]
    Traces(#[from] opentelemetry_otlp::ExporterBuildError),
    /// The system starts no thread for the log.
    #[error("logging: {0}")]
    Thread(#[from] std::io::Error),
    /// Metrics were set up twice, or with empty buckets.
    #[error("metrics: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// Starts logging to standard error and the export of traces, and chooses the TLS provider of the process. To be called first
/// in `main`. A log line never blocks or fails its thread ([`log_queue`]).
pub fn start_logs(args: &TelemetryArgs) -> Result<(), TelemetryError> {
    // An error means that a provider is installed already; the first one stays.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let filter = EnvFilter::try_new(format!("{QUIET},{}", args.log))?;
    let colour = std::io::stderr().is_terminal();
    log_queue::start()?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(|| LineWriter)
        .with_ansi(colour)
        // It would be reported by `eprintln!`.
        .log_internal_errors(false);
    let lines = match args.log_format {
        LogFormat::Text => lines.compact().with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    tracing_subscriber::registry().with(traces::layer()?).with(lines).try_init()?;
    Ok(())
}

/// Installs the metrics recorder of the process, with upkeep until `stop` is cancelled. The
/// returned handle renders `/metrics`.
pub fn start_metrics(stop: CancellationToken) -> Result<PrometheusHandle, TelemetryError> {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in BUCKETS {
        builder = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), bounds)?;
    }
    let handle = builder.install_recorder()?;
    describe_metrics();
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            metrics::counter!(LOG_LINES_DROPPED_TOTAL).absolute(log_queue::dropped());
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(UPKEEP_EVERY) => upkeep.run_upkeep(),
            }
        }
    });
    Ok(handle)
}

/// One open thing in a gauge, until it is dropped.
pub struct OpenCount(&'static str);

impl OpenCount {
    /// Counts one more in the gauge `name`.
    #[must_use]
    pub fn new(name: &'static str) -> Self {
        metrics::gauge!(name).increment(1.0);
        Self(name)
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        metrics::gauge!(self.0).decrement(1.0);
    }
}
