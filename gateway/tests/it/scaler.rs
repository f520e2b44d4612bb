//! KEDA's external scaler: its calls over gRPC, as KEDA's operator sends them.

use std::collections::HashMap;
use std::time::Duration;

use futures::StreamExt as _;
use prost::Message;
use reqwest::Client;
use serde_json::json;
use tokio::time::timeout;

use crate::app::{PATIENCE, TestApp};

/// Time within which the stream must wake KEDA.
const WAKE_MAX: Duration = Duration::from_secs(1);
/// Code of gRPC for a wrong argument.
const INVALID_ARGUMENT: &str = "3";

#[derive(Clone, PartialEq, Message)]
struct ScaledObjectRef {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(map = "string, string", tag = "3")]
    metadata: HashMap<String, String>,
}

#[derive(Clone, PartialEq, Message)]
struct GetMetricsRequest {
    #[prost(message, optional, tag = "1")]
    scaled_object: Option<ScaledObjectRef>,
    #[prost(string, tag = "2")]
    metric: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct IsActive {
    #[prost(bool, tag = "1")]
    result: bool,
}

/// Answer of `GetMetricSpec` and of `GetMetrics`, whose fields have the same numbers and types.
#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(message, repeated, tag = "1")]
    values: Vec<Number>,
}

#[derive(Clone, PartialEq, Message)]
struct Number {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "2")]
    whole: i64,
    #[prost(double, tag = "3")]
    exact: f64,
}

/// Client as KEDA's operator: HTTP/2 without TLS.
struct Keda {
    client: Client,
    base: String,
}

impl Keda {
    fn of(app: &TestApp) -> Self {
        let client = Client::builder().http2_prior_knowledge().timeout(2 * PATIENCE).build().unwrap();
        Self { client, base: format!("http://{}/externalscaler.ExternalScaler", app.scaler_address) }
    }

    /// Sends a call; returns its answer, whose messages follow.
    async fn send(&self, method: &str, message: &impl Message) -> reqwest::Response {
        let request = self.client.post(format!("{}/{method}", self.base));
        let request = request.header("content-type", "application/grpc").header("te", "trailers");
        request.body(frame(message)).send().await.unwrap()
    }

    async fn call<T: Message + Default>(&self, method: &str, message: &impl Message) -> T {
        let response = self.send(method, message).await;
        assert!(!response.headers().contains_key("grpc-status"), "{:?}", response.headers());
        unframe(&response.bytes().await.unwrap())
    }

    /// Sends a call that must be refused; returns the code and the message of the refusal.
    async fn refused(&self, method: &str, message: &impl Message) -> (String, String) {
        let response = self.send(method, message).await;
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        (header("grpc-status"), header("grpc-message"))
    }

    async fn wanted(&self, lanes: &str) -> i64 {
        let request = GetMetricsRequest { scaled_object: Some(trigger(lanes)), metric: "csm-desired-slots".into() };
        let numbers: Numbers = self.call("GetMetrics", &request).await;
        let [number] = &*numbers.values else { panic!("{numbers:?}") };
        assert_eq!((number.name.as_str(), number.exact), ("csm-desired-slots", number.whole as f64));
        number.whole
    }

    async fn active(&self, lanes: &str) -> bool {
        self.call::<IsActive>("IsActive", &trigger(lanes)).await.result
    }

