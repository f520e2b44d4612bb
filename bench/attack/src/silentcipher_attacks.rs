//! SilentCipher beside the builtin mark: a few rows if its weights are given, and its cost in any
//! case.
//!
//! SilentCipher is two orders of magnitude slower than the builtin mark, so few clips go through
//! it.

use std::path::Path;

use anyhow::Context as _;
use csm_shared::audio::to_i16;
use csm_shared::job::JobId;
use csm_shared::watermark::{Verdict, WatermarkKey};
use csm_silentcipher::{BnMode, Bounds, ExpectedPayload, Payload, SilentCipher, cost};

use super::attack_matrix::{Pair, floats};
use csm_report::Table;

use super::attack_report::AttackReport;
use super::attacks::{ATTACKS, Kind};
use super::corpus::{CorpusSource, LENGTHS};
use super::lossy_codec::LossyCodec;
use super::parallel::cores;

/// Length of the clips, as an index into [`LENGTHS`]: 5 s.
const LENGTH: usize = 2;
/// Attacks on the clips.
const KINDS: [Kind; 4] = [Kind::Rounding, Kind::Crop, Kind::Coded(LossyCodec::Mp3(128)), Kind::Rate(16_000)];
/// Job whose mark the clips carry.
const JOB: &str = "0b5e55ed-0000-4000-8000-000000000000";

/// Marks `clips` clips of each source with the weights of `folder`, and looks for the payload after
/// each attack.
pub(crate) fn run(
    report: &mut AttackReport,
    folder: Option<&Path>,
    pairs: &[Pair],
    clips: usize,
) -> anyhow::Result<()> {
    report.say("\n## SilentCipher\n");
    let Some(folder) = folder else {
        report.say("Skipped: no folder of weights was given (`--silentcipher DIR`).");
        return Ok(());
    };
    let cipher = SilentCipher::load(folder, BnMode::Batch).with_context(|| folder.display().to_string())?;
    let payload = Payload::new(&WatermarkKey::development(), &JOB.parse::<JobId>()?);
    report.say(format!(
        "{} s, {clips} clips of each source, the weights of {}, BatchNorm by the clip, {} dB. Found: the detector that knows\n\
         the payload; exact: the package's own decoding at the clip's own beginning.\n",
        LENGTHS[LENGTH],
        folder.display(),
        cipher.message_sdr()
    ));
    let mut table = Table::new(["attack", "source", "found", "exact payload", "least score", "greatest p"]);
    for source in CorpusSource::ALL {
        let of_source =
            pairs.iter().filter(|pair| pair.clip.source == source && pair.clip.length == LENGTH).take(clips);
        let mut marked = Vec::new();
        for pair in of_source {
            let samples = cipher.embed(&pair.clip.pcm, payload)?;
            marked.push(samples.into_iter().map(to_i16).collect::<Vec<i16>>());
        }
        let marked: Vec<&[i16]> = marked.iter().map(Vec::as_slice).collect();
        for attack in ATTACKS.iter().filter(|attack| KINDS.contains(&attack.kind)) {
            let (mut found, mut exact, mut score, mut p) = (0, 0, 1.0f64, 0.0f64);
            for clip in attack.apply(0, &marked)?.0 {
                let clip = floats(&clip);
                let finding = cipher.find(&clip, &[ExpectedPayload::payload(payload)], &Bounds::default())?;
                found += usize::from(finding.verdict == Verdict::Detected);
                exact += usize::from(cipher.decode(&clip)?.is_some_and(|decoded| decoded.payload == payload));
                (score, p) = (score.min(finding.score), p.max(finding.p_value));
            }
            let of_all = |count: usize| format!("{count} of {}", marked.len());
            let cells = [of_all(found), of_all(exact), format!("{score:.2}"), format!("{p:.1e}")];
            table.row([attack.name.to_owned(), source.name().to_owned()].into_iter().chain(cells));
        }
    }
    report.say(table);
    Ok(())
}

/// Adds SilentCipher's cost, measured on networks of the real widths with random weights and
/// `seconds` of noise.
pub(crate) fn add_cost(report: &mut AttackReport, seconds: f64) -> anyhow::Result<()> {
    let mut table =
        Table::new(["SilentCipher", "mark", "read at one place", "look for a mark that is not there, in all"]);
    for (name, mode) in
        [("statistics of the clip (Sesame's way)", BnMode::Batch), ("running statistics", BnMode::Running)]
    {
        let cost = cost(seconds, mode)?;
        let by_second = [cost.embed, cost.read, cost.find].map(|cost| format!("{cost:.2}"));
        table.row([name.to_owned()].into_iter().chain(by_second));
    }
    report.say(format!(
        "\nSeconds of wall time for a second of audio, on {} threads: networks of the real widths, random weights, {seconds} s of\n\
         noise. The last column is not by second: every place of the hop is read, of 4.9 s at most, and no clip costs more.\n",
        cores()
    ));
    report.say(table);
    Ok(())
}
