//! Proxy of Redis that can lose answers: commands arrive, their answers may not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// Text of a command whose answer is lost.
pub(crate) const UNHEARD: &str = "unheard";

/// Proxy between a gateway and its Redis.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    mute: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens in front of `server`. Must be called on the runtime.
    pub(crate) fn start(server: SocketAddr) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let address = listener.local_addr().unwrap();
        let mute = Arc::new(AtomicBool::new(false));
        let lossy = Arc::clone(&mute);
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                tokio::spawn(relay(caller, server, Arc::clone(&lossy)));
            }
        });
        Self { address, mute }
    }

    /// Begins or ends the loss of answers to commands that hold [`UNHEARD`].
    pub(crate) fn lose_answers(&self, lose: bool) {
        self.mute.store(lose, Ordering::SeqCst);
    }
}

/// Relays one connection; it breaks at the first answer that is lost.
async fn relay(caller: TcpStream, server: SocketAddr, mute: Arc<AtomicBool>) {
    let server = TcpStream::connect(server).await.unwrap();
    let (mut from_caller, mut to_caller) = caller.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let lost = AtomicBool::new(false);
    let ask = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_caller.read(&mut bytes).await {
            let asked = &bytes[..read];
            if mute.load(Ordering::SeqCst) && asked.windows(UNHEARD.len()).any(|words| words == UNHEARD.as_bytes()) {
                lost.store(true, Ordering::SeqCst);
            }
            if to_server.write_all(asked).await.is_err() {
                return;
            }
        }
    };
    let answer = async {
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_server.read(&mut bytes).await {
            if lost.load(Ordering::SeqCst) || to_caller.write_all(&bytes[..read]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = ask => {}
        () = answer => {}
    }
}