    /// Returns when the scaler has read the queue.
    async fn ready(&self) {
        let read = async {
            while self.send("IsActive", &trigger("live")).await.headers().contains_key("grpc-status") {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, read).await.unwrap();
    }
}

/// Puts a message behind the five bytes of gRPC: not compressed, and its length.
fn frame(message: &impl Message) -> Vec<u8> {
    let message = message.encode_to_vec();
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}

/// Returns the only message of a body.
fn unframe<T: Message + Default>(body: &[u8]) -> T {
    let (head, message) = body.split_at(5);
    assert_eq!(u32::from_be_bytes(head[1..].try_into().unwrap()) as usize, message.len(), "one message");
    T::decode(message).unwrap()
}

fn trigger(lanes: &str) -> ScaledObjectRef {
    let metadata = [("lanes", lanes), ("slotsPerWorker", "8"), ("scalerAddress", "csm-gateway:9092")];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    ScaledObjectRef { name: "csm-worker".into(), metadata }
}

async fn submit(app: &TestApp, lane: &str) -> String {
    let response = app.post("/v1/jobs", json!({"text": "Hello.", "lane": lane}).to_string()).await;
    assert_eq!(response.status, 202, "{}", response.body);
    response.text("id").to_owned()
}

#[tokio::test]
async fn keda_is_told_the_slots_that_its_lanes_want() {
    let app = TestApp::start().await;
    let keda = Keda::of(&app);
    keda.ready().await;
    let spec: Numbers = keda.call("GetMetricSpec", &trigger("live")).await;
    assert_eq!(spec.values, [Number { name: "csm-desired-slots".into(), whole: 8, exact: 8.0 }]);
    assert_eq!((keda.wanted("live,standard,bulk").await, keda.active("live").await), (0, false));

    submit(&app, "bulk").await;
    let seen = async {
        while keda.wanted("bulk").await == 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, seen).await.unwrap();
    assert_eq!((keda.wanted("bulk").await, keda.active("bulk").await), (1, true), "no rate is known yet");
    assert_eq!((keda.wanted("live,standard").await, keda.active("live,standard").await), (0, false));
}

#[tokio::test]
async fn the_first_job_wakes_keda_once() {
    let app = TestApp::start().await;
    let keda = Keda::of(&app);
    keda.ready().await;
    let mut stream = keda.send("StreamIsActive", &trigger("live,standard")).await.bytes_stream();

    // A job of another lane is no reason, nor is a second one of the same.
    submit(&app, "bulk").await;
    for round in 0..2 {
        let submitted = std::time::Instant::now();
        let jobs = [submit(&app, "standard").await, submit(&app, "live").await];
        let sent = timeout(PATIENCE, stream.next()).await.unwrap().unwrap().unwrap();
        assert!(unframe::<IsActive>(&sent).result);
        assert!(submitted.elapsed() < WAKE_MAX, "round {round}: {:?}", submitted.elapsed());
        for job in jobs {
            assert_eq!(app.delete(&format!("/v1/jobs/{job}")).await.status, 200);
        }
        let idle = async {
            while keda.active("live,standard").await {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, idle).await.unwrap();
    }
    // A stream that begins while jobs wait is told so.
    let mut other = keda.send("StreamIsActive", &trigger("bulk")).await.bytes_stream();
    let sent = timeout(PATIENCE, other.next()).await.unwrap().unwrap().unwrap();
    assert!(unframe::<IsActive>(&sent).result);
    // The gateway's end ends the streams, and nothing else was sent on them.
    app.stop.cancel();
    assert!(timeout(PATIENCE, stream.next()).await.unwrap().is_none_or(|sent| sent.is_err()));
    assert!(timeout(PATIENCE, other.next()).await.unwrap().is_none_or(|sent| sent.is_err()));
}

#[tokio::test]
async fn a_wrong_call_is_told_what_is_wrong() {
    let app = TestApp::start().await;
    let keda = Keda::of(&app);
    keda.ready().await;
    for method in ["IsActive", "StreamIsActive", "GetMetricSpec"] {
        let (code, message) = keda.refused(method, &trigger("fast")).await;
        assert_eq!(code, INVALID_ARGUMENT);
        assert!(message.contains("fast") && message.contains("live"), "{message}");
    }
    let request = GetMetricsRequest { scaled_object: Some(trigger("live")), metric: "s0-cpu".into() };
    let (code, message) = keda.refused("GetMetrics", &request).await;
    assert_eq!(code, INVALID_ARGUMENT);
    assert!(message.starts_with("metricName") && message.contains("csm-desired-slots"), "{message}");
}
