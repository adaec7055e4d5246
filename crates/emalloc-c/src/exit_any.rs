//! The end of the process: among what the program has registered for it, in reverse order.

use core::ffi::c_int;
use std::sync::Once;

use crate::current::process_ends;

unsafe extern "C" {
    safe fn atexit(function: extern "C" fn()) -> c_int;
}

extern "C" fn at_end() {
    process_ends();
}

/// Sees to it that [`process_ends`] is called.
pub fn arm() {
    static ARMED: Once = Once::new();
    // Without room for it, nothing is told at the end.
    ARMED.call_once(|| {
        atexit(at_end);
    });
}
