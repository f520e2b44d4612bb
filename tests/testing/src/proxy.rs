//! A TCP proxy that breaks connections on purpose: it delays, stalls, cuts and refuses, as told
//! while it runs.
//!
//! A delay holds each block of data back for a fixed time in each direction. The delay does not
//! limit throughput, because blocks travel behind one another. The proxy's clock is a thread of its
//! own, because timers of the async runtime have a resolution of a millisecond.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

/// Most bytes read from a connection at once.
const PIECE_BYTES: usize = 64 * 1024;
/// Pause after a failure to accept a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Faults of the connections at this moment.
#[derive(Clone, Copy, Debug, Default)]
struct Faults {
    delay: Duration,
    stalled: bool,
    refusing: bool,
    /// Number of cuts so far. A connection ends if the number has changed since its start.
    cuts: u64,
}

/// Proxy in front of one server. Dropping it closes every connection.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    faults: watch::Sender<Faults>,
    accepting: JoinHandle<()>,
}

impl FaultProxy {
    /// Listens on a free port and passes every connection on to `upstream`.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn start(upstream: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (faults, seen) = watch::channel(Faults::default());
        let (alarms, requests) = channel();
        std::thread::Builder::new().name("fault-proxy-clock".to_owned()).spawn(move || ring(&requests))?;
        let accepting = tokio::spawn(accept(listener, upstream, seen, alarms));
        Ok(Self { address, faults, accepting })
    }

    /// Returns the address to connect to instead of the server's own.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Holds back data that arrives from now on for `each_way`; zero ends the delay.
    pub fn delay(&self, each_way: Duration) {
        self.faults.send_modify(|faults| faults.delay = each_way);
    }

    /// Keeps connections open while no data passes, as on a broken line; `false` lets the held data
    /// go on.
    pub fn stall(&self, stalled: bool) {
        self.faults.send_modify(|faults| faults.stalled = stalled);
    }

    /// Closes each new connection at once.
    pub fn refuse(&self, refusing: bool) {
        self.faults.send_modify(|faults| faults.refusing = refusing);
    }

    /// Closes all connections and drops the data under way in them.
    pub fn cut(&self) {
        self.faults.send_modify(|faults| faults.cuts += 1);
    }

    /// Ends every fault.
    pub fn heal(&self) {
        self.faults.send_modify(|faults| *faults = Faults { cuts: faults.cuts, ..Faults::default() });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, upstream: SocketAddr, faults: watch::Receiver<Faults>, alarms: Sender<Alarm>) {
    // The accept loop owns the connections, so they end with the proxy.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((caller, _)) => {
                    let now = *faults.borrow();
                    if !now.refusing {
                        connections.spawn(serve(caller, upstream, now.cuts, faults.clone(), alarms.clone()));
                    }
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Serves one connection until either side closes it or it is cut.
async fn serve(
    caller: TcpStream,
    upstream: SocketAddr,
    born: u64,
    faults: watch::Receiver<Faults>,
    alarms: Sender<Alarm>,
) {
    let Ok(server) = TcpStream::connect(upstream).await else { return };
    // A proxy must not wait for more data than the two ends do.
    let _ = (caller.set_nodelay(true), server.set_nodelay(true));
    let ((from_caller, to_caller), (from_server, to_server)) = (caller.into_split(), server.into_split());
    let mut cut = faults.clone();
    tokio::select! {
        _ = pass(from_caller, to_server, faults.clone(), &alarms) => {}
        _ = pass(from_server, to_caller, faults, &alarms) => {}
        _ = cut.wait_for(|faults| faults.cuts != born) => {}
    }
}

/// Passes one direction of a connection; reading goes on while earlier blocks are held back.
async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    faults: watch::Receiver<Faults>,
    alarms: &Sender<Alarm>,
) -> io::Result<()> {
    let (late, mut pieces) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    let mut seen = faults.clone();
    let read = async move {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let length = from.read(&mut buffer).await?;
            // During a stall no further data is read, so at most this block is held here.
            let delay = flowing(&mut seen).await?.delay;
            if length == 0 || late.send((Instant::now() + delay, buffer[..length].to_vec())).is_err() {
                return Ok::<(), io::Error>(());
            }
        }
    };
    let mut seen = faults;
    let write = async move {
        while let Some((due, piece)) = pieces.recv().await {
            until(due, alarms).await;
            flowing(&mut seen).await?;
            to.write_all(&piece).await?;
        }
        Ok(())
    };
    tokio::try_join!(read, write).map(drop)
}

/// Waits until the line is not stalled.
async fn flowing(faults: &mut watch::Receiver<Faults>) -> io::Result<Faults> {
    let closed = |_| io::Error::from(io::ErrorKind::ConnectionAborted);
    Ok(*faults.wait_for(|faults| !faults.stalled).await.map_err(closed)?)
}

async fn until(due: Instant, alarms: &Sender<Alarm>) {
    if due > Instant::now() {
        let (bell, rung) = oneshot::channel();
        // Both calls fail only while the proxy ends.
        let _ = alarms.send(Alarm { due, bell });
        let _ = rung.await;
    }
}

/// Request to be woken at a time.
struct Alarm {
    due: Instant,
    bell: oneshot::Sender<()>,
}

/// Wakes each request when it is due, until the other end of the channel is dropped.
fn ring(requests: &Receiver<Alarm>) {
    let (mut waiting, mut count) = (BTreeMap::<(Instant, u64), oneshot::Sender<()>>::new(), 0);
    loop {
        let now = Instant::now();
        while let Some(next) = waiting.first_entry().filter(|next| next.key().0 <= now) {
            let bell = next.remove();
            let _ = bell.send(());
        }
        let request = match waiting.first_key_value() {
            None => requests.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(((due, _), _)) => requests.recv_timeout(due.saturating_duration_since(now)),
        };
        match request {
            Ok(Alarm { due, bell }) => {
                count += 1;
                waiting.insert((due, count), bell);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

#[cfg(test)]
mod tests;
