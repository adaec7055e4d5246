//! Owns what std has for every program, where there is no std: what a panic does, and the allocator for settings and
//! records, which is the system's.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::global_asm;
use core::panic::PanicInfo;

use emalloc::sys::abort;

use crate::refusal::say;

/// A panic is a defect of ours: it is named, and the process ends where it happened.
#[panic_handler]
fn panicked(info: &PanicInfo<'_>) -> ! {
    say(info);
    abort()
}

// The compiler's own `core` is made for unwinding, and names a personality for it. Nothing unwinds here, so nobody calls it;
// hidden, because a program may have one.
global_asm!(
    ".hidden rust_eh_personality",
    ".globl rust_eh_personality",
    "rust_eh_personality:",
    ".long 0"
);

struct System;

#[global_allocator]
static SYSTEM: System = System;

/// What the system's `malloc` aligns to.
const ALIGN: usize = 2 * size_of::<usize>();

// SAFETY: the system's functions keep the contract; more alignment than they give is refused.
unsafe impl GlobalAlloc for System {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > ALIGN {
            return core::ptr::null_mut();
        }
        // SAFETY: any size may be asked for.
        unsafe { libc::malloc(layout.size()) }.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _layout: Layout) {
        // SAFETY: the caller vouches that it came from `alloc` or `realloc`.
        unsafe { libc::free(block.cast()) }
    }

    unsafe fn realloc(&self, block: *mut u8, _layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above, and its alignment is no more than the system's.
        unsafe { libc::realloc(block.cast(), size) }.cast()
    }
}
