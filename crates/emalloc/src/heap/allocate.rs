//! Owns the way into a heap: the fast path of a small request, and the slow
//! one that sends all others to `small`, `large` and `huge`. The public forms
//! are here too: `try_` ones answer an error, plain ones ask the handler.

use core::alloc::Layout;
use core::ptr::{self, NonNull};

use super::error::AllocError;
use super::handler::{Recovery, fatal};
use super::site::Site;
use super::state::State;
use super::{Heap, Limit};
use crate::layout::{MIN_ALIGN, PAGE, PAGE_SHIFT, round_up};
use crate::size_class::{SMALL_MAX, class_of, pages_of_class, slot_of};

/// The most bytes a block can have: Rust's pointers count no further.
const MOST: usize = isize::MAX as usize;

impl State {
    /// A block of at least `size` bytes, aligned to 8, or to 16 and more if `size` is a multiple of that.
    /// Null if it is refused; `refusal` says why.
    #[inline(always)]
    pub fn allocate(&self, size: usize, at: Site<'_>) -> *mut u8 {
        self.allocate_or(size, at, || self.allocate_slow(size, MIN_ALIGN, at))
    }

    /// A block of at least `size` bytes if one is at hand, else what `slow` answers.
    #[inline(always)]
    pub fn allocate_or(
        &self,
        size: usize,
        at: Site<'_>,
        slow: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        let Some((block, bytes)) = self.take(size) else {
            return slow();
        };
        if self.usage.count(bytes) {
            return self.turn(block, at);
        }
        block
    }

    /// A block of at least `size` bytes and its size, if one is at hand. It is counted nowhere yet.
    #[inline(always)]
    fn take(&self, size: usize) -> Option<(*mut u8, usize)> {
        if size > SMALL_MAX {
            return None;
        }
        // SAFETY: just tested.
        let slot = unsafe { slot_of(size) };
        // SAFETY: a slot holds a code.
        let block = unsafe { self.bin(slot.code) }.list.pop();
        // It is null in any mode, too.
        (!block.is_null()).then_some((block, slot.size))
    }

    /// A block of at least `size` bytes, aligned to `align`, a power of two.
    #[inline]
    pub fn allocate_aligned(&self, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        if align <= MIN_ALIGN {
            return self.allocate(size, at);
        }
        let slow = || self.allocate_slow(size, align, at);
        // A size that is a multiple of the alignment gets a block that is (see `size_class`).
        match round_up(size.max(1), align) {
            Some(rounded) if align <= PAGE => self.allocate_or(rounded, at, slow),
            _ => slow(),
        }
    }

    /// What no block was at hand for, of a call at `at`.
    #[cold]
    #[inline(never)]
    fn allocate_slow(&self, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        if align <= PAGE {
            let block = self.allocate_spare(size, at);
            if !block.is_null() {
                return block;
            }
        }
        self.allocate_elsewhere(size, align, at)
    }

    /// As [`allocate_slow`](Self::allocate_slow), for what no spare run is of the length of.
    #[cold]
    #[inline(never)]
    fn allocate_elsewhere(&self, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        let block = if self.modes.concern_requests() {
            self.allocate_in_mode(size, align, false, at)
        } else {
            self.allocate_unseen(size, align)
        };
        self.sampled(block, at)
    }

    /// A block of at least `size` bytes, aligned to `align`, that no mode is told of. Null after `refuse`. Not during
    /// a walk.
    #[inline(always)]
    pub fn allocate_unseen(&self, size: usize, align: usize) -> *mut u8 {
        let mut rounded = size;
        if align > MIN_ALIGN {
            rounded = round_up(size.max(1), align.min(PAGE)).unwrap_or(usize::MAX);
        }
        if let Some(class) = class_of(rounded)
            && align <= PAGE
        {
            return self.allocate_small(class, size);
        }
        if rounded > MOST {
            return self.refuse(AllocError::too_large(size, align));
        }
        // Runs of pages are aligned to a page anyway.
        let (pages, align) = ((rounded + PAGE - 1) >> PAGE_SHIFT, align.max(PAGE));
        if self.geometry.fits(pages, align) {
            self.allocate_large(pages, align, size)
        } else {
            self.allocate_huge(size, align, false).0
        }
    }

    /// As [`allocate_aligned`](Self::allocate_aligned), with the first `size` bytes zero.
    pub fn allocate_zeroed(&self, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        if self.modes.concern_requests() {
            return self.sampled(self.allocate_in_mode(size, align, true, at), at);
        }
        if size > SMALL_MAX {
            return self.sampled(self.allocate_zeroed_unseen(size, align), at);
        }
        zero(self.allocate_aligned(size, align, at), size)
    }

    /// As [`allocate_unseen`](Self::allocate_unseen), with the first `size` bytes zero.
    pub fn allocate_zeroed_unseen(&self, size: usize, align: usize) -> *mut u8 {
        let pages = size.div_ceil(PAGE);
        if align <= PAGE && size <= MOST && pages > self.geometry.longest_run() {
            let (block, zeroed) = self.allocate_huge(size, PAGE, false);
            return if zeroed { block } else { zero(block, size) };
        }
        zero(self.allocate_unseen(size, align), size)
    }

