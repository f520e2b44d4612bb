#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use proptest::prelude::*;

use super::*;
use crate::live::{AudioChunk, Event};
use crate::local_redis::{LocalRedis, LocalRedisOptions};
use crate::redis_client::{RedisArgs, RedisClient};

fn origin() -> Origin {
    Origin::of(&["weights", "q8_0", "cpu"])
}

/// Returns a frame that no other number gives.
fn frame(number: u32) -> Frame {
    std::array::from_fn(|codebook| (number * 37 + codebook as u32 * 11) % 2_048)
}

fn chunk(from: u32, frames: impl IntoIterator<Item = (u16, u32)>) -> CodesChunk {
    take_chunk(0, from, frames)
}

fn take_chunk(take: u8, from: u32, frames: impl IntoIterator<Item = (u16, u32)>) -> CodesChunk {
    let frame = |(sentence, number)| SentenceFrame { sentence, take, codes: frame(number) };
    CodesChunk { origin: origin(), from, frames: frames.into_iter().map(frame).collect() }
}

fn frames() -> impl Strategy<Value = Vec<SentenceFrame>> {
    let frame = proptest::array::uniform32(0_u32..2_048);
    proptest::collection::vec((any::<u16>(), frame), 0..12).prop_map(|mut frames| {
        frames.sort_by_key(|(sentence, _)| *sentence);
        let frame = |(sentence, codes)| SentenceFrame { sentence, take: (sentence % 3) as u8, codes };
        frames.into_iter().map(frame).collect()
    })
}

proptest! {
    #[test]
    fn a_chunk_is_read_as_it_was_written(from: u32, frames in frames()) {
        let chunk = CodesChunk { origin: origin(), from, frames };
        let bytes = chunk.encode().unwrap();
        prop_assert_eq!(CodesChunk::decode(&bytes), Some(chunk.clone()));
        let sentences = chunk.frames.chunk_by(|a, b| a.sentence == b.sentence).count();
        prop_assert_eq!(bytes.len(), 16 + 4 + 5 * sentences + 44 * chunk.frames.len());
    }

    #[test]
    fn no_bytes_are_a_panic(bytes: Vec<u8>) {
        let _ = CodesChunk::decode(&bytes);
    }
}

#[test]
fn half_a_chunk_is_none() {
    let bytes = chunk(3, [(0, 1), (0, 2), (4, 3)]).encode().unwrap();
    for cut in 0..bytes.len() {
        // A cut at the border of a run leaves a smaller chunk.
        let whole = CodesChunk::decode(&bytes[..cut]).map_or(0, |chunk| chunk.frames.len());
        assert_eq!(whole, if cut == 16 + 4 + 5 + 88 { 2 } else { 0 }, "cut at {cut}");
    }
    assert_eq!(CodesChunk::decode(&chunk(0, [(4, 1), (0, 2)]).encode().unwrap()), None, "sentences go back");
    let frames = [chunk(0, [(0, 1)]).frames, take_chunk(1, 0, [(0, 2)]).frames].concat();
    let mixed = CodesChunk { frames, ..chunk(0, []) };
    assert_eq!(CodesChunk::decode(&mixed.encode().unwrap()), None, "two takes of one sentence");
}

#[test]
fn a_code_that_does_not_fit_is_not_written() {
    let mut large = frame(1);
    large[31] = 2_048;
    let frames = vec![SentenceFrame { sentence: 0, take: 0, codes: large }];
    assert_eq!(CodesChunk { frames, ..chunk(0, []) }.encode(), None);
}

#[test]
fn an_origin_is_all_of_its_facts() {
    assert_eq!(origin(), Origin::of(&["weights", "q8_0", "cpu"]));
    for other in
        [&["weights", "q8_0", "cuda"][..], &["other", "q8_0", "cpu"], &["weightsq8_0", "", "cpu"], &["weights"]]
    {
        assert_ne!(origin(), Origin::of(other), "{other:?}");
    }
}

