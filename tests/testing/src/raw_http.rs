//! Bare HTTP/1.1 connection, for requests that no proper client would send.

use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

/// Most bytes of an answer's head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Most bytes of an answer's body that [`RawConnection::answer`] keeps.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Least bytes that a read may bring.
const PIECE_BYTES: usize = 4 * 1024;

/// Connection over which any bytes may be sent.
#[derive(Debug)]
pub struct RawConnection {
    stream: TcpStream,
    /// Bytes that were read beyond the last answer.
    unread: Vec<u8>,
}

/// Answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawAnswer {
    /// Status code.
    pub status: u16,
    /// Status line and headers, as sent.
    pub head: String,
    /// Body, as far as a `Content-Length` announces it.
    pub body: Vec<u8>,
}

impl RawAnswer {
    /// Returns the value of a header, named in lower case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.filter(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    }
}

impl RawConnection {
    /// Opens a connection.
    ///
    /// # Errors
    /// If the server is out of reach.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Opens a connection from the address `source` of this machine. The system keeps about
    /// `unread_bytes` that nobody reads, or as many as it likes without a number.
    ///
    /// # Errors
    /// If the server is out of reach, or if `source` is no address of this machine.
    pub async fn open_from(source: IpAddr, address: SocketAddr, unread_bytes: Option<u32>) -> io::Result<Self> {
        let socket = if source.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = unread_bytes {
            socket.set_recv_buffer_size(bytes)?;
        }
        socket.bind((source, 0).into())?;
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, unread: Vec::new() })
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Ends the sending; answers can still be read.
    ///
    /// # Errors
    /// If the connection is closed.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Reads one answer.
    ///
    /// # Errors
    /// If the connection ends before, or the answer is no HTTP.
    pub async fn answer(&mut self) -> io::Result<RawAnswer> {
        let end = loop {
            if let Some(place) = self.unread.windows(4).position(|four| four == b"\r\n\r\n") {
                break place + 4;
            }
            if self.unread.len() > HEAD_BYTES_MAX {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.more().await?;
        };
        let head = String::from_utf8_lossy(&self.unread[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or(io::ErrorKind::InvalidData)?;
        let mut answer = RawAnswer { status, head, body: Vec::new() };
        let length = answer.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        if length > BODY_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        while self.unread.len() < end + length {
            self.more().await?;
        }
        answer.body = self.unread[end..end + length].to_vec();
        self.unread.drain(..end + length);
        Ok(answer)
    }

    /// Reads and drops everything until the server closes the connection, and keeps the last bytes.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn drain(&mut self) -> io::Result<Vec<u8>> {
        loop {
            match self.more().await {
                Ok(()) => {
                    let extra = self.unread.len().saturating_sub(BODY_BYTES_MAX);
                    self.unread.drain(..extra);
                }
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Ok(std::mem::take(&mut self.unread));
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        self.unread.reserve(PIECE_BYTES);
        match self.stream.read_buf(&mut self.unread).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
