//! Session of a socket: messages in, the audio of all its contexts out, one part of each in turn.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::Response;
use csm_queue::live::EventId;
use csm_shared::job::limits::{BODY_BYTES, Limit};
use csm_shared::job::{Invalid, JobId, Tenant};
use csm_shared::process::connections::Peer;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::context::StreamContext;
use super::messages::{ClientMessage, ContextMessage, Start, named_context, read, read_start};
use crate::app::App;
use crate::caller::record_of;
use crate::http::Problem;
use crate::http::body::BufferedBody;
use crate::live_audio::LiveAudio;
use crate::resources::DecodeRecording;
use crate::sentence_queue::{SentenceQueue, SpokenPart, next_of_any};
use crate::sockets::{Received, SessionEnd, Socket, SocketUpgrade, TEXT_MESSAGE_MAX, shutdown};
use crate::submit::parse;

/// Contexts of one socket at a time.
const CONTEXTS: Limit = Limit { min: 0, max: 32, unit: "contexts on one socket", status: 429 };
/// Sequence of the event of samples that came from a file, as the head of a binary message shows it.
const FILE_SEQUENCE: u64 = u32::MAX as u64;

/// Opens a socket.
pub(crate) async fn stream(State(app): State<App>, upgrade: SocketUpgrade) -> Result<Response, Problem> {
    let (peer, tenant, request_id) = (upgrade.peer, upgrade.tenant.clone(), upgrade.request_id.clone());
    upgrade.open(BODY_BYTES.max as usize, move |socket| {
        let (contexts, next_number, starting) = (Vec::new(), 0, None);
        StreamSession { app, peer, tenant, request_id, contexts, next_number, starting }.run(socket)
    })
}

/// Context that is about to begin.
struct Opened {
    start: Start,
    queue: SentenceQueue,
}

/// Context that could not begin.
struct Refused {
    /// Id of the context, if it could be read.
    id: Option<String>,
    problem: Problem,
    /// True if the message itself was refused.
    is_unreadable: bool,
}

/// Start in progress.
type Starting = BoxFuture<'static, Result<Box<Opened>, Refused>>;

struct StreamSession {
    app: App,
    peer: Peer,
    tenant: Tenant,
    request_id: String,
    /// Contexts, the one whose turn is next in front.
    contexts: Vec<StreamContext>,
    next_number: u32,
    /// Start in progress. No message is read meanwhile, because the next may be about its context.
    starting: Option<Starting>,
}

/// Next thing to do.
enum Step {
    Received(Received),
    Opened(Result<Box<Opened>, Refused>),
    /// Part of the context at this place.
    Part(usize, Result<SpokenPart, Problem>),
}

impl StreamSession {
    async fn run(mut self, mut socket: Socket) {
        let Err(end) = self.serve(&mut socket).await;
        if end == SessionEnd::Restart {
            let contexts: Vec<_> = self.contexts.iter().filter_map(StreamContext::resume_hint).collect();
            let _ = socket.tell(&json!({"type": "restart", "contexts": contexts})).await;
        }
        self.contexts.clear();
        socket.close(end).await;
    }

    async fn serve(&mut self, socket: &mut Socket) -> Result<Infallible, SessionEnd> {
        loop {
            match self.next_step(socket).await? {
                Step::Received(received) => self.handle(socket, received).await?,
                Step::Opened(opened) => {
                    self.starting = None;
                    self.begin(socket, opened).await?;
                }
                Step::Part(place, part) => self.deliver(socket, place, part).await?,
            }
            while let Some(done) = self.take_over() {
                socket.tell(&done).await?;
            }
        }
    }

    /// Removes a context that is over, and returns its last message.
    fn take_over(&mut self) -> Option<Value> {
        let place = self.contexts.iter().position(StreamContext::is_over)?;
        Some(self.contexts.remove(place).sent("done"))
    }

    async fn next_step(&mut self, socket: &mut Socket) -> Result<Step, SessionEnd> {
        let idle = self.starting.is_none() && self.contexts.iter().all(|context| context.queue.is_idle());
        let read = self.starting.is_none();
        let speaking = self.contexts.iter_mut().map(|context| &mut context.queue);
        tokio::select! {
            biased;
            end = shutdown(&self.app, idle) => Err(end),
            received = socket.listen(read) => received.map(Step::Received),
            opened = opened(&mut self.starting) => Ok(Step::Opened(opened)),
            (place, part) = next_of_any(speaking) => Ok(Step::Part(place, part)),
        }
    }

    async fn handle(&mut self, socket: &mut Socket, received: Received) -> Result<(), SessionEnd> {
        // A long message can only be a start with recordings.
        let message = match received.is_text && received.bytes.len() > TEXT_MESSAGE_MAX {
            true => Ok(ClientMessage::Start),
            false => read_text(&received),
        };
        match message {
            Ok(ClientMessage::Start) => {
                self.start(received);
                Ok(())
            }
            Ok(ClientMessage::Ping { id }) => socket.tell(&json!({"type": "pong", "id": id})).await,
            Ok(ClientMessage::Context { context_id, message }) => {
                let Some(place) = self.contexts.iter().position(|context| context.id == context_id) else {
                    let unknown = Invalid::malformed("context_id", &context_id, "the id of an open context");
                    return self.refuse(socket, Some(&context_id), &unknown.into()).await;
                };
                if message == ContextMessage::Cancel {
                    let context = self.contexts.remove(place);
                    return socket.tell(&context.sent("cancelled")).await;
                }
                match self.contexts.get_mut(place).map_or(Ok(()), |context| context.take(message)) {
                    Ok(()) => Ok(()),
                    Err(invalid) => self.refuse(socket, Some(&context_id), &invalid.into()).await,
                }
            }
            Err(invalid) => {
                socket.count_unreadable()?;
                let id = if received.is_text { named_context(&received.bytes) } else { None };
                self.refuse(socket, id.as_deref(), &invalid.into()).await
            }
        }
    }

