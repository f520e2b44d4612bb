#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::measure::Subject;
use clap::Parser as _;
use csm_engine::engine::DeviceChoice;

use super::engine_tables::{number, ratio};
use super::measurements::{CodecMeasurement, StepMeasurement};
use super::{machine, part};
use csm_report::Table;

#[derive(clap::Parser)]
struct BenchCli {
    #[command(subcommand)]
    command: super::BenchCommand,
}

fn parse(arguments: &[&str]) -> Result<super::BenchCommand, clap::Error> {
    BenchCli::try_parse_from(["bench"].iter().chain(arguments)).map(|cli| cli.command)
}

fn run(implementation: &str, rows: usize, mean_ms: f64) -> StepMeasurement {
    StepMeasurement {
        implementation: implementation.to_owned(),
        weights: "q8_0".to_owned(),
        rows,
        mean_ms,
        ..StepMeasurement::default()
    }
}

#[test]
fn lists_and_limits_of_arguments() {
    assert!(parse(&["engine", "--model", "m", "--slots", "1,2,32", "--weights", "f32,q8_0,q4_k,bf16"]).is_ok());
    assert!(parse(&["engine", "--model", "m", "--peers", "none", "--device", "cuda:1"]).is_ok());
    for wrong in [
        &["engine", "--model", "m", "--slots", "0"][..],
        &["engine", "--model", "m", "--slots", "1,33"],
        &["engine", "--model", "m", "--weights", "q9_9"],
        &["engine", "--model", "m", "--frames", "0"],
        &["engine", "--slots", "1"],
        &["quality", "--model", "m", "--frames", "0"],
    ] {
        assert!(parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_part_is_told_what_this_process_was_told() {
    let super::BenchCommand::Part(told) =
        parse(&["part", "steps", "--model", "m", "--prompt", "7", "--threads", "3"]).unwrap()
    else {
        panic!("a part")
    };
    let again: Vec<_> = ["part", "steps"].map(str::to_owned).into_iter().chain(told.subject.to_arguments()).collect();
    let again = parse(&again.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    assert_eq!(format!("{again:?}"), format!("{:?}", super::BenchCommand::Part(told)));
}

#[test]
fn rows_per_second_are_compared_where_that_is_fair() {
    let ours = run(part::OURS, 5, 250.0);
    assert!((ours.frames_per_second() - 20.0).abs() < 1e-9);
    assert_eq!(ratio(&ours, &run("transformers 5", 5, 750.0)).map(number), Some("3.00".to_owned()));
    assert_eq!(ratio(&ours, &run("transformers 5", 1, 500.0)), None);
    assert_eq!(ratio(&ours, &run(part::CANDLE_CSM, 1, 1600.0)).map(number), Some("32.0".to_owned()));
}

#[test]
fn the_floor_is_the_weights_over_the_bandwidth() {
    let mut ours = run(part::OURS, 1, 200.0);
    assert_eq!(ours.share_of_floor(40e9), None);
    ours.bytes_per_step = Some(4_000_000_000);
    assert_eq!(ours.share_of_floor(40e9), Some(0.5));
    ours.stages.codec = Some(10.0);
    ours.stages.watermark = Some(1.0);
    assert!((ours.whole_ms() - 211.0).abs() < 1e-9);
}

#[test]
fn a_peers_line_is_read() {
    let line = r#"{"weights": "bf16", "frames": 5, "prompt_positions": 32, "mean_ms": 50.5, "median_ms": 50.0,
        "stages": {"backbone": 1.5, "depth": 49.0}, "note": null, "implementation": "transformers 5.23.0, torch 2.15.0",
        "rows": 1, "peak_rss_bytes": 834605056}"#;
    let run: StepMeasurement = serde_json::from_str(line).unwrap();
    assert_eq!((run.stages.depth, run.stages.codec, run.note), (Some(49.0), None, None));
    let line = r#"{"frames": 12, "frames_per_call": 3, "ms_per_frame_and_row": 0.5, "note": null,
        "implementation": "transformers 5.23.0", "rows": 5, "peak_rss_bytes": 798986240}"#;
    assert_eq!(serde_json::from_str::<CodecMeasurement>(line).unwrap().frames_per_call, 3);
}

#[test]
fn tables_are_markdown_that_lines_up() {
    let mut table = Table::new(["weights", "ms"]);
    assert!(table.is_empty());
    table.row(["f32".to_owned(), "1592".to_owned()]);
    table.row(["a|b".to_owned()]);
    let expected = "\
| weights |   ms |
|---------|-----:|
| f32     | 1592 |
| a\\|b    |      |
";
    assert_eq!(table.to_string(), expected);
}

#[test]
fn numbers_have_three_digits_that_mean_something() {
    assert_eq!([1591.7, 63.25, 4.126, 0.0].map(number), ["1592", "63.2", "4.13", "0.00"]);
}

#[test]
fn a_processors_name_becomes_words() {
    let info = "processor\t: 0\nmodel name\t: Intel(R) Xeon(R)  Platinum 8481C CPU @ 2.70GHz\n";
    assert_eq!(csm_report::cpu_name(info), "Intel Xeon Platinum 8481C CPU @ 2.70GHz");
    let subject = Subject { folder: "/".into(), device: DeviceChoice::Cpu, threads: None, prompt: 1 };
    let machine = machine::Machine { cpu: csm_report::cpu_name(info), ..machine::Machine::this(&subject) };
    assert_eq!(machine.slug(), "intel-xeon-platinum-8481c-cpu-2-70ghz");
    assert_eq!(csm_report::cpu_name(""), "unknown processor");
}
