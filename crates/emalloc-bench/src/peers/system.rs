//! The C library's `malloc`. It has no heaps: each block left at the end of a request is freed.

use std::ffi::CStr;

use crate::allocator::{Blocks, Peer};

/// The peer, and all there is to its heap.
#[derive(Clone, Copy)]
pub struct System;

/// The C library and its version, as far as it tells.
pub fn version() -> String {
    // SAFETY: glibc answers a constant string.
    let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    format!("glibc {}", version.to_string_lossy())
}

impl Peer for System {
    type Heap = Self;

    fn create(&self) -> Self {
        *self
    }
}

impl Blocks for System {
    const BULK: bool = false;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        // SAFETY: any size may be asked for.
        unsafe { libc::malloc(size).cast() }
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        // SAFETY: the caller's promise.
        unsafe { libc::free(block.cast()) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        // SAFETY: the caller's promise; size 0 must not mean "free".
        unsafe { libc::realloc(block.cast(), size.max(1)).cast() }
    }

    fn end_request(&mut self) {}
}
