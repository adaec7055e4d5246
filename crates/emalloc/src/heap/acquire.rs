//! Owns what a heap takes from its storage and gives back to it: the hard and
//! the soft limit, the count of what is held, the reserve. Called by `small`,
//! `large`, `huge`, `pages` and `reset`.

use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::error::AllocError;
use super::runs::FreeRun;
use super::segment::{Kind, Page, Segment, page};
use super::state::{SoftLimit, State};
use super::{Heap, Limit, SoftLimitEvent};
use crate::layout::{LARGE_PAGE, PAGE};
use crate::storage::{Grant, StorageError};

/// A heap that needs more than this is large: it will probably fill what it takes next. If not, that is no more than
/// a third of what it has.
const LARGE: usize = 2 * LARGE_PAGE;

/// So many free runs are looked at, at most, before the heap takes more memory.
pub(super) const LOOKED_AT: usize = 32;

/// One part in so many of what was held at most is much.
const MUCH: usize = 8;

impl State {
    /// Runs `body` with this heap as the program knows it.
    pub fn as_heap<R>(&self, body: impl FnOnce(&Heap) -> R) -> R {
        // The value is a view: dropping it must not destroy the heap, not even on unwinding.
        let heap = ManuallyDrop::new(Heap::from_state(NonNull::from(self)));
        body(&heap)
    }

