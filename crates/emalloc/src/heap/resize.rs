//! Owns resizing: every chance to do it in place, and the copy when there is none.

use core::mem::MaybeUninit;
use core::ptr::{self, NonNull};

use super::Heap;
use super::error::AllocError;
use super::pages::GROWING;
use super::place::{Place, whole};
use super::segment::{Page, Segment, code_in_map, page};
use super::site::Site;
use super::state::State;
use crate::layout::{MIN_ALIGN, PAGE, PAGE_SHIFT, round_up};
use crate::size_class::{SMALL_MAX, Slot, class_of, size_of_class, slot_of};

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
    pub unsafe fn resize(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
        at: Site<'_>,
    ) -> *mut u8 {
        let block = whole(block);
        // Most blocks are small before and after.
        if align <= PAGE
            && let Some(rounded) = rounded(size, align)
            && rounded <= SMALL_MAX
            // SAFETY: the caller's promise.
            && let Some(old) = unsafe { self.small_code(block) }
        {
            // SAFETY: just tested.
            let new = unsafe { slot_of(rounded) };
            if old == new.code {
                return block.as_ptr();
            }
            // SAFETY: the block is ours, and that is the code of its class.
            let moved = unsafe { self.move_small(block, old, new, size) };
            return self.sampled(moved, at);
        }
        // SAFETY: the caller's promise.
        unsafe { self.resize_pages(block, size, align, at) }
    }

    /// Resizing, unless the block is small before and after.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[cold]
    #[inline(never)]
    unsafe fn resize_pages(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
        at: Site<'_>,
    ) -> *mut u8 {
        // SAFETY: the caller's promise.
        if align <= PAGE && unsafe { self.has_pages_for(block, size) } {
            return block.as_ptr();
        }
        if self.cold.is_on() {
            // SAFETY: the caller's promise.
            return unsafe { self.resize_in_cold_run(block, size, align, at) };
        }
        self.resize_slow(block, size, align, at)
    }

    /// As [`resize_slow`](Self::resize_slow), of what may be a small block in a cold run.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[inline(never)]
    unsafe fn resize_in_cold_run(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
        at: Site<'_>,
    ) -> *mut u8 {
        if align <= PAGE
            && let Some(rounded) = rounded(size, align)
            && rounded <= SMALL_MAX
            // SAFETY: the caller's promise.
            && let Some((class, _)) = unsafe { self.cold_at(block) }
        {
            let old = usize::from(code_in_map(class));
            // SAFETY: just tested.
            let new = unsafe { slot_of(rounded) };
            if old == new.code {
                return block.as_ptr();
            }
            // SAFETY: a slot holds a code.
            let moved = unsafe { self.bin(new.code) }.list.pop();
            // SAFETY: the block is ours, and that is the code of its class.
            let moved = unsafe { self.move_small_slow(block, old, new, (moved, size)) };
            return self.sampled(moved, at);
        }
        self.resize_slow(block, size, align, at)
    }

    /// Whether `block` is a large or huge one of this heap that holds `size` bytes, with no page to spare: texts
    /// and lists grow by a little many times. Not while the gate is shut.
    ///
    /// # Safety
    /// As [`Heap::free`].
    #[inline(always)]
    unsafe fn has_pages_for(&self, block: NonNull<u8>, size: usize) -> bool {
        let address = block.addr().get();
        // SAFETY: as in `small_code`.
        let segment = unsafe { Segment::at(self.gate.header_of(address)) };
        if !ptr::eq(segment.owner(), self) || !address.is_multiple_of(PAGE) || size <= SMALL_MAX {
            return false;
        }
        let index = segment.index_of(address);
        match segment.map(index) {
            page::LARGE | page::SAMPLED => {
                // Of more bytes than addresses these are no pages.
                let pages = size.wrapping_add(PAGE - 1) >> PAGE_SHIFT;
                pages == Page { segment, index }.span(&self.geometry)
            }
            page::HUGE => self.huge_size(segment).wrapping_sub(size) < PAGE,
            _ => false,
        }
    }

    /// Moves a small block from the class of code `old` to that of `new`. The gate is open.
    ///
    /// # Safety
    /// It is a live block of that class, and `old` is a code.
    #[inline(never)]
    unsafe fn move_small(&self, block: NonNull<u8>, old: usize, new: Slot, size: usize) -> *mut u8 {
        // SAFETY: a slot holds a code.
        let moved = unsafe { self.bin(new.code) }.list.pop();
        // SAFETY: the caller's promise.
        let bin = unsafe { self.bin(old) };
        let bytes = bin.size.min(new.size);
        if moved.is_null() || bytes > FEW {
            // SAFETY: the caller's promise.
            return unsafe { self.move_small_slow(block, old, new, (moved, size)) };
        }
        // SAFETY: both blocks have that many bytes; the new one overlaps nothing alive.
        unsafe { copy_few(block.as_ptr(), moved, bytes) };
        bin.list.push(block.as_ptr());
        self.usage.sub(bin.size);
        self.usage.add(new.size);
        moved
    }

    /// As [`move_small`](Self::move_small), to `moved`, or to where there is no free block yet if that is null; any size.
    ///
    /// # Safety
    /// As there.
    #[cold]
    #[inline(never)]
    unsafe fn move_small_slow(
        &self,
        block: NonNull<u8>,
        old: usize,
        new: Slot,
        (mut moved, size): (*mut u8, usize),
    ) -> *mut u8 {
        if moved.is_null() {
            moved = self.take_small(new.code / 2, size);
        }
        if moved.is_null() {
            return moved;
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { self.bin(old) }.size.min(new.size);
        // SAFETY: both blocks have that many bytes; the new one overlaps nothing alive.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), moved, bytes) };
        let class = old / 2;
        if let Some(run) = self.cold_run_of(block) {
            self.park(class, run, block);
        } else {
            // Not the bin's list: a handler that was told of the soft limit may have begun to observe.
            self.list(class).push(block.as_ptr());
            self.usage.sub(size_of_class(class));
        }
        self.usage.add(new.size);
        moved
    }

    /// Resizing in all its cases.
    #[cold]
    #[inline(never)]
    fn resize_slow(&self, block: NonNull<u8>, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        let resized = if self.modes.concern_requests() {
            self.resize_in_mode(block, size, align, at)
        } else {
            self.resize_unseen(block, size, align)
        };
        self.sampled(resized, at)
    }

    /// Resizing in all its cases, that no mode is told of. Not during a walk.
    pub fn resize_unseen(&self, block: NonNull<u8>, size: usize, align: usize) -> *mut u8 {
        let place = match self.locate(block) {
            Ok(place) => place,
            Err(fault) => return self.refuse(AllocError::BadPointer(fault)),
        };
        let Some(rounded) =
            round_up(size.max(1), align.min(PAGE)).filter(|&size| size <= isize::MAX as usize)
        else {
            return self.refuse(AllocError::too_large(size, align));
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
                self.move_sample(block, place, block.as_ptr());
                return block.as_ptr();
            }
            Place::Large { run, pages: old }
                if align <= PAGE && pages > self.geometry.longest_run() =>
            {
                let resized = self.outgrow(run, old, rounded);
                if !resized.is_null() {
                    // It is a huge one by now, of which there is no mark.
                    let segment = run.segment;
                    self.move_sample(block, Place::Huge { segment }, resized);
                    return resized;
                }
            }
            Place::Huge { segment } if aligned && !self.geometry.fits(pages, align) => {
                let resized = self.resize_huge(segment, rounded, align);
                if !resized.is_null() {
                    self.move_sample(block, place, resized);
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
        let peak = self.usage.peak();
        let old = self.size_of_place(place);
        let bytes = old.min(size);
        let (pages, grows) = (size.div_ceil(PAGE), size > old);
        // What has grown out of its place will grow again.
        let mut new = ptr::null_mut();
        if grows && !self.geometry.fits(pages, align.max(PAGE)) {
            new = self.allocate_huge(size, align.max(PAGE), true).0;
        } else {
            if grows && pages >= GROWING && align <= PAGE {
                new = self.allocate_with_room(pages);
            }
            if new.is_null() {
                new = self.allocate_unseen(size, align);
            }
        }
        if new.is_null() {
            return new;
        }
        if grows {
            self.note_growing(new.addr() + pages * PAGE, pages);
        }
        // SAFETY: both blocks have that many bytes; the new one overlaps nothing alive.
        unsafe { ptr::copy_nonoverlapping(block.as_ptr(), new, bytes) };
        let freed = self.free_unseen(block);
        debug_assert!(freed.is_ok());
        self.usage.set_peak(peak);
        new
    }
}

/// What `allocate_aligned` makes of a size, if that is anything.
#[inline(always)]
fn rounded(size: usize, align: usize) -> Option<usize> {
    if align <= MIN_ALIGN {
        Some(size)
    } else {
        round_up(size.max(1), align)
    }
}

/// Up to so many bytes a loop beats a call.
const FEW: usize = 64;

/// Copies `bytes` bytes, a multiple of 8, between blocks that do not overlap: word by word, as most of them were written, for
/// processors wait where they read at once what was written in parts a moment ago.
///
/// # Safety
/// Both are that long and aligned to 8.
#[inline(always)]
unsafe fn copy_few(from: *const u8, to: *mut u8, bytes: usize) {
    // Blocks hold anything, also what was never written.
    type Word = MaybeUninit<u64>;
    for offset in (0..bytes).step_by(size_of::<Word>()) {
        // Volatile, or compilers would join words.
        // SAFETY: the caller's promise.
        let word = unsafe { from.add(offset).cast::<Word>().read_volatile() };
        // SAFETY: as above.
        unsafe { to.add(offset).cast::<Word>().write_volatile(word) };
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
    #[track_caller]
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
    #[track_caller]
    pub unsafe fn try_resize_aligned(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
    ) -> Result<NonNull<u8>, AllocError> {
        // SAFETY: the same promise.
        unsafe { self.try_resize_at(block, size, align, Site::here()) }
    }

    /// As [`try_resize`](Self::try_resize), but a refusal goes to the heap's [`Handler`](super::Handler), and so
    /// does a wrong pointer, which is then answered as it was.
    ///
    /// # Safety
    /// As [`try_resize`](Self::try_resize).
    #[inline]
    #[track_caller]
    pub unsafe fn resize(&self, block: NonNull<u8>, size: usize) -> NonNull<u8> {
        // SAFETY: the same promise.
        unsafe { self.resize_at(block, size, Site::here()) }
    }
}
