//! Owns looking for runs without a block in use in a large heap, among those that collect their free blocks themselves
//! (`cold`): nothing is looked at but their counts. (`collect` looks at all blocks.) Called by `large`.

use core::ptr;

use super::cold::{ColdRuns, Runs};
use super::state::State;
use crate::layout::PAGE;
use crate::size_class::{CLASSES, MAX_RUN, blocks_of_class, pages_of_class};

/// A heap of which less than one part in this many is in no block is not swept, nor is one again that has not grown by
/// such a part since it was swept for little.
const PART: usize = 16;

/// What it was swept for is little if it is less than one part in this many.
const LITTLE: usize = 32;

impl State {
    /// Whether the heap is to be swept before it grows by a run of `pages` pages. A long one would find no room anyway,
    /// and what lies behind a block that grows is better left alone.
    pub fn sweep_is_due(&self, pages: usize) -> bool {
        let held = self.held.get();
        self.cold.is_on()
            && pages <= MAX_RUN
            && held >= self.sweep_at.get()
            && held - self.usage.now() >= held / PART
    }

    /// Frees the pages of cold runs that have no block in use. Answers how many bytes.
    ///
    /// Where many runs are hot because those of their class came back with blocks in use, that may have changed since, and only
    /// the blocks tell: then all of them are looked at, and all runs are cold again.
    pub fn sweep(&self) -> usize {
        let is_warm = |runs: &ColdRuns| runs.iter().any(Runs::is_warm);
        let bytes = if self.cold.runs().is_some_and(is_warm) {
            self.collect_runs()
        } else {
            let runs = |class| self.sweep_class(class) * pages_of_class(class);
            (0..CLASSES).map(runs).sum::<usize>() * PAGE
        };
        let held = self.held.get();
        let little = bytes < held / LITTLE;
        self.sweep_at
            .set(if little { held + held / PART } else { 0 });
        bytes
    }

    /// As [`sweep`](Self::sweep), for one class. Answers how many runs.
    fn sweep_class(&self, class: usize) -> usize {
        let Some(runs) = self.cold.runs().map(|runs| &runs[class]) else {
            return 0;
        };
        self.close(class, runs);
        let waiting = &runs.waiting;
        let all = waiting.take();
        let mut count = 0;
        while let Some(info) = all.pop() {
            let run = self.geometry.page_of(ptr::from_ref(info).cast_mut());
            if run.parked(&self.geometry).count() == blocks_of_class(class) {
                // (That ends a segment only if no other run is left in it.)
                self.run_counts[class].set(self.run_counts[class].get() - 1);
                self.give_pages(run, pages_of_class(class));
                count += 1;
            } else {
                waiting.push(info);
            }
        }
        count
    }
}
