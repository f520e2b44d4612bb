//! Bad input that all sockets share, and the tables of bad messages.

use std::collections::HashSet;

use futures::SinkExt as _;
use serde_json::Value;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use crate::app::TestApp;
use crate::sockets::{Socket, close_code_behind, connect, told};

/// Cases that each surface has at least.
pub(crate) const CASES_MIN: usize = 60;
/// Bad messages on one connection. A few more that cannot be read would close it.
pub(crate) const PART: usize = 15;

/// Bad message, and a part of its refusal: the field, the value and the limit, if that is short.
#[derive(Clone, Debug)]
pub(crate) struct BadMessage {
    pub(crate) message: Message,
    pub(crate) refusal: &'static str,
}

/// Makes a case of a message that is JSON.
#[expect(clippy::needless_pass_by_value, reason = "rows of a table are read without borrows")]
pub(crate) fn bad(message: Value, refusal: &'static str) -> BadMessage {
    BadMessage { message: Message::Text(message.to_string().into()), refusal }
}

/// Text messages that are no JSON object, and binary messages.
pub(crate) fn no_objects() -> Vec<BadMessage> {
    let not_json = " is not JSON (";
    let text = |text: String, refusal| BadMessage { message: Message::Text(text.into()), refusal };
    let broken = [
        "",
        " \r\n",
        "\0\0",
        "{",
        "}",
        "Hello there.",
        "<speak>Hello.</speak>",
        "{'text': 'Hello.'}",
        r#"{"text": "Hello.""#,
        r#"{"text": "Hello."} {"text": "Hello."}"#,
        r#"{"text": "Hello.",}"#,
        r#"{"text": NaN}"#,
        r#"{"text": 1e999}"#,
        "{\"text\": \"a\nb\"}",
        r#"{"text": "\x41"}"#,
        r#"{"text": "\ud83d"}"#,
    ];
    let other = ["[]", "7", "\"Hello.\"", "null", "true"];
    let huge = ["x".repeat(60_000), "[".repeat(10_000)];
    let binary = [vec![], vec![0xc3], b"{\"text\": \"Hello.\"}".to_vec(), vec![0xff; 60_000]];
    let broken = broken.map(str::to_owned).into_iter().chain(huge).map(|broken| text(broken, not_json));
    let other = other.into_iter().map(|other| text(other.to_owned(), " is not a JSON object"));
    let binary = binary
        .into_iter()
        .map(|bytes| BadMessage { message: Message::Binary(bytes.into()), refusal: "is not JSON in a text message" });
    broken.chain(other).chain(binary).collect()
}

/// Sends messages, and checks what `refusal` reads from each answer.
pub(crate) async fn assert_refused(
    socket: &mut Socket,
    part: &[BadMessage],
    refusal: impl Fn(&Message, &Value) -> String,
) {
    let mut wrong = Vec::new();
    for bad in part {
        socket.send(bad.message.clone()).await.unwrap();
        let answer = told(socket).await;
        let refusal = refusal(&bad.message, &answer);
        if !refusal.contains(bad.refusal) || refusal.chars().count() > 600 {
            wrong.push(format!("{bad:.300?}: {refusal}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Asserts that a refusal names field, value and limit in one sentence.
pub(crate) fn assert_named(sentence: &str, [field, value, limit]: [&str; 3]) {
    assert!(!field.is_empty() && !value.is_empty() && !limit.is_empty(), "{sentence}: {field:?} {value:?} {limit:?}");
    assert!(sentence.starts_with(&format!("{field}: {value} is not ")), "{sentence}: {field:?} {value:?}");
    assert!(sentence.ends_with(&format!("{limit}.")), "{sentence}: {limit:?}");
}

/// Returns frames against the rules of WebSockets (RFC 6455), and the code of the close that answers
/// them.
fn bad_frames() -> Vec<(&'static str, Vec<Frame>, u16)> {
    let frame = |bytes: &[u8], opcode, is_final| {
        Frame::from_payload(FrameHeader { is_final, opcode, ..FrameHeader::default() }, bytes.to_vec().into())
    };
    let text = |bytes: &[u8], last| frame(bytes, OpCode::Data(Data::Text), last);
    let more = |bytes: &[u8], last| frame(bytes, OpCode::Data(Data::Continue), last);
    let control = |kind, bytes: usize| frame(&vec![b'a'; bytes], OpCode::Control(kind), true);
    let changed = |mut frame: Frame, change: fn(&mut Frame)| {
        change(&mut frame);
        frame
    };
    vec![
        ("half a character", vec![text(b"{\"text\": \"\xc3", true)], 1007),
        (
            "half a character at the end of a fragment",
            vec![text(b"{\"text\": \"\xe2\x82", false), more(b"\"}", true)],
            1007,
        ),
        ("a surrogate", vec![text(b"\xed\xa0\x80", true)], 1007),
        ("a character in too many bytes", vec![text(b"\xc0\xaf", true)], 1007),
        ("a byte of no character", vec![text(b"\xff", true)], 1007),
        ("two messages at once", vec![text(b"{", false), text(b"}", true)], 1002),
        ("the end of no message", vec![more(b"{}", true)], 1002),
        ("a ping of 126 bytes", vec![control(Control::Ping, 126)], 1002),
        ("a pong of 60,000 bytes", vec![control(Control::Pong, 60_000)], 1002),
        (
            "a ping in fragments",
            vec![changed(control(Control::Ping, 1), |ping| ping.header_mut().is_final = false)],
            1002,
        ),
        ("a close of one byte", vec![control(Control::Close, 1)], 1002),
        ("a control frame of no kind", vec![control(Control::Reserved(11), 1)], 1002),
        ("a message of no kind", vec![frame(b"{}", OpCode::Data(Data::Reserved(3)), true)], 1002),
        ("a reserved bit", vec![changed(text(b"{}", true), |frame| frame.header_mut().rsv1 = true)], 1002),
    ]
}

/// Asserts that a table and the bad frames are enough cases, and that no case stands twice.
pub(crate) fn assert_many(cases: &[BadMessage]) {
    let distinct: HashSet<_> = cases.iter().map(|bad| format!("{:?}", bad.message)).collect();
    assert_eq!(distinct.len(), cases.len(), "a case stands twice");
    let all = cases.len() + bad_frames().len();
    assert!(all >= CASES_MIN, "{all} cases");
}

/// Asserts that frames against the rules end their connection with a code.
pub(crate) async fn assert_frames_refused(app: &TestApp, path: &str) {
    for (what, frames, code) in bad_frames() {
        let mut socket = connect(app, path).await;
        for frame in frames {
            socket.send(Message::Frame(frame)).await.unwrap();
        }
        assert_eq!(close_code_behind(&mut socket).await, code, "{what}");
    }
}