    /// Begins to read a start.
    fn start(&mut self, received: Received) {
        let (app, peer, tenant, open) = (self.app.clone(), self.peer, self.tenant.clone(), self.contexts.len());
        let Received { bytes, memory, .. } = received;
        let opening = async move {
            let owner = tenant.clone();
            let body = BufferedBody { bytes, memory };
            let unreadable = |id, problem| Refused { id, problem, is_unreadable: true };
            let read = move |bytes: &[u8], decode: &mut DecodeRecording<'_>| {
                Ok(read_start(bytes, owner, decode).map_err(|error| (named_context(bytes), error)))
            };
            let (read, _memory) = parse(&app, body, read).await.map_err(|problem| unreadable(None, problem))?;
            let mut start = read.map_err(|(id, error)| unreadable(id, error.into()))?;
            let id = start.context_id.clone();
            let opened = async {
                if !CONTEXTS.allows(open as u64 + 1) {
                    return Err(Invalid::outside("context_id", open + 1, &CONTEXTS).into());
                }
                start.template.check(&app).await?;
                start.template.store_context(&app).await?;
                let mut queue = SentenceQueue::new(app.clone(), peer, start.template.clone());
                if let Some((job, after)) = start.resume {
                    queue.push_job(resume(&app, peer, &tenant, job, after).await?, String::new())?;
                }
                Ok(queue)
            };
            match opened.await {
                Ok(queue) => Ok(Box::new(Opened { start, queue })),
                Err(problem) => Err(Refused { id: Some(id), problem, is_unreadable: false }),
            }
        };
        self.starting = Some(opening.boxed());
    }

    async fn begin(&mut self, socket: &mut Socket, opened: Result<Box<Opened>, Refused>) -> Result<(), SessionEnd> {
        let Opened { start, queue } = match opened {
            Ok(opened) => *opened,
            Err(Refused { id, problem, is_unreadable }) => {
                if is_unreadable {
                    socket.count_unreadable()?;
                }
                return self.refuse(socket, id.as_deref(), &problem).await;
            }
        };
        let id = start.context_id.clone();
        let refused = if self.app.stop.is_cancelled() {
            Some(Problem::draining())
        } else if self.contexts.iter().any(|context| context.id == id) {
            Some(Invalid::malformed("context_id", &id, "an id that no open context has").into())
        } else {
            None
        };
        if let Some(problem) = refused {
            return self.refuse(socket, Some(&id), &problem).await;
        }
        let context = StreamContext::new(start, self.next_number, queue);
        self.next_number = self.next_number.wrapping_add(1);
        let started = context.started();
        self.contexts.push(context);
        socket.tell(&started).await
    }

    /// Sends a part, and moves its context behind the others.
    async fn deliver(
        &mut self,
        socket: &mut Socket,
        place: usize,
        part: Result<SpokenPart, Problem>,
    ) -> Result<(), SessionEnd> {
        let Some(context) = self.contexts.get_mut(place) else { return Ok(()) };
        match part.and_then(|part| context.messages(part)) {
            Ok(messages) => {
                for message in messages {
                    socket.send(message).await?;
                }
                self.contexts.rotate_left(place + 1);
                Ok(())
            }
            Err(problem) => {
                let context = self.contexts.remove(place);
                let mut error = self.error(Some(&context.id), &problem);
                let sent = context.sent("error");
                for member in ["sentences", "samples_sent", "text_sent"] {
                    error[member] = sent[member].clone();
                }
                error["ended"] = true.into();
                socket.tell(&error).await
            }
        }
    }

    /// Tells the caller that a message was refused. Its context, if it has one, goes on.
    async fn refuse(
        &mut self,
        socket: &mut Socket,
        context_id: Option<&str>,
        problem: &Problem,
    ) -> Result<(), SessionEnd> {
        socket.tell(&self.error(context_id, problem)).await
    }

    /// Returns the members of a problem as a message.
    fn error(&self, context_id: Option<&str>, problem: &Problem) -> Value {
        let problem: Value = serde_json::from_str(&problem.to_message(&self.request_id)).unwrap_or_default();
        json!({"type": "error", "context_id": context_id, "ended": false, "problem": problem})
    }
}

fn read_text(received: &Received) -> Result<ClientMessage, Invalid> {
    if received.is_text {
        read(&received.bytes)
    } else {
        Err(Invalid::malformed("(message)", format!("{} binary bytes", received.bytes.len()), "JSON in a text message"))
    }
}

/// Goes on with a job of the caller's tenant.
async fn resume(app: &App, peer: Peer, tenant: &Tenant, job: JobId, after: EventId) -> Result<LiveAudio, Problem> {
    let record = record_of(app.patient_queue.for_accepted_job(), tenant, job).await?;
    record.ok_or_else(|| Problem::no_job(&job.to_string()))?;
    // Samples from a file have no events of their own. The caller drops what it has by the offsets.
    let after = if after.sequence >= FILE_SEQUENCE { EventId::START } else { after };
    LiveAudio::resume(app, peer, job, after).await
}

async fn opened(starting: &mut Option<Starting>) -> Result<Box<Opened>, Refused> {
    match starting {
        Some(starting) => starting.await,
        None => std::future::pending().await,
    }
}