#[test]
fn chunks_in_a_row_are_the_pieces() {
    let mut resume_point = ResumePoint::default();
    for chunk in [chunk(0, [(0, 0)]), chunk(1, [(0, 1), (2, 2)]), chunk(3, [(2, 3)])] {
        resume_point.take(chunk);
    }
    assert_eq!(resume_point.len(), 4);
    let sentences = frames_of(resume_point);
    assert_eq!(sentences, [vec![frame(0), frame(1)], vec![], vec![frame(2), frame(3)]]);
}

fn frames_of(resume_point: ResumePoint) -> Vec<Vec<Frame>> {
    resume_point.into_sentences().into_iter().map(|sentence| sentence.frames).collect()
}

#[test]
fn a_take_that_was_given_up_is_replaced_and_never_mixed_with_the_next() {
    let mut resume_point = ResumePoint::default();
    resume_point.take(chunk(0, [(0, 0), (1, 1), (1, 2), (1, 3)]));
    let mut without_its_beginning = resume_point.clone();
    without_its_beginning.take(take_chunk(1, 2, [(1, 8)]));
    assert_eq!(frames_of(without_its_beginning), [vec![frame(0)], vec![frame(1)]], "the second take begins elsewhere");
    resume_point.take(take_chunk(1, 1, [(1, 7)]));
    resume_point.take(take_chunk(1, 2, [(1, 8)]));
    let first = ResumedSentence { take: 0, frames: vec![frame(0)] };
    let second = ResumedSentence { take: 1, frames: vec![frame(7), frame(8)] };
    assert_eq!(resume_point.into_sentences(), [first, second]);
}

/// Frames behind a gap are left out until the gap is filled. A later attempt may begin again
/// anywhere.
#[test]
fn a_gap_is_not_crossed_and_a_story_told_anew_replaces_the_old_one() {
    let mut resume_point = ResumePoint::default();
    resume_point.take(chunk(1, [(0, 1)]));
    assert!(resume_point.is_empty(), "the beginning is missing");
    resume_point.take(chunk(0, [(0, 0), (0, 1)]));
    resume_point.take(chunk(3, [(0, 3)]));
    assert_eq!(resume_point.len(), 2);
    resume_point.take(chunk(2, [(0, 2), (1, 3)]));
    assert_eq!(resume_point.len(), 4);
    resume_point.take(chunk(1, [(0, 9)]));
    assert_eq!(frames_of(resume_point.clone()), [vec![frame(0), frame(9)]]);
    resume_point.take(chunk(0, []));
    assert!(resume_point.is_empty());
}

async fn live(redis: &LocalRedis) -> (Live, RedisClient) {
    let args = RedisArgs::new(redis.url(), "test");
    let client = RedisClient::new(&args, std::time::Duration::from_secs(20)).unwrap();
    (Live::new(client.clone()), client)
}

async fn write(live: &Live, job: &JobId, attempt: u64, sequence: u64, spoken: Option<&CodesChunk>) {
    let event = Event::Progress { frames: 1, max_frames: 10, audio: None };
    live.publish_with(job, EventId { attempt, sequence }, &event, spoken).await.unwrap();
}

async fn read(live: &Live, job: &JobId) -> Vec<Vec<Frame>> {
    frames_of(live.resume_point(job, origin()).await.unwrap())
}

