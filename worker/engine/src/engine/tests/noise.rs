//! Tests with the real code of model and codec, over the noise model.

use super::*;
use crate::random_model::{FolderLayout, make_noise};

async fn start(folder: &Path, slots: usize) -> Engine {
    Engine::start(settings(folder, slots)).unwrap().ready().await.unwrap()
}

fn clip(samples: usize) -> Clip {
    Clip::from_samples((0..samples).map(|i| ((i as f32 * 0.07).sin() * 9000.0) as i16).collect())
}

/// Returns five utterances of different prompts, contexts, seeds and lengths.
fn five() -> Vec<Utterance> {
    let ids = |seed: u32, count: u32| (0..count).map(|i| (i * 37 + seed * 11) % 256).collect::<Vec<_>>();
    let context = vec![clip_segment(ids(9, 12), clip(1920 * 7 + 100))];
    vec![
        say(ids(1, 10), 11, 20),
        say(ids(2, 200), 12, 24),
        Utterance { context, ..say(ids(3, 14), 13, 18) },
        say(ids(4, 3), 14, 30),
        say(ids(5, 129), 15, 22),
    ]
}

#[tokio::test]
async fn a_result_depends_on_nobody_else_and_on_no_slot() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let engine = start(folder.path(), 5).await;
    let mut alone = Vec::new();
    for utterance in five() {
        alone.push(listen(engine.admit(utterance).await.unwrap()).await);
    }
    for shift in [0, 2] {
        let mut order: Vec<_> = five().into_iter().enumerate().collect();
        order.rotate_left(shift);
        let mut streams = Vec::new();
        for (which, utterance) in order {
            streams.push((which, engine.admit(utterance).await.unwrap()));
        }
        let together = streams.into_iter().map(|(which, stream)| async move { (which, listen(stream).await) });
        for (which, heard) in futures::future::join_all(together).await {
            assert!(heard == alone[which], "utterance {which}, slots shifted by {shift}");
        }
    }
    let (codes, pcm, _) = &alone[0];
    assert_eq!(pcm.len(), codes.len() * 1920);
    assert!(codes.windows(2).all(|two| two[0] != two[1]), "frames differ");
    assert!(alone[1].0[0] != codes[0], "prompts differ");
    assert_eq!(engine.info().dtype, "f32");
    assert_eq!(engine.info().weights_sha256.len(), 64);
    assert!(engine.info().noise_only);
}

#[tokio::test]
async fn the_seed_and_the_context_are_heard() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let engine = start(folder.path(), 1).await;
    let mut heard = Vec::new();
    let text = vec![5, 6, 7];
    let spoken = |samples: usize| vec![clip_segment(vec![1, 2], clip(samples))];
    for utterance in [
        say(text.clone(), 1, 4),
        say(text.clone(), 2, 4),
        Utterance { context: spoken(9000), ..say(text.clone(), 1, 4) },
        Utterance { context: spoken(12000), ..say(text, 1, 4) },
    ] {
        heard.push(listen(engine.admit(utterance).await.unwrap()).await.0);
    }
    for (index, one) in heard.iter().enumerate() {
        assert!(heard[..index].iter().all(|other| other != one), "utterance {index} sounds like another");
    }
}

#[tokio::test]
async fn both_layouts_speak_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let mut heard = Vec::new();
    for layout in [FolderLayout::Transformers, FolderLayout::Original] {
        let folder = folder.path().join(format!("{layout:?}"));
        make_noise(&folder, layout).unwrap();
        let engine = start(&folder, 1).await;
        let [.., context, _, _] = &five()[..] else { unreachable!("there are five") };
        heard.push(listen(engine.admit(context.clone()).await.unwrap()).await);
    }
    assert!(heard[0] == heard[1]);
}

/// The hiss is audible, not clipped, and has no offset: about -25 dBFS.
#[tokio::test]
async fn the_noise_model_hisses_audibly() {
    let folder = tempfile::tempdir().unwrap();
    make_noise(folder.path(), FolderLayout::Transformers).unwrap();
    let engine = start(folder.path(), 1).await;
    for seed in 0..3 {
        let (_, pcm, _) = listen(engine.admit(say(vec![1, 2, 3], seed, 50)).await.unwrap()).await;
        let mean = pcm.iter().sum::<f32>() / pcm.len() as f32;
        let rms = (pcm.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / pcm.len() as f32).sqrt();
        let peak = pcm.iter().fold(0f32, |peak, x| peak.max(x.abs()));
        assert!((0.04..0.08).contains(&rms) && peak < 0.95 && mean.abs() < 0.01, "rms {rms}, peak {peak}, mean {mean}");
    }
}
