//! The view on a terminal: drawn at every read and at every change of size, and removed at the end.

use anyhow::Context as _;
use crossterm::event::{Event, EventStream, KeyCode, KeyEventKind, KeyModifiers};
use csm_shared::process::shutdown::Shutdown;
use futures::StreamExt as _;
use ratatui::style::Stylize as _;
use ratatui::text::Line;
use ratatui::widgets::Paragraph;
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

use super::StatsResult;
use super::stats_history::StatsHistory;
use crate::commands::queue::View;

/// Terminal in raw mode, restored on drop and at a panic.
struct Screen(DefaultTerminal);

impl Screen {
    fn open() -> anyhow::Result<Self> {
        ratatui::try_init().map(Self).context("the terminal")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // `ratatui::restore` prints a failure, and panics if nobody reads it.
        let _ = ratatui::try_restore();
    }
}

/// Shows each read of the queue until `q`, Escape, Ctrl-C or a signal.
pub(super) async fn watch(
    updates: &mut mpsc::Receiver<StatsResult>,
    history: &mut StatsHistory,
    shutdown: &Shutdown,
) -> anyhow::Result<()> {
    let mut screen = Screen::open()?;
    let mut events = EventStream::new();
    loop {
        screen.0.draw(|frame| draw(frame, &history.view(), history.trouble())).context("the terminal")?;
        tokio::select! {
            event = events.next() => match event.transpose().context("the keyboard")? {
                Some(event) if !is_end(&event) => {}
                _ => return Ok(()),
            },
            look = updates.recv() => history.take(look.context("the queue is no longer read")?)?,
            () = shutdown.begun() => return Ok(()),
        }
    }
}

/// Returns true for a key that ends the view.
fn is_end(event: &Event) -> bool {
    let Event::Key(key) = event else { return false };
    let control_c = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (control_c || matches!(key.code, KeyCode::Char('q' | 'Q') | KeyCode::Esc))
}

/// Draws a heading, the current failure, and the view. If the terminal is too low for all workers,
/// the last line counts the rest.
fn draw(frame: &mut Frame<'_>, view: &View<'_>, trouble: Option<&str>) {
    let second = trouble.map_or_else(Line::default, |trouble| Line::from(trouble.to_owned().red().bold()));
    let mut lines = vec![Line::from(vec!["csm top".bold(), "  q ends".dim()]), second];
    lines.extend(view.lines());
    let height = usize::from(frame.area().height);
    if let Some(hidden) = lines.len().checked_sub(height).filter(|&hidden| hidden > 0) {
        lines.truncate(height.saturating_sub(1));
        lines.push(Line::from(format!("{} more lines", hidden + 1).dim()));
    }
    frame.render_widget(Paragraph::new(lines), frame.area());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossterm::event::KeyEvent;
    use csm_queue::queue::QueueStats;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;
    use ratatui::style::{Color, Modifier};

    use super::*;
    use crate::commands::queue::tests::worker;

    fn drawn(stats: &QueueStats, trouble: Option<&str>, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(72, height)).unwrap();
        let view = View::since(stats, stats, Duration::from_secs(1));
        terminal.draw(|frame| draw(frame, &view, trouble)).unwrap();
        terminal.backend().buffer().clone()
    }

    fn rows(buffer: &Buffer) -> Vec<String> {
        let row = |y| (0..buffer.area.width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..buffer.area.height).map(|y| row(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn the_whole_view_on_a_terminal() {
        let mut stats = QueueStats::empty();
        stats.lanes[1].paused = true;
        stats.dead = 2;
        stats.workers = vec![worker("gpu-1:0123456789ab", 7)];
        let buffer = drawn(&stats, Some("Redis is unavailable: away; trying again"), 14);
        let expected = [
            "csm top  q ends",
            "Redis is unavailable: away; trying again",
            "lane      depth  waiting audio  running audio  oldest  predicted wait",
            "live          0           0.0s           0.0s       -               -",
            "standard      0           0.0s           0.0s       -          paused",
            "bulk          0           0.0s           0.0s       -               -",
            "",
            "0 open: 0 running, 0 suspects, 0 delayed; dead letters 2; intake open",
            "jobs a second: 0.0 succeeded, 0.0 failed, 0.0 cancelled, 0.0 expired",
            "frames a second: 0.0 of 0.0 that 1 worker can make",
            "",
            "worker              slots  frames/s  frames made  build  state",
            "gpu-1 01234567  ██░░░ 2/5      50.0            7  0.1.0   busy",
            "",
        ];
        assert_eq!(rows(&buffer), expected);
        assert_eq!(buffer[(43, 7)].fg, Color::Red, "dead letters call for somebody");
        assert_eq!(buffer[(66, 4)].fg, Color::Yellow, "so does a lane that is held back, if less");
        assert!(buffer[(0, 2)].modifier.contains(Modifier::BOLD));
    }

    #[test]
    fn workers_that_do_not_fit_are_counted() {
        let mut stats = QueueStats::empty();
        stats.workers = (0..30).map(|number| worker(&format!("gpu-{number}:01234567"), 0)).collect();
        let shown = rows(&drawn(&stats, None, 20));
        assert!(shown[18].starts_with("gpu-6 "), "{shown:#?}");
        assert_eq!(shown[19], "23 more lines");
        assert_eq!(rows(&drawn(&stats, None, 1)), ["42 more lines"]);
    }

    #[test]
    fn q_escape_and_control_c_end_it_and_nothing_else() {
        let pressed = |code, modifiers| is_end(&Event::Key(KeyEvent::new(code, modifiers)));
        assert!(pressed(KeyCode::Char('q'), KeyModifiers::NONE));
        assert!(pressed(KeyCode::Esc, KeyModifiers::NONE));
        assert!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL));
        assert!(!pressed(KeyCode::Char('c'), KeyModifiers::NONE));
        assert!(!is_end(&Event::Resize(80, 24)));
    }
}
