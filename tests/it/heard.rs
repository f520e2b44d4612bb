//! Tests that hear: what the tiny model says is recognised by pocketsphinx, beside flite's own
//! reading of the same sentences, and each check is shown to notice a planted fault.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use csm_shared::audio::{self, Clip};
use csm_testing::listener::{Speech, WordScore, hear};
use serde_json::{Value, json};

use crate::test_client::read_wav;
use crate::test_system::TestSystem;

/// Least word accuracy, as a share of that of flite's own voice.
const RELATIVE_MIN: f64 = 0.6;
/// Letters of a word that says which sentence it is of.
const LONG_WORD: usize = 4;
/// Pitch in Hz between the two voices: even speakers are below it, odd ones above.
const PITCH_BETWEEN: f32 = 131.0;

/// Sentences that flite's voice says so that most is heard. None is in the training texts.
const SENTENCES: [&str; 10] = [
    "The boy was there when the sun rose.",
    "Help the woman get back to her feet.",
    "The girl at the booth sold fifty bonds.",
    "Read verse out loud for pleasure.",
    "Take the winding path to reach the lake.",
    "The meal was cooked before the bell rang.",
    "The young girl gave no clear response.",
    "Bring your best compass to the third class.",
    "The navy attacked the big task force.",
    "Add the sum to the product of these three.",
];

/// Speech, with the text and the speaker that were asked for.
#[derive(Clone)]
struct Said {
    text: String,
    speaker: u32,
    speech: Speech,
}

impl Said {
    fn new(text: &str, speaker: u32, samples: Vec<i16>) -> Self {
        Self { text: text.to_owned(), speaker, speech: Speech::of_fleet(samples) }
    }
}

/// Returns how many words of the texts are heard.
fn score(said: &[Said]) -> WordScore {
    let speeches: Vec<_> = said.iter().map(|said| said.speech.clone()).collect();
    let heard = hear(&speeches).unwrap();
    said.iter().zip(&heard).map(|(said, heard)| WordScore::of(&said.text, heard)).sum()
}

/// Returns how many words of the texts are heard in flite's voice.
fn flite_score(said: &[Said]) -> WordScore {
    let by_flite = said.iter().map(|said| Said { speech: Speech::of_flite(&said.text).unwrap(), ..said.clone() });
    score(&by_flite.collect::<Vec<_>>())
}

/// Checks that the words of all texts are heard about as well as in flite's voice.
fn words_are_heard(said: &[Said], flite: WordScore) -> Result<(), String> {
    let ours = score(said);
    println!("words right: {} of {}, in flite's voice {}", ours.right, ours.words, flite.right);
    let enough = ours.accuracy() >= RELATIVE_MIN * flite.accuracy();
    enough.then_some(()).ok_or_else(|| format!("{} against {}", ours.accuracy(), flite.accuracy()))
}

/// Checks that of each sentence a word of some length is heard.
fn no_sentence_is_missing(said: &Said) -> Result<(), String> {
    let heard = hear(std::slice::from_ref(&said.speech)).unwrap().remove(0);
    let text = said.text.to_lowercase();
    let missing = text.split_terminator('.').find(|sentence| {
        let mut long_words = sentence.split_whitespace().filter(|word| word.len() >= LONG_WORD);
        !long_words.any(|word| heard.iter().any(|other| other == word))
    });
    missing.map_or(Ok(()), |sentence| Err(format!("{sentence:?} is missing: {heard:?}")))
}

/// Checks that each speaker has its voice.
fn voices_are_right(said: &[Said]) -> Result<(), String> {
    for said in said {
        let pitch = said.speech.median_pitch().ok_or("no voice at all")?;
        if (pitch > PITCH_BETWEEN) != (said.speaker % 2 == 1) {
            return Err(format!("speaker {} speaks at {pitch} Hz: {}", said.speaker, said.text));
        }
    }
    Ok(())
}

/// Checks that the end of each text is heard as well as its beginning.
fn ends_are_heard(said: &[Said]) -> Result<(), String> {
    let heard = hear(&said.iter().map(|said| said.speech.clone()).collect::<Vec<_>>()).unwrap();
    let last_words = |text: &str| text.split(' ').rev().take(2).map(ToOwned::to_owned).collect::<Vec<_>>();
    let found = said.iter().zip(&heard).filter(|(said, heard)| {
        let plain = said.text.to_lowercase().replace('.', "");
        let end: Vec<_> = heard.iter().rev().take(3).cloned().collect();
        last_words(&plain).iter().any(|word| end.contains(word))
    });
    let count = found.count();
    println!("ends heard: {count} of {}", said.len());
    (2 * count >= said.len()).then_some(()).ok_or_else(|| format!("{count} of {} ends: {heard:?}", said.len()))
}

