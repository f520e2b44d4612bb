//! Listener of both ports: silent, slow and unread connections do not last.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get;
use csm_shared::process::connections::{ConnectionLimits, Connections, Protocol};
use futures::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Longest wait of a test for an event.
const PATIENCE: Duration = Duration::from_secs(20);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";

fn limits() -> ConnectionLimits {
    ConnectionLimits {
        protocol: Protocol::Http1,
        connections_max: 4,
        peer_connections_max: 4,
        head_read: Duration::from_secs(10),
        write_stall: Duration::from_secs(10),
        last_request_wait: Duration::ZERO,
        head_bytes: 8 * 1024,
        gauge: None,
    }
}

/// Starts a listener that answers `/` with "hello" and `/endless` without end.
async fn listen(limits: ConnectionLimits) -> (SocketAddr, CancellationToken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let endless = || Body::from_stream(stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7; 64 * 1024])));
    let router = Router::new().route("/", get("hello")).route("/endless", get(async move || endless()));
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move { Connections::new(limits).accept(listener, router, &stopped).await });
    (address, stop)
}

async fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}

/// Sends a request and returns whether it was answered.
async fn is_served(stream: &mut TcpStream) -> bool {
    let mut answer = [0; 15];
    let asked = async {
        stream.write_all(REQUEST).await?;
        stream.read_exact(&mut answer).await
    };
    timeout(PATIENCE, asked).await.unwrap().is_ok() && answer.starts_with(b"HTTP/1.1 200")
}

/// Waits until the other end closes the connection.
async fn until_closed(stream: &mut TcpStream) {
    let mut bytes = [0; 4 * 1024];
    let read = async { while stream.read(&mut bytes).await.is_ok_and(|count| count > 0) {} };
    timeout(PATIENCE, read).await.unwrap();
}

#[tokio::test]
async fn a_connection_without_a_whole_head_is_closed() {
    let (address, _stop) = listen(ConnectionLimits { head_read: Duration::from_millis(200), ..limits() }).await;
    for sent in [&b""[..], b"GET / HT", b"GET / HTTP/1.1\r\nhost: a\r\n"] {
        let mut stream = connect(address).await;
        stream.write_all(sent).await.unwrap();
        until_closed(&mut stream).await;
    }
    let mut stream = connect(address).await;
    assert!(is_served(&mut stream).await);
    until_closed(&mut stream).await;
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let (address, _stop) = listen(limits()).await;
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(connect(address).await);
    }
    let mut caller = connect(address).await;
    assert!(is_served(&mut caller).await);
    until_closed(&mut silent[0]).await;
    assert!(is_served(&mut silent[3]).await, "only the one that was idle longest is closed");
}

#[tokio::test]
async fn a_caller_that_takes_no_bytes_is_cut_off() {
    let (address, _stop) = listen(ConnectionLimits { write_stall: Duration::from_millis(300), ..limits() }).await;
    let mut stream = connect(address).await;
    stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    // Nothing is read until the other end has given up, which ends its stream of bytes.
    let given_up = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(REQUEST).await.is_err() {
                return;
            }
        }
    };
    timeout(PATIENCE, given_up).await.unwrap();
}

#[tokio::test]
async fn a_head_above_the_limit_is_refused() {
    let (address, _stop) = listen(limits()).await;
    let mut stream = connect(address).await;
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024));
    // The other end may close before it has taken all.
    let _ = stream.write_all(head.as_bytes()).await;
    let mut answer = [0; 12];
    if stream.read_exact(&mut answer).await.is_ok() {
        assert_eq!(&answer, b"HTTP/1.1 431");
    }
    assert!(is_served(&mut connect(address).await).await);
}

#[tokio::test]
async fn a_stop_ends_idle_connections_and_the_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let served = tokio::spawn(async move {
        let mut connections = Connections::new(limits());
        connections.accept(listener, Router::new().route("/", get("hello")), &stopped).await;
        connections.closed().await;
    });
    let mut stream = connect(address).await;
    assert!(is_served(&mut stream).await);
    stop.cancel();
    timeout(PATIENCE, served).await.unwrap().unwrap();
    until_closed(&mut stream).await;
    assert!(TcpStream::connect(address).await.is_err());
}

/// A caller that keeps its connection may send a request at the moment of the stop. It must not be lost.
#[tokio::test]
async fn a_request_that_crosses_the_stop_is_answered_as_the_last() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let served = tokio::spawn(async move {
        let mut connections = Connections::new(ConnectionLimits { last_request_wait: PATIENCE, ..limits() });
        connections.accept(listener, Router::new().route("/", get("hello")), &stopped).await;
        connections.closed().await;
    });
    let mut stream = connect(address).await;
    assert!(is_served(&mut stream).await);
    stop.cancel();
    let refused = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, refused).await.unwrap();
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    // The rest of the first answer comes before it.
    assert_eq!(answer.matches("hello").count(), 2, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    timeout(PATIENCE, served).await.unwrap().unwrap();
}
