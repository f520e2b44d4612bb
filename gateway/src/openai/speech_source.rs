//! Audio of a speech, from one job or from several in a row.
//!
//! A text whose speech may be longer than live delivery allows becomes several jobs, so that it is
//! heard while it is made. Each hears the sentences before it.

use csm_shared::job::{JobId, Receipt};
use csm_shared::process::connections::Peer;

use crate::app::App;
use crate::http::Problem;
use crate::live_audio::{LiveAudio, LivePart};
use crate::sentence_queue::{SentenceQueue, SpokenEnd, SpokenPart};
use crate::speech_template::SpeechTemplate;
use crate::submit::CheckedRequest;

/// Next part of a speech.
pub(super) enum SourcePart {
    /// Samples that follow those before: 24 kHz, mono.
    Samples(Vec<i16>),
    /// End of the speech, with the jobs that spoke it.
    End(Vec<SpokenJob>),
}

/// Job that spoke a part of a speech.
pub(super) struct SpokenJob {
    pub(super) job: JobId,
    pub(super) receipt: Box<Receipt>,
}

/// Audio of a speech.
pub(super) enum SpeechSource {
    /// Audio of a single job.
    Job(Box<LiveAudio>),
    /// Audio of several jobs in a row.
    Jobs(Box<JobsInARow>),
}

/// Jobs in a row.
pub(super) struct JobsInARow {
    /// Id of the first.
    first: JobId,
    queue: SentenceQueue,
    /// Job that is speaking.
    current: Option<JobId>,
    done: Vec<SpokenJob>,
}

impl SpeechSource {
    /// Begins the speech of a request. `texts` are those of several jobs, or none for a single job.
    pub(super) async fn begin(
        app: &App,
        peer: Peer,
        checked: CheckedRequest,
        texts: Vec<String>,
    ) -> Result<Self, Problem> {
        if texts.len() < 2 {
            return Ok(Self::Job(Box::new(LiveAudio::submit(app, checked, peer).await?)));
        }
        let CheckedRequest { job_request, memory: _held_until_stored } = checked;
        let first = job_request.ticket.id;
        let mut template = SpeechTemplate::of_request(job_request);
        template.store_context(app).await?;
        let queue = SentenceQueue::of_texts(app.clone(), peer, template, texts);
        Ok(Self::Jobs(Box::new(JobsInARow { first, queue, current: None, done: Vec::new() })))
    }

    /// Returns the id of the first job.
    pub(super) fn job(&self) -> JobId {
        match self {
            Self::Job(audio) => audio.job(),
            Self::Jobs(jobs) => jobs.first,
        }
    }

    /// Returns the next part. After an end or an error there is none.
    pub(super) async fn next(&mut self) -> Result<SourcePart, Problem> {
        match self {
            Self::Job(audio) => Ok(match audio.next().await? {
                LivePart::Samples(samples) => SourcePart::Samples(samples),
                LivePart::End(receipt) => SourcePart::End(vec![SpokenJob { job: audio.job(), receipt }]),
            }),
            Self::Jobs(jobs) => jobs.next().await,
        }
    }
}

impl JobsInARow {
    async fn next(&mut self) -> Result<SourcePart, Problem> {
        while !self.queue.is_idle() {
            match self.queue.next().await? {
                SpokenPart::Begin(spoken) => self.current = spoken.job,
                SpokenPart::Samples(samples) => return Ok(SourcePart::Samples(samples)),
                SpokenPart::End(SpokenEnd { receipt, .. }) => {
                    if let (Some(job), Some(receipt)) = (self.current.take(), receipt) {
                        self.done.push(SpokenJob { job, receipt });
                    }
                }
                SpokenPart::Flushed => {}
            }
        }
        Ok(SourcePart::End(std::mem::take(&mut self.done)))
    }
}
