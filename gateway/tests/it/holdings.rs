//! What a caller may hold: uploads, messages and recordings that cost more than they seem to.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use csm_shared::audio::Clip;
use futures::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::app::{PATIENCE, TestApp, until};
use crate::speech::say;

/// Memory of the gateways of these tests, in MiB: the least.
const MEMORY_MIB: u64 = 512;
/// Longest time of a slow upload, with some room for a busy machine.
const SLOW_LIMIT: Duration = Duration::from_secs(30);
const MIB: usize = 1024 * 1024;

async fn start() -> TestApp {
    TestApp::start_with(|args| args.memory = Some(MEMORY_MIB)).await
}

/// Opens a connection that announces `announced` bytes of a job, and sends `sent` blanks of them.
/// Later bytes may never be taken, so a task sends them.
async fn upload(app: &TestApp, announced: usize, sent: usize) -> JoinHandle<TcpStream> {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {announced}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    tokio::spawn(async move {
        // The gateway may refuse the upload meanwhile.
        let _ = stream.write_all(&vec![b' '; sent]).await;
        stream
    })
}

/// Returns the bytes that requests hold, as the metrics show them.
async fn held_bytes(app: &TestApp) -> f64 {
    let url = format!("http://{}/metrics", app.admin_address);
    let text = app.client.get(url).send().await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("csm_gateway_memory_bytes "));
    line.map_or(0.0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn connections_that_announce_a_body_hold_nothing() {
    let app = start().await;
    let idle = join_all((0..200).map(|_| upload(&app, 24 * MIB, 10))).await;
    let honest = app.post("/v1/jobs", say("hello")).await;
    assert_eq!(honest.status, 202);
    let large = json!({"text": "hello", "metadata": " ".repeat(20 * MIB)}).to_string();
    assert_eq!(app.post("/v1/jobs", large).await.status, 422, "a large body is read, too");
    drop(idle);
}

#[tokio::test]
async fn large_uploads_keep_no_small_request_out_and_give_their_memory_back() {
    let app = start().await;
    let uploads = join_all((0..40).map(|_| upload(&app, 24 * MIB, 20 * MIB))).await;
    until("the uploads hold much", async || held_bytes(&app).await > 200.0 * MIB as f64).await;
    for _ in 0..20 {
        assert_eq!(app.post("/v1/jobs", say("hello")).await.status, 202);
    }
    let refused = app.post("/v1/jobs", " ".repeat(20 * MIB)).await;
    assert_eq!((refused.status.as_u16(), refused.text("code")), (503, "overloaded"));
    assert!(refused.retry_after() > 0);
    // The callers leave.
    for upload in uploads {
        upload.abort();
    }
    until("the memory is free", async || held_bytes(&app).await == 0.0).await;
}

#[tokio::test]
async fn a_body_that_trickles_is_refused() {
    let app = start().await;
    let mut stream = upload(&app, 1_000, 10).await.await.unwrap();
    let mut answer = [0; 12];
    timeout(SLOW_LIMIT, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

/// Opens a WebSocket and sends the beginning of a message of 24 MiB.
async fn unfinished_message(app: &TestApp, sent: usize) -> JoinHandle<TcpStream> {
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    let head = "GET /ws HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    // A text frame with a mask of zeros.
    stream.write_all(&[0x81, 0xff]).await.unwrap();
    stream.write_all(&(24 * MIB as u64).to_be_bytes()).await.unwrap();
    tokio::spawn(async move {
        let _ = stream.write_all(&vec![0; 4 + sent]).await;
        stream
    })
}

#[tokio::test]
async fn unfinished_messages_of_sockets_are_charged_and_keep_no_small_request_out() {
    let app = start().await;
    let sockets = join_all((0..46).map(|_| unfinished_message(&app, 20 * MIB))).await;
    until("the messages hold much", async || held_bytes(&app).await > 200.0 * MIB as f64).await;
    let limit = (MEMORY_MIB as usize - 96) * MIB * 3 / 4;
    assert!(held_bytes(&app).await <= limit as f64);
    assert_eq!(app.post("/v1/jobs", say("hello")).await.status, 202);
    for socket in sockets {
        socket.abort();
    }
    until("the memory is free", async || held_bytes(&app).await == 0.0).await;
}

#[tokio::test]
async fn a_message_that_trickles_ends_its_socket() {
    let app = start().await;
    let mut stream = unfinished_message(&app, 10).await.await.unwrap();
    let mut answer = Vec::new();
    timeout(SLOW_LIMIT, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
    let close = answer.windows(4).position(|bytes| bytes[0] == 0x88 && bytes[2..] == 1_008u16.to_be_bytes());
    assert!(close.is_some(), "a close frame with code 1008: {answer:?}");
}

/// Returns the largest memory that this process had, in bytes.
fn peak_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix(" kB").unwrap().parse::<usize>().unwrap() * 1024
}

#[tokio::test]
async fn a_body_of_small_lists_takes_no_more_than_a_few_copies_of_its_text() {
    let app = start().await;
    app.post("/v1/jobs", say("warm")).await;
    let lists = |bytes: usize| format!("[{}[0]]", "[0],".repeat(bytes / 4));
    let before = peak_bytes();
    // The client of the test holds the body, too.
    for body in [lists(23 * MIB), format!(r#"{{"text": "a", "context": {}}}"#, lists(23 * MIB))] {
        assert_eq!(app.post("/v1/jobs", body).await.status, 422);
    }
    let taken = peak_bytes() - before;
    assert!(taken < 200 * MIB, "{} MiB", taken / MIB);
}

#[tokio::test]
async fn recordings_together_are_as_long_as_the_context_may_be() {
    let app = start().await;
    let recording = |seconds: usize| {
        let wav = Clip::from_samples(vec![1; seconds * 24_000]).to_wav();
        json!({"text": "b", "audio": BASE64.encode(wav)})
    };
    let body = json!({"text": "a", "context_segments": [recording(70), recording(51)]});
    let refused = app.post("/v1/jobs", body.to_string()).await;
    assert_eq!((refused.status.as_u16(), refused.text("code")), (413, "too_large"));
    assert_eq!(refused.text("field"), "context_segments[1].audio");
    assert!(refused.text("limit").contains("70000 ms are used"), "{}", refused.body);
    let allowed = json!({"text": "a", "context_segments": [recording(70), recording(50)]});
    let answer = app.post("/v1/jobs", allowed.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
}

#[tokio::test]
async fn silent_connections_to_the_admin_port_are_closed() {
    let app = start().await;
    let mut silent = TcpStream::connect(app.admin_address).await.unwrap();
    let closed = timeout(PATIENCE, silent.read(&mut [0; 1])).await.unwrap();
    assert_eq!(closed.unwrap_or(0), 0);
}
