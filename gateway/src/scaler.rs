//! KEDA's external scaler, over gRPC on a port of its own: tells KEDA how many slots the fleet wants.
//!
//! The number is that of the metric `csm_desired_slots`. KEDA divides it by the slots of a worker. The
//! stream of [`ExternalScaler::stream_is_active`] wakes a fleet that has no worker, within [`READ_EVERY`]
//! of its first job. The port has no keys and no TLS, and is for KEDA's operator alone.
//!
//! Source: <https://keda.sh/docs/latest/concepts/external-scalers/>.

#[rustfmt::skip]
#[allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, reason = "made by `make proto`")]
mod externalscaler;
mod trigger;
mod wanted_slots;

use std::sync::Arc;
use std::time::Duration;

use csm_shared::process::connections::{ConnectionLimits, Connections, Protocol};
use futures::stream::{self, BoxStream, StreamExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::app::App;
use externalscaler::external_scaler_server::{ExternalScaler, ExternalScalerServer};
use externalscaler::{
    GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec, MetricValue,
    ScaledObjectRef,
};
use trigger::Trigger;
use wanted_slots::WantedSlots;

/// Name of the only metric.
const METRIC: &str = "csm-desired-slots";
/// Pause between two reads of the queue for the streams.
const READ_EVERY: Duration = Duration::from_millis(250);
/// Age up to which the last numbers answer while Redis does not.
const AGE_MAX: Duration = Duration::from_secs(60);
/// Largest request, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// Bounds of the port. KEDA's operator has one connection for each trigger.
const LIMITS: ConnectionLimits = ConnectionLimits {
    protocol: Protocol::Http2 { streams_max: 64 },
    connections_max: 256,
    peer_connections_max: 256,
    head_read: Duration::from_secs(5),
    write_stall: Duration::from_secs(10),
    last_request_wait: Duration::ZERO,
    head_bytes: 16 * 1024,
    gauge: None,
};

/// Serves KEDA until the app is told to stop.
pub(crate) async fn run(listener: TcpListener, app: App) {
    let wanted = Arc::new(watch::Sender::new(None));
    let scaler = Scaler { app: app.clone(), wanted: Arc::clone(&wanted) };
    let service = ExternalScalerServer::new(scaler).max_decoding_message_size(REQUEST_BYTES_MAX);
    let router = Routes::new(service).into_axum_router();
    let mut connections = Connections::new(LIMITS);
    let reads = app.stop.run_until_cancelled(wanted_slots::watch(&app, &wanted));
    tokio::join!(reads, connections.accept(listener, router, &app.stop));
    connections.closed().await;
}

/// The service. Questions read the queue; while Redis is away, the last numbers answer.
struct Scaler {
    app: App,
    /// Numbers of the last read that succeeded.
    wanted: Arc<watch::Sender<Option<WantedSlots>>>,
}

impl Scaler {
    /// Returns the slots that the trigger's lanes want.
    async fn slots(&self, trigger: &Trigger) -> Result<u64, Status> {
        let wanted = match WantedSlots::read(&self.app).await {
            Ok(wanted) => {
                self.wanted.send_replace(Some(wanted));
                wanted
            }
            Err(error) => {
                let last = self.wanted.borrow().filter(|wanted| wanted.read.elapsed() <= AGE_MAX);
                let limit = AGE_MAX.as_secs();
                let told = || Status::unavailable(format!("the queue was not read for {limit} s: {error}"));
                last.ok_or_else(told)?
            }
        };
        Ok(wanted.of(&trigger.lanes))
    }
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    type StreamIsActiveStream = BoxStream<'static, Result<IsActiveResponse, Status>>;

    /// Answers whether any slot is wanted.
    async fn is_active(&self, request: Request<ScaledObjectRef>) -> Result<Response<IsActiveResponse>, Status> {
        let result = self.slots(&Trigger::of(request.get_ref())?).await? > 0;
        Ok(Response::new(IsActiveResponse { result }))
    }

    /// Sends `true` each time when slots are wanted after none was, and at the start if slots are.
    ///
    /// `false` is never sent, because KEDA decides by its own questions when a fleet becomes empty. A
    /// `true` is not repeated, because each one restarts the time after which that may happen.
    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let lanes = Trigger::of(request.get_ref())?.lanes;
        let begins = stream::unfold((self.wanted.subscribe(), false), move |(mut wanted, mut active)| {
            let lanes = lanes.clone();
            async move {
                loop {
                    let now = wanted.borrow_and_update().is_some_and(|wanted| wanted.of(&lanes) > 0);
                    let begins = now && !active;
                    active = now;
                    if begins {
                        return Some((Ok(IsActiveResponse { result: true }), (wanted, active)));
                    }
                    wanted.changed().await.ok()?;
                }
            }
        });
        // Without an end of the stream its connection would not close.
        Ok(Response::new(begins.take_until(self.app.stop.clone().cancelled_owned()).boxed()))
    }

    /// Answers with the slots of a worker, over which KEDA divides. The answer needs no Redis, because
    /// KEDA gives up its stream for good if this call fails (kedacore/keda#8168).
    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let slots = Trigger::of(request.get_ref())?.slots_per_worker;
        // Versions of KEDA that read a whole number get the next larger one.
        let (target_size, target_size_float) = (slots.ceil() as i64, slots);
        let spec = MetricSpec { metric_name: METRIC.into(), target_size, target_size_float };
        Ok(Response::new(GetMetricSpecResponse { metric_specs: vec![spec] }))
    }

    /// Answers with the slots that the trigger's lanes want.
    async fn get_metrics(&self, request: Request<GetMetricsRequest>) -> Result<Response<GetMetricsResponse>, Status> {
        let request = request.get_ref();
        if request.metric_name != METRIC {
            let name = &request.metric_name;
            return Err(Status::invalid_argument(format!("metricName: {name:?} is not served, only {METRIC:?}")));
        }
        let asked = request.scaled_object_ref.as_ref();
        let asked = asked.ok_or_else(|| Status::invalid_argument("scaledObjectRef: missing"))?;
        let slots = self.slots(&Trigger::of(asked)?).await?;
        let (metric_value, metric_value_float) = (i64::try_from(slots).unwrap_or(i64::MAX), slots as f64);
        let value = MetricValue { metric_name: METRIC.into(), metric_value, metric_value_float };
        Ok(Response::new(GetMetricsResponse { metric_values: vec![value] }))
    }
}
