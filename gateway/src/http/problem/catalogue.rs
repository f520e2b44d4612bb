//! Catalogue of problems: one entry for each code, with its title, statuses, meaning and remedy.
//!
//! A problem is constructed from a [`ProblemCode`] only, and the macro below makes the enum and the
//! table from the same entries. Every code that the gateway can answer therefore has an entry.

use axum::http::StatusCode;

/// Kind of problem: the facts that all problems of one code share.
#[derive(Debug)]
pub(super) struct ProblemKind {
    /// Stable code, part of the API.
    pub(super) code: &'static str,
    /// Short name, the same for every occurrence.
    pub(super) title: &'static str,
    /// HTTP statuses, the usual one first.
    pub(super) statuses: &'static [u16],
    /// Circumstances under which the gateway answers with this problem.
    pub(super) meaning: &'static str,
    /// Advice to the caller.
    pub(super) remedy: &'static str,
}

impl ProblemKind {
    /// Returns the path of the kind's page, which is the `type` of its documents.
    pub(super) fn path(&self) -> String {
        format!("/problems/{}", self.code)
    }

    /// Returns the status of a problem whose constructor names none.
    pub(super) fn usual_status(&self) -> StatusCode {
        let usual = self.statuses.first().and_then(|&status| StatusCode::from_u16(status).ok());
        usual.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

macro_rules! catalogue {
    ($($variant:ident {
        code: $code:literal,
        title: $title:literal,
        statuses: [$($status:literal),+],
        meaning: $meaning:literal,
        remedy: $remedy:literal,
    })+) => {
        /// Code of a problem, by which constructors name their entry of the catalogue.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ProblemCode {
            $(#[doc = $meaning] $variant,)+
        }

        /// Every kind of problem, in the order of [`ProblemCode`].
        pub(super) static CATALOGUE: &[ProblemKind] = &[$(ProblemKind {
            code: $code,
            title: $title,
            statuses: &[$($status),+],
            meaning: $meaning,
            remedy: $remedy,
        }),+];
    };
}

impl ProblemCode {
    /// Returns the entry of the catalogue.
    pub(super) fn kind(self) -> &'static ProblemKind {
        &CATALOGUE[self as usize]
    }
}

catalogue! {
    OutOfRange {
        code: "out_of_range",
        title: "Value out of range",
        statuses: [422, 400],
        meaning: "A value is outside its limit. The status is 400 for the length of an \
            Idempotency-Key.",
        remedy: "Change the named field to fit the limit.",
    }
    Malformed {
        code: "malformed",
        title: "Value cannot be read",
        statuses: [422, 400, 404, 415],
        meaning: "A value is missing, of the wrong kind, unreadable, or an unknown field of /v1. \
            The status is 400 if the body is not JSON or an Idempotency-Key is not visible ASCII, \
            404 for a model that OpenAI's routes do not know and a voice that ElevenLabs' do not, \
            and 415 for a recording of unknown format and for a Content-Type of /v1/jobs that is \
            not application/json.",
        remedy: "Correct the named field; limit says what was expected.",
    }
    WindowExceeded {
        code: "window_exceeded",
        title: "Too long for the model",
        statuses: [422],
        meaning: "The prompt positions and the frames of a sentence exceed the model's window \
            together; value holds both numbers.",
        remedy: "Shorten the named field: the context, the text, or max_audio_length_ms.",
    }
    TooLarge {
        code: "too_large",
        title: "Too large",
        statuses: [413],
        meaning: "The body, a recording, or all context audio together is larger or longer than \
            is taken.",
        remedy: "Send less; limit says how much is taken.",
    }
    BrokenBody {
        code: "broken_body",
        title: "Incomplete request",
        statuses: [400],
        meaning: "The body ended before it was complete.",
        remedy: "Send the request again.",
    }
    RequestTimeout {
        code: "request_timeout",
        title: "Request too slow",
        statuses: [408],
        meaning: "The body came too slowly: after 5 s it needs 8192 bytes a second, and it has 60 s in all.",
        remedy: "Send the request again, over a faster connection or with less context audio.",
    }
    UnreadableRequest {
        code: "unreadable_request",
        title: "Request cannot be read",
        statuses: [400],
        meaning: "The path or query cannot be decoded.",
        remedy: "Correct the percent-encoding of the URL.",
    }
    WebsocketRequired {
        code: "websocket_required",
        title: "A WebSocket is required",
        statuses: [400, 405, 426],
        meaning: "A plain request came to /ws, or its WebSocket headers are wrong.",
        remedy: "Connect with a WebSocket client; a proxy in between must pass the upgrade on.",
    }
    ForeignHost {
        code: "foreign_host",
        title: "Not a name of this gateway",
        statuses: [421],
        meaning: "The Host header names another host. A gateway that listens on a loopback address \
            answers to local names and to CSM_ALLOWED_HOSTS alone, so that no web page can reach \
            it under a name of the page's own.",
        remedy: "Use localhost or the gateway's address, or have the operator add the name to \
            CSM_ALLOWED_HOSTS.",
    }
    ForeignOrigin {
        code: "foreign_origin",
        title: "Page of another site",
        statuses: [403],
        meaning: "The request comes from a web page of another origin.",
        remedy: "Serve the page under the gateway's own origin, or have the operator add the \
            page's origin to CSM_ALLOWED_ORIGINS.",
    }
    AdminToken {
        code: "admin_token",
        title: "Operators only",
        statuses: [401],
        meaning: "An operation of /v1/admin came without the operators' token, or any request to /v1/admin \
            with a wrong one.",
        remedy: "Send the token of CSM_ADMIN_TOKEN as Authorization: Bearer TOKEN.",
    }
    AdminOff {
        code: "admin_off",
        title: "Operations are off",
        statuses: [403],
        meaning: "An operation of /v1/admin came to a gateway that has no token for operators.",
        remedy: "Have the operator set CSM_ADMIN_TOKEN, or use csm queue and csm dlq.",
    }
    DeadLetterNotFound {
        code: "dead_letter_not_found",
        title: "No such dead letter",
        statuses: [404],
        meaning: "No dead letter has this job's id: it was retried, purged or has expired.",
        remedy: "Read the dead letters again.",
    }
    NotFound {
        code: "not_found",
        title: "No such page",
        statuses: [404],
        meaning: "No route has this path.",
        remedy: "Correct the path.",
    }
    MethodNotAllowed {
        code: "method_not_allowed",
        title: "Method not allowed",
        statuses: [405],
        meaning: "The path does not take this method.",
        remedy: "Use a method that the Allow header names.",
    }
    JobNotFound {
        code: "job_not_found",
        title: "No such job",
        statuses: [404],
        meaning: "No job of this tenant has this id, the id is not a UUID, or the record has \
            expired.",
        remedy: "Check the id, and send the X-Tenant of the job. Read results within a day of the \
            job's end.",
    }
    RecordUnreadable {
        code: "record_unreadable",
        title: "Job cannot be read",
        statuses: [410],
        meaning: "The record of the job is damaged, or was written by another version of this \
            service. The log names the field.",
        remedy: "Send a new request; if versions are mixed, ask again after the upgrade.",
    }
    JobNotFinished {
        code: "job_not_finished",
        title: "Job not finished",
        statuses: [409],
        meaning: "The audio of a queued or running job was asked for, or another take of its sentences.",
        remedy: "Wait with ?wait= or the events, then ask again.",
    }
    JobNotEditable {
        code: "job_not_editable",
        title: "Job not open to edits",
        statuses: [409],
        meaning: "A sentence of a job was to be spoken again, and the job's codes are not kept.",
        remedy: "Speak the whole text again as an editable job.",
    }
    SentenceNotFound {
        code: "sentence_not_found",
        title: "No such sentence",
        statuses: [404],
        meaning: "The job has no sentence of this number; the first is 1.",
        remedy: "Count the sentences in the job's receipt.",
    }
    JobAlreadyFinal {
        code: "job_already_final",
        title: "Job has ended",
        statuses: [409],
        meaning: "A job that has succeeded, failed or expired cannot be cancelled.",
        remedy: "Nothing: state says how the job ended.",
    }
    FileNotFound {
        code: "file_not_found",
        title: "No such file",
        statuses: [404],
        meaning: "No file of this tenant has this id, or the file has expired.",
        remedy: "Check the id, and send the X-Tenant of the file. Upload the file again.",
    }
    BatchNotFound {
        code: "batch_not_found",
        title: "No such batch",
        statuses: [404],
        meaning: "No batch of this tenant has this id, or the record has expired.",
        remedy: "Check the id, and send the X-Tenant of the batch.",
    }
    BatchAlreadyFinal {
        code: "batch_already_final",
        title: "Batch has ended",
        statuses: [409],
        meaning: "A batch that has ended cannot be cancelled, paused or resumed.",
        remedy: "Nothing: status says how the batch ended.",
    }
    LineNotFound {
        code: "line_not_found",
        title: "No such result",
        statuses: [404],
        meaning: "The batch has no such line or shard, it is not done yet, or the line was not spoken.",
        remedy: "Follow the batch's events, and look for the line in the error file.",
    }
    JobFailed {
        code: "job_failed",
        title: "Job has failed",
        statuses: [410, 502],
        meaning: "The job has failed, so there is no audio. The status is 410 on /audio, and 502 \
            on /generate and /ws.",
        remedy: "Decide by failure.class; if it is not invalid, send a new request.",
    }
    JobCancelled {
        code: "job_cancelled",
        title: "Job was cancelled",
        statuses: [410, 409],
        meaning: "The job was cancelled, so there is no audio. The status is 410 on /audio, and \
            409 on /generate and /ws.",
        remedy: "Send a new request if the audio is still wanted.",
    }
    JobExpired {
        code: "job_expired",
        title: "Job has expired",
        statuses: [410, 409],
        meaning: "The job did not begin within its expires_in or deadline, so there is no audio. \
            The status is 410 on /audio, and 409 on /generate and /ws.",
        remedy: "Send a new request with more time, or in a more urgent lane.",
    }
    AudioGone {
        code: "audio_gone",
        title: "Audio is gone",
        statuses: [410],
        meaning: "The job has succeeded, but the store no longer holds its audio.",
        remedy: "Send a new request; with the receipt's seed and the same model it gives the same \
            speech.",
    }
    RangeNotSatisfiable {
        code: "range_not_satisfiable",
        title: "Range not satisfiable",
        statuses: [416],
        meaning: "The range lies behind the end of the file; Content-Range holds its size.",
        remedy: "Ask for a range within the file, or for all of it.",
    }
    JobTimeout {
        code: "job_timeout",
        title: "Job not done in time",
        statuses: [504],
        meaning: "The job of /generate or /ws was not done within 15 minutes and was cancelled.",
        remedy: "Use POST /v1/jobs, which does not keep the caller waiting, or shorten the text.",
    }
    IdempotencyMismatch {
        code: "idempotency_mismatch",
        title: "Not the same request",
        statuses: [422],
        meaning: "The Idempotency-Key or job id belongs to another request, or to the same one of \
            another tenant.",
        remedy: "Repeat the first request exactly, or use a new key or id.",
    }
    LaneFull {
        code: "lane_full",
        title: "Too many jobs",
        statuses: [429],
        meaning: "The lane holds as many jobs as it may.",
        remedy: "Try again after Retry-After, or use another lane.",
    }
    TenantFull {
        code: "tenant_full",
        title: "Too many jobs of one tenant",
        statuses: [429],
        meaning: "The tenant has as many jobs waiting and running as its operator allows.",
        remedy: "Wait for jobs of the tenant to end; try again after Retry-After.",
    }
    TenantRate {
        code: "tenant_rate",
        title: "Too many jobs of one tenant in a minute",
        statuses: [429],
        meaning: "The tenant creates and cancels more jobs a minute than its operator allows.",
        remedy: "Try again after Retry-After; each cancelled job counts twice.",
    }
    QueueBusy {
        code: "queue_busy",
        title: "Too long a wait",
        statuses: [429],
        meaning: "The predicted wait is longer than the lane's limit or the request's expires_in.",
        remedy: "Try again after Retry-After, when the backlog will have shrunk to the limit if \
            nothing more comes in; or use another lane.",
    }
    DeadlineTooNear {
        code: "deadline_too_near",
        title: "Cannot be done in time",
        statuses: [429],
        meaning: "The predicted wait ends after the request's deadline, so a later try would do \
            no better.",
        remedy: "Do not repeat the request as it is; use a later deadline or a more urgent lane.",
    }
    IntakeClosed {
        code: "intake_closed",
        title: "No new jobs are taken",
        statuses: [503],
        meaning: "An operator has closed the queue to new jobs. Accepted jobs go on.",
        remedy: "Try again after Retry-After.",
    }
    DurabilityUnavailable {
        code: "durability_unavailable",
        title: "Durability not available",
        statuses: [501],
        meaning: "Redis, as configured, cannot promise durability: fsync. Nothing was accepted.",
        remedy: "Send the request without durability, or have the operator set up Redis' \
            append-only file (docs/redis.md).",
    }
    NoWatermarkKey {
        code: "no_watermark_key",
        title: "No key to look for",
        statuses: [501],
        meaning: "The gateway has no watermark key, so it cannot look for a mark.",
        remedy: "Have the operator set CSM_WATERMARK_KEY to the workers' secret, or \
            CSM_DEVELOPMENT_WATERMARK for the published development key.",
    }
    Undetermined {
        code: "undetermined",
        title: "Not found out",
        statuses: [503],
        meaning: "A worker was to look for a mark and did not answer, or too many recordings wait \
            for a worker. Nothing is said about the recording.",
        remedy: "Try again after Retry-After.",
    }
    Overloaded {
        code: "overloaded",
        title: "Too much at once",
        statuses: [503],
        meaning: "The gateway reads too many large bodies, holds too many WebSockets, or looks at \
            too many recordings at once.",
        remedy: "Try again after Retry-After; send Content-Length.",
    }
    Unavailable {
        code: "unavailable",
        title: "Unavailable for the moment",
        statuses: [503],
        meaning: "Redis or the store is out of reach or cannot be used. A new job may have been accepted: with an \
            Idempotency-Key or PUT it stays, else the gateway cancels it.",
        remedy: "Try again after Retry-After, with the same Idempotency-Key or id.",
    }
    Draining {
        code: "draining",
        title: "Shutting down",
        statuses: [503],
        meaning: "The gateway is shutting down and could not finish in time. A job of /generate \
            or /ws was cancelled.",
        remedy: "Send the request again; another gateway will answer.",
    }
    Internal {
        code: "internal",
        title: "Internal error",
        statuses: [500],
        meaning: "A defect of the service, not of the request.",
        remedy: "Report request_id to the operator, whose log holds the cause.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use csm_shared::job::Reason;

    use super::*;

    #[test]
    fn codes_are_unique_and_statuses_are_those_of_refusals() {
        let codes: BTreeSet<_> = CATALOGUE.iter().map(|kind| kind.code).collect();
        assert_eq!(codes.len(), CATALOGUE.len());
        for kind in CATALOGUE {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(kind.code.bytes().all(plain), "{}", kind.code);
            assert!(kind.statuses.iter().all(|status| (400..600).contains(status)), "{}", kind.code);
            assert_eq!(kind.usual_status().as_u16(), kind.statuses[0], "{}", kind.code);
        }
    }

    #[test]
    fn a_code_leads_to_its_own_entry() {
        assert_eq!(ProblemCode::OutOfRange.kind().code, "out_of_range");
        assert_eq!(ProblemCode::LaneFull.kind().code, "lane_full");
        assert_eq!(ProblemCode::Internal.kind().code, "internal");
    }

    #[test]
    fn reasons_of_refused_values_have_the_code_of_their_entry() {
        for reason in [Reason::OutOfRange, Reason::Malformed, Reason::WindowExceeded, Reason::TooLarge] {
            assert_eq!(ProblemCode::from(reason).kind().code, reason.code());
        }
    }

    #[test]
    fn texts_are_complete_and_need_no_escaping_in_html() {
        for kind in CATALOGUE {
            for text in [kind.title, kind.meaning, kind.remedy] {
                assert!(!text.is_empty() && !text.contains(['<', '>', '&', '"']), "{}: {text}", kind.code);
            }
            assert!(kind.meaning.ends_with('.') && kind.remedy.ends_with('.'), "{}", kind.code);
        }
    }
}
