//! Template of the jobs of one text in pieces: the voice, the sampling, and the sentences
//! spoken before.

use std::collections::VecDeque;

use csm_queue::queue::Ticket;
use csm_shared::job::{
    AudioBudget, AudioFormat, Context, Delivery, Editing, FinishReason, InputWarnings, Invalid, JobId, JobSpec, Lane,
    Pronunciations, Receipt, Recording, Sampling, Seed, Segment, Speaker, Speed, StoredRecording, Temperature, Tenant,
    Text, TopK, Turns, VoiceName,
};
use csm_shared::process::connections::Peer;
use csm_shared::text::control::pause_alone;

use crate::app::App;
use crate::fields::{
    FieldError, JsonObject, budget, context, lane_or, normalize, pronunciations, sampling, seed_of, speed, voice,
    voice_and_speaker,
};
use crate::http::Problem;
use crate::live_audio::{LiveAudio, deliver_live};
use crate::recordings::store_recordings;
use crate::resources::DecodeRecording;
use crate::submit::{CheckedRequest, JobRequest};

/// Voice of callers that name none.
pub(crate) const DEFAULT_VOICE: VoiceName = VoiceName::Alloy;
/// Most earlier sentences in a context, as in the sentences of one long job.
const HEARD_MAX: usize = 2;
/// Longest earlier sentences together, in milliseconds. They take room of the model's window, and
/// the first sound waits until the model has read them.
const HEARD_MS_MAX: u64 = 20_000;

/// Text by which a context is checked before any text has come.
const CHECKED_TEXT: &str = "Hello.";

/// Fields of the jobs of one text.
#[derive(Clone)]
pub(crate) struct SpeechTemplate {
    /// Tenant of the jobs.
    pub(crate) tenant: Tenant,
    /// Voice; without one, the seed decides who speaks.
    pub(crate) voice: Option<VoiceName>,
    /// Tempo of the speech.
    pub(crate) speed: Speed,
    /// Warnings about the context.
    pub(crate) warnings: InputWarnings,
    speaker: Speaker,
    normalize: bool,
    pronunciations: Pronunciations,
    budget: Option<AudioBudget>,
    sampling: Sampling,
    context: Context,
    lane: Lane,
    /// Last sentences that ended well, oldest first.
    heard: VecDeque<Segment>,
    /// Ticket of the first job, if a single request asks for all of them, and whether the request can
    /// be repeated.
    first: Option<(Ticket, bool)>,
    /// Jobs so far. Each has a seed of its own, so that two equal sentences do not sound the same.
    jobs: u64,
}

impl SpeechTemplate {
    /// Makes the template of live speech with the default voice and a seed that is drawn.
    pub(crate) fn new(tenant: Tenant) -> Self {
        let seed = seed_of(JobId::generate());
        Self {
            tenant,
            voice: Some(DEFAULT_VOICE),
            speed: Speed::default(),
            warnings: InputWarnings::default(),
            speaker: DEFAULT_VOICE.speaker(),
            normalize: true,
            pronunciations: Pronunciations::default(),
            budget: None,
            sampling: Sampling { temperature: Temperature::default(), topk: TopK::default(), seed },
            context: Context::default(),
            lane: Lane::Live,
            heard: VecDeque::new(),
            first: None,
            jobs: 0,
        }
    }

    /// Reads the fields of a request: those of a native job, but for its text and delivery.
    ///
    /// # Errors
    /// The first field that is refused.
    pub(crate) fn read(
        request: &mut JsonObject<'_>,
        tenant: Tenant,
        decode: &mut DecodeRecording<'_>,
    ) -> Result<Self, FieldError> {
        let (voice, speaker) = match request.has("speaker") {
            true => voice_and_speaker(request)?,
            false => {
                let voice = voice(request)?.unwrap_or(DEFAULT_VOICE);
                (Some(voice), voice.speaker())
            }
        };
        let mut warnings = InputWarnings::default();
        Ok(Self {
            voice,
            speaker,
            speed: speed(request)?,
            normalize: normalize(request)?,
            pronunciations: pronunciations(request)?,
            budget: budget(request)?,
            sampling: sampling(request, JobId::generate())?,
            context: context(request, decode, &mut warnings)?,
            lane: lane_or(request, Lane::Live)?,
            warnings,
            ..Self::new(tenant)
        })
    }

    /// Makes the template of the jobs that one request asks for. The first has the ticket of the
    /// request, the others have ids that follow from it.
    pub(crate) fn of_request(request: JobRequest) -> Self {
        let JobRequest { ticket, spec, repeats } = request;
        Self {
            voice: spec.voice,
            speed: spec.speed,
            speaker: spec.speaker,
            normalize: spec.normalize,
            pronunciations: spec.pronunciations,
            sampling: spec.sampling,
            context: spec.context,
            lane: spec.lane,
            first: Some((ticket.clone(), repeats)),
            ..Self::new(ticket.tenant)
        }
    }

    /// Returns the ticket of the next job, and whether its request can be repeated.
    fn ticket(&self) -> (Ticket, bool) {
        match &self.first {
            None => {
                let (tenant, warnings) = (self.tenant.clone(), self.warnings.clone());
                (Ticket { tenant, warnings, ..Ticket::new(JobId::generate()) }, false)
            }
            Some((first, repeats)) => {
                let id = if self.jobs == 0 { first.id } else { first.id.part(self.jobs) };
                (Ticket { id, ..first.clone() }, *repeats)
            }
        }
    }

