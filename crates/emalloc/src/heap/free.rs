//! Owns the way back into a heap: the fast paths for a small block, and the slow
//! ones, which find out what a pointer is (`place`) before anything is done to it.

use core::ptr::{self, NonNull};

use super::Heap;
use super::fault::{Fault, FaultKind};
use super::list::List;
use super::place::{Place, freed_twice, whole};
use super::segment::{Page, Segment, page};
use super::site::Site;
use super::state::State;
use crate::layout::{MIN_ALIGN, PAGE, round_up};
use crate::size_class::{CODES, SMALL_MAX, class_of, size_of_class, slot_of};

impl State {
    /// Frees the block at `block` if it is a small one and nothing is wrong with it. Says no otherwise, having done
    /// nothing: `free_slow` is to do it, or to find out what is wrong.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[inline(always)]
    pub unsafe fn free_fast(&self, block: NonNull<u8>) -> bool {
        // SAFETY: the same promise.
        let Some(code) = (unsafe { self.small_code(block) }) else {
            return false;
        };
        // SAFETY: it is a code.
        let bin = unsafe { self.bin(code) };
        self.free_small(&bin.list, &bin.size, block)
    }

    /// The code of the class of the block at `block`, if it is a small one of this heap; none while the gate is shut.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[inline(always)]
    pub unsafe fn small_code(&self, block: NonNull<u8>) -> Option<usize> {
        let address = block.addr().get();
        // SAFETY: the caller says it is a block of this heap, so there is a segment before it. A pointer of
        // another heap, too, has a header there or memory of ours; the owner tells. A shut gate leads to our state.
        let segment = unsafe { Segment::at(self.gate.header_of(address)) };
        if !ptr::eq(segment.owner(), self) {
            return None;
        }
        // SAFETY: the segment is ours, and so is no place to which a shut gate leads.
        let code = usize::from(unsafe { self.gate.map_at(address) });
        (code < CODES).then_some(code)
    }

    /// As [`free_fast`](Self::free_fast), for a block that was last asked for with `size` bytes and `align`;
    /// `free_sized_slow` is to do the rest.
    ///
    /// # Safety
    /// As [`Heap::free_sized`].
    #[inline(always)]
    pub unsafe fn free_sized_fast(&self, block: NonNull<u8>, size: usize, align: usize) -> bool {
        // Up to a page this is what `allocate_aligned` did; beyond, the sum is larger than any class.
        let rounded = if align <= MIN_ALIGN {
            size
        } else {
            size.max(1).wrapping_add(align - 1) & !(align - 1)
        };
        if rounded > SMALL_MAX || align > PAGE || !self.gate.is_sized() {
            return false;
        }
        // SAFETY: just tested.
        let slot = unsafe { slot_of(rounded) };
        // SAFETY: a slot holds a code.
        let list = &unsafe { self.bin(slot.code) }.list;
        self.free_small(list, &slot.size, block)
    }

    /// The run and the pages of the block at `block`, if it is a large one of this heap; none while the gate is shut.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[inline(always)]
    pub unsafe fn large_at(&self, block: NonNull<u8>) -> Option<(Page, usize)> {
        let address = block.addr().get();
        // SAFETY: as in `small_code`.
        let segment = unsafe { Segment::at(self.gate.header_of(address)) };
        if !ptr::eq(segment.owner(), self) || !address.is_multiple_of(PAGE) {
            return None;
        }
        let index = segment.index_of(address);
        let run = Page { segment, index };
        (run.map() == page::LARGE).then(|| (run, run.span(&self.geometry)))
    }

    /// Puts a block on its list. Says no if it is there already, as far as that can be seen at once.
    #[inline(always)]
    pub fn free_small(&self, list: &List, size: &usize, block: NonNull<u8>) -> bool {
        if list.head.get().addr() == block.addr().get() {
            return false;
        }
        self.usage.sub_read(size);
        list.push(whole(block).as_ptr());
        true
    }

    /// Frees what `free_fast` did not, and tells the handler if something is wrong with it.
    #[cold]
    #[inline(never)]
    pub fn free_or_report(&self, block: NonNull<u8>, at: Site<'_>) {
        // SAFETY: only called for what `free_fast` was called for.
        if !unsafe { self.free_cold_fast(block) } {
            self.free_seldom_or_report(block, at);
        }
    }

