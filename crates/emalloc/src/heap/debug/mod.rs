//! Debug mode: every block knows who asked for it, lies between guards, and is held back
//! after its free. This file owns the mode's state, its checks, and how what is found is
//! told. It depends on the rest of the heap, which asks it only while the mode is on.

mod blocks;
mod find;
mod leaks;
mod options;
mod quarantine;
mod record;
mod report;
mod shape;

use core::cell::Cell;

pub(super) use blocks::Content;
pub use leaks::{Leak, LeakTotal, Leaks};
pub use options::{Debug, LeakFormat, OnError};
pub use report::{BlockInfo, Change, Finding, Report};

use super::Heap;
use super::fault::Fault;
use super::modes::mode;
use super::site::Site;
use super::state::State;
use crate::sys;
use quarantine::Held;
use record::{Record, life};
use shape::Raw;

/// What a heap in debug mode knows beside its state.
pub(super) struct Debugging {
    pub options: Debug,
    held: Held,
    /// Operations until all blocks are checked; 0: never.
    until_check: Cell<usize>,
    /// Whether leaks are reported to nobody.
    silent: Cell<bool>,
    /// Blocks that should have had a guard page.
    unguarded: Cell<usize>,
}

impl Debugging {
    pub fn new(options: Debug) -> Self {
        Self {
            options,
            held: Held::new(),
            until_check: Cell::new(options.check_every),
            silent: Cell::new(false),
            unguarded: Cell::new(0),
        }
    }
}

/// What debug mode holds and could not do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DebugFigures {
    /// Freed blocks that are held back.
    pub held_blocks: usize,
    /// Their bytes, with guards and all.
    pub held_bytes: usize,
    /// Blocks that should have had a guard page behind them, and have none because the system refused.
    pub unguarded: usize,
}

impl State {
    /// Debug mode's state, while the heap is in it.
    pub fn debugging(&self) -> Option<&Debugging> {
        // SAFETY: it lies in the first segment, beside this state, as long as the state does.
        self.debugging
            .map(|debugging| unsafe { debugging.as_ref() })
    }

    /// Tells the handler what was found, and does then what the program chose.
    fn found(
        &self,
        debugging: &Debugging,
        finding: Finding,
        address: usize,
        block: Option<BlockInfo<'_>>,
        at: Option<Site<'_>>,
    ) {
        let script = debugging.options.script;
        let report = Report {
            finding,
            address,
            block,
            at,
            script,
        };
        self.as_heap(|heap| self.handler().report(heap, &report));
        match debugging.options.on_error {
            OnError::Continue => {}
            OnError::Exit => sys::exit(255),
            OnError::Abort => sys::abort(),
        }
    }

    /// As [`found`](Self::found), of a block that is known.
    fn found_in(
        &self,
        debugging: &Debugging,
        finding: Finding,
        raw: Raw,
        record: &Record,
        at: Option<Site<'_>>,
    ) {
        let info = raw.info(record);
        self.found(debugging, finding, info.address, Some(info), at);
    }

    /// Reports a wrong pointer that was given at `at`, with the block it leads to.
    pub fn report_debugged(&self, debugging: &Debugging, fault: &Fault, at: Site<'_>) {
        let finding = Finding::Pointer(fault.kind);
        let raw = self.raw_around(fault.address).ok();
        let record = raw.and_then(|raw| Some((raw, raw.record()?)));
        let info = record.as_ref().map(|(raw, record)| raw.info(record));
        self.found(debugging, finding, fault.address, info, Some(at));
    }

    /// Verifies the guards of a block. Answers how much was found, reported and set right.
    fn check_guards(
        &self,
        debugging: &Debugging,
        raw: Raw,
        record: &Record,
        at: Option<Site<'_>>,
    ) -> usize {
        let (front, back) = raw.guard_changes(record);
        if front.is_some() || back.is_some() {
            // First, so that it is reported once.
            raw.write_guards(record);
        }
        let underrun = front.map(|change| Finding::Underrun {
            under: raw.block(record).addr().get() - change.address,
            at_least: change.from_the_start,
            change,
        });
        let overrun = back.map(|change| Finding::Overrun {
            over: change.reach.1,
            at_least: change.to_the_end,
            change,
        });
        let findings = [underrun, overrun].into_iter().flatten();
        findings
            .map(|finding| self.found_in(debugging, finding, raw, record, at))
            .count()
    }

