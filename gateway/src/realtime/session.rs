//! `WS /v1/realtime`: one response at a time.
//!
//! | the caller sends | gets |
//! |---|---|
//! | `session.update` | `session.updated` |
//! | `conversation.item.create` | `conversation.item.added` and `conversation.item.done` |
//! | `response.create` | `response.created`, deltas of audio and text, `response.done` |
//! | `response.cancel` | `response.done` with the status `cancelled`; the job is cancelled |
//!
//! All else is an `error` event. A speech that fails has the status `failed`, so that nothing looks
//! like its end.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Response;
use csm_shared::job::{Invalid, Tenant};
use csm_shared::process::connections::Peer;
use serde_json::{Value, json};

use super::config::SpeechConfig;
use super::events::{error, event, new_id, session_event};
use super::input::InputText;
use super::response::{ResponseEnd, SpokenResponse};
use crate::app::App;
use crate::http::Problem;
use crate::message_fields::MessageFields;
use crate::sentence_queue::{SentenceQueue, SpokenPart};
use crate::sockets::{SessionEnd, Socket, SocketUpgrade, TEXT_MESSAGE_MAX, shutdown};
use crate::speech_template::SpeechTemplate;

/// Subprotocol of this API, which browsers offer.
const PROTOCOLS: &[&str] = &["realtime"];
/// Types of the events that are taken.
const TYPES: &str = "session.update, conversation.item.create, response.create or response.cancel";

/// Opens a socket. The model in the query is ignored, as there is one alone.
pub(crate) async fn realtime(State(app): State<App>, upgrade: SocketUpgrade) -> Result<Response, Problem> {
    let (peer, tenant, request_id) = (upgrade.peer, upgrade.tenant.clone(), upgrade.request_id.clone());
    upgrade.offer_protocols(PROTOCOLS).open(TEXT_MESSAGE_MAX, move |socket| {
        let (id, config, conversation) = (new_id("sess"), SpeechConfig::default(), InputText::default());
        Session { socket, app, peer, tenant, request_id, id, config, conversation, response: None }.run()
    })
}

struct Session {
    socket: Socket,
    app: App,
    peer: Peer,
    tenant: Tenant,
    request_id: String,
    id: String,
    config: SpeechConfig,
    /// Text of the conversation that no response has spoken.
    conversation: InputText,
    /// Response in progress.
    response: Option<SpokenResponse>,
}

/// Refusal of an event, with OpenAI's own code if it has one.
struct Refusal {
    invalid: Invalid,
    code: Option<&'static str>,
}

impl From<Invalid> for Refusal {
    fn from(invalid: Invalid) -> Self {
        Self { invalid, code: None }
    }
}

impl Session {
    /// Serves until the caller or the gateway leaves.
    async fn run(mut self) {
        let Err(end) = self.serve().await;
        self.response = None;
        self.socket.close(end).await;
    }

    async fn serve(&mut self) -> Result<Infallible, SessionEnd> {
        self.tell_session("session.created").await?;
        loop {
            let idle = self.response.is_none();
            tokio::select! {
                biased;
                end = shutdown(&self.app, idle) => return Err(end),
                message = self.socket.recv_json() => match message? {
                    Ok(message) => self.handle(&message).await?,
                    Err(invalid) => self.tell_error(invalid.into(), None).await?,
                },
                part = next_part(&mut self.response) => self.deliver(part).await?,
            }
        }
    }

    /// Handles an event of the caller.
    async fn handle(&mut self, message: &Value) -> Result<(), SessionEnd> {
        let fields = MessageFields::of(message);
        let caused_by = message["event_id"].as_str();
        let handled = match message["type"].as_str() {
            Some("session.update") => self.update(&fields),
            Some("conversation.item.create") => self.add_item(&fields),
            Some("response.create") => self.begin(&fields),
            Some("response.cancel") => self.cancel(&fields),
            _ => {
                self.socket.count_unreadable()?;
                Err(fields.refuse("type", TYPES).into())
            }
        };
        match handled {
            Ok(events) => self.tell_all(&events).await,
            Err(refusal) => self.tell_error(refusal, caused_by).await,
        }
    }