#[tokio::test]
async fn a_successor_reads_what_was_spoken_and_nobody_writes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let redis = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let (live, client) = live(&redis).await;
    let job = JobId::generate();
    assert!(read(&live, &job).await.is_empty());
    // More events than one read brings.
    for number in 0..600_u32 {
        write(&live, &job, 1, u64::from(number) + 2, Some(&chunk(number, [(number as u16 / 500, number)]))).await;
    }
    write(&live, &job, 2, 1, None).await;
    write(&live, &job, 1, 900, Some(&chunk(0, [(0, 999)]))).await;
    let numbers = |range: std::ops::Range<u32>| range.map(frame).collect::<Vec<_>>();
    assert_eq!(read(&live, &job).await, [numbers(0..500), numbers(500..600)], "the first attempt has been cut off");

    // The second attempt has other weights, and the third resumes after the first.
    let other = CodesChunk { origin: Origin::of(&["other weights", "q8_0", "cpu"]), ..chunk(0, [(0, 77)]) };
    write(&live, &job, 2, 2, Some(&other)).await;
    assert_eq!(read(&live, &job).await, [numbers(0..500), numbers(500..600)]);
    assert_eq!(frames_of(live.resume_point(&job, other.origin).await.unwrap()), [[frame(77)]]);
    write(&live, &job, 3, 602, Some(&chunk(600, [(1, 600), (1, 601)]))).await;
    assert_eq!(read(&live, &job).await, [numbers(0..500), numbers(500..602)]);

    // A deleted event ends the frames that can be resumed, without an error.
    let key = stream_key("test", &job);
    let mut gone = redis::cmd("XDEL");
    client.command::<u64>(gone.arg(&key).arg("1-42")).await.unwrap();
    assert_eq!(read(&live, &job).await, [numbers(0..40)]);
    let mut trim = redis::cmd("XTRIM");
    client.command::<u64>(trim.arg(&key).arg("MAXLEN").arg(100)).await.unwrap();
    assert!(live.resume_point(&job, origin()).await.unwrap().is_empty(), "the beginning was trimmed away");
}

/// Samples sent by any attempt are counted, whether or not its frames can be resumed.
#[tokio::test]
async fn a_successor_reads_how_much_was_sent() {
    let folder = tempfile::tempdir().unwrap();
    let redis = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let (live, _) = live(&redis).await;
    let job = JobId::generate();
    let send = async |attempt, sequence, offset, samples: usize, spoken: CodesChunk| {
        let audio = AudioChunk::new(offset, &vec![1; samples * 2]);
        let event = Event::Progress { frames: 1, max_frames: 10, audio };
        live.publish_with(&job, EventId { attempt, sequence }, &event, Some(&spoken)).await.unwrap();
    };
    let other = |from| CodesChunk { origin: Origin::of(&["other"]), ..chunk(from, [(0, 77)]) };
    let place = async || {
        let resume_point = live.resume_point(&job, origin()).await.unwrap();
        (resume_point.len(), resume_point.published())
    };
    assert_eq!(place().await, (0, 0));
    for number in 0..40_u32 {
        send(1, u64::from(number) + 2, u64::from(number) * 100, 100, chunk(number, [(0, number)])).await;
    }
    assert_eq!(place().await, (40, 4_000));
    send(2, 2, 4_000, 50, other(0)).await;
    assert_eq!(place().await, (40, 4_050), "of another origin: not to be continued, and sent all the same");
    write(&live, &job, 3, 1, None).await;
    send(2, 3, 4_050, 50, other(1)).await;
    assert_eq!(place().await, (40, 4_050), "a stale writer sends nothing");
}

#[tokio::test]
async fn an_event_with_unreadable_codes_is_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let redis = LocalRedis::spawn(folder.path(), &LocalRedisOptions::default()).await.unwrap();
    let (live, client) = live(&redis).await;
    let job = JobId::generate();
    write(&live, &job, 1, 2, Some(&chunk(0, [(0, 0), (0, 1)]))).await;
    let mut add = redis::cmd("XADD");
    add.arg(stream_key("test", &job)).arg("1-3").arg("event").arg("{}").arg(FIELD).arg(&b"\xff\x00nonsense"[..]);
    client.command::<String>(&add).await.unwrap();
    write(&live, &job, 1, 4, Some(&chunk(3, [(0, 3)]))).await;
    assert_eq!(read(&live, &job).await, [[frame(0), frame(1)]]);
}
