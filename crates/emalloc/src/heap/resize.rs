//! Owns resizing: every chance to do it in place, and the copy when there is none.

use core::mem::MaybeUninit;
use core::panic::Location;
use core::ptr::{self, NonNull};

use super::Heap;
use super::error::AllocError;
use super::free::Place;
use super::segment::{Segment, page};
use super::state::State;
use crate::layout::{PAGE, round_up};
use crate::size_class::{SMALL_MAX, class_of, size_of_class};

impl State {
    /// Makes the block at `block` hold `size` bytes at a multiple of `align`. Null after `refuse`; the block is as
    /// it was then.
    ///
    /// A block always ends up where `allocate_aligned` would have put it, small, large or huge, so that
    /// `free_sized` may rely on the size; only a huge block may stay huge.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[inline]
    pub unsafe fn resize(&self, block: NonNull<u8>, size: usize, align: usize) -> *mut u8 {
        if self.fast_end.get() == 0 {
            return self.resize_slow(block, size, align);
        }
        // Most blocks are small before and after.
        if align <= PAGE
            && let Some(rounded) = round_up(size.max(1), align)
            && let Some(new) = class_of(rounded)
            // SAFETY: the caller's promise.
            && let Some(old) = unsafe { self.small_class(block) }
        {
            return self.resize_small(block, old, new, size);
        }
        // SAFETY: the caller's promise.
        if align <= PAGE && unsafe { self.has_pages_for(block, size) } {
            return block.as_ptr();
        }
        self.resize_slow(block, size, align)
    }

    /// Whether `block` is a large or huge one of this heap that holds `size` bytes, with no page to spare: texts
    /// and lists grow by a little many times. Not in checked mode.
    ///
    /// # Safety
    /// As [`Heap::free`].
    unsafe fn has_pages_for(&self, block: NonNull<u8>, size: usize) -> bool {
        let address = block.addr().get();
        // SAFETY: as in `free`.
        let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
        if !ptr::eq(segment.header().owner.get(), self)
            || !address.is_multiple_of(PAGE)
            || size <= SMALL_MAX
        {
            return false;
        }
        let index = segment.index_of(address);
        match segment.map(index) {
            page::LARGE => {
                let pages = segment.info(&self.geometry, index).length.get() as usize;
                size.div_ceil(PAGE) == pages
            }
            page::HUGE => {
                let has = self.huge_size(segment);
                size <= has && has - size < PAGE
            }
            _ => false,
        }
    }

    /// Moves a small block from class `old` to class `new`, if those differ.
    #[inline]
    fn resize_small(&self, block: NonNull<u8>, old: usize, new: usize, size: usize) -> *mut u8 {
        if old == new {
            return block.as_ptr();
        }
        let moved = match self.take_small(new, size) {
            block if block.is_null() => return block,
            block => block,
        };
        let (old_size, new_size) = (size_of_class(old), size_of_class(new));
        // SAFETY: both blocks have that many bytes; the new one overlaps nothing alive.
        unsafe { copy_words(block.as_ptr(), moved, old_size.min(new_size)) };
        self.bins[old].push(block.as_ptr());
        self.change_usage(old_size, new_size);
        moved
    }

    /// Resizing in all its cases.
    #[cold]
    #[inline(never)]
    fn resize_slow(&self, block: NonNull<u8>, size: usize, align: usize) -> *mut u8 {
        if self.walking.get() {
            return self.refuse(AllocError::Walking);
        }
        let place = match self.locate(block) {
            Ok(place) => place,
            Err(fault) => return self.refuse(AllocError::BadPointer(fault)),
        };
        let Some(rounded) =
            round_up(size.max(1), align.min(PAGE)).filter(|&size| size <= isize::MAX as usize)
        else {
            return self.refuse(AllocError::Overflow {
                count: 1,
                size,
                offset: align,
            });
        };
        let aligned = block.addr().get().is_multiple_of(align);
        let class = class_of(rounded).filter(|_| align <= PAGE);
        let pages = rounded.div_ceil(PAGE);
        match place {
            Place::Small { class: old } if class == Some(old) => return block.as_ptr(),
            Place::Large { run, pages: old }
                if class.is_none()
                    && aligned
                    && pages <= self.geometry.longest_run()
                    && self.resize_large(run, old, pages) =>
            {
                return block.as_ptr();
            }
            Place::Huge { segment } if aligned && !self.geometry.fits(pages, align) => {
                let resized = self.resize_huge(segment, rounded, align);
                if !resized.is_null() {
                    return resized;
                }
            }
            _ => {}
        }
        let moved = self.copy_resized(block, place, size, align);
        if moved.is_null()
            && aligned
            && class.is_none()
            && let Place::Huge { segment } = place
            && rounded <= self.huge_size(segment)
        {
            // There is no room for a copy, but the block is large enough as it is.
            return block.as_ptr();
        }
        moved
    }

