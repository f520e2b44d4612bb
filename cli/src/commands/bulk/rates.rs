//! Speed of a batch over the last minutes, and the time left.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// Time over which the speed is measured.
const WINDOW: Duration = Duration::from_secs(180);
/// Shortest time from which a speed is derived.
const SPAN_MIN: Duration = Duration::from_secs(2);
/// Most observations that are kept; beyond them the oldest ones go early.
const OBSERVATIONS_MAX: usize = 1024;

/// Progress of a batch at one moment.
#[derive(Clone, Copy, Debug)]
struct Observation {
    at: Instant,
    ended: u64,
    audio_ms: u64,
}

/// Observations of a batch over the last minutes.
#[derive(Debug, Default)]
pub(super) struct RateWindow {
    observations: VecDeque<Observation>,
}

impl RateWindow {
    /// Notes how many lines have ended, and how much audio they have.
    pub(super) fn observe(&mut self, at: Instant, ended: u64, audio_ms: u64) {
        if self.observations.back().is_some_and(|last| ended < last.ended || audio_ms < last.audio_ms) {
            // A line that is spoken again counts as open again.
            self.observations.clear();
        }
        let is_old = |first: &Observation| at.saturating_duration_since(first.at) > WINDOW;
        while self.observations.len() >= OBSERVATIONS_MAX || self.observations.front().is_some_and(is_old) {
            self.observations.pop_front();
        }
        self.observations.push_back(Observation { at, ended, audio_ms });
    }

    /// Returns the seconds of audio made in a second; `None` if too little was observed.
    pub(super) fn times_real_time(&self) -> Option<f64> {
        let (first, last, span) = self.ends()?;
        Some((last.audio_ms - first.audio_ms) as f64 / 1000.0 / span.as_secs_f64())
    }

    /// Returns the time for `left` more lines at the present speed; `None` if nothing has ended
    /// lately.
    pub(super) fn time_for(&self, left: u64) -> Option<Duration> {
        let (first, last, span) = self.ends()?;
        let ended = last.ended - first.ended;
        if ended == 0 {
            return None;
        }
        Duration::try_from_secs_f64(span.as_secs_f64() * left as f64 / ended as f64).ok()
    }

    fn ends(&self) -> Option<(Observation, Observation, Duration)> {
        let (first, last) = (*self.observations.front()?, *self.observations.back()?);
        let span = last.at.saturating_duration_since(first.at);
        (span >= SPAN_MIN).then_some((first, last, span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn speed_and_time_left_are_those_of_the_last_minutes() {
        let (begun, mut rates) = (Instant::now(), RateWindow::default());
        let at = |seconds| begun + Duration::from_secs(seconds);
        rates.observe(at(0), 100, 500_000);
        assert_eq!((rates.times_real_time(), rates.time_for(10)), (None, None));
        rates.observe(at(10), 120, 600_000);
        assert_eq!(rates.times_real_time(), Some(10.0));
        assert_eq!(rates.time_for(40), Some(Duration::from_secs(20)));
        // The first observation is too old now.
        rates.observe(at(190), 156, 690_000);
        assert_eq!(rates.times_real_time(), Some(0.5));
        assert_eq!(rates.time_for(2), Some(Duration::from_secs(10)));
    }

    #[tokio::test]
    async fn a_standstill_has_no_time_left_and_a_step_back_begins_anew() {
        let (begun, mut rates) = (Instant::now(), RateWindow::default());
        rates.observe(begun, 10, 1000);
        rates.observe(begun + Duration::from_secs(60), 10, 1000);
        assert_eq!((rates.times_real_time(), rates.time_for(5)), (Some(0.0), None));
        rates.observe(begun + Duration::from_secs(61), 9, 900);
        assert_eq!(rates.times_real_time(), None);
    }
}
