//! Audio of a job while it is made: samples in order, then an end that nothing else looks like.
//!
//! All routes that deliver live audio read it here. The samples come from the job's events, as the
//! worker marks them. A result that may be longer than live delivery allows has no samples in its
//! events; its file of bare samples is read once it is there. A slow caller is waited for, and holds
//! one read of the events at most.

use std::io;
use std::ops::Range;
use std::pin::Pin;

use axum::body::Bytes;
use csm_queue::live::{Event, EventId, LiveEvent};
use csm_queue::queue::QueueError;
use csm_shared::job::{AudioBudget, AudioFormat, Delivery, JobId, JobSpec, Receipt, Speed};
use csm_shared::process::connections::Peer;
use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep_until};
use tracing::Span;

use crate::app::App;
use crate::http::Problem;
use crate::stored_audio::StoredAudio;
use crate::submit::{CancelOnDrop, CheckedRequest, submit};
use crate::wait::WAIT_LIMIT;

/// Next part of a job's audio.
pub(crate) enum LivePart {
    /// Samples that follow those before: 24 kHz, mono.
    Samples(Vec<i16>),
    /// End of the audio. All samples of the receipt were delivered.
    End(Box<Receipt>),
}

type Events = Pin<Box<dyn Stream<Item = Result<LiveEvent, QueueError>> + Send>>;
type Pieces = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Audio of one job. The job is cancelled if this is dropped before the end, unless its request can
/// be repeated.
pub(crate) struct LiveAudio {
    app: App,
    peer: Peer,
    job: JobId,
    cancel_on_drop: Option<CancelOnDrop>,
    events: Events,
    /// Span of the request.
    request: Span,
    /// Span from the first samples to the end of the relay.
    relay: Option<Span>,
    /// Receipt of the result, once it is there.
    receipt: Option<Box<Receipt>>,
    /// Rest of the samples, for a result without live samples.
    file: Option<Pieces>,
    /// Id of the last event that was read.
    last_event: EventId,
    /// Samples delivered so far, those of an earlier connection included. Unknown between a resume
    /// and the next samples.
    heard: Option<u64>,
    over: Instant,
}

/// Chooses the delivery of a job whose audio is read here. The file of a long result holds bare
/// samples.
pub(crate) fn deliver_live(spec: &mut JobSpec) {
    let fits = |budget: AudioBudget, speed: Speed| Delivery::Both.check(budget, speed).is_ok();
    if fits(spec.budget, spec.speed) {
        spec.delivery = Delivery::Both;
    } else {
        (spec.delivery, spec.format) = (Delivery::Store, AudioFormat::Pcm);
    }
}

impl LiveAudio {
    /// Submits a job and follows it from its first event.
    pub(crate) async fn submit(app: &App, checked: CheckedRequest, peer: Peer) -> Result<Self, Problem> {
        let cancel_on_drop = submit(app, checked).await?.cancel_on_drop;
        let mut audio = Self::follow(app, peer, cancel_on_drop.id(), EventId::START).await?;
        audio.cancel_on_drop = Some(cancel_on_drop);
        Ok(audio)
    }

    /// Goes on with a job behind the event `after`. The job is cancelled if this is dropped before
    /// the end.
    pub(crate) async fn resume(app: &App, peer: Peer, job: JobId, after: EventId) -> Result<Self, Problem> {
        let mut audio = Self::follow(app, peer, job, after).await?;
        audio.cancel_on_drop = Some(CancelOnDrop::of(app, job));
        Ok(audio)
    }

    /// Follows a job from the event behind `after`.
    async fn follow(app: &App, peer: Peer, job: JobId, after: EventId) -> Result<Self, Problem> {
        let events = app.subscriptions.follow(app.patient_queue.for_accepted_job(), job, after).await?;
        Ok(Self {
            app: app.clone(),
            peer,
            job,
            cancel_on_drop: None,
            events: Box::pin(events.ok_or_else(|| Problem::no_job(&job.to_string()))?),
            request: Span::current(),
            relay: None,
            receipt: None,
            file: None,
            last_event: after,
            heard: (after == EventId::START).then_some(0),
            over: Instant::now() + WAIT_LIMIT,
        })
    }