    /// Counts an operation, and checks all blocks if it is time.
    fn count_operation(&self, debugging: &Debugging, at: Site<'_>) {
        match debugging.until_check.get() {
            0 => {}
            1 => {
                debugging.until_check.set(debugging.options.check_every);
                self.check_all(debugging, Some(at));
            }
            more => debugging.until_check.set(more - 1),
        }
    }

    /// Verifies all blocks. Answers how much was found.
    fn check_all(&self, debugging: &Debugging, at: Option<Site<'_>>) -> usize {
        let mut found = 0;
        self.at_rest(|| {
            self.each_raw(&mut |raw| {
                found += match raw.record() {
                    Some(record) if record.life == life::HELD => {
                        self.check_held(debugging, raw, &record, at)
                    }
                    Some(record) => self.check_guards(debugging, raw, &record, at),
                    None => {
                        self.renew_record(debugging, raw, at);
                        1
                    }
                };
            });
        });
        found
    }

    /// Runs `body` while the heap hands out and takes back nothing.
    fn at_rest(&self, body: impl FnOnce()) {
        /// Ends the rest, also when a handler unwinds.
        struct Resting<'a>(&'a State);
        impl Drop for Resting<'_> {
            fn drop(&mut self) {
                self.0.set_mode(mode::WALKING, false);
            }
        }
        if self.modes.is_walking() {
            return;
        }
        self.set_mode(mode::WALKING, true);
        let _resting = Resting(self);
        body();
    }

    /// The end of all blocks: verifies them, and reports those left over.
    pub fn end_debugged(&self, debugging: &Debugging, silent: bool) {
        self.check_all(debugging, None);
        if !silent && !debugging.silent.get() {
            self.at_rest(|| self.report_leaks(debugging));
        }
    }

    /// Makes the pages of all blocks ones that can be touched, and forgets those held back.
    pub fn give_up_debugged(&self, debugging: &Debugging) {
        if debugging.options.guard_pages || sys::WATCHED {
            self.at_rest(|| {
                self.each_raw(&mut |raw| {
                    if let Some(record) = raw.record().filter(|record| record.guard_page > 0) {
                        // If the system refuses, there is nothing that could be done about it.
                        raw.open_pages(&record);
                    }
                    raw.give_up();
                });
            });
        }
        debugging.held.forget();
    }

    /// Address and size of the program's block in the raw block at `address`; none if it is held back.
    pub fn block_in_raw(&self, address: usize) -> Option<(usize, usize)> {
        let raw = self.raw_around(address).ok()?;
        let record = raw.record()?;
        (record.life == life::LIVE).then(|| (raw.block(&record).addr().get(), record.size))
    }
}

/// Debug mode.
impl Heap {
    /// Verifies the guards of all blocks and the content of those held back, in debug mode; what is wrong goes to the
    /// handler. Answers how much that was; outside debug mode 0. (`full_mem_check`)
    ///
    /// ```
    /// # use emalloc::heap::{Debug, Heap};
    /// let heap = Heap::builder().debug(Debug::new()).build()?;
    /// let block = heap.allocate(100);
    /// assert_eq!(heap.check_blocks(), 0);
    /// # unsafe { heap.free(block) };
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[track_caller]
    pub fn check_blocks(&self) -> usize {
        self.check_blocks_at(Site::here())
    }

    /// As [`check_blocks`](Self::check_blocks), called at `at`.
    pub fn check_blocks_at(&self, at: Site<'_>) -> usize {
        let state = self.state();
        state
            .debugging()
            .map_or(0, |debugging| state.check_all(debugging, Some(at)))
    }

    /// Whether leaks are reported to nobody when the heap is reset or dropped: after an error, say, when nobody
    /// could clean up. (`shutdown_memory_manager`, silent)
    pub fn silence_leaks(&self, silent: bool) {
        if let Some(debugging) = self.state().debugging() {
            debugging.silent.set(silent);
        }
    }

    /// What debug mode holds; `None` outside of it.
    pub fn debug_figures(&self) -> Option<DebugFigures> {
        let debugging = self.state().debugging()?;
        Some(DebugFigures {
            held_blocks: debugging.held.blocks.get(),
            held_bytes: debugging.held.bytes.get(),
            unguarded: debugging.unguarded.get(),
        })
    }
}
