//! Connections of a listener: accepted within bounds, each served in a task of its own.
//!
//! All HTTP ports of a process use this listener. The ports for callers and for probes speak HTTP/1.1,
//! which carries all of the API, WebSockets included. A port of gRPC speaks HTTP/2. Each wait of a connection has a limit from the first moment: for the
//! head of a request, and for progress of a write. If the listener is full, the peer with the most
//! connections loses those that were idle longest, so that silent callers keep nobody out.

mod progress_io;
mod registry;
mod tracked;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use progress_io::ProgressIo;
use registry::{Place, Registry};
use tracked::Tracked;

use super::outage_log::OutageLog;
use super::telemetry::OpenCount;

pub use progress_io::{ConnectionHandle, ReadMeter};
pub use registry::Peer;

/// Pause after a failed accept, for example because file descriptors ran out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Silence after which the system asks whether the other end of a connection is still there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);
/// Pause between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(15);
/// Pause between two questions by HTTP/2 whether the other end of a connection is still there.
const PING_EVERY: Duration = Duration::from_secs(30);
/// Kernel memory for the bytes of one connection that wait to be sent, in bytes. Left to itself the
/// kernel holds up to 4 MiB for a caller that does not read.
const SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Protocol that a listener speaks.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    /// HTTP/1.1, with upgrades.
    Http1,
    /// HTTP/2 without TLS, whose clients know that beforehand.
    Http2 {
        /// Largest number of requests in progress of one connection.
        streams_max: u32,
    },
}

/// Bounds of the connections of one listener.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionLimits {
    /// Protocol of the connections.
    pub protocol: Protocol,
    /// Largest number of open connections.
    pub connections_max: usize,
    /// Largest number of open connections of one peer.
    pub peer_connections_max: usize,
    /// Longest time for the head of a request, counted from the opening of the connection or from
    /// the end of the answer before.
    pub head_read: Duration,
    /// Longest time without progress of a write.
    pub write_stall: Duration,
    /// Idle time after which a connection of HTTP/1.1 closes once the listener has stopped. A caller's next
    /// request may be on its way, and a close would cross it. Within this time it is answered, and the
    /// answer says that no other follows.
    pub last_request_wait: Duration,
    /// Largest head of a request, and buffer of a connection, in bytes; 8 KiB or more.
    pub head_bytes: usize,
    /// Name of the gauge that counts the open connections.
    pub gauge: Option<&'static str>,
}

/// Listener with its open connections.
pub struct Connections {
    open: JoinSet<()>,
    registry: Arc<Registry>,
    limits: ConnectionLimits,
}

impl Connections {
    /// Makes a listener without connections.
    #[must_use]
    pub fn new(limits: ConnectionLimits) -> Self {
        let registry = Arc::new(Registry::new(limits.connections_max, limits.peer_connections_max));
        Self { open: JoinSet::new(), registry, limits }
    }

    /// Returns the number of open connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Accepts connections until `stop` is cancelled, and closes the listener then. From then on each
    /// answer says `Connection: close`, and a connection that idles too long is closed
    /// ([`ConnectionLimits::last_request_wait`]).
    pub async fn accept(&mut self, listener: TcpListener, router: Router, stop: &CancellationToken) {
        // Only the token ends it. The listener is dropped with it, so that callers go elsewhere.
        stop.run_until_cancelled(self.accept_always(listener, router, stop)).await;
    }

    /// Returns when every connection has closed.
    pub async fn closed(&mut self) {
        while self.open.join_next().await.is_some() {}
    }

    async fn accept_always(&mut self, listener: TcpListener, router: Router, stop: &CancellationToken) -> Infallible {
        let outage = OutageLog::new();
        loop {
            self.registry.room().await;
            match listener.accept().await {
                Ok((stream, address)) => self.admit(stream, address, &router, stop),
                Err(error) => {
                    if let Some(outage) = outage.failed() {
                        tracing::warn!(error = %error, %outage, open = self.open.len(), "cannot accept connection");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
            while self.open.try_join_next().is_some() {}
        }
    }

    /// Serves a new connection, or drops it if its peer has too many that are busy.
    fn admit(&mut self, stream: TcpStream, address: SocketAddr, router: &Router, stop: &CancellationToken) {
        let Some(place) = self.registry.admit(Peer::of(address.ip())) else {
            tracing::debug!(%address, "refusing connection of peer with too many");
            return;
        };
        if let Err(error) = tune(&stream) {
            tracing::debug!(%address, error = %error, "cannot set options of connection");
        }
        let (router, stop, limits) = (router.clone(), stop.clone(), self.limits);
        self.open.spawn(async move {
            if let Err(error) = serve(stream, place, router, stop, limits).await {
                tracing::debug!(%address, error = %error, "cannot serve connection");
            }
        });
    }
}

/// Sets the options of a connection.
fn tune(stream: &TcpStream) -> std::io::Result<()> {
    // Without Nagle's algorithm small answers and events leave at once.
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY))?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

/// Serves one connection until it closes.
async fn serve(
    stream: TcpStream,
    place: Place,
    router: Router,
    stop: CancellationToken,
    limits: ConnectionLimits,
) -> Result<(), hyper::Error> {
    let _open = limits.gauge.map(OpenCount::new);
    let handle = ConnectionHandle::default();
    let io = ProgressIo::new(stream, limits.write_stall, handle.clone());
    let service = Tracked::new(router, place.activity(), place.peer(), handle, stop.clone());
    match limits.protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(limits.head_read)
                .max_buf_size(limits.head_bytes)
                .serve_connection(TokioIo::new(io), service)
                .with_upgrades();
            let last_request = async {
                stop.cancelled().await;
                place.idle_for(limits.last_request_wait).await;
            };
            until(last_request, connection, http1::UpgradeableConnection::graceful_shutdown, &place).await
        }
        Protocol::Http2 { streams_max } => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .keep_alive_interval(PING_EVERY)
                .keep_alive_timeout(limits.head_read)
                .max_concurrent_streams(streams_max)
                .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
                .serve_connection(TokioIo::new(io), service);
            // Its client is told which requests were not taken, and sends them elsewhere.
            until(stop.cancelled(), connection, http2::Connection::graceful_shutdown, &place).await
        }
    }
}

/// Drives a connection to its end. Once `stopped` is over, the connection closes after its requests in
/// progress.
async fn until<C: Future<Output = hyper::Result<()>>>(
    stopped: impl Future<Output = ()>,
    connection: C,
    graceful_shutdown: impl FnOnce(Pin<&mut C>),
    place: &Place,
) -> hyper::Result<()> {
    let mut connection = pin!(connection);
    tokio::select! {
        served = connection.as_mut() => served,
        // An idle connection has nothing to finish.
        () = place.evicted() => Ok(()),
        () = stopped => {
            graceful_shutdown(connection.as_mut());
            connection.await
        }
    }
}
