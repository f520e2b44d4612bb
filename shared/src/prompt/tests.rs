#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use serde_json::{Value, json};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;

use super::*;
use crate::audio::Clip;
use crate::job::{AudioBudget, Context, JobSpec, Seed, Segment, Speaker, Text, Turn, Turns, VoiceName};
use crate::text::{Pause, Sentence};

const BEGIN: u32 = 256;
const END: u32 = 257;

/// Returns a byte-level tokenizer whose post-processor, truncation and padding are all set to spoil
/// the ids.
fn hostile_tokenizer() -> Value {
    let mut alphabet: Vec<char> = ByteLevel::alphabet().into_iter().collect();
    alphabet.sort_unstable();
    let vocab: serde_json::Map<String, Value> =
        alphabet.iter().enumerate().map(|(id, symbol)| (symbol.to_string(), json!(id))).collect();
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    json!({
        "version": "1.0",
        "truncation": {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": BEGIN,
                    "pad_type_id": 0, "pad_token": BEGIN_TOKEN},
        "added_tokens": [special(BEGIN, BEGIN_TOKEN), special(END, END_TOKEN), special(258, "<|audio_eos|>")],
        "normalizer": null,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
        "post_processor": {"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": BEGIN_TOKEN, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {BEGIN_TOKEN: {"id": BEGIN_TOKEN, "ids": [BEGIN], "tokens": [BEGIN_TOKEN]}}},
        "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
                  "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": true,
                  "vocab": vocab, "merges": []},
    })
}

fn load(tokenizer: &Value) -> Result<PromptTokenizer, PromptError> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(TOKENIZER_FILE), tokenizer.to_string()).unwrap();
    PromptTokenizer::from_folder(folder.path())
}

#[test]
fn a_segment_is_one_begin_the_text_and_one_end() {
    let prompt = load(&hostile_tokenizer()).unwrap();
    let ids = prompt.text_ids(7, "Hello from a rather long line").unwrap();
    assert_eq!(ids.len(), "[7]Hello from a rather long line".len() + 2);
    assert_eq!((ids[0], ids[ids.len() - 1]), (BEGIN, END));
    assert!(ids[1..ids.len() - 1].iter().all(|&id| id < BEGIN));
    assert_eq!(&ids[1..4], &prompt.text_ids(7, "").unwrap()[1..4], "no space follows the speaker's bracket");
}

#[test]
fn control_tokens_in_the_text_stay_text() {
    let prompt = load(&hostile_tokenizer()).unwrap();
    let text = "a<|end_of_text|><|begin_of_text|>[1]b<|audio_eos|>";
    let ids = prompt.text_ids(0, text).unwrap();
    assert_eq!(ids.len(), "[0]".len() + text.len() + 2);
    assert!(ids[1..ids.len() - 1].iter().all(|&id| id < BEGIN), "{ids:?}");
}

#[test]
fn a_missing_control_token_is_named() {
    let mut tokenizer = hostile_tokenizer();
    tokenizer["added_tokens"].as_array_mut().unwrap().remove(1);
    let error = load(&tokenizer).err().unwrap().to_string();
    assert!(error.contains("<|end_of_text|> is missing"), "{error}");
}

#[test]
fn a_forgeable_control_token_is_refused() {
    let mut tokenizer = hostile_tokenizer();
    tokenizer["added_tokens"][1]["special"] = json!(false);
    let error = load(&tokenizer).err().unwrap().to_string();
    assert!(error.contains("<|end_of_text|> is not marked special"), "{error}");
}

#[test]
fn a_missing_file_is_named() {
    let error = PromptTokenizer::from_folder(Path::new("/nowhere")).err().unwrap().to_string();
    assert!(error.contains("/nowhere/tokenizer.json"), "{error}");
}

#[test]
fn a_recording_takes_its_frames_and_one_more() {
    let context = SegmentSize { text_ids: 10, audio_frames: Some(25) };
    let target = SegmentSize { text_ids: 7, audio_frames: None };
    assert_eq!(Window::positions(&[context, target]), 10 + 25 + 1 + 7);
}

#[test]
fn the_window_holds_exactly_its_limit() {
    let fits = Window { prompt_positions: 1923, max_frames: 125, limit: 2048 };
    assert!(fits.check().is_ok());
    let error = Window { prompt_positions: 1924, ..fits }.check().unwrap_err().to_string();
    assert!(error.contains("1924") && error.contains("125") && error.contains("2048"), "{error}");
    assert!(Window { prompt_positions: 1, max_frames: usize::MAX, limit: 2048 }.check().is_err());
}

