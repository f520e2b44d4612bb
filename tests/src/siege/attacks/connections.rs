//! Connections without a request, and answers that nobody reads.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::sleep;

use super::CLOSED;
use crate::siege::attack_table::Attacker;

/// Time for which an attacker holds its answer; longer than any attack.
const HOLD: Duration = Duration::from_secs(3_600);

/// Connects and sends nothing.
pub(in crate::siege) async fn silent(address: SocketAddr, attacker: Attacker) -> io::Result<String> {
    attacker.connect(address).await?.drain().await?;
    Ok(CLOSED.to_owned())
}

/// Connects and sends half a header.
pub(in crate::siege) async fn half_header(address: SocketAddr, attacker: Attacker) -> io::Result<String> {
    let mut connection = attacker.connect(address).await?;
    connection.send(b"GET /livez HTTP/1.1\r\nhost: half\r\nx-half: ").await?;
    connection.drain().await?;
    Ok(CLOSED.to_owned())
}

/// Asks for the audio of the long job, or for its events, and reads nothing of the answer.
pub(in crate::siege) async fn unread(attacker: Attacker, what: &str) -> io::Result<String> {
    let job = attacker.long_job.as_deref().unwrap_or_default();
    let mut connection = attacker.connect_narrow().await?;
    let head = format!("GET {job}/{what} HTTP/1.1\r\nhost: {}\r\n\r\n", attacker.public);
    connection.send(head.as_bytes()).await?;
    sleep(HOLD).await;
    Ok("held".to_owned())
}
