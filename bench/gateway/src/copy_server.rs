//! Bound of what a gateway could do: an axum handler that copies bytes from one socket to another.
//!
//! The server is a process of its own, on the core of the gateway. For each request it opens a
//! connection to the frame source in the bench, sends the request's body there, and answers with the
//! bytes that come back. There is no job, no Redis, no event, no base64 and no check of samples.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::serve::ListenerExt as _;
use clap::Args;
use csm_shared::errln;
use csm_testing::process::{Process, free_address};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::io::ReaderStream;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::core_plan::CorePlan;
use crate::frame_stamp::{FRAME, frames_of_text, stamped_frames};
use crate::processor_time::Processes;

/// Name of the subcommand that is the server.
pub(crate) const COMMAND: &str = "copy-server";
/// Most bytes of a request's body.
const BODY_BYTES_MAX: usize = 4_096;

/// Arguments of the server's process.
#[derive(Args, Clone, Debug)]
pub(crate) struct CopyServerArgs {
    /// Address to listen on
    #[arg(long)]
    listen: SocketAddr,
    /// Address of the frame source
    #[arg(long)]
    source: SocketAddr,
}

/// Serves until the process is killed.
pub(crate) async fn serve(args: CopyServerArgs) -> anyhow::Result<()> {
    let router = Router::new().route("/v1/audio/speech", post(copy)).with_state(args.source);
    let listener = TcpListener::bind(args.listen).await?.tap_io(|connection| {
        // A connection that cannot be set is still served.
        let _ = connection.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}

async fn copy(State(source): State<SocketAddr>, request: String) -> Result<Body, StatusCode> {
    let opened = async {
        let mut connection = TcpStream::connect(source).await?;
        connection.set_nodelay(true)?;
        connection.write_all(request.as_bytes()).await?;
        std::io::Result::Ok(connection)
    };
    Ok(Body::from_stream(ReaderStream::new(opened.await.map_err(|_| StatusCode::BAD_GATEWAY)?)))
}

/// Running server with its frame source. Dropping it kills the server.
pub(crate) struct CopyStack {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Processes,
    _server: Process,
    _stop: DropGuard,
}

impl CopyStack {
    /// Starts the server on the core of the gateway.
    pub(crate) async fn start(cores: &CorePlan) -> anyhow::Result<Self> {
        let source = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (address, source_address) = (free_address()?, source.local_addr()?);
        let (program, mut arguments) = cores.on_server_core(&std::env::current_exe()?);
        let more =
            [COMMAND, "--listen", &address.to_string(), "--source", &source_address.to_string()].map(str::to_owned);
        arguments.extend(more);
        let server = Process::start_file(&program, &arguments, &[], None)?;
        let stop = CancellationToken::new();
        tokio::spawn(stop.clone().run_until_cancelled_owned(pace_all(source)));
        while TcpStream::connect(address).await.is_err() {
            sleep(FRAME).await;
        }
        let processes = Processes { server: server.id().context("the copying server has ended")?, redis: None };
        Ok(Self { address, processes, _server: server, _stop: stop.drop_guard() })
    }
}

/// Serves paced frames on every connection of the frame source.
async fn pace_all(source: TcpListener) {
    let mut streams = JoinSet::new();
    loop {
        tokio::select! {
            Ok((connection, _)) = source.accept() => { streams.spawn(pace(connection)); }
            Some(ended) = streams.join_next() => {
                if let Ok(Err(error)) = ended && error.downcast_ref::<std::io::Error>().is_none() {
                    errln!("a paced connection failed: {error:#}");
                }
            }
        }
    }
}

/// Writes the frames that a request asks for, in real time.
async fn pace(mut connection: TcpStream) -> anyhow::Result<()> {
    connection.set_nodelay(true)?;
    let mut request = Vec::with_capacity(BODY_BYTES_MAX);
    connection.read_buf(&mut request).await?;
    let request = String::from_utf8(request)?;
    let text = request.split('"').nth(3).context("the request has no text")?;
    let begun = Instant::now();
    for frame in 0..frames_of_text(text) {
        sleep_until(begun + FRAME * frame).await;
        connection.write_all(&stamped_frames(1)).await?;
    }
    Ok(())
}
