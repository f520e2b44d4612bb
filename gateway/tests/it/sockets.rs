//! Clients of the sockets that take text in pieces.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app::{PATIENCE, TestApp};

/// Open socket of a test.
pub(crate) type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Opens a socket.
pub(crate) async fn connect(app: &TestApp, path: &str) -> Socket {
    connect_async(format!("ws://{}{path}", app.address)).await.unwrap().0
}

/// Opens no socket: returns the status and the document of the refusal.
pub(crate) async fn refused(app: &TestApp, path: &str) -> (u16, Value) {
    match connect_async(format!("ws://{}{path}", app.address)).await {
        Err(Error::Http(answer)) => {
            let status = answer.status().as_u16();
            (status, serde_json::from_slice(answer.body().as_ref().unwrap()).unwrap())
        }
        other => panic!("{path}: {other:?}"),
    }
}

/// Returns the next message that is no ping or pong.
pub(crate) async fn next(socket: &mut Socket) -> Message {
    let next = async {
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    };
    tokio::time::timeout(PATIENCE, next).await.unwrap()
}

/// Returns the next message, which is JSON.
pub(crate) async fn told(socket: &mut Socket) -> Value {
    let message = next(socket).await;
    let text = message.to_text().unwrap();
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {message:?}"))
}

/// Sends JSON.
pub(crate) async fn send(socket: &mut Socket, message: Value) {
    socket.send(Message::Text(message.to_string().into())).await.unwrap();
}

/// Returns the code of the close, which is the next message.
pub(crate) async fn close_code(socket: &mut Socket) -> u16 {
    match next(socket).await {
        Message::Close(Some(frame)) => frame.code.into(),
        other => panic!("{other:?}"),
    }
}

/// Returns the code of the close, whatever comes before it.
pub(crate) async fn close_code_behind(socket: &mut Socket) -> u16 {
    loop {
        match next(socket).await {
            Message::Close(Some(frame)) => return frame.code.into(),
            Message::Close(None) => panic!("a close without a code"),
            _ => {}
        }
    }
}

/// Open socket whose messages are JSON in both directions.
pub(crate) struct JsonSocket(pub(crate) Socket);

impl JsonSocket {
    pub(crate) async fn open(app: &TestApp, path: &str) -> Self {
        Self(connect(app, path).await)
    }

    pub(crate) async fn send(&mut self, message: Value) {
        send(&mut self.0, message).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// Returns the next message, or the code of the close.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        match next(&mut self.0).await {
            Message::Text(text) => Ok(serde_json::from_str(&text).unwrap()),
            Message::Close(frame) => Err(frame.unwrap().code.into()),
            message => panic!("{message:?}"),
        }
    }

    /// Returns the next message.
    pub(crate) async fn told(&mut self) -> Value {
        self.next().await.unwrap()
    }

    /// Reads up to the first message that `last` takes; returns all of them.
    pub(crate) async fn told_until(&mut self, last: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut messages = Vec::new();
        loop {
            messages.push(self.told().await);
            if messages.last().is_some_and(&last) {
                return messages;
            }
        }
    }

    /// Asserts that nothing comes for a moment.
    pub(crate) async fn assert_silent(&mut self) {
        let pause = std::time::Duration::from_millis(300);
        let came = tokio::time::timeout(pause, self.0.next()).await;
        assert!(came.is_err(), "{came:?}");
    }
}

/// Returns the types of messages.
pub(crate) fn types(messages: &[Value]) -> Vec<&str> {
    messages.iter().map(|message| message["type"].as_str().unwrap()).collect()
}

/// Returns the bytes of the member `name` of all messages that have it, which is base64.
pub(crate) fn decoded<'a>(messages: impl IntoIterator<Item = &'a Value>, name: &str) -> Vec<u8> {
    let data = messages.into_iter().filter_map(|message| message[name].as_str());
    data.flat_map(|data| BASE64.decode(data).unwrap()).collect()
}
