//! The thread's fast pointer on x86-64 Linux: a word of thread-local memory laid out when the library is loaded, so that
//! reading it takes two instructions and no call. (A `thread_local!` of a shared library takes a call.) It is all of the
//! library's memory of this kind, of which the C library keeps some to spare for libraries opened later.

use core::arch::{asm, global_asm};
use core::ffi::c_void;

global_asm!(
    ".pushsection .tbss.emalloc_fast,\"awT\",@nobits",
    ".p2align 3",
    // Every part of the library reads it, nobody else.
    ".globl emalloc_fast",
    ".hidden emalloc_fast",
    ".type emalloc_fast, @tls_object",
    ".size emalloc_fast, 8",
    "emalloc_fast:",
    ".zero 8",
    ".popsection",
);

/// The raw heap that calls on the current heap go to at once; null if somebody has to look first.
#[inline(always)]
pub fn get() -> *mut c_void {
    let value;
    // SAFETY: reads the thread's word, which is initialised to zero, by the offset that the loader filled in.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + emalloc_fast@GOTTPOFF]",
            "mov {0}, qword ptr fs:[{0}]",
            out(reg) value,
            options(nostack, readonly, preserves_flags, pure),
        );
    }
    value
}

/// Changes it.
pub fn set(value: *mut c_void) {
    // SAFETY: writes the thread's word, which nobody holds a reference to.
    unsafe {
        asm!(
            "mov {0}, qword ptr [rip + emalloc_fast@GOTTPOFF]",
            "mov qword ptr fs:[{0}], {1}",
            out(reg) _,
            in(reg) value,
            options(nostack, preserves_flags),
        );
    }
}
