//! Connection whose writes must progress, and whose reads can be metered.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

/// Meter of the bytes that are read from a connection, such as one that charges them to a budget.
pub trait ReadMeter: Send + Sync {
    /// Returns when further bytes may be read. Until then the connection is not read, and the
    /// caller's writes wait in TCP.
    fn poll_room(&self, context: &mut Context<'_>) -> Poll<()>;

    /// Counts bytes that were read.
    fn count(&self, bytes: usize);
}

/// Handle on the connection of a request, which a handler finds in the request's extensions.
#[derive(Clone, Default)]
pub struct ConnectionHandle(Arc<OnceLock<Arc<dyn ReadMeter>>>);

impl ConnectionHandle {
    /// Meters all further reads of the connection, which must have been upgraded. The first meter
    /// stays.
    pub fn meter(&self, meter: Arc<dyn ReadMeter>) {
        let _ = self.0.set(meter);
    }
}

/// TCP connection with a limit on the time without progress of a write.
pub(super) struct ProgressIo {
    stream: TcpStream,
    write_stall: Duration,
    /// Timer of the write that waits; `None` while no write waits.
    stalled: Option<Pin<Box<Sleep>>>,
    handle: ConnectionHandle,
}

impl ProgressIo {
    pub(super) const fn new(stream: TcpStream, write_stall: Duration, handle: ConnectionHandle) -> Self {
        Self { stream, write_stall, stalled: None, handle }
    }

    /// Passes the outcome of a write on, or fails if no write has progressed for too long.
    fn watched<T>(&mut self, outcome: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let limit = self.write_stall;
        let timer = self.stalled.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(timer.as_mut().poll(context));
        timer.as_mut().reset(Instant::now() + limit);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the caller takes no bytes")))
    }
}

impl AsyncRead for ProgressIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let meter = self.handle.0.get().cloned();
        if let Some(meter) = &meter {
            ready!(meter.poll_room(context));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        if let Some(meter) = meter {
            meter.count(buffer.filled().len() - before);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ProgressIo {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watched(outcome, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watched(outcome, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watched(outcome, context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watched(outcome, context)
    }
}