    /// As [`free_or_report`](Self::free_or_report), for the rest: a function of its own, so that the other one has no more to do than
    /// it needs.
    #[cold]
    #[inline(never)]
    fn free_seldom_or_report(&self, block: NonNull<u8>, at: Site<'_>) {
        // SAFETY: only called for what `free_fast` was called for.
        if unsafe { self.free_to_spare(block) } {
            return;
        }
        // SAFETY: as above.
        if self.cold.is_on() && unsafe { self.free_cold(block) } {
            return;
        }
        self.free_rest_or_report(block, at);
    }

    /// As [`free_or_report`](Self::free_or_report), for what lies in no cold run, or is to be looked at again.
    #[cold]
    #[inline(never)]
    fn free_rest_or_report(&self, block: NonNull<u8>, at: Site<'_>) {
        // SAFETY: only called for what `free_fast` was called for.
        if let Some((run, pages)) = unsafe { self.large_at(block) } {
            return self.free_large(run, pages);
        }
        if let Err(fault) = self.free_slow(block, at) {
            self.report(&fault, at);
        }
    }

    /// Frees what `free_sized_fast` did not, and tells the handler if something is wrong with it.
    #[cold]
    #[inline(never)]
    pub fn free_sized_or_report(
        &self,
        block: NonNull<u8>,
        (size, align): (usize, usize),
        at: Site<'_>,
    ) {
        // SAFETY: only called for what `free_sized_fast` was called for. While sizes alone are not enough, headers tell.
        if !self.gate.is_sized() && unsafe { self.free_fast(block) || self.free_cold(block) } {
            return;
        }
        if let Err(fault) = self.free_sized_slow(block, (size, align), at) {
            self.report(&fault, at);
        }
    }

    /// Tells the handler of a wrong pointer that was given at `at`.
    #[cold]
    pub fn report(&self, fault: &Fault, at: Site<'_>) {
        if let Some(debugging) = self.debugging() {
            return self.report_debugged(debugging, fault, at);
        }
        self.as_heap(|heap| self.handler().fault(heap, fault, at));
    }

    /// Frees the block at `block`, in all cases.
    #[cold]
    #[inline(never)]
    pub fn free_slow(&self, block: NonNull<u8>, at: Site<'_>) -> Result<(), Fault> {
        if self.modes.concern_requests() {
            return self.free_in_mode(block, None, at);
        }
        self.free_unseen(block)
    }

    /// Frees the block at `block`, whatever mode the heap is in.
    pub fn free_unseen(&self, block: NonNull<u8>) -> Result<(), Fault> {
        let place = self.locate(block)?;
        self.free_place(block, place)
    }

    #[cold]
    #[inline(never)]
    pub fn free_sized_slow(
        &self,
        block: NonNull<u8>,
        named: (usize, usize),
        at: Site<'_>,
    ) -> Result<(), Fault> {
        if self.modes.concern_requests() {
            return self.free_in_mode(block, Some(named), at);
        }
        let place = self.locate_named(block, Some(named))?;
        self.free_place(block, place)
    }

    /// Whether the block at `place` may be named with this size and alignment when it is freed.
    pub fn may_be_named(&self, place: Place, size: usize, align: usize) -> bool {
        let block_size = self.size_of_place(place);
        // What this size would have been given: a block of exactly that class, or whole pages.
        let rounded = round_up(size.max(1), align);
        let class = rounded.and_then(class_of);
        match place {
            Place::Small { class: actual } => class == Some(actual),
            _ => class.is_none() && size <= block_size,
        }
    }

    /// Frees the block at `block`, which lies at `place`.
    pub fn free_place(&self, block: NonNull<u8>, place: Place) -> Result<(), Fault> {
        if self.modes.is_walking() {
            return Err(Fault {
                address: block.addr().get(),
                kind: FaultKind::Walking,
            });
        }
        self.drop_sample(block, place);
        match place {
            Place::Small { class } => {
                if self.geometry.checked() {
                    self.set_alive(block.as_ptr(), false);
                }
                let size = size_of_class(class);
                let freed = match self.cold_run_of(block) {
                    Some(run) => self.park(class, run, block),
                    None => self.free_small(self.list(class), &size, block),
                };
                if !freed {
                    return Err(freed_twice(block.addr().get(), size));
                }
            }
            Place::Large { run, pages } => self.free_large(run, pages),
            Place::Huge { segment } => self.free_huge(segment),
        }
        Ok(())
    }
}

