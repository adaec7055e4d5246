//! Owns calls that go to the system, because `USE_ZEND_ALLOC=0` says that there is no heap. They may answer null.

use emalloc::heap::{AllocError, Site};
use emalloc::sys;

use crate::error::EmallocError;
use crate::fatal::refuse;
use crate::heap::EmallocHeap;
use crate::platform;
use crate::target::Target;

/// The system's malloc and friends.
#[derive(Clone, Copy)]
pub struct OfSystem;

impl Target for OfSystem {
    fn alloc(self, size: usize, _at: Site<'_>) -> *mut u8 {
        sys::malloc(size)
    }

    fn try_alloc(self, size: usize, _at: Site<'_>) -> *mut u8 {
        sys::malloc(size)
    }

    fn alloc_zeroed(self, size: usize, _at: Site<'_>) -> *mut u8 {
        sys::calloc(1, size)
    }

    fn alloc_aligned(self, size: usize, align: usize, _at: Site<'_>) -> *mut u8 {
        platform::aligned_malloc(size, align)
    }

    unsafe fn realloc(self, block: *mut u8, size: usize, _at: Site<'_>) -> *mut u8 {
        // Size 0 frees the block on some systems; here it keeps one, as with a heap.
        // SAFETY: the caller's promise.
        unsafe { sys::realloc(block, size.max(1)) }
    }

    unsafe fn try_realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.realloc(block, size, at) }
    }

    unsafe fn free(self, block: *mut u8, _at: Site<'_>) {
        // SAFETY: the caller's promise.
        unsafe { sys::free(block) };
    }

    unsafe fn free_size(self, block: *mut u8, _size: usize, at: Site<'_>) {
        // SAFETY: the caller's promise.
        unsafe { self.free(block, at) };
    }

    unsafe fn block_size(self, _block: *mut u8, _at: Site<'_>) -> usize {
        0
    }

    fn asked(&self) -> Option<&EmallocHeap> {
        None
    }

    fn refuse(self, error: AllocError, at: Site<'_>) -> *mut u8 {
        let text = format_args!("{error} at {at}");
        refuse(None, &EmallocError::of_request(&error, at), &text)
    }
}
