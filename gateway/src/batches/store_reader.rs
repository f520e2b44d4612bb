//! Objects of the store as a stream of bytes for a blocking thread, and as lines for a task.

use std::io::{self, Read};

use bytes::{Buf as _, Bytes, BytesMut};
use csm_shared::store::{ObjectKey, Store, StoreError};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Bytes of one read.
const READ_BYTES: u64 = 1024 * 1024;

/// Reader of an object for a blocking thread.
pub(super) struct StoreReader {
    runtime: Handle,
    store: Store,
    key: ObjectKey,
    /// Byte of the object behind `block`.
    offset: u64,
    length: u64,
    block: Bytes,
    stop: CancellationToken,
}

impl StoreReader {
    /// Opens an object of `length` bytes. Reads fail once `stop` is cancelled.
    pub(super) fn new(runtime: Handle, store: Store, key: ObjectKey, length: u64, stop: CancellationToken) -> Self {
        Self { runtime, store, key, offset: 0, length, block: Bytes::new(), stop }
    }
}

impl Read for StoreReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.block.is_empty() && self.offset < self.length {
            let range = self.offset..self.length.min(self.offset + READ_BYTES);
            let read = self.stop.run_until_cancelled(self.store.get_range(&self.key, range.clone()));
            let block = self.runtime.block_on(read).ok_or_else(|| io::Error::other("stopped"))?;
            self.block = block.map_err(io::Error::other)?;
            if self.block.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.offset += self.block.len() as u64;
        }
        let count = buffer.len().min(self.block.len());
        self.block.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }
}

/// Lines of an object for a task.
pub(super) struct StoreLines {
    store: Store,
    key: ObjectKey,
    /// Byte of the object at which `waiting` begins.
    offset: u64,
    length: u64,
    waiting: BytesMut,
}

impl StoreLines {
    /// Opens the lines from byte `offset` of an object of `length` bytes.
    pub(super) fn new(store: Store, key: ObjectKey, offset: u64, length: u64) -> Self {
        Self { store, key, offset, length, waiting: BytesMut::new() }
    }

    /// Returns the byte at which the next line begins.
    pub(super) const fn offset(&self) -> u64 {
        self.offset
    }

    /// Reads the next line without its end; `None` behind the last.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.waiting[searched..].iter().position(|&byte| byte == b'\n') {
                let line = self.waiting.split_to(searched + end).freeze();
                self.waiting.advance(1);
                self.offset += line.len() as u64 + 1;
                return Ok(Some(line));
            }
            searched = self.waiting.len();
            let start = self.offset + searched as u64;
            if start >= self.length {
                let line = self.waiting.split().freeze();
                self.offset += line.len() as u64;
                return Ok(Some(line).filter(|line| !line.is_empty()));
            }
            let block = self.store.get_range(&self.key, start..self.length.min(start + READ_BYTES)).await?;
            if block.is_empty() {
                return Err(StoreError::Invalid(format!("object {} ends before byte {}", self.key, self.length)));
            }
            self.waiting.extend_from_slice(&block);
        }
    }
}
