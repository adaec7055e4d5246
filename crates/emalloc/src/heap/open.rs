//! Owns open runs. Programs mostly free what lies side by side one after the other, so one cold run of a class may be open:
//! the map calls it hot, and what is freed there goes on the class's list by the fast path. What was on the list is set
//! aside before. When another one is opened, or the list is used up, the run takes its blocks off the list all at once, and
//! is cold again. Called by `cold`, `sweep`, `collect`.

use core::ptr::{self, NonNull};

use super::cold::Runs;
use super::list::{Link, List};
use super::parked::Parked;
use super::segment::{Page, PageInfo, code_in_map, cold_code};
use super::state::State;
use crate::layout::PAGE;
use crate::size_class::pages_of_class;

/// Whether to open a cold run is asked when it gets its first free block and then again four blocks later, and so for each 32:
/// seldom, because processors cannot guess it.
#[inline(always)]
pub(super) fn is_asked(parked: Parked) -> bool {
    parked.count() & ASKED == 0
}

/// The bits of a count that are none then.
const ASKED: usize = 0b11011;

/// Where an open run got so many blocks before another one was opened, the next one is opened at once.
const KEEN_FROM: usize = 8;

impl State {
    /// As [`park`](Self::park), where it is asked whether the run is to be opened: if so, what is freed there next goes on
    /// the class's list.
    #[inline(never)]
    pub fn open_or_park(&self, class: usize, first: Page, block: NonNull<u8>) {
        let Some(runs) = self.cold.runs().map(|runs| &runs[class]) else {
            return;
        };
        let info = first.info(&self.geometry);
        let again = ptr::eq(runs.asked.replace(info), info);
        if again || runs.keen.get() {
            if let Some(count) = self.close(class, runs) {
                runs.keen.set(count >= KEEN_FROM);
            }
            let list = self.list(class);
            runs.aside.set(list.take());
            runs.open.set(ptr::from_ref(info).cast_mut());
            self.recode(first, class, code_in_map(class));
            // (It is on no list: this one is empty.)
            self.free_small(list, &self.bins[class].size, block);
            return;
        }
        let parked = first.parked(&self.geometry);
        self.put_in(class, first, block, parked.first(first));
        if parked == Parked::NONE {
            runs.waiting.push(info);
        }
    }

    /// Closes the run of `class` that is open, if there is one: it takes its blocks off the list. Answers how many.
    #[inline(always)]
    pub fn close(&self, class: usize, runs: &Runs) -> Option<usize> {
        let open = runs.open.replace(ptr::null_mut());
        // SAFETY: the infos of runs are alive: an open one is closed before it is given back.
        let info = unsafe { open.as_ref() }?;
        Some(self.close_run(class, runs, info))
    }

    /// Closes the run that `info` is of.
    #[inline(never)]
    fn close_run(&self, class: usize, runs: &Runs, info: &'static PageInfo) -> usize {
        let open = ptr::from_ref(info).cast_mut();
        let (run, list) = (self.geometry.page_of(open), self.list(class));
        let (start, bytes) = (run.start().addr(), pages_of_class(class) * PAGE);
        let is_own = |link: Link| link.addr().wrapping_sub(start) < bytes;
        let (own, others) = (List::new(), List::new());
        let (mut last_own, mut last_other) = (&own.head, &others.head);
        let mut count = 0;
        let mut link = list.head.get();
        loop {
            last_own.set(link);
            // Most of them, so in few steps.
            while is_own(link)
                && let Some(node) = link.node()
            {
                last_own = &node.next;
                link = node.next.get();
                count += 1;
            }
            last_other.set(link);
            while let Some(node) = link.node()
                && !is_own(link)
            {
                last_other = &node.next;
                link = node.next.get();
            }
            if link.is_end() {
                break;
            }
        }
        let before = run.parked(&self.geometry);
        last_own.set(before.first(run));
        last_other.set(runs.aside.take().head.get());
        list.set(others);
        let parked = Parked::new(run, own.head.get(), before.count() + count);
        run.set_parked(&self.geometry, parked);
        if before == Parked::NONE && count > 0 {
            runs.waiting.push(info);
        }
        self.recode(run, class, cold_code(class));
        count
    }

    /// Closes all runs that are open.
    pub fn close_all(&self) {
        for (class, runs) in self.cold.runs().into_iter().flatten().enumerate() {
            self.close(class, runs);
        }
    }
}
