//! Owns calls that go to a heap: the library's fast paths, and the asking of the fatal handler when one is refused.

use core::alloc::Layout;
use core::ffi::c_void;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use emalloc::heap::{AllocError, DefaultHandler, Handler, Heap, Site};
use emalloc::layout::PAGE;

use crate::error::EmallocError;
use crate::fatal::{Action, decide, set_ending};
use crate::heap::{EmallocHeap, of_raw};
use crate::target::Target;

/// A heap by its raw address: one word, in a register.
#[derive(Clone, Copy)]
pub struct OfHeap(NonNull<c_void>);

type Answer = Result<NonNull<u8>, AllocError>;

impl OfHeap {
    /// # Safety
    /// `raw` is a heap of this library, alive and this thread's as long as this is used.
    #[inline(always)]
    pub unsafe fn new(raw: NonNull<c_void>) -> Self {
        Self(raw)
    }

    #[inline(always)]
    fn heap(self) -> ManuallyDrop<Heap> {
        // SAFETY: so `new` was promised.
        unsafe { Heap::view(self.0) }
    }

    fn or_decide(self, at: Site<'_>, request: impl Fn(&Heap) -> Answer) -> *mut u8 {
        match request(&self.heap()) {
            Ok(block) => block.as_ptr(),
            Err(error) => self.decide(error, at, &|| request(&self.heap())),
        }
    }

    /// Asks the program about a refusal, until it is served or that is of no use. A wrong pointer is another matter.
    #[cold]
    #[inline(never)]
    fn decide(self, mut error: AllocError, at: Site<'_>, again: &dyn Fn() -> Answer) -> *mut u8 {
        let heap = self.heap();
        if let AllocError::BadPointer(fault) = error {
            heap.report_fault_at(&fault, at);
            return ptr::null_mut();
        }
        // SAFETY: so `new` was promised.
        let asking = unsafe { of_raw(self.0) };
        loop {
            heap.open_reserve();
            let action = decide(Some(asking), &EmallocError::of_request(&error, at));
            // The reserve is the handler's: what is tried again must not be served from it.
            heap.close_reserve();
            let served = match (action, error) {
                (Action::Continue, _) => return ptr::null_mut(),
                (Action::Retry, AllocError::Limit { .. } | AllocError::Storage { .. }) => again(),
                _ => {
                    set_ending();
                    DefaultHandler.out_of_memory(&heap, &error, at);
                    return ptr::null_mut();
                }
            };
            heap.close_reserve();
            match served {
                Ok(block) => return block.as_ptr(),
                Err(refusal) => error = refusal,
            }
        }
    }
}

fn or_null(answer: Answer) -> *mut u8 {
    answer.map_or(ptr::null_mut(), NonNull::as_ptr)
}

impl Target for OfHeap {
    #[inline(always)]
    fn alloc(self, size: usize, at: Site<'_>) -> *mut u8 {
        self.heap()
            .allocate_or(size, at, || self.alloc_slow(size, at))
    }

    #[inline(always)]
    fn try_alloc(self, size: usize, at: Site<'_>) -> *mut u8 {
        or_null(self.heap().try_allocate_at(size, at))
    }

    fn alloc_zeroed(self, size: usize, at: Site<'_>) -> *mut u8 {
        self.alloc_layout(size, 1, at, |heap, layout| {
            heap.try_allocate_zeroed_at(layout, at)
        })
    }

    fn alloc_aligned(self, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        self.alloc_layout(size, align, at, |heap, layout| {
            heap.try_allocate_layout_at(layout, at)
        })
    }

    #[inline(always)]
    unsafe fn realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8 {
        match NonNull::new(block) {
            // SAFETY: the caller's promise; a refused resize leaves the block as it was.
            Some(block) => match unsafe { self.heap().try_resize_at(block, size, 1, at) } {
                Ok(resized) => resized.as_ptr(),
                Err(_) => self.resize_refused(block, size, at),
            },
            None => self.alloc(size, at),
        }
    }

    #[inline(always)]
    unsafe fn try_realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8 {
        let Some(block) = NonNull::new(block) else {
            return self.try_alloc(size, at);
        };
        // SAFETY: the caller's promise.
        match unsafe { self.heap().try_resize_at(block, size, 1, at) } {
            Ok(resized) => resized.as_ptr(),
            // A null means that there is no memory; this is another matter.
            Err(error @ AllocError::BadPointer(_)) => self.refuse(error, at),
            Err(_) => ptr::null_mut(),
        }
    }

    #[inline(always)]
    unsafe fn free(self, block: *mut u8, at: Site<'_>) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller's promise.
            unsafe { self.heap().free_at(block, at) };
        }
    }

    #[inline(always)]
    unsafe fn free_size(self, block: *mut u8, size: usize, at: Site<'_>) {
        let Some(block) = NonNull::new(block) else {
            return;
        };
        // No block is larger; a size that is gets to be a wrong one.
        let size = size.min(isize::MAX as usize);
        // SAFETY: the alignment is a power of two, and the size within bounds.
        let layout = unsafe { Layout::from_size_align_unchecked(size, 1) };
        // SAFETY: the caller's promise.
        unsafe { self.heap().free_sized_at(block, layout, at) };
    }

    unsafe fn block_size(self, block: *mut u8, at: Site<'_>) -> usize {
        let Some(block) = NonNull::new(block) else {
            return 0;
        };
        // SAFETY: the caller's promise.
        match unsafe { self.heap().usable_size(block) } {
            Ok(size) => size,
            Err(fault) => {
                self.heap().report_fault_at(&fault, at);
                0
            }
        }
    }

    fn asked(&self) -> Option<&EmallocHeap> {
        // SAFETY: so `new` was promised.
        Some(unsafe { of_raw(self.0) })
    }

    #[cold]
    fn refuse(self, error: AllocError, at: Site<'_>) -> *mut u8 {
        self.decide(error, at, &|| Err(error))
    }
}

impl OfHeap {
    /// Allocates what no block was at hand for.
    #[cold]
    #[inline(never)]
    fn alloc_slow(self, size: usize, at: Site<'_>) -> *mut u8 {
        self.or_decide(at, |heap| heap.try_allocate_at(size, at))
    }

    /// Resizes once more after a refusal, and then asks the program.
    #[cold]
    #[inline(never)]
    fn resize_refused(self, block: NonNull<u8>, size: usize, at: Site<'_>) -> *mut u8 {
        self.or_decide(at, |heap| {
            // SAFETY: only called for what `realloc` was called for; a refused resize leaves the block as it was.
            unsafe { heap.try_resize_at(block, size, 1, at) }
        })
    }

    fn alloc_layout(
        self,
        size: usize,
        align: usize,
        at: Site<'_>,
        request: impl Fn(&Heap, Layout) -> Answer,
    ) -> *mut u8 {
        match Layout::from_size_align(size, align) {
            Ok(layout) => self.or_decide(at, |heap| request(heap, layout)),
            Err(_) => {
                let more = align.max(PAGE);
                self.refuse(AllocError::TooLarge { size, more }, at)
            }
        }
    }
}