    /// The plain way: a new block, a copy, and the old one freed.
    fn copy_resized(&self, block: NonNull<u8>, place: Place, size: usize, align: usize) -> *mut u8 {
        // That both are alive for a moment is our doing, not the program's: the peak ignores it.
        let peak = self.peak.get();
        let old = self.size_of_place(place);
        let new = if size > old && !self.geometry.fits(size.div_ceil(PAGE), align.max(PAGE)) {
            // What has grown out of its place will grow again.
            self.allocate_huge(size, align.max(PAGE), true).0
        } else {
            self.allocate_aligned(size, align)
        };
        if new.is_null() {
            return new;
        }
        let bytes = old.min(size);
        // SAFETY: both blocks have that many bytes; the new one overlaps nothing alive.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), new, bytes) };
        // SAFETY: the caller gave the block up, and `place` says that it is one.
        let freed = unsafe { self.free(block) };
        debug_assert!(freed.is_ok());
        let after = self.usage();
        self.peak.set(peak.max(after));
        self.below_peak.set(self.peak.get() - after);
        new
    }
}

/// Copies `bytes` bytes, a multiple of 8, between blocks that do not overlap.
///
/// # Safety
/// Both are that long and aligned to 8.
#[inline(always)]
unsafe fn copy_words(from: *const u8, to: *mut u8, bytes: usize) {
    if bytes > 128 {
        // SAFETY: the caller's promise.
        return unsafe { ptr::copy_nonoverlapping(from, to, bytes) };
    }
    // A call costs more than a few words. Blocks hold anything, also what was never written.
    let (from, to) = (
        from.cast::<MaybeUninit<u64>>(),
        to.cast::<MaybeUninit<u64>>(),
    );
    for word in 0..bytes / 8 {
        // SAFETY: the caller's promise.
        unsafe { to.add(word).write(from.add(word).read()) };
    }
}

/// Resizing.
impl Heap {
    /// Makes a block hold `size` bytes, in place if that can be; its content up to the smaller size is kept.
    /// (`erealloc`; size 0 keeps a block, as there.)
    ///
    /// # Errors
    /// As [`try_allocate`](Self::try_allocate), or [`AllocError::BadPointer`]. The old block is untouched and still
    /// the caller's.
    ///
    /// # Safety
    /// As [`free`](Self::free); the old pointer is used no more unless an error is answered.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let block = heap.allocate(5000);
    /// // SAFETY: the block is alive and 5000 bytes long.
    /// let block = unsafe {
    ///     block.as_ptr().write_bytes(7, 5000);
    ///     heap.try_resize(block, 1 << 20).unwrap()
    /// };
    /// // SAFETY: so much was kept.
    /// assert_eq!(unsafe { block.as_ptr().add(4999).read() }, 7);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    #[inline]
    pub unsafe fn try_resize(
        &self,
        block: NonNull<u8>,
        size: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the same promise.
        unsafe { self.try_resize_aligned(block, size, 1) }
    }

    /// As [`try_resize`](Self::try_resize), for a block that is to be aligned to `align`, a power of two.
    ///
    /// # Errors
    /// As [`try_resize`](Self::try_resize).
    ///
    /// # Safety
    /// As [`try_resize`](Self::try_resize); `align` is a power of two.
    #[inline]
    pub unsafe fn try_resize_aligned(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        let state = self.state();
        // SAFETY: the same promise.
        NonNull::new(unsafe { state.resize(block, size, align) })
            .ok_or_else(|| state.take_refusal())
    }

    /// As [`try_resize`](Self::try_resize), but a refusal goes to the heap's [`Handler`](super::Handler), and so
    /// does a wrong pointer, which is then answered as it was.
    ///
    /// # Safety
    /// As [`try_resize`](Self::try_resize).
    #[inline]
    #[track_caller]
    pub unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> NonNull<u8> {
        let state = self.state();
        // SAFETY: the same promise.
        if let Some(resized) = NonNull::new(unsafe { state.resize(block, size, 1) }) {
            return resized;
        }
        if let Some(AllocError::BadPointer(fault)) = state.refusal.get() {
            self.report_fault(&fault);
            return block;
        }
        // SAFETY: the same promise: a refused resize leaves the block as it was.
        state.recover(Location::caller(), |state| unsafe {
            state.resize(block, size, 1)
        })
    }
}