    /// Returns the id of the job.
    pub(crate) const fn job(&self) -> JobId {
        self.job
    }

    /// Returns the id of the last event that was read. [`LiveAudio::resume`] goes on behind it.
    pub(crate) const fn last_event(&self) -> EventId {
        self.last_event
    }

    /// Returns the number of samples up to here; 0 if it is not known yet.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.unwrap_or_default()
    }

    /// Lets the job go on if this is dropped.
    pub(crate) fn detach(&mut self) {
        self.disarm();
    }

    /// Returns the next part of the audio. After an end or an error there is none. Nothing is lost
    /// if the call is dropped.
    pub(crate) async fn next(&mut self) -> Result<LivePart, Problem> {
        loop {
            if let Some(receipt) = &self.receipt {
                if self.file.is_none() {
                    let samples = self.heard.unwrap_or_default()..receipt.samples;
                    let file = (receipt.format == AudioFormat::Pcm && !samples.is_empty())
                        .then(|| StoredAudio::of(&self.app, self.peer, self.job, receipt))
                        .transpose()?;
                    self.file = Some(rest(file, samples).await?);
                }
                let piece = match &mut self.file {
                    Some(file) => file.next().await,
                    None => None,
                };
                match piece {
                    Some(Ok(bytes)) => return Ok(self.samples(&bytes)),
                    Some(Err(error)) => return Err(Problem::unavailable(error)),
                    None => return self.end(),
                }
            }
            let event = tokio::select! {
                event = self.events.next() => event,
                () = sleep_until(self.over) => return Err(Problem::took_too_long(self.job, WAIT_LIMIT)),
                () = self.app.late.cancelled() => return Err(Problem::draining()),
            };
            let event = event.ok_or_else(|| Problem::internal(format!("the events of job {} are cut", self.job)))?;
            let LiveEvent { id, event } = event?;
            self.last_event = id;
            match event {
                Event::Progress { audio: Some(audio), .. } => {
                    self.heard.get_or_insert(audio.offset());
                    return Ok(self.samples(audio.pcm()));
                }
                Event::Started { .. } | Event::Progress { audio: None, .. } => {}
                Event::Error { state, failure } => {
                    self.disarm();
                    return Err(Problem::job_ended(self.job, state, failure));
                }
                Event::Done { receipt } => {
                    self.disarm();
                    // Behind the event of some samples there are no more samples.
                    self.heard.get_or_insert(receipt.samples);
                    self.receipt = Some(receipt);
                }
            }
        }
    }

    fn samples(&mut self, pcm: &[u8]) -> LivePart {
        let (request, job) = (&self.request, self.job);
        self.relay.get_or_insert_with(|| tracing::info_span!(parent: request, "relay", %job));
        let samples: Vec<i16> = pcm.as_chunks::<2>().0.iter().map(|bytes| i16::from_le_bytes(*bytes)).collect();
        *self.heard.get_or_insert_default() += samples.len() as u64;
        LivePart::Samples(samples)
    }

    /// Ends the audio, provided that all of it was delivered.
    fn end(&mut self) -> Result<LivePart, Problem> {
        let Some(receipt) = self.receipt.take() else { return Err(Problem::internal("there is no receipt")) };
        let (heard, all) = (self.heard(), receipt.samples);
        if heard == all {
            return Ok(LivePart::End(receipt));
        }
        Err(Problem::internal(format!("job {}: {heard} of {all} samples were delivered", self.job)))
    }

    fn disarm(&mut self) {
        if let Some(guard) = self.cancel_on_drop.take() {
            guard.disarm();
        }
    }
}

/// Opens the samples that no event brought: those of a long result's file, else none.
async fn rest(file: Option<StoredAudio>, samples: Range<u64>) -> Result<Pieces, Problem> {
    match file {
        Some(file) => Ok(Box::pin(file.pieces(samples.start * 2..samples.end * 2).await?)),
        None => Ok(Box::pin(futures::stream::empty())),
    }
}