    /// Tells the handler if `more` bytes would pass the soft limit and that was not told yet.
    fn tell_soft_limit(&self, more: usize) {
        /// Ends the telling. Only an unwinding handler leaves it to this: the limit was not passed then.
        struct Telling<'a>(&'a State);
        impl Drop for Telling<'_> {
            fn drop(&mut self) {
                if self.0.soft.get() == SoftLimit::Telling {
                    self.0.soft.set(SoftLimit::Armed);
                }
            }
        }

        let held = self.held.get();
        let Limit::Bytes(limit) = self.soft_limit.get() else {
            return;
        };
        if held.saturating_add(more) <= limit || self.soft.get() != SoftLimit::Armed {
            return;
        }
        let event = SoftLimitEvent {
            limit,
            held,
            requested: more,
        };
        self.soft.set(SoftLimit::Telling);
        let telling = Telling(self);
        self.as_heap(|heap| self.handler().soft_limit(heap, &event));
        // Unless the handler has set another one, which is yet to be told of.
        if self.soft.get() == SoftLimit::Telling {
            self.soft.set(SoftLimit::Told);
        }
        drop(telling);
    }

    /// Lets the soft limit be told of again if no more than that is held.
    pub fn arm_soft_limit(&self) {
        if self.soft.get() == SoftLimit::Told
            && let Limit::Bytes(limit) = self.soft_limit.get()
            && self.held.get() <= limit
        {
            self.soft.set(SoftLimit::Armed);
        }
    }

    /// Whether `more` bytes may be held on top, by the heap's own limit. Tells of the soft limit first.
    ///
    /// `requested` is what the caller of the heap asked for.
    fn may_hold(&self, more: usize, requested: usize) -> Result<(), AllocError> {
        self.tell_soft_limit(more);
        match self.limit.get() {
            Limit::Bytes(limit) if self.held.get().saturating_add(more) > limit => {
                Err(AllocError::Limit {
                    limit,
                    held: self.held.get(),
                    requested,
                })
            }
            _ => Ok(()),
        }
    }

    /// Takes `size` bytes from the storage, once. `requested` is for the error.
    pub fn acquire(
        &self,
        size: usize,
        align: usize,
        requested: usize,
    ) -> Result<Grant, AllocError> {
        self.may_hold(size, requested)?;
        self.make_room(size, align);
        let is_segment = size == self.geometry.segment_size;
        if is_segment {
            self.tell_unfilled(size);
        }
        // (32 bits may not count that far. Then it will be refused.)
        let is_more_than_ever = self.held.get().saturating_add(size) > self.held_peak.get();
        match self.storage().allocate(size, align) {
            Ok(grant) => {
                let filled = self.used();
                if filled >= LARGE {
                    // SAFETY: just granted with that size; nothing lies there yet.
                    unsafe { self.tell_of_filling(grant, size, filled) };
                }
                self.count_held(size);
                if !is_more_than_ever {
                    self.keep_less();
                }
                Ok(grant)
            }
            Err(cause) => {
                if is_segment {
                    self.tell_unfilled(0);
                }
                Err(self.storage_refused(cause, requested))
            }
        }
    }

    /// Tells the storage that a grant will probably be filled, as the `filled` bytes were that the heap had before.
    ///
    /// # Safety
    /// It is one of this storage with that size, and nothing lies there.
    unsafe fn tell_of_filling(&self, grant: Grant, size: usize, filled: usize) {
        if grant.zeroed {
            // SAFETY: the caller's promise.
            unsafe { self.storage().will_fill(grant.start, size, filled) }
        } else {
            // It has its pages already.
            // SAFETY: the caller's promise.
            unsafe { self.storage().will_refill(grant.start, size) }
        }
    }

    /// Gives empty segments back that would make what is held, with `more` bytes, more than blocks have needed at any
    /// time lately: what is kept adds nothing to the peak. The storage will be asked for as much, at a multiple of `align`.
    fn make_room(&self, more: usize, align: usize) {
        self.tell_unfilled(0);
        // The first segment never goes: a heap with none but that to give must not look through all.
        let first = self.is_whole(self.first, self.first.header().free_pages.get() as usize);
        if self.empty_segments.get() > usize::from(first) {
            let needed = self.used().saturating_add(more);
            let most = needed.max(self.need.get()).max(self.keep.get());
            self.release_empty_segments(most - more);
        }
        if self.capabilities.discard && self.held.get() > 0 {
            self.discard_long_runs(more, align);
        }
    }

    /// Gives the memory of long free runs back that would make what is resident, with `more` bytes, more than blocks have
    /// filled at any time lately. Those may hold nothing anyway: that is not known, and costs little.
    fn discard_long_runs(&self, more: usize, align: usize) {
        // Empty segments are for `make_room`, but for the first.
        let is_whole = |run: &FreeRun| self.is_whole(run.first.segment, run.pages);
        let stays = |run: &FreeRun| run.first.segment == self.first || !is_whole(run);
        let runs = || {
            self.free_runs
                .long(&self.geometry)
                .take(LOOKED_AT)
                .filter(stays)
        };
        let free: usize = runs()
            .filter(|run| !is_whole(run))
            .map(|run| run.pages * PAGE)
            .sum();
        // (What is asked for may be more than 32 bits can count with what there is. Then it will be refused.)
        let used = (self.used() - free).saturating_add(more);
        let filled = used.max(self.filled.get());
        self.filled.set(filled);
        let held = self.held.get().saturating_add(more);
        let mut beyond = held.saturating_sub(filled);
        if beyond == 0 || runs().next().is_none() || self.storage().is_usual(more, align) {
            return;
        }
        for run in runs() {
            // Runs are taken from their beginnings.
            let pages = run.pages.min(beyond.div_ceil(PAGE));
            let last = run.first.plus(run.pages - pages);
            beyond = beyond.saturating_sub(self.discard_pages(last, pages));
            if beyond == 0 {
                break;
            }
        }
    }

    /// Has the storage keep less if much of what was held at most was never filled: now it may be, without another word to
    /// the storage, and what is kept beside was filled before.
    fn keep_less(&self) {
        if !self.keep_filled || !self.capabilities.discard {
            return;
        }
        let held = self.held_peak.get();
        let unfilled = held.saturating_sub(self.filled.get().max(self.usage.peak()));
        if unfilled > held / MUCH {
            self.storage().keep_less(unfilled);
        }
    }

    /// Whether `more` bytes could be held beyond what is not empty and still be no more than blocks have needed lately.
    pub fn has_needed(&self, more: usize) -> bool {
        self.used().saturating_add(more) <= self.need.get().max(self.keep.get())
    }

    /// Bytes held in what is not empty.
    fn used(&self) -> usize {
        self.held.get() - self.empty_segments.get() * self.geometry.segment_size
    }

    /// Takes note of how much is held in what is not empty.
    pub fn note_need(&self) {
        self.need.set(self.need.get().max(self.used()));
    }

    /// Whether a grant that is aligned to `align` may grow by `more` bytes, if need be after collecting.
    pub fn may_grow(&self, more: usize, align: usize, requested: usize) -> bool {
        let may = self.may_hold(more, requested).is_ok() || {
            self.collect_runs();
            self.drop_kept_memory();
            self.may_hold(more, requested).is_ok()
        };
        if may {
            self.make_room(more, align);
        }
        may
    }

    /// Whether `more` bytes could be held without coming near a limit: then some room to spare does no harm.
    pub fn is_far_from_limits(&self, more: usize) -> bool {
        let held = self.held.get().saturating_add(more);
        let far = |limit| match limit {
            Limit::Unlimited => true,
            Limit::Bytes(limit) => held <= limit / 2,
        };
        far(self.limit.get()) && far(self.soft_limit.get())
    }

    /// Counts a grant that changed from `old` to `new` bytes.
    pub fn count_changed(&self, old: usize, new: usize) {
        if new > old {
            self.count_held(new - old);
        } else {
            self.count_released(old - new);
        }
    }

    fn storage_refused(&self, cause: StorageError, requested: usize) -> AllocError {
        AllocError::Storage {
            cause,
            held: self.held.get(),
            requested,
        }
    }

    fn count_held(&self, size: usize) {
        let held = self.held.get() + size;
        self.held.set(held);
        self.held_peak.set(self.held_peak.get().max(held));
        self.spares.settle(held, self.cold.from);
        self.note_need();
    }

    fn count_released(&self, size: usize) {
        self.held.set(self.held.get() - size);
        self.spares.settle(self.held.get(), self.cold.from);
        self.arm_soft_limit();
    }

    /// Takes a new segment for pages.
    pub fn add_segment(&self, requested: usize) -> Result<(), AllocError> {
        let size = self.geometry.segment_size;
        let grant = self.acquire(size, size, requested)?;
        // SAFETY: the grant is a segment, aligned to its own size, and ours.
        let segment =
            unsafe { Segment::set_up(grant.start, (grant.start, size, size), Kind::Pages, self) };
        if self.geometry.checked() {
            segment.clear_live_bits(&self.geometry);
        }
        segment
            .header()
            .header_pages
            .set(self.geometry.header_end.div_ceil(PAGE) as u32);
        self.link(segment);
        self.mark_header(segment);
        self.enter_pages(segment, self.geometry.pages);
        self.page_segments.set(self.page_segments.get() + 1);
        Ok(())
    }

    /// Gives a segment back to the storage; its pages are entered nowhere any more.
    pub fn release_segment(&self, segment: Segment) {
        self.unlink(segment);
        let header = segment.header();
        let count = match header.kind.get() {
            Kind::Pages => &self.page_segments,
            Kind::Huge => &self.huge_segments,
        };
        count.set(count.get() - 1);
        let (base, size, align) = (header.base.get(), header.size.get(), header.align.get());
        self.count_released(size);
        // Its memory may stay where it is, and somebody free a block in it once more.
        header.owner.set(ptr::null());
        // SAFETY: the storage granted this with that size and alignment, and nothing leads there any more.
        unsafe { self.storage().free(base, size, align) };
        self.keep_less();
    }

    /// Sets pages aside for the handler of an error, if there are enough that are free. Not during a walk.
    pub fn close_reserve(&self) -> bool {
        if self.modes.is_walking() {
            return false;
        }
        let pages = self.reserve.get();
        if pages == 0 || self.reserve_at.get().is_some() {
            return true;
        }
        self.give_spares();
        let Some(run) = self.take_pages(pages, page::RESERVE, true) else {
            return false;
        };
        self.reserve_at.set(Some((run.segment, run.index)));
        true
    }

    /// Makes the reserve's pages free for use. Not during a walk: a segment may leave the heap because of it.
    pub fn open_reserve(&self) {
        if !self.modes.is_walking()
            && let Some((segment, index)) = self.reserve_at.take()
        {
            self.give_pages(Page { segment, index }, self.reserve.get());
        }
    }
}
