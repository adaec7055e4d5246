//! Owns the nursery: room behind the header of the first segment for one short
//! run of each small class. A class that is used a few times takes part of a
//! page there and not pages of its own, so small heaps stay small. Called by
//! `small`, `collect`, `check_segments` and `reset`.
//!
//! Short runs are handed out one after the other, each to the first request of
//! its class since the heap was made or reset, and none is given back before
//! the next reset. There is room for all of them, so this never fails.

use core::cell::Cell;

use super::collect::Run;
use super::segment::{Segment, code_in_map, page};
use super::state::State;
use crate::layout::PAGE_GRAINS;
use crate::size_class::{
    NURSERY_GRAINS, blocks_of_class, blocks_of_short_run, grains_of_short_run,
};

/// Where the nursery lies, in grains of the first segment. It has all that is left of the header's pages, but no more than
/// [`NURSERY_GRAINS`] are ever taken.
pub(super) struct Nursery {
    /// Its first grain.
    pub start: usize,
    /// The first one that no short run has.
    pub next: Cell<usize>,
    /// Whether there is one: small segments do without.
    pub exists: bool,
}

impl Nursery {
    /// Where the nursery begins that could at grain `start`, if a segment of `pages` pages has so much to spare; and the
    /// grains up to its end.
    pub fn plan(start: usize, pages: usize) -> (Option<usize>, usize) {
        let end = start + NURSERY_GRAINS;
        if end <= pages * PAGE_GRAINS / 8 {
            (Some(start), end)
        } else {
            (None, start)
        }
    }

    /// The nursery that begins at grain `start`, or none.
    pub fn new(start: Option<usize>) -> Self {
        let first = start.unwrap_or(0);
        Self {
            start: first,
            next: Cell::new(first),
            exists: start.is_some(),
        }
    }
}

impl State {
    /// Grains up to the first run of pages of a segment. For `check`, the number may be anything.
    pub fn header_grains(&self, segment: Segment) -> usize {
        (segment.header().header_pages.get() as usize).saturating_mul(PAGE_GRAINS)
    }

    /// Where the header of a segment ends and the nursery, if there is one in it, begins; in grains.
    pub fn nursery_start(&self, segment: Segment) -> usize {
        if segment == self.first && self.nursery.exists {
            self.nursery.start
        } else {
            self.header_grains(segment)
        }
    }

    /// Whether `grain` of `segment` lies in the nursery.
    pub fn in_nursery(&self, segment: Segment, grain: usize) -> bool {
        (self.nursery_start(segment)..self.header_grains(segment)).contains(&grain)
    }

    /// Whether the first run of `class` is a short one.
    fn begins_short(&self, class: usize) -> bool {
        self.nursery.exists && grains_of_short_run(class) > 0
    }

    /// Whether `class` has a short run: it lasts as long as the class has runs at all.
    pub fn has_short_run(&self, class: usize) -> bool {
        self.begins_short(class) && self.run_counts[class].get() > 0
    }

    /// Blocks in all runs of `class`.
    pub fn blocks_in_runs(&self, class: usize) -> usize {
        let runs = self.run_counts[class].get() as usize;
        if self.has_short_run(class) {
            blocks_of_short_run(class) + (runs - 1) * blocks_of_class(class)
        } else {
            runs * blocks_of_class(class)
        }
    }

    /// Forgets all short runs.
    pub fn clear_nursery(&self) {
        let Nursery { start, next, .. } = &self.nursery;
        let grains = next.replace(*start) - start;
        self.first.fill_grains(*start, grains, page::NURSERY);
    }

    /// A short run for `class`; `None` if it has one, or is of larger blocks, or there is no nursery.
    pub fn take_short_run(&self, class: usize) -> Option<Run> {
        if !self.begins_short(class) || self.run_counts[class].get() > 0 {
            return None;
        }
        let run = Run {
            segment: self.first,
            grain: self.nursery.next.get(),
            grains: grains_of_short_run(class),
            byte: code_in_map(class),
        };
        run.segment.fill_grains(run.grain, run.grains, run.byte);
        self.nursery.next.set(run.grain + run.grains);
        Some(run)
    }
}
