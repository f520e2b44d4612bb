//! Client of a socket whose messages are JSON in both directions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::app::{PATIENCE, TestApp};

/// Open socket of a test.
pub(crate) struct JsonSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl JsonSocket {
    pub(crate) async fn open(app: &TestApp, path: &str) -> Self {
        Self(connect_async(format!("ws://{}{path}", app.address)).await.unwrap().0)
    }

    pub(crate) async fn send(&mut self, message: Value) {
        self.send_raw(Message::Text(message.to_string().into())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.0.send(message).await.unwrap();
    }

    /// Returns the next message, or the code of the close.
    pub(crate) async fn next(&mut self) -> Result<Value, u16> {
        let next = async {
            loop {
                match self.0.next().await.unwrap().unwrap() {
                    Message::Text(text) => return Ok(serde_json::from_str(&text).unwrap()),
                    Message::Close(frame) => return Err(frame.unwrap().code.into()),
                    Message::Ping(_) | Message::Pong(_) => {}
                    message => panic!("{message:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, next).await.unwrap()
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