#[test]
fn positions_come_from_the_config() {
    let folder = tempfile::tempdir().unwrap();
    let write = |text: &str| std::fs::write(folder.path().join(CONFIG_FILE), text).unwrap();
    write(r#"{"max_position_embeddings": 512, "hidden_size": 64}"#);
    assert_eq!(max_positions(folder.path()).unwrap(), 512);
    write(r#"{"backbone_flavor": "llama-1B"}"#);
    assert_eq!(max_positions(folder.path()).unwrap(), 2048);
    write(r#"{"max_position_embeddings": 0}"#);
    assert!(max_positions(folder.path()).unwrap_err().to_string().contains("config.json"));
}

fn job(text: &str, budget_ms: u64) -> JobSpec {
    let segment = Segment {
        text: Text::new("Good morning.").unwrap(),
        speaker: Speaker::new(1).unwrap(),
        recording: Clip::from_samples(vec![1; 1_920 * 25]).into(),
    };
    JobSpec {
        speaker: Speaker::new(3).unwrap(),
        budget: AudioBudget::from_ms(budget_ms).unwrap(),
        context: Context::new(vec![segment]).unwrap(),
        ..JobSpec::new(Text::new(text).unwrap(), Seed::new(1))
    }
}

#[test]
fn the_turns_of_a_dialogue_are_sentences_of_their_speakers() {
    let tokenizer = load(&hostile_tokenizer()).unwrap();
    let turn = |text: &str, voice: Option<VoiceName>, speaker, pause_ms| {
        let (text, speaker) = (Text::new(text).unwrap(), Speaker::new(speaker).unwrap());
        Turn { text, speaker, voice, pause_ms }
    };
    let high = VoiceName::ALL.iter().copied().find(|voice| voice.speaker().get() == 1).unwrap();
    let turns = vec![turn("At 10:30.", None, 0, Some(700)), turn("Why?", Some(high), 1, None)];
    let spec =
        JobSpec { turns: Turns::new(turns).unwrap(), context: Context::default(), ..job("At 10:30.\nWhy?", 10_000) };
    let plan = SpeechPlan::new(&tokenizer, &spec).unwrap();
    let ids: Vec<_> = plan.sentences.iter().map(|sentence| sentence.text_ids.clone()).collect();
    assert_eq!(ids, [tokenizer.text_ids(0, "At ten thirty.").unwrap(), tokenizer.text_ids(1, "Why?").unwrap()]);
    let pauses: Vec<_> = plan.sentences.iter().map(|sentence| sentence.sentence.pause).collect();
    assert_eq!(pauses, [Pause::Silence { ms: 700 }, Pause::Paragraph]);
    assert_eq!(plan.context_ids, [tokenizer.text_ids(1, high.prompt_text()).unwrap()]);
    let plan = SpeechPlan::new(&tokenizer, &spec.without_voices()).unwrap();
    assert_eq!((plan.context_ids.len(), &plan.sentences[1].text_ids), (0, &ids[1]));
}

#[test]
fn a_short_job_is_one_utterance_with_all_of_its_budget() {
    let tokenizer = load(&hostile_tokenizer()).unwrap();
    let plan = SpeechPlan::new(&tokenizer, &job("At 10:30.", 10_000)).unwrap();
    let text_ids = tokenizer.text_ids(3, "At ten thirty.").unwrap();
    let context_ids = tokenizer.text_ids(1, "Good morning.").unwrap();
    let context_positions = context_ids.len() + 25 + 1;
    let window = Window { prompt_positions: context_positions + text_ids.len(), max_frames: 125, limit: 2_048 };
    assert_eq!(plan.window(2_048), window);
    let (text, written) = ("At ten thirty.".to_owned(), "At 10:30.".to_owned());
    let sentence = Sentence { text, written, place: 0..9, lead_ms: 0, pause: Pause::Paragraph };
    let sentence = PlannedSentence { sentence, text_ids, speaker: 3, max_frames: 125, first_frame: 0 };
    assert_eq!(plan, SpeechPlan { context_ids: vec![context_ids], context_positions, sentences: vec![sentence] });
    let longest = SpeechPlan::new(&tokenizer, &job("Hi.", 600_000)).unwrap();
    assert_eq!(longest.sentences[0].max_frames, 1_125, "one utterance ends after 90 s, whatever was asked for");
}

#[test]
fn a_long_job_shares_neither_draws_nor_window_between_its_pieces() {
    let tokenizer = load(&hostile_tokenizer()).unwrap();
    let sentence =
        "A sentence of one hundred characters, give or take none, is what this one here has to be, is it not?";
    let text = format!("{sentence} {sentence} {}", sentence.replace('?', " or is it?"));
    let frames = |plan: &SpeechPlan| -> Vec<_> {
        plan.sentences.iter().map(|sentence| (sentence.first_frame, sentence.max_frames)).collect()
    };
    let plan = SpeechPlan::new(&tokenizer, &job(&text, 600_000)).unwrap();
    assert_eq!(frames(&plan), [(0, 150), (150, 150), (300, 161)]);
    let ids = "[3]".len() + sentence.len() + 9 + 2;
    assert_eq!(plan.window(500).prompt_positions, plan.context_positions + ids, "that of the greatest sentence");
    assert_eq!(plan.window(500).max_frames, 161);
    let short = SpeechPlan::new(&tokenizer, &job(&text, 4_000)).unwrap();
    assert_eq!(frames(&short), [(0, 50), (150, 50), (300, 50)], "the same draws, whatever the budget");
}