    /// Why the last request was refused.
    #[cold]
    pub fn take_refusal(&self) -> AllocError {
        // Every null is preceded by `refuse`; were it not, the heap being empty-handed is still the truth.
        self.refusal.take().unwrap_or(AllocError::Storage {
            cause: crate::storage::StorageError::Exhausted { requested: 0 },
            held: self.held.get(),
            requested: 0,
        })
    }

    /// Asks the handler what to do about a refusal of a call at `at`, until `again` succeeds.
    #[cold]
    pub fn recover(&self, at: Site<'_>, again: impl Fn(&Self) -> *mut u8) -> NonNull<u8> {
        loop {
            let error = self.take_refusal();
            self.open_reserve();
            let recovery = self.as_heap(|heap| self.handler().out_of_memory(heap, &error, at));
            // The reserve is the handler's, not the program's: the retry must not be served from it.
            self.close_reserve();
            let block = match recovery {
                Recovery::Retry => again(self),
                Recovery::GiveUp => fatal(&error, at),
            };
            self.close_reserve();
            if let Some(block) = NonNull::new(block) {
                return block;
            }
        }
    }
}

/// Zeroes the first `size` bytes of a block, if there is one.
fn zero(block: *mut u8, size: usize) -> *mut u8 {
    if !block.is_null() {
        // SAFETY: the block was just allocated with at least that many bytes.
        unsafe { ptr::write_bytes(block, 0, size) };
    }
    block
}

/// Allocating.
impl Heap {
    /// Allocates `size` bytes, aligned to 8 (and to every power of two up to 4096 of which `size` is a multiple).
    ///
    /// Size 0 is a block like any other. What the block holds is left over from before. (`emalloc`)
    ///
    /// # Errors
    /// The limit or the storage refused, after collecting; nothing has changed.
    ///
    /// ```
    /// # use emalloc::heap::{AllocError, Heap, Limit};
    /// let heap = Heap::builder().limit(Limit::Bytes(1 << 20)).build()?;
    /// assert!(heap.try_allocate(1000).is_ok());
    /// assert!(matches!(heap.try_allocate(2 << 20), Err(AllocError::Limit { .. })));
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_allocate(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate_at(size, Site::here())
    }

    /// Allocates for `layout`: any size, any alignment.
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate).
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// # use core::alloc::Layout;
    /// let heap = Heap::new()?;
    /// let block = heap.try_allocate_layout(Layout::from_size_align(100, 1 << 20).unwrap()).unwrap();
    /// assert!(block.addr().get().is_multiple_of(1 << 20));
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub fn try_allocate_layout(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate_layout_at(layout, Site::here())
    }

    /// As [`try_allocate_layout`](Self::try_allocate_layout), with every byte zero. (`ecalloc`)
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate).
    #[inline]
    #[track_caller]
    pub fn try_allocate_zeroed(&self, layout: Layout) -> Result<NonNull<u8>, AllocError> {
        self.try_allocate_zeroed_at(layout, Site::here())
    }

    /// As [`try_allocate`](Self::try_allocate), but a refusal goes to the heap's
    /// [`Handler`](super::Handler), whose default ends the process as the original does.
    #[inline]
    #[track_caller]
    pub fn allocate(&self, size: usize) -> NonNull<u8> {
        self.allocate_at(size, Site::here())
    }

    /// As [`try_allocate_layout`](Self::try_allocate_layout), but a refusal goes to the heap's handler.
    #[inline]
    #[track_caller]
    pub fn allocate_layout(&self, layout: Layout) -> NonNull<u8> {
        self.allocate_layout_at(layout, Site::here())
    }

    /// As [`try_allocate_zeroed`](Self::try_allocate_zeroed), but a refusal goes to the heap's handler.
    #[inline]
    #[track_caller]
    pub fn allocate_zeroed(&self, layout: Layout) -> NonNull<u8> {
        self.allocate_zeroed_at(layout, Site::here())
    }

    /// What `request` answers; a refusal of it, of a call at `at`, goes to the handler.
    #[inline(always)]
    pub(super) fn or_recover(
        &self,
        at: Site<'_>,
        request: impl Fn(&State) -> *mut u8,
    ) -> NonNull<u8> {
        let state = self.state();
        match NonNull::new(request(state)) {
            Some(block) => block,
            None => state.recover(at, request),
        }
    }

    /// Hands a refusal that is not one of memory (an overflow, say) to the handler, and ends the process if that
    /// returns: there is nothing to try again.
    #[cold]
    #[track_caller]
    pub fn report_refusal(&self, error: &AllocError) -> ! {
        self.report_refusal_at(error, Site::here())
    }

    /// Whether a request of `size` bytes could be served now: from free pages, or from the storage within the
    /// heap's own limit. ("Is there enough memory")
    ///
    /// `true` is no promise, for the storage has its own word; and after `false` collecting may still help.
    pub fn has_room_for(&self, size: usize) -> bool {
        let state = self.state();
        if size > MOST {
            return false;
        }
        let pages = class_of(size).map_or(size.div_ceil(PAGE), pages_of_class);
        state.give_spares();
        if pages <= state.free_runs.longest(&state.geometry) {
            return true;
        }
        let cost = if pages <= state.geometry.longest_run() {
            state.geometry.segment_size
        } else {
            size
        };
        match state.limit.get() {
            Limit::Unlimited => true,
            Limit::Bytes(limit) => state.held.get().saturating_add(cost) <= limit,
        }
    }
}
