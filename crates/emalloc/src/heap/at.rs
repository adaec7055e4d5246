//! Owns the public forms that are told where they were called: for those who bind
//! other languages or relay a call. The forms without `_at` name their caller's line.

use core::alloc::Layout;
use core::ptr::NonNull;

use super::Heap;
use super::error::AllocError;
use super::fault::Fault;
use super::handler::fatal;
use super::site::Site;

/// Calls with a place.
impl Heap {
    /// As [`try_allocate`](Self::try_allocate), called at `at`.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_allocate_at(&self, size: usize, at: Site<'_>) -> Result<NonNull<u8>, AllocError> {
        let state = self.state();
        NonNull::new(state.allocate(size, at)).ok_or_else(|| state.take_refusal())
    }

    /// A block of at least `size` bytes, called at `at`, if a free one of its class is at hand, else what `slow`
    /// answers: for bindings, which send all other cases to a function of their own. Null is `slow`'s only. As little code
    /// as can be: bindings have many functions, and processors' caches for code are small.
    #[inline(always)]
    pub fn allocate_or(
        &self,
        size: usize,
        at: Site<'_>,
        slow: impl FnOnce() -> *mut u8,
    ) -> *mut u8 {
        self.state().allocate_or(size, at, slow)
    }

    /// A block of at least `size` bytes if the heap keeps a large block that was freed lately
    /// ([`Builder::keep_buffer`](super::Builder::keep_buffer)) and that is of as many pages, else null: for bindings, in which this is
    /// a way of its own for sizes above those of small blocks.
    #[inline(always)]
    pub fn allocate_spare(&self, size: usize, at: Site<'_>) -> *mut u8 {
        self.state().allocate_spare(size, at)
    }

    /// As [`try_allocate_layout`](Self::try_allocate_layout), called at `at`.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_allocate_layout_at(
        &self,
        layout: Layout,
        at: Site<'_>,
    ) -> Result<NonNull<u8>, AllocError> {
        let state = self.state();
        NonNull::new(state.allocate_aligned(layout.size(), layout.align(), at))
            .ok_or_else(|| state.take_refusal())
    }

    /// As [`try_allocate_zeroed`](Self::try_allocate_zeroed), called at `at`.
    ///
    /// # Errors
    /// As there.
    #[inline]
    pub fn try_allocate_zeroed_at(
        &self,
        layout: Layout,
        at: Site<'_>,
    ) -> Result<NonNull<u8>, AllocError> {
        let state = self.state();
        NonNull::new(state.allocate_zeroed(layout.size(), layout.align(), at))
            .ok_or_else(|| state.take_refusal())
    }

    /// As [`allocate`](Self::allocate), called at `at`. (`_emalloc`)
    #[inline]
    pub fn allocate_at(&self, size: usize, at: Site<'_>) -> NonNull<u8> {
        self.or_recover(at, move |state| state.allocate(size, at))
    }

    /// As [`allocate_layout`](Self::allocate_layout), called at `at`.
    #[inline]
    pub fn allocate_layout_at(&self, layout: Layout, at: Site<'_>) -> NonNull<u8> {
        let (size, align) = (layout.size(), layout.align());
        self.or_recover(at, move |state| state.allocate_aligned(size, align, at))
    }

    /// As [`allocate_zeroed`](Self::allocate_zeroed), called at `at`. (`_ecalloc`)
    #[inline]
    pub fn allocate_zeroed_at(&self, layout: Layout, at: Site<'_>) -> NonNull<u8> {
        let (size, align) = (layout.size(), layout.align());
        self.or_recover(at, move |state| state.allocate_zeroed(size, align, at))
    }

    /// As [`free`](Self::free), called at `at`. (`_efree`)
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn free_at(&self, block: NonNull<u8>, at: Site<'_>) {
        let state = self.state();
        // SAFETY: the same promise.
        if !unsafe { state.free_fast(block) } {
            state.free_or_report(block, at);
        }
    }

    /// As [`try_free`](Self::try_free), called at `at`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn try_free_at(&self, block: NonNull<u8>, at: Site<'_>) -> Result<(), Fault> {
        let state = self.state();
        // SAFETY: the same promise.
        match unsafe { state.free_fast(block) } {
            true => Ok(()),
            false => state.free_slow(block, at),
        }
    }

    /// As [`free_sized`](Self::free_sized), called at `at`. (`_efree_size`)
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn free_sized_at(&self, block: NonNull<u8>, layout: Layout, at: Site<'_>) {
        let (state, size, align) = (self.state(), layout.size(), layout.align());
        // SAFETY: the same promise.
        if !unsafe { state.free_sized_fast(block, size, align) } {
            state.free_sized_or_report(block, (size, align), at);
        }
    }

    /// As [`free_sized`](Self::free_sized) where that takes a few instructions only, else `slow`, with nothing done: for
    /// bindings, which send all other cases to a function of their own.
    ///
    /// # Safety
    /// As there.
    #[inline(always)]
    pub unsafe fn free_sized_or(&self, block: NonNull<u8>, layout: Layout, slow: impl FnOnce()) {
        let (state, size, align) = (self.state(), layout.size(), layout.align());
        // Raising the peak is not for them.
        // SAFETY: the same promise.
        if state.usage.is_above() || !unsafe { state.free_sized_fast(block, size, align) } {
            slow();
        }
    }

    /// As [`try_free_sized`](Self::try_free_sized), called at `at`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn try_free_sized_at(
        &self,
        block: NonNull<u8>,
        layout: Layout,
        at: Site<'_>,
    ) -> Result<(), Fault> {
        let (state, size, align) = (self.state(), layout.size(), layout.align());
        // SAFETY: the same promise.
        match unsafe { state.free_sized_fast(block, size, align) } {
            true => Ok(()),
            false => state.free_sized_slow(block, (size, align), at),
        }
    }

    /// As [`try_resize_aligned`](Self::try_resize_aligned), called at `at`.
    ///
    /// # Errors
    /// As there.
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn try_resize_at(
        &self,
        block: NonNull<u8>,
        size: usize,
        align: usize,
        at: Site<'_>,
    ) -> Result<NonNull<u8>, AllocError> {
        let state = self.state();
        // SAFETY: the same promise.
        NonNull::new(unsafe { state.resize(block, size, align, at) })
            .ok_or_else(|| state.take_refusal())
    }

    /// As [`resize`](Self::resize), called at `at`. (`_erealloc`)
    ///
    /// # Safety
    /// As there.
    #[inline]
    pub unsafe fn resize_at(&self, block: NonNull<u8>, size: usize, at: Site<'_>) -> NonNull<u8> {
        let state = self.state();
        // SAFETY: the same promise.
        if let Some(resized) = NonNull::new(unsafe { state.resize(block, size, 1, at) }) {
            return resized;
        }
        if let Some(AllocError::BadPointer(fault)) = state.refusal.get() {
            state.report(&fault, at);
            return block;
        }
        // SAFETY: the same promise: a refused resize leaves the block as it was.
        state.recover(at, move |state| unsafe { state.resize(block, size, 1, at) })
    }

    /// As [`report_refusal`](Self::report_refusal), of a call made at `at`.
    #[cold]
    pub fn report_refusal_at(&self, error: &AllocError, at: Site<'_>) -> ! {
        let state = self.state();
        state.open_reserve();
        state.handler().out_of_memory(self, error, at);
        fatal(error, at)
    }

    /// Tells the handler of a wrong pointer that was given at `at`: what a `try_` form answered.
    #[cold]
    pub fn report_fault_at(&self, fault: &Fault, at: Site<'_>) {
        self.state().report(fault, at);
    }
}