    /// Changes the settings of the responses to come.
    fn update(&mut self, message: &MessageFields<'_>) -> Result<Vec<Value>, Refusal> {
        let Some(session) = message.object("session")? else {
            return Err(message.missing("session", "an object").into());
        };
        if session.string("type")?.is_some_and(|kind| kind != "realtime") {
            return Err(session.refuse("type", "realtime").into());
        }
        self.config = self.config.changed(&session)?;
        Ok(vec![session_event("session.updated", &self.id, &self.app.model_name, self.config)])
    }

    /// Adds the text of a message to the conversation.
    fn add_item(&mut self, message: &MessageFields<'_>) -> Result<Vec<Value>, Refusal> {
        let item = message.object("item")?.ok_or_else(|| message.missing("item", "an object"))?;
        let id = item.string("id")?.map_or_else(|| new_id("item"), str::to_owned);
        self.conversation.push(&item)?;
        let mut item = item.value().clone();
        (item["id"], item["object"], item["status"]) = (id.into(), "realtime.item".into(), "completed".into());
        let about = json!({"item": item, "previous_item_id": null});
        Ok(vec![event("conversation.item.added", about.clone()), event("conversation.item.done", about)])
    }

    /// Begins a response.
    fn begin(&mut self, message: &MessageFields<'_>) -> Result<Vec<Value>, Refusal> {
        if let Some(active) = &self.response {
            let limit = format!("one response at a time; {} is in progress", active.id());
            let invalid = Invalid::malformed("type", "response.create", limit);
            return Err(Refusal { invalid, code: Some("conversation_already_has_active_response") });
        }
        let empty = json!({});
        let given = message.object("response")?.unwrap_or_else(|| MessageFields::within(&empty, "response"));
        let config = self.config.changed(&given)?;
        let text = InputText::of_response(&given, &mut self.conversation)?;
        let mut template = SpeechTemplate::new(self.tenant.clone());
        template.set_voice(config.voice);
        template.speed = config.speed;
        let sentences = SentenceQueue::new(self.app.clone(), self.peer, template);
        let response = SpokenResponse::new(text, sentences).map_err(given.name("input"))?;
        let created = response.created();
        self.response = Some(response);
        Ok(vec![created])
    }

    /// Drops the response in progress, which cancels its job.
    fn cancel(&mut self, message: &MessageFields<'_>) -> Result<Vec<Value>, Refusal> {
        let id = message.string("response_id")?;
        match self.response.take_if(|active| id.is_none_or(|id| id == active.id())) {
            Some(response) => Ok(vec![response.done(&ResponseEnd::Cancelled)]),
            None => {
                let invalid = message.refuse("response_id", "a response in progress");
                Err(Refusal { invalid, code: Some("response_cancel_not_active") })
            }
        }
    }

    /// Sends the events for a part of the speech.
    async fn deliver(&mut self, part: Result<SpokenPart, Problem>) -> Result<(), SessionEnd> {
        let Some(response) = &self.response else { return Ok(()) };
        let (events, over) = match part {
            Ok(part) => response.events(&part),
            Err(problem) => {
                problem.report(&self.request_id);
                (vec![response.done(&ResponseEnd::Failed(&problem))], true)
            }
        };
        if over {
            self.response = None;
        }
        self.tell_all(&events).await
    }

    async fn tell_session(&mut self, kind: &str) -> Result<(), SessionEnd> {
        let event = session_event(kind, &self.id, &self.app.model_name, self.config);
        self.socket.tell(&event).await
    }

    async fn tell_error(&mut self, refusal: Refusal, caused_by: Option<&str>) -> Result<(), SessionEnd> {
        let event = error(&refusal.invalid.into(), refusal.code, caused_by, &self.request_id);
        self.socket.tell(&event).await
    }

    async fn tell_all(&mut self, events: &[Value]) -> Result<(), SessionEnd> {
        for event in events {
            self.socket.tell(event).await?;
        }
        Ok(())
    }
}

/// Returns the next part of the response in progress; waits while there is none.
async fn next_part(response: &mut Option<SpokenResponse>) -> Result<SpokenPart, Problem> {
    match response {
        Some(response) => response.next().await,
        None => std::future::pending().await,
    }
}
