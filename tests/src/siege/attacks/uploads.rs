//! Bodies that do not come, come slowly, or do not end.

use std::io;
use std::time::Duration;

use csm_shared::job::limits::BODY_BYTES;
use csm_testing::raw_http::RawConnection;
use tokio::time::{sleep, timeout};

use super::{JOBS, post_head};
use crate::siege::attack_table::Attacker;

/// Pause between two bytes of a slow body.
const BYTE_EVERY: Duration = Duration::from_secs(1);
/// Bytes of one chunk of an endless body.
const CHUNK_BYTES: usize = 16 * 1024;
/// Pause between two chunks of an endless body.
const CHUNK_EVERY: Duration = Duration::from_millis(10);
/// Longest wait for the answer to an endless body that the gateway no longer takes.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// Announces a body and sends nothing.
pub(in crate::siege) async fn idle(attacker: Attacker) -> io::Result<String> {
    let mut connection = announce(&attacker).await?;
    Ok(connection.answer().await?.status.to_string())
}

/// Announces a body and sends a byte a second.
pub(in crate::siege) async fn slow(attacker: Attacker) -> io::Result<String> {
    let mut connection = announce(&attacker).await?;
    // The length of the body bounds the loop.
    for _ in 0..BODY_BYTES.max {
        match timeout(BYTE_EVERY, connection.answer()).await {
            Ok(answer) => return Ok(answer?.status.to_string()),
            Err(_) => connection.send(b" ").await?,
        }
    }
    Ok(connection.answer().await?.status.to_string())
}

/// Sends chunks until the gateway takes no more.
pub(in crate::siege) async fn chunked_endless(attacker: Attacker) -> io::Result<String> {
    let mut connection = attacker.connect(attacker.public).await?;
    connection.send(post_head(&attacker, JOBS, "transfer-encoding: chunked").as_bytes()).await?;
    let chunk = [format!("{CHUNK_BYTES:x}\r\n").as_bytes(), &[b' '; CHUNK_BYTES], b"\r\n"].concat();
    let chunks = 16 * BODY_BYTES.max as usize / CHUNK_BYTES;
    for _ in 0..chunks {
        if connection.send(&chunk).await.is_err() {
            break;
        }
        sleep(CHUNK_EVERY).await;
    }
    let answer = timeout(ANSWER_LIMIT, connection.answer()).await.map_err(|_| io::ErrorKind::TimedOut)?;
    Ok(answer?.status.to_string())
}

async fn announce(attacker: &Attacker) -> io::Result<RawConnection> {
    let mut connection = attacker.connect(attacker.public).await?;
    let head = post_head(attacker, JOBS, &format!("content-length: {}", BODY_BYTES.max));
    connection.send(head.as_bytes()).await?;
    Ok(connection)
}