    /// Sets the voice, by name.
    pub(crate) fn set_voice(&mut self, voice: VoiceName) {
        (self.voice, self.speaker) = (Some(voice), voice.speaker());
    }

    /// Refuses a context that leaves the model no room to speak.
    pub(crate) async fn check(&self, app: &App) -> Result<(), Problem> {
        let thread = app.decoder.thread().await?;
        let (template, app) = (self.clone(), app.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            template.checked_spec(&app, &Text::new(CHECKED_TEXT)?)
        });
        checked.await.map_err(Problem::internal)??;
        Ok(())
    }

    /// Moves the recordings of the context into the store, so that no job carries them again.
    pub(crate) async fn store_context(&mut self, app: &App) -> Result<(), Problem> {
        let context = std::mem::take(&mut self.context);
        self.context = Box::pin(store_recordings(&app.temporary_objects, context)).await?;
        Ok(())
    }

    /// Begins a job. There is none for a text with nothing to say, such as punctuation or a pause
    /// alone.
    pub(crate) async fn begin(mut self, app: App, peer: Peer, text: String) -> Result<Option<LiveAudio>, Problem> {
        if !text.chars().any(char::is_alphanumeric) || pause_alone(&text).is_some() {
            return Ok(None);
        }
        // The model's own speakers learnt to speak without a context, and need none to stay the same.
        if app.window_check.model_kind().has_own_speakers() {
            self.heard.clear();
        }
        let ((ticket, repeats), text) = (self.ticket(), Text::new(&text)?);
        let mut memory = app.memory.begin(peer);
        memory.grow_to(text.as_str().len()).await?;
        // The tokenizer takes a core for a moment, so few texts are checked at a time.
        let (checker, thread) = (app.clone(), app.decoder.thread().await?);
        let checked = tokio::task::spawn_blocking(move || {
            let _thread = thread;
            self.checked_spec(&checker, &text)
        });
        let spec = checked.await.map_err(Problem::internal)??;
        let job_request = JobRequest { ticket, spec, repeats };
        LiveAudio::submit(&app, CheckedRequest { job_request, memory }, peer).await.map(Some)
    }

    /// Returns the job of a text, with as many of the earlier sentences as the model's window has
    /// room for.
    fn checked_spec(mut self, app: &App, text: &Text) -> Result<JobSpec, Invalid> {
        let given = self.context.segments().to_vec();
        loop {
            let segments = given.iter().chain(&self.heard).cloned().collect();
            let checked = Context::new(segments).and_then(|context| {
                let spec = self.spec(text.clone(), context)?;
                app.window_check.check(&spec)?;
                Ok(spec)
            });
            match checked {
                Err(_) if self.heard.pop_front().is_some() => {}
                checked => return checked,
            }
        }
    }

    fn spec(&self, text: Text, context: Context) -> Result<JobSpec, Invalid> {
        let seed = Seed::new(self.sampling.seed.get().wrapping_add(self.jobs));
        self.pronunciations.check(&text)?;
        let mut spec = JobSpec {
            text,
            turns: Turns::default(),
            normalize: self.normalize,
            pronunciations: self.pronunciations.clone(),
            speaker: self.speaker,
            voice: self.voice,
            speed: self.speed,
            budget: self.budget.unwrap_or_default(),
            sampling: Sampling { seed, ..self.sampling },
            context,
            lane: self.lane,
            format: AudioFormat::Pcm,
            delivery: Delivery::Store,
            audio_name: None,
            editing: Editing::Off,
            trace: None,
        };
        if self.budget.is_none() {
            spec.budget = AudioBudget::of_sentences(&spec.sentences());
        }
        spec.speed.check(spec.budget)?;
        deliver_live(&mut spec);
        Ok(spec)
    }

    /// Notes that a job has begun.
    pub(crate) const fn count_job(&mut self) {
        self.jobs += 1;
    }

    /// Lets the next jobs hear a text that was spoken well: its file of bare samples is the
    /// recording, and its words are those that were spoken. A text that was cut off is not heard, because its words and its sound differ; nor
    /// one of another tempo, which the next would take over.
    pub(crate) fn hear(&mut self, receipt: &Receipt) {
        let spoken: Vec<_> = receipt.sentences.iter().map(|sentence| sentence.text.as_str()).collect();
        let whole = receipt.finish_reason == FinishReason::Eos && receipt.samples > 0;
        let (Ok(text), Ok(samples)) = (Text::new(&spoken.join(" ")), u32::try_from(receipt.samples)) else { return };
        if !whole || receipt.format != AudioFormat::Pcm || receipt.speed.is_some() {
            return;
        }
        let (location, sha256) = (receipt.location.clone(), receipt.sha256.clone());
        let recording = Recording::Stored(StoredRecording { location, sha256, samples });
        self.heard.push_back(Segment { text, speaker: self.speaker, recording });
        let too_long = |heard: &VecDeque<Segment>| {
            heard.iter().map(|segment| segment.recording.duration_ms()).sum::<u64>() > HEARD_MS_MAX
        };
        while self.heard.len() > HEARD_MAX || too_long(&self.heard) {
            self.heard.pop_front();
        }
    }
}
