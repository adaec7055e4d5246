//! The thread's fast pointer where no shorter way is known.
// It is `const`; with the form that `thread_local` takes on Windows clippy does not see it.
#![allow(clippy::missing_const_for_thread_local)]

use core::cell::Cell;
use core::ffi::c_void;
use core::ptr;

thread_local! {
    static FAST: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

/// The raw heap that calls on the current heap go to at once; null if somebody has to look first.
#[inline(always)]
pub fn get() -> *mut c_void {
    FAST.with(Cell::get)
}

/// Changes it.
pub fn set(value: *mut c_void) {
    FAST.with(|fast| fast.set(value));
}
