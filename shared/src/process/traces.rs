//! Traces of OpenTelemetry: spans of requests and attempts, exported over OTLP, and the context that
//! joins those of one job.
//!
//! A span of the code (`tracing::info_span!`) of a crate of this workspace is a span of the trace. The
//! exporter is set by the variables that OpenTelemetry defines, above all `OTEL_EXPORTER_OTLP_ENDPOINT`;
//! without it nothing is exported. Trace ids are given and passed on all the same.
//!
//! Source: <https://opentelemetry.io/docs/specs/otel/protocol/exporter/> and
//! <https://www.w3.org/TR/trace-context/>.

use std::collections::HashMap;
use std::env;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Span as _, SpanContext, TraceContextExt as _, Tracer as _, TracerProvider as _};
use opentelemetry::{Context, InstrumentationScope};
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{SdkTracer, SdkTracerProvider};
use serde::{Deserialize, Serialize};
use tracing::{Level, Metadata, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;

/// Variables of OpenTelemetry, each of which switches the export on.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];
/// Header of the W3C that carries a context.
const TRACEPARENT: &str = "traceparent";
/// Beginning of the names of this workspace's crates, whose spans are exported.
const CRATES: &str = "csm";
/// Longest time for the last spans to leave at the end of the process.
const FLUSH_LIMIT: Duration = Duration::from_secs(2);

/// Provider of the process, once its logs have started.
static PROVIDER: OnceLock<SdkTracerProvider> = OnceLock::new();

/// Makes the layer that turns spans of the code into spans of traces.
///
/// # Errors
/// If the exporter's settings are wrong.
pub(super) fn layer<S>() -> Result<impl Layer<S>, ExporterBuildError>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let mut provider = SdkTracerProvider::builder().with_resource(resource());
    if ENDPOINTS.iter().any(|name| env::var(name).is_ok_and(|value| !value.is_empty())) {
        provider = provider.with_batch_exporter(exporter()?);
    }
    let tracer = tracer(PROVIDER.get_or_init(|| provider.build()));
    let layer = tracing_opentelemetry::layer().with_tracer(tracer);
    let layer = layer.with_location(false).with_threads(false).with_tracked_inactivity(false).with_target(false);
    let exported = |metadata: &Metadata<'_>| {
        metadata.is_span() && *metadata.level() <= Level::INFO && metadata.target().starts_with(CRATES)
    };
    // With the hint, code below the level costs one comparison, as without this layer.
    Ok(layer.with_filter(filter_fn(exported).with_max_level_hint(Level::INFO)))
}

/// Sends the last spans, for [`FLUSH_LIMIT`] at most. To be called after the runtime's end.
pub(super) fn finish() {
    if let Some(provider) = PROVIDER.get() {
        // A collector that is away loses spans; the log has said so.
        let _ = provider.shutdown_with_timeout(FLUSH_LIMIT);
    }
}

/// Makes the exporter on a thread of its own: its client waits inside, which a thread of the runtime
/// must not do.
fn exporter() -> Result<opentelemetry_otlp::SpanExporter, ExporterBuildError> {
    let build = || opentelemetry_otlp::SpanExporter::builder().with_http().build();
    std::thread::scope(|scope| scope.spawn(build).join())
        .unwrap_or_else(|_| Err(ExporterBuildError::InternalFailure("the exporter's client cannot be made".into())))
}

/// Describes the process: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else the program's name.
fn resource() -> Resource {
    let builder = Resource::builder();
    let program = env::current_exe().ok();
    let name = program.as_deref().and_then(|path| path.file_name()).and_then(|name| name.to_str());
    match name.filter(|_| env::var_os("OTEL_SERVICE_NAME").is_none()) {
        Some(name) => builder.with_service_name(name.to_owned()).build(),
        None => builder.build(),
    }
}

fn tracer(provider: &SdkTracerProvider) -> SdkTracer {
    provider
        .tracer_with_scope(InstrumentationScope::builder("csm-fleet").with_version(env!("CARGO_PKG_VERSION")).build())
}

/// Place in a trace, as the W3C's header `traceparent` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceContext(SpanContext);

/// Text that is no `traceparent`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no traceparent of the W3C's trace context")]
pub struct TraceContextError(String);

impl TraceContext {
    /// Returns the place of the span that the code is in; `None` without one.
    #[must_use]
    pub fn current() -> Option<Self> {
        Self::of(&Span::current())
    }

    /// Returns the place of a span; `None` if it is in no trace.
    #[must_use]
    pub fn of(span: &Span) -> Option<Self> {
        let context = span.context();
        let place = context.span().span_context().clone();
        place.is_valid().then_some(Self(place))
    }

    /// Puts a span that has not begun below this place.
    pub fn adopt(&self, span: &Span) {
        // A span that is not exported, for example one of a silent log, has no parent.
        let _ = span.set_parent(self.context());
    }

    /// Records a span that is over, below this place.
    pub fn record(&self, name: &'static str, begun: SystemTime, ended: SystemTime) {
        let Some(provider) = PROVIDER.get() else { return };
        let tracer = tracer(provider);
        let span = tracer.span_builder(name).with_start_time(begun);
        tracer.build_with_context(span, &self.context()).end_with_timestamp(ended.max(begun));
    }

    /// Returns the id of the trace, 32 hexadecimal digits.
    #[must_use]
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    fn context(&self) -> Context {
        Context::new().with_remote_span_context(self.0.clone())
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = self.0.trace_flags().to_u8();
        write!(f, "00-{}-{}-{flags:02x}", self.0.trace_id(), self.0.span_id())
    }
}

impl From<TraceContext> for String {
    fn from(context: TraceContext) -> Self {
        context.to_string()
    }
}

impl TryFrom<String> for TraceContext {
    type Error = TraceContextError;

    fn try_from(text: String) -> Result<Self, TraceContextError> {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), text)]);
        let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
        let place = context.span().span_context().clone();
        if place.is_valid() {
            return Ok(Self(place));
        }
        Err(TraceContextError(carrier.into_values().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let context = TraceContext::try_from(text.to_owned()).expect("valid");
        assert_eq!((context.to_string(), context.trace_id()), (text.into(), "4bf92f3577b34da6a3ce929d0e0e4736".into()));
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        for text in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        ] {
            assert!(TraceContext::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn code_outside_of_a_trace_has_no_place() {
        assert_eq!(TraceContext::current(), None);
    }
}
