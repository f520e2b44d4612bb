//! Live streams in progress: delays beside fifty of them, and how many one core holds.
//!
//! The copying server takes the same loads, as a bound.

use std::time::Duration;

use csm_shared::errln;

use crate::BenchGatewayArgs;
use crate::bench_report::BenchReport;
use crate::copy_server::CopyStack;
use crate::core_plan::CorePlan;
use crate::gateway_stack::{DataPlace, GatewayStack};
use crate::load_row::LoadRow;
use crate::paced_workers::FleetSize;
use crate::stream_load::{Load, Target, run};

/// Streams in progress beside the probes.
const BESIDE: u32 = 50;
/// Mean pause between the starts of two probes.
const PROBE_EVERY: Duration = Duration::from_millis(75);
/// Probes take longer than the steps, so that there are enough of them.
const PROBED: Duration = Duration::from_secs(12);
/// Slots of each paced worker.
const SLOTS: u8 = 32;
/// Series of steps: frames of audio in one event, and the place of Redis' file. csm-worker writes five
/// frames in one event, but for the first of a job.
const SERIES: [(u32, DataPlace); 3] = [(1, DataPlace::Memory), (5, DataPlace::Memory), (1, DataPlace::Disk)];

/// Prints the delays beside [`BESIDE`] streams.
pub(crate) async fn delays(report: &mut BenchReport, args: &BenchGatewayArgs, cores: &CorePlan) -> anyhow::Result<()> {
    report.say(format!(
        "## First byte, with {BESIDE} live streams in progress\n\n\
         From the publication of a frame to its arrival at the client's socket. \"First byte\" is that of a stream that \
         starts beside the {BESIDE}: about thirteen a second, five frames each. An underrun is a frame of the {BESIDE} that \
         arrives after its time to be played; play-out begins 80 ms after the first frame."
    ));
    let load = Load { streams: BESIDE, measured: PROBED, probe_every: Some(PROBE_EVERY) };
    let rows = [
        gateway(args, cores, load, (1, DataPlace::Memory)).await?,
        gateway(args, cores, load, (1, DataPlace::Disk)).await?,
        copies(cores, load).await?,
    ];
    let mut table = LoadRow::delay_table();
    rows.iter().for_each(|row| table.row(row.delay_row()));
    report.say(table);
    report.say(ratio(&rows[0], &rows[2]));
    Ok(())
}

/// Prints how many streams one core holds, step by step until too many frames are late.
pub(crate) async fn capacity(
    report: &mut BenchReport,
    args: &BenchGatewayArgs,
    cores: &CorePlan,
) -> anyhow::Result<()> {
    let measured = Duration::from_secs(args.seconds);
    let load = |streams| Load { streams, measured, probe_every: None };
    report.say(format!(
        "## Live streams in real time, the gateway on one core\n\n\
         All streams speak for {} s. CPU is in shares of one core. \"Redis answers\" is the time of a publication in a \
         worker; \"paced late\" is how far the paced workers are behind their clock, which is no fault of the gateway.",
        args.seconds
    ));
    for (event_frames, place) in SERIES {
        let (mut table, mut held) = (LoadRow::load_table(), None);
        for &streams in &args.streams {
            let row = gateway(args, cores, load(streams), (event_frames, place)).await?;
            table.row(row.load_row());
            let goes_on = row.goes_on();
            held = if row.holds() { Some(row) } else { held };
            if !goes_on {
                break;
            }
        }
        let frames = if event_frames == 1 { "1 frame".to_owned() } else { format!("{event_frames} frames") };
        report.say(format!("### {frames} in one event, Redis' file {}\n\n{table}", place.name()));
        let Some(held) = held else { continue };
        report.say(format!(
            "Without an underrun: {} streams. By the gateway's processor time alone, a core would hold about {:.0}.",
            held.streams,
            held.by_processor_time()
        ));
        if (event_frames, place) == SERIES[0] {
            copied(report, args, cores, &held).await?;
        }
    }
    Ok(())
}

/// Prints the loads of the copying server: as many streams as the gateway held, and the most.
async fn copied(
    report: &mut BenchReport,
    args: &BenchGatewayArgs,
    cores: &CorePlan,
    held: &LoadRow,
) -> anyhow::Result<()> {
    let measured = Duration::from_secs(args.seconds);
    let most = args.streams.last().copied().unwrap_or(held.streams);
    let (mut table, mut same) = (LoadRow::load_table(), None);
    for streams in [held.streams, most] {
        if streams == held.streams && same.is_some() {
            continue;
        }
        let row = copies(cores, Load { streams, measured, probe_every: None }).await?;
        table.row(row.load_row());
        same.get_or_insert(row);
    }
    report.say(format!("### The copying server\n\n{table}"));
    if let Some(same) = same {
        report.say(ratio(held, &same));
    }
    Ok(())
}

async fn gateway(
    args: &BenchGatewayArgs,
    cores: &CorePlan,
    load: Load,
    (event_frames, place): (u32, DataPlace),
) -> anyhow::Result<LoadRow> {
    errln!("gateway: {} streams, {event_frames} in one event, {}", load.streams, place.name());
    // Probes come on top of the streams.
    let workers = (load.streams + load.streams / 10 + u32::from(SLOTS)).div_ceil(SLOTS.into());
    let size = FleetSize { workers, slots: SLOTS, reserve: 0, event_frames };
    let stack = GatewayStack::start(args.model.as_deref(), cores, place, size).await?;
    let target = Target { address: stack.address, processes: stack.processes, cores };
    let result = run(target, load, || drop(stack.fleet.take_log())).await;
    let server = format!("gateway, Redis' file {}", place.name());
    let pace = stack.fleet.take_log();
    stack.stop().await;
    Ok(LoadRow::new(server, load.streams, result, Some(pace)))
}

async fn copies(cores: &CorePlan, load: Load) -> anyhow::Result<LoadRow> {
    errln!("copying server: {} streams", load.streams);
    let stack = CopyStack::start(cores).await?;
    let target = Target { address: stack.address, processes: stack.processes, cores };
    let result = run(target, load, || ()).await;
    Ok(LoadRow::new("copies bytes".to_owned(), load.streams, result, None))
}

fn ratio(gateway: &LoadRow, copies: &LoadRow) -> String {
    format!(
        "At {} streams a frame takes {:.1}x the processor time of a copied one, and arrives {:.1} ms later (medians).",
        gateway.streams,
        gateway.micros() / copies.micros(),
        gateway.median() - copies.median()
    )
}