/// Freeing.
impl Heap {
    /// Frees a block. (`efree`)
    ///
    /// A wrong pointer goes to the heap's [`Handler`](super::Handler) as a [`Fault`], and nothing is freed. Outside
    /// checked mode that catches another heap's block, a page that holds no block, and a block
    /// freed twice in a row; in checked mode it catches everything that is not a live block of this heap.
    ///
    /// # Safety
    /// `block` came from this heap and has not been freed, nor has the heap been reset since; nobody uses it
    /// any more. In checked mode any pointer at all may be given, as long as, if it is a live block, nobody
    /// uses it any more.
    #[inline]
    #[track_caller]
    pub unsafe fn free(&self, block: NonNull<u8>) {
        // SAFETY: the same promise.
        unsafe { self.free_at(block, Site::here()) };
    }

    /// As [`free`](Self::free), but answers what was wrong instead of telling the handler.
    ///
    /// # Errors
    /// What was wrong with the pointer; nothing was freed.
    ///
    /// # Safety
    /// As [`free`](Self::free).
    ///
    /// ```
    /// # use emalloc::heap::{FaultKind, Heap};
    /// let heap = Heap::builder().checked(true).build()?;
    /// let block = heap.allocate(40);
    /// // SAFETY: the heap is in checked mode, and nobody uses the block.
    /// unsafe {
    ///     assert!(heap.try_free(block).is_ok());
    ///     let fault = heap.try_free(block).unwrap_err();
    ///     assert_eq!(fault.kind, FaultKind::DoubleFree { block_size: 40 });
    /// }
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[inline]
    #[track_caller]
    pub unsafe fn try_free(&self, block: NonNull<u8>) -> Result<(), Fault> {
        // SAFETY: the same promise.
        unsafe { self.try_free_at(block, Site::here()) }
    }

    /// Frees a block whose size the caller knows: the fastest way. (`efree_size`)
    ///
    /// # Safety
    /// As [`free`](Self::free); and the block was last asked for (allocated or resized) with this `layout`, or
    /// with one of the same alignment and of a smaller size, as long as `layout`'s size is at most the block's
    /// usable size. Checked mode reports a wrong size.
    #[inline]
    #[track_caller]
    pub unsafe fn free_sized(&self, block: NonNull<u8>, layout: core::alloc::Layout) {
        // SAFETY: the same promise.
        unsafe { self.free_sized_at(block, layout, Site::here()) };
    }

    /// As [`free_sized`](Self::free_sized), but answers what was wrong instead of telling the handler.
    ///
    /// # Errors
    /// What was wrong with the pointer or the size; nothing was freed.
    ///
    /// # Safety
    /// As [`free_sized`](Self::free_sized).
    #[inline]
    #[track_caller]
    pub unsafe fn try_free_sized(
        &self,
        block: NonNull<u8>,
        layout: core::alloc::Layout,
    ) -> Result<(), Fault> {
        // SAFETY: the same promise.
        unsafe { self.try_free_sized_at(block, layout, Site::here()) }
    }

    /// Bytes that a block can hold: at least what was asked for. (`zend_mem_block_size`)
    ///
    /// # Errors
    /// What was wrong with the pointer.
    ///
    /// # Safety
    /// `block` is a live block of this heap; in checked mode it may be any pointer.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let block = heap.allocate(1000);
    /// // SAFETY: the block is alive.
    /// assert_eq!(unsafe { heap.usable_size(block) }, Ok(1024));
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[track_caller]
    pub unsafe fn usable_size(&self, block: NonNull<u8>) -> Result<usize, Fault> {
        self.state().usable_size(block, Site::here())
    }

    /// Whether `address` lies in a segment of this heap. Any address may be asked for. (`is_zend_ptr`)
    ///
    /// Costs a search of the index, and for what is no small or large block a look at each huge one.
    pub fn owns(&self, address: *const u8) -> bool {
        let (state, address) = (self.state(), address.addr());
        let holds = |segment: Segment| {
            let header = segment.header();
            address.wrapping_sub(header.base.get().addr().get()) < header.size.get()
        };
        let found = |at| state.find_segment(at).is_some_and(holds);
        // The second one finds a block that begins right behind its header's segment (see `segment`).
        found(address & !(state.geometry.segment_size - 1))
            || found(state.geometry.segment_address(address))
            // From an address further inside a huge block nothing leads to its header.
            || (state.huge_segments.get() > 0 && state.segments().any(holds))
    }
}
