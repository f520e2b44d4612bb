//! Connections without a request.

use std::io;
use std::net::SocketAddr;

use csm_testing::raw_http::RawConnection;

use super::CLOSED;

/// Connects and sends nothing.
pub(in crate::siege) async fn silent(address: SocketAddr) -> io::Result<String> {
    let mut connection = RawConnection::open(address).await?;
    connection.drain().await?;
    Ok(CLOSED.to_owned())
}

/// Connects and sends half a header.
pub(in crate::siege) async fn half_header(address: SocketAddr) -> io::Result<String> {
    let mut connection = RawConnection::open(address).await?;
    connection.send(b"GET /livez HTTP/1.1\r\nhost: half\r\nx-half: ").await?;
    connection.drain().await?;
    Ok(CLOSED.to_owned())
}
