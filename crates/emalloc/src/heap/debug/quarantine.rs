//! Owns the blocks that are held back after they were freed: in the order of their frees,
//! bounded in bytes and number, verified when they leave. Used inside `debug`.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::record::{Record, life};
use super::shape::Raw;
use super::{Debugging, Finding};
use crate::heap::site::Site;
use crate::heap::state::State;

/// The blocks that are held back, first and last freed, and how many.
pub(super) struct Held {
    first: Cell<*mut Record>,
    last: Cell<*mut Record>,
    pub blocks: Cell<usize>,
    /// Of raw blocks.
    pub bytes: Cell<usize>,
}

impl Held {
    pub const fn new() -> Self {
        Self {
            first: Cell::new(ptr::null_mut()),
            last: Cell::new(ptr::null_mut()),
            blocks: Cell::new(0),
            bytes: Cell::new(0),
        }
    }

    /// Forgets all of them.
    pub fn forget(&self) {
        self.first.set(ptr::null_mut());
        self.last.set(ptr::null_mut());
        self.blocks.set(0);
        self.bytes.set(0);
    }
}

impl State {
    /// Holds a block back that was freed at `at`, and lets go of those that are too many then: before, for whoever is told of what is
    /// found in them may unwind, and then the block is the program's still.
    pub(super) fn hold(&self, debugging: &Debugging, raw: Raw, mut record: Record, at: Site<'_>) {
        let options = &debugging.options;
        let (bytes, blocks) = (options.quarantine, options.quarantine_blocks);
        let others = (bytes.saturating_sub(raw.bytes), blocks.saturating_sub(1));
        self.release_held(debugging, others, at);
        record.life = life::HELD;
        record.freed = at.keep();
        record.link = ptr::null_mut();
        // A refusal may come halfway. What cannot be opened again then stays shut.
        let shut = record.guard_page > 0 && (raw.shut_pages(&record) || !raw.open_pages(&record));
        record.shut = usize::from(shut);
        if let (0, Some(byte)) = (record.shut, options.free_fill) {
            raw.fill(&record, 0, byte);
        }
        raw.write(record);
        let held = &debugging.held;
        let place = raw.place().as_ptr();
        // A last one whose record was overwritten leads nowhere any more; what is before it stays held back.
        let last = NonNull::new(held.last.replace(place).cast::<u8>());
        match last.map(|last| self.held_at(last)) {
            Some(Some((last, mut before))) => {
                before.link = place;
                last.write(before);
            }
            Some(None) => {}
            None => held.first.set(place),
        }
        held.blocks.set(held.blocks.get() + 1);
        held.bytes.set(held.bytes.get() + raw.bytes);
        // It may be too much by itself.
        self.release_held(debugging, (bytes, blocks), at);
    }

    /// Lets go of the blocks held back longest, until no more bytes and blocks are held back than that.
    pub(in crate::heap) fn release_held(
        &self,
        debugging: &Debugging,
        (bytes, blocks): (usize, usize),
        at: Site<'_>,
    ) {
        let held = &debugging.held;
        while held.bytes.get() > bytes || held.blocks.get() > blocks {
            let first = NonNull::new(held.first.get().cast::<u8>());
            let Some((raw, record)) = first.and_then(|first| self.held_at(first)) else {
                // Somebody wrote over a record: what follows is lost to us, and stays out of use until the reset.
                held.forget();
                return;
            };
            held.first.set(record.link);
            if record.link.is_null() {
                held.last.set(ptr::null_mut());
            }
            held.blocks.set(held.blocks.get() - 1);
            held.bytes.set(held.bytes.get() - raw.bytes);
            self.check_held(debugging, raw, &record, Some(at));
            if record.guard_page == 0 || raw.open_pages(&record) {
                raw.give_up();
                let freed = self.free_unseen(raw.start);
                debug_assert!(freed.is_ok());
            }
        }
    }

    /// The block that is held back with its record at `place`, which may be anything.
    fn held_at(&self, place: NonNull<u8>) -> Option<(Raw, Record)> {
        let raw = self.raw_around(place.addr().get()).ok()?;
        let record = raw.record().filter(|record| record.life == life::HELD)?;
        (raw.start == place).then_some((raw, record))
    }

    /// Verifies a block that is held back. Answers how much was found, reported and set right.
    pub(super) fn check_held(
        &self,
        debugging: &Debugging,
        raw: Raw,
        record: &Record,
        at: Option<Site<'_>>,
    ) -> usize {
        if record.shut != 0 {
            return 0;
        }
        let guards = self.check_guards(debugging, raw, record, at);
        let Some(byte) = debugging.options.free_fill else {
            return guards;
        };
        let Some(change) = raw.fill_change(record, byte) else {
            return guards;
        };
        raw.fill(record, 0, byte);
        let offset = change.reach.0;
        let finding = Finding::WriteAfterFree { offset, change };
        self.found_in(debugging, finding, raw, record, at);
        guards + 1
    }
}