#[tokio::test]
async fn forty_turns_of_two_speakers_are_one_recording_with_cues_in_order() {
    let system = TestSystem::start_speaking(1, 2).await;
    let turns: Vec<_> = (0..40)
        .map(|number| json!({"text": SENTENCES[number % SENTENCES.len()], "speaker": number % 2, "pause_ms": 300}))
        .collect();
    let accepted: Value =
        system.client.post("/v1/jobs", &json!({"turns": turns, "seed": 7})).await.json().await.unwrap();
    let record = system.client.finished(accepted["id"].as_str().unwrap()).await;
    let (audio, _) = read_wav(&system.client.audio(&record).await);
    let cues: Value =
        system.client.get(&format!("/v1/jobs/{}/cues", record["id"].as_str().unwrap())).await.json().await.unwrap();
    let (cues, sentences) = (cues.as_array().unwrap(), record["receipt"]["sentences"].as_array().unwrap());
    let at = |cue: &Value, end: &str| cue[end].as_u64().unwrap() as usize;
    assert_eq!((cues.len(), sentences.len(), &record["receipt"]["finish_reason"]), (40, 40, &json!("eos")));
    assert!(cues.windows(2).all(|pair| at(&pair[1], "start_ms") > at(&pair[0], "end_ms")), "{cues:?}");
    // Each sentence hears the last ones of its speaker, as the toy voice does.
    let heard: Vec<_> = sentences.iter().map(|sentence| sentence["context_positions"].as_u64().unwrap()).collect();
    assert!(heard[..2] == [0, 0] && heard[2..].iter().all(|&positions| positions > 0), "{heard:?}");
    assert!(heard[4] > heard[2], "{heard:?}");
    let said: Vec<_> = cues
        .iter()
        .map(|cue| {
            let samples = audio[at(cue, "start_ms") * 24..at(cue, "end_ms") * 24].to_vec();
            Said::new(cue["text"].as_str().unwrap(), cue["speaker"].as_u64().unwrap() as u32, samples)
        })
        .collect();
    let swapped: Vec<_> = said.iter().map(|said| Said { speaker: 1 - said.speaker, ..said.clone() }).collect();
    voices_are_right(&said).unwrap();
    voices_are_right(&swapped).unwrap_err();
    words_are_heard(&said, flite_score(&said)).unwrap();
}

/// Has the fleet say a text through `/generate`. Returns the WAV too, in base64.
async fn generate(system: &TestSystem, text: &str, speaker: u32, context: &Value) -> (Said, String) {
    let request = json!({ "text": text, "speaker": speaker, "seed": text.len(), "context_segments": context });
    let answer = system.client.post("/generate", &request).await;
    assert_eq!(answer.headers()["x-finish-reason"], "eos", "{text}");
    let answer: Value = answer.json().await.unwrap();
    let audio = answer["audio"].as_str().unwrap();
    (Said::new(text, speaker, read_wav(&BASE64_STANDARD.decode(audio).unwrap()).0), audio.to_owned())
}

/// Has the fleet say the sentences, by both speakers in turn.
async fn generated(system: &TestSystem) -> Vec<Said> {
    let mut said = Vec::new();
    for (number, text) in SENTENCES.into_iter().enumerate() {
        said.push(generate(system, text, number as u32 % 2, &json!([])).await.0);
    }
    said
}

#[tokio::test]
async fn generate_says_what_it_was_asked_and_planted_faults_are_heard() {
    let system = TestSystem::start_speaking(1, 5).await;
    let said = generated(&system).await;
    let flite = flite_score(&said);
    words_are_heard(&said, flite).unwrap();
    voices_are_right(&said).unwrap();
    ends_are_heard(&said).unwrap();

    // The last second lost.
    let cut = said.iter().map(|said| {
        let samples = &said.speech.samples;
        Said { speech: Speech::of_fleet(samples[..samples.len() - 24_000].to_vec()), ..said.clone() }
    });
    ends_are_heard(&cut.collect::<Vec<_>>()).unwrap_err();
    // Speakers swapped.
    let swapped: Vec<_> = said.iter().map(|said| Said { speaker: 1 - said.speaker, ..said.clone() }).collect();
    voices_are_right(&swapped).unwrap_err();
    // Two callers' audio mixed.
    let next = said.iter().cycle().skip(1);
    let mixed = said.iter().zip(next).map(|(one, other)| {
        let pairs = one.speech.samples.iter().zip(other.speech.samples.iter().chain(std::iter::repeat(&0)));
        Said { speech: Speech::of_fleet(pairs.map(|(a, b)| a / 2 + b / 2).collect()), ..one.clone() }
    });
    words_are_heard(&mixed.collect::<Vec<_>>(), flite).unwrap_err();
    // Each caller has another's audio.
    let crossed = said.iter().zip(said.iter().cycle().skip(1));
    let crossed: Vec<_> = crossed.map(|(one, other)| Said { speech: other.speech.clone(), ..one.clone() }).collect();
    words_are_heard(&crossed, flite).unwrap_err();
    // Samples at 16 kHz sent as 24 kHz.
    let fast = said.iter().map(|said| {
        let kept = said.speech.samples.chunks(3).flat_map(|three| three.iter().take(2)).copied();
        Said { speech: Speech::of_fleet(kept.collect()), ..said.clone() }
    });
    words_are_heard(&fast.collect::<Vec<_>>(), flite).unwrap_err();
}

