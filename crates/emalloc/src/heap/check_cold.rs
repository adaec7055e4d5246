//! Owns the check of hot and cold runs in a large heap. As all of `check` it follows no pointer it has not found to be
//! sound; that runs tile their segments is known by then.

use core::ptr;

use super::check::{Corruption, Invariant, broken, equal};
use super::cold::Queue;
use super::collect::Run;
use super::segment::{Page, class_in, cold_in};
use super::state::State;
use crate::size_class::{CLASSES, pages_of_class, size_of_class};

impl State {
    /// Every small run of pages is hot or cold and in the queue of its like; none is if the heap is not large. One of each class
    /// may be open, and counts as cold; only then are blocks set aside.
    pub fn check_cold(&self) -> Result<(), Corruption> {
        let (mut hot, mut waiting, mut open) = ([0; CLASSES], [0; CLASSES], [0; CLASSES]);
        for segment in self.page_segment_list() {
            for run in self.page_runs(segment) {
                let Some(class) = class_in(run.byte) else {
                    continue;
                };
                let parked = run.first().parked(&self.geometry);
                if !parked.is_sound() {
                    return broken(Invariant::Cold, run.start());
                }
                let parked = parked.count();
                match cold_in(run.byte) {
                    Some(_) if !self.cold.is_on() => return broken(Invariant::Cold, run.start()),
                    Some(_) => waiting[class] += usize::from(parked > 0),
                    None if self.is_open(class, run) => {
                        waiting[class] += usize::from(parked > 0);
                        open[class] += 1;
                    }
                    None => {
                        equal(Invariant::Cold, run.start(), 0, parked)?;
                        hot[class] += usize::from(self.cold.is_on());
                    }
                }
            }
        }
        for (class, runs) in self.cold.runs().into_iter().flatten().enumerate() {
            equal(
                Invariant::Cold,
                0,
                usize::from(!runs.open.get().is_null()),
                open[class],
            )?;
            if open[class] == 0 && !runs.aside.is_empty() {
                return broken(Invariant::Cold, 0);
            }
            let is_hot = |run: Run| cold_in(run.byte).is_none() && !self.is_open(class, run);
            let found = self.check_queue(class, &runs.hot, is_hot)?;
            equal(Invariant::Cold, 0, hot[class], found)?;
            equal(Invariant::Cold, 0, hot[class], runs.hot_count())?;
            if found > runs.most_hot() {
                return broken(Invariant::Cold, 0);
            }
            let found = self.check_queue(class, &runs.waiting, |run| !is_hot(run))?;
            equal(Invariant::Cold, 0, waiting[class], found)?;
        }
        Ok(())
    }

    /// Whether a run of `class` is the one that is open.
    fn is_open(&self, class: usize, run: Run) -> bool {
        let open = self
            .cold
            .runs()
            .map(|runs| runs[class].open.get().cast_const());
        open == Some(ptr::from_ref(run.first().info(&self.geometry)))
    }

    /// Every run in `queue` is one of `class` and `like` the others, and what it holds itself is sound. Answers how many.
    fn check_queue(
        &self,
        class: usize,
        queue: &Queue,
        like: impl Fn(Run) -> bool,
    ) -> Result<usize, Corruption> {
        let most = self.run_counts[class].get() as usize;
        let mut place = queue.first();
        let mut count = 0;
        while !place.is_null() {
            let Some(first) = self.geometry.find_page(place, &self.index) else {
                return broken(Invariant::Cold, place.addr());
            };
            let run = Run::of_pages(first, pages_of_class(class));
            let begins = class_in(run.byte) == Some(class) && first.back(&self.geometry) == 0;
            count += 1;
            if !begins || !like(run) || count > most {
                return broken(Invariant::Cold, place.addr());
            }
            self.check_parked(class, run, first)?;
            place = first.info(&self.geometry).previous.get();
        }
        Ok(count)
    }

    /// The list of a run holds as many of its own blocks as are counted.
    fn check_parked(&self, class: usize, run: Run, first: Page) -> Result<(), Corruption> {
        let (start, size) = (run.start(), size_of_class(class));
        let parked = first.parked(&self.geometry);
        let mut link = parked.first(first);
        for _ in 0..parked.count() {
            let offset = link.addr().wrapping_sub(start);
            let is_block = offset.is_multiple_of(size) && offset / size < run.blocks(class);
            if !is_block || self.is_uncarved(class, link.addr()) {
                return broken(Invariant::Cold, start);
            }
            let Some(node) = link.node() else {
                return broken(Invariant::Cold, start);
            };
            link = node.next.get();
        }
        if link.is_end() {
            Ok(())
        } else {
            broken(Invariant::Cold, start)
        }
    }
}
