//! Owns calls that go to custom handlers, set in the place of a heap.

use core::ptr;

use emalloc::heap::{AllocError, Site};
use emalloc::layout::MIN_ALIGN;

use crate::custom::Handlers;
use crate::heap::EmallocHeap;
use crate::site::EmallocSite;
use crate::target::Target;
use crate::target_heap::OfHeap;

/// The handlers of a heap.
#[derive(Clone, Copy)]
pub struct OfHandlers<'a> {
    pub heap: &'a EmallocHeap,
    pub handlers: Handlers,
}

impl Target for OfHandlers<'_> {
    fn alloc(self, size: usize, at: Site<'_>) -> *mut u8 {
        let site = EmallocSite::from(at);
        (self.handlers.alloc)(self.handlers.data, self.heap.address(), size, &site).cast()
    }

    fn try_alloc(self, size: usize, at: Site<'_>) -> *mut u8 {
        self.alloc(size, at)
    }

    fn alloc_zeroed(self, size: usize, at: Site<'_>) -> *mut u8 {
        let block = self.alloc(size, at);
        if !block.is_null() {
            // SAFETY: the handlers answered a block of that size.
            unsafe { block.write_bytes(0, size) };
        }
        block
    }

    fn alloc_aligned(self, size: usize, align: usize, at: Site<'_>) -> *mut u8 {
        // Handlers are not told of an alignment; this much every allocator has.
        if align > MIN_ALIGN {
            return ptr::null_mut();
        }
        self.alloc(size, at)
    }

    unsafe fn realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8 {
        let (data, heap, site) = (
            self.handlers.data,
            self.heap.address(),
            EmallocSite::from(at),
        );
        (self.handlers.realloc)(data, heap, block.cast(), size, &site).cast()
    }

    unsafe fn try_realloc(self, block: *mut u8, size: usize, at: Site<'_>) -> *mut u8 {
        // SAFETY: the caller's promise.
        unsafe { self.realloc(block, size, at) }
    }

    unsafe fn free(self, block: *mut u8, at: Site<'_>) {
        if !block.is_null() {
            let site = EmallocSite::from(at);
            (self.handlers.free)(self.handlers.data, self.heap.address(), block.cast(), &site);
        }
    }

    unsafe fn free_size(self, block: *mut u8, _size: usize, at: Site<'_>) {
        // SAFETY: the caller's promise.
        unsafe { self.free(block, at) };
    }

    unsafe fn block_size(self, block: *mut u8, _at: Site<'_>) -> usize {
        match self.handlers.block_size {
            Some(ask) if !block.is_null() => {
                ask(self.handlers.data, self.heap.address(), block.cast())
            }
            _ => 0,
        }
    }

    fn asked(&self) -> Option<&EmallocHeap> {
        Some(self.heap)
    }

    fn refuse(self, error: AllocError, at: Site<'_>) -> *mut u8 {
        // SAFETY: the heap is alive, and this thread's.
        unsafe { OfHeap::new(self.heap.raw()) }.refuse(error, at)
    }
}
