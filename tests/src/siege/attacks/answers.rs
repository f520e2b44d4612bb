//! Answers that are asked for and not read.

use std::io;
use std::time::Duration;

use csm_testing::raw_http::RawConnection;
use tokio::time::sleep;

use crate::siege::attack_table::Attacker;

/// Time for which an attacker holds its answer; longer than any attack.
const HOLD: Duration = Duration::from_secs(3_600);

/// Asks for a long answer and reads nothing of it.
pub(in crate::siege) async fn unread(attacker: Attacker) -> io::Result<String> {
    let path = attacker.long_answer.as_deref().unwrap_or("/");
    let mut connection = RawConnection::open_narrow(attacker.public).await?;
    connection.send(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", attacker.public).as_bytes()).await?;
    sleep(HOLD).await;
    Ok("held".to_owned())
}
