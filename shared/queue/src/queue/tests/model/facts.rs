//! Facts that must be seen in Redis, as lines of text; `facts.lua` lists those that are there.

use super::{JobPlace, ModelEntry, ModelJob, QueueModel};
use crate::queue::tests::QUEUES;
use csm_shared::job::{FailureClass, JobState, Lane};

const TENANTS: [&str; 2] = ["default", "other"];

fn line(name: &str, jobs: &[usize]) -> String {
    let jobs: Vec<_> = jobs.iter().map(|job| format!("j{job}")).collect();
    format!("{name}: {}", jobs.join(" "))
}

/// Returns the name of a failure's class in a record.
fn class_name(class: FailureClass) -> String {
    serde_json::to_value(class).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

impl QueueModel {
    /// Returns all facts, line by line.
    pub(in crate::queue::tests) fn facts(&self) -> Vec<String> {
        let mut lines: Vec<_> = (0..QUEUES.len()).flat_map(|queue| [self.stream(queue), self.waits(queue)]).collect();
        lines.push(line("delayed", &self.by_id(|job| job.place == JobPlace::Delayed)));
        lines.push(line("deadlines", &self.by_id(|job| job.timed)));
        lines.push(line("leases", &self.by_id(|job| job.state == JobState::Running)));
        for lane in Lane::ALL {
            let runs = self.by_id(|job| job.lane == lane && job.state == JobState::Running);
            lines.push(line(&format!("ends {lane}"), &runs));
        }
        lines.push(line("open", &self.by_id(|job| !job.state.is_final())));
        lines.push(line("parked", &self.parked));
        lines.push(line("dead letters", &self.dead));
        for (tenant, name) in TENANTS.iter().enumerate() {
            lines.push(format!("tenants open:{name}: {}", self.open(tenant)));
            lines.push(format!("tenants bytes:{name} off by 0"));
            lines.push(format!("tenants running:{name}: {}", self.count(tenant, JobState::Running)));
        }
        lines.push(format!("book suspects: {}", self.suspects()));
        for lane in Lane::ALL {
            lines.push(format!("book bytes:{lane} off by 0"));
            for (name, state) in [("waiting", JobState::Queued), ("running", JobState::Running)] {
                let jobs = self.jobs.iter().filter(|job| job.lane == lane && job.state == state);
                lines.push(format!("book {name}:{lane}: {}", jobs.map(ModelJob::cost).sum::<u64>()));
            }
        }
        for state in JobState::ALL.iter().copied().filter(|state| state.is_final()) {
            let ended = self.jobs.iter().filter(|job| job.state == state).count();
            lines.push(format!("book ended:{state}: {ended}"));
        }
        lines.extend((0..self.jobs.len()).map(|job| self.job(job)));
        lines.sort_unstable();
        lines
    }

    fn stream(&self, queue: usize) -> String {
        let tell = |entry: &ModelEntry| match entry.owner {
            Some(owner) => format!("j{}@w{owner}", entry.job),
            None => format!("j{}", entry.job),
        };
        let entries: Vec<_> = self.streams[queue].iter().map(tell).collect();
        format!("stream {}: {}", QUEUES[queue], entries.join(" "))
    }

    /// Lists the jobs that wait in a stream, in order.
    fn waits(&self, queue: usize) -> String {
        let waits = |entry: &&ModelEntry| {
            let job = &self.jobs[entry.job];
            job.state == JobState::Queued && job.place == JobPlace::Stream(queue, entry.number)
        };
        let jobs: Vec<_> = self.streams[queue].iter().filter(waits).map(|entry| entry.job).collect();
        line(&format!("waits {}", QUEUES[queue]), &jobs)
    }

    fn job(&self, index: usize) -> String {
        let job = &self.jobs[index];
        let number = |prefix: &str, number: Option<usize>| number.map_or_else(String::new, |n| format!("{prefix}{n}"));
        let flag = |name, set: bool| if set { name } else { "-" };
        let flags = [
            flag("suspect", job.suspect),
            flag("alone", job.alone),
            flag("cancel", job.cancel),
            flag("spec", job.spec),
            flag("dead", job.dead),
        ];
        let place = match job.place {
            JobPlace::Nowhere => String::new(),
            JobPlace::Delayed => "delayed".into(),
            JobPlace::Parked => "parked".into(),
            JobPlace::Stream(queue, number) => {
                let lease = if job.state == JobState::Running { "leases + " } else { "" };
                let owner =
                    self.streams[queue].iter().find(|entry| entry.number == number).and_then(|entry| entry.owner);
                let held = owner.map_or_else(|| "waits".into(), |owner| format!("runs for w{owner}"));
                format!("{lease}{held} in {}", QUEUES[queue])
            }
        };
        format!(
            "job j{index}: {} lane={} tenant={} attempt={} failures={} crashes={} owner={} replayed_as={} {} receipt={} \
             failure={} expires={} ({place})",
            job.state,
            job.lane,
            TENANTS[job.tenant],
            job.attempt,
            job.failures,
            job.crashes,
            number("w", job.owner),
            number("j", job.replayed_as),
            flags.join(" "),
            job.receipt.map_or_else(String::new, |attempt| attempt.to_string()),
            job.failure.map_or_else(String::new, class_name),
            if job.state.is_final() { "yes" } else { "no" },
        )
    }
}
