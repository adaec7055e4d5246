//! How far a replay is, on standard error: only on a terminal, and only when it takes long.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Shorter replays show nothing.
const PATIENCE: Duration = Duration::from_millis(700);

/// Drawn between two batches, so nothing of it is in what is measured.
pub struct Progress {
    bar: ProgressBar,
    begun: Instant,
    hidden: bool,
}

impl Progress {
    /// For a trace of this name.
    pub fn new(name: &str) -> Self {
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let style = ProgressStyle::with_template(
            "{prefix} {bar:30} {percent:>3} % of {human_len} operations",
        );
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_prefix(name.to_owned());
        Self {
            bar,
            begun: Instant::now(),
            hidden: true,
        }
    }

    /// So many operations of so many are done.
    pub fn show(&mut self, done: u64, all: u64) {
        if self.hidden && self.begun.elapsed() > PATIENCE {
            self.hidden = false;
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        if !self.hidden {
            self.bar.set_length(all);
            self.bar.set_position(done);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
