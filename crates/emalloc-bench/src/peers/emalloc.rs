//! emalloc, as a Rust program uses it: the methods of a `Heap`, inlined where the compiler sees fit.

use std::alloc::Layout;
use std::ptr::NonNull;

use emalloc::heap::Heap;

use crate::allocator::{Blocks, Peer};
use crate::settings::{Setting, Warm};

/// The peer.
pub struct Emalloc {
    setting: Setting,
    warm: Warm,
}

impl Emalloc {
    /// emalloc in this setting.
    pub fn new(setting: Setting) -> Self {
        Self {
            setting,
            warm: Warm::new(),
        }
    }
}

impl Peer for Emalloc {
    type Heap = Heap;

    fn create(&self) -> Heap {
        self.setting
            .build(&self.warm)
            .expect("there is memory for a segment")
    }
}

impl Blocks for Heap {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        Heap::allocate(self, size).as_ptr()
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        // SAFETY: a heap never answers null.
        let block = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: the caller's promise.
        unsafe { Heap::free(self, block) };
    }

    #[inline(always)]
    unsafe fn free_sized(&mut self, block: *mut u8, layout: Layout) {
        // SAFETY: a heap never answers null.
        let block = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: the caller's promise.
        unsafe { Heap::free_sized(self, block, layout) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: a heap never answers null.
        let block = unsafe { NonNull::new_unchecked(block) };
        // SAFETY: the caller's promise.
        unsafe { Heap::resize(self, block, size).as_ptr() }
    }

    fn end_request(&mut self) {
        self.reset();
    }
}
