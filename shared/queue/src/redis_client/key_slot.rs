//! Slot of a Redis Cluster that a command belongs to: the CRC-16 (XMODEM) of its key, or of the
//! part between braces, modulo 16384
//! (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).

use redis::{Arg, Cmd};

/// Slots of a cluster.
const SLOTS: u16 = 16_384;

/// Returns the slot of a key.
pub(super) fn of_key(key: &[u8]) -> u16 {
    crc16(tag(key)) % SLOTS
}

/// Returns the part of a key that decides its slot: the part between its first `{` and the next
/// `}`, if that is not empty.
pub(super) fn tag(key: &[u8]) -> &[u8] {
    let inside = key.iter().position(|&byte| byte == b'{').map(|open| &key[open + 1..]);
    let end = |inside: &[u8]| inside.iter().position(|&byte| byte == b'}').filter(|&end| end > 0);
    inside.and_then(|inside| Some(&inside[..end(inside)?])).unwrap_or(key)
}

/// Returns the first key of a command, or `None` if it has none. Knows the commands that the fleet
/// sends.
pub(super) fn first_key(command: &Cmd) -> Option<&[u8]> {
    let arg = |place: usize| match command.args_iter().nth(place) {
        Some(Arg::Simple(bytes)) => Some(bytes),
        _ => None,
    };
    match name(command)?.as_slice() {
        b"EVAL" | b"EVALSHA" | b"FCALL" => arg(3).filter(|_| arg(2) != Some(b"0")),
        b"XREAD" | b"XREADGROUP" => {
            let is_mark = |arg: &Arg<&[u8]>| matches!(arg, Arg::Simple(word) if word.eq_ignore_ascii_case(b"STREAMS"));
            arg(command.args_iter().position(|arg| is_mark(&arg))? + 1)
        }
        b"XINFO" | b"XGROUP" | b"OBJECT" | b"MEMORY" => arg(2),
        b"ACL" | b"ASKING" | b"CLIENT" | b"CLUSTER" | b"COMMAND" | b"CONFIG" | b"DBSIZE" | b"DEBUG" | b"ECHO"
        | b"FLUSHALL" | b"FLUSHDB" | b"INFO" | b"KEYS" | b"PING" | b"PUBLISH" | b"PUBSUB" | b"ROLE" | b"SCAN"
        | b"SCRIPT" | b"TIME" | b"WAIT" | b"WAITAOF" => None,
        _ => arg(1),
    }
}

/// Returns a command's name in capitals.
pub(super) fn name(command: &Cmd) -> Option<Vec<u8>> {
    match command.args_iter().next() {
        Some(Arg::Simple(name)) => Some(name.to_ascii_uppercase()),
        _ => None,
    }
}

fn crc16(bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(
            crc ^ (u16::from(byte) << 8),
            |crc, _| {
                if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ POLYNOMIAL }
            },
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksum_and_slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(of_key(b"somekey"), 11_058);
        assert_eq!(of_key(b"foo{hash_tag}"), 2_515);
    }

    #[test]
    fn only_a_tag_with_something_in_it_counts() {
        assert_eq!(tag(b"csm:{q0}:job:1"), b"q0");
        assert_eq!(tag(b"{user}{q0}"), b"user");
        assert_eq!(tag(b"foo{}{bar}"), b"foo{}{bar}");
        assert_eq!(tag(b"foo{bar"), b"foo{bar");
    }

    #[test]
    fn commands_are_placed_by_their_first_key() {
        let key = |parts: &[&str]| {
            let mut command = redis::cmd(parts[0]);
            parts[1..].iter().for_each(|part| {
                command.arg(*part);
            });
            first_key(&command).map(|key| String::from_utf8_lossy(key).into_owned())
        };
        assert_eq!(key(&["HGET", "a", "field"]).as_deref(), Some("a"));
        assert_eq!(key(&["EVALSHA", "abc", "2", "a", "b"]).as_deref(), Some("a"));
        assert_eq!(key(&["EVALSHA", "abc", "0", "argument"]), None);
        assert_eq!(key(&["XREAD", "COUNT", "1", "STREAMS", "a", "0"]).as_deref(), Some("a"));
        assert_eq!(key(&["xinfo", "STREAM", "a"]).as_deref(), Some("a"));
        assert_eq!(key(&["PUBLISH", "channel", "hello"]), None);
    }
}