#[tokio::test]
async fn a_recording_as_context_keeps_the_voice_of_its_speaker() {
    let system = TestSystem::start_speaking(1, 5).await;
    let mut said = Vec::new();
    for speaker in [0, 1] {
        let (_, audio) = generate(&system, SENTENCES[0], speaker, &json!([])).await;
        let context = json!([{ "text": SENTENCES[0], "speaker": speaker, "audio": audio }]);
        for text in &SENTENCES[1..5] {
            said.push(generate(&system, text, speaker, &context).await.0);
        }
    }
    words_are_heard(&said, flite_score(&said)).unwrap();
    voices_are_right(&said).unwrap();
}

#[tokio::test]
async fn jobs_say_it_in_every_format() {
    let system = TestSystem::start_speaking(1, 5).await;
    for format in ["wav", "pcm", "flac", "opus"] {
        let mut said = Vec::new();
        for (seed, text) in SENTENCES.into_iter().enumerate().take(5) {
            let job = json!({ "text": text, "speaker": 0, "seed": seed, "format": format });
            let accepted: Value = system.client.post("/v1/jobs", &job).await.json().await.unwrap();
            let id = accepted["id"].as_str().unwrap();
            assert_eq!(system.client.finished(id).await["status"], "succeeded");
            let bytes = system.client.get(&format!("/v1/jobs/{id}/audio")).await.bytes().await.unwrap();
            let clip =
                if format == "pcm" { Clip::from_pcm(&bytes).unwrap() } else { audio::read(&bytes).unwrap().clip };
            said.push(Said::new(text, 0, clip.samples().to_vec()));
        }
        words_are_heard(&said, flite_score(&said)).map_err(|error| format!("{format}: {error}")).unwrap();
    }
}

#[tokio::test]
async fn a_long_text_is_heard_to_its_end_and_a_sentence_left_out_is_missed() {
    let system = TestSystem::start_speaking(1, 5).await;
    let job = json!({ "text": SENTENCES.join(" "), "speaker": 0, "seed": 3 });
    let accepted: Value = system.client.post("/v1/jobs", &job).await.json().await.unwrap();
    let record = system.client.finished(accepted["id"].as_str().unwrap()).await;
    let (samples, _) = read_wav(&system.client.audio(&record).await);
    // The receipt says where each utterance begins and ends.
    let sentences = record["receipt"]["sentences"].as_array().unwrap();
    assert!(sentences.len() > 1, "{record}");
    let said = sentences.iter().map(|sentence| {
        let ms = |field: &str| sentence[field].as_u64().unwrap() as usize * 24;
        let span = ms("start_ms")..(ms("start_ms") + ms("duration_ms")).min(samples.len());
        Said::new(sentence["text"].as_str().unwrap(), 0, samples[span].to_vec())
    });
    let said: Vec<_> = said.collect();
    words_are_heard(&said, flite_score(&said)).unwrap();
    voices_are_right(&said).unwrap();

    let whole = Said::new(&SENTENCES.join(" "), 0, samples.clone());
    no_sentence_is_missing(&whole).unwrap();
    // All that was said but one utterance.
    let left_out: Vec<i16> = said[1..].iter().flat_map(|said| said.speech.samples.clone()).collect();
    no_sentence_is_missing(&Said::new(&whole.text, 0, left_out)).unwrap_err();
}

#[tokio::test]
async fn speech_that_was_cut_off_by_a_kill_is_heard_whole() {
    let mut system = TestSystem::start_speaking(1, 5).await;
    let job = json!({ "text": SENTENCES.join(" "), "speaker": 0, "seed": 5 });
    let accepted: Value = system.client.post("/v1/jobs", &job).await.json().await.unwrap();
    let id = accepted["id"].as_str().unwrap();
    system.client.job_until(id, |record| record["status"] == "running").await;
    system.workers[0].process.kill9().await.unwrap();
    system.workers.clear();
    system.add_worker();
    system.ready().await;
    let record = system.client.finished(id).await;
    assert!(record["attempt"].as_u64().unwrap() > 1, "{record}");
    let (samples, _) = read_wav(&system.client.audio(&record).await);
    let said = [Said::new(&SENTENCES.join(" "), 0, samples)];
    words_are_heard(&said, flite_score(&said)).unwrap();
}
