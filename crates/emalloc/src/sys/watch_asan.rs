//! Telling the address sanitizer which memory is whose. In a program without its runtime the functions are missing,
//! and nothing is done.

use core::arch::asm;
use core::mem;

/// Whether anybody may be told.
pub const WATCHED: bool = true;

/// The runtime's functions.
type Mark = unsafe extern "C" fn(*const u8, usize);

/// The function of that name, if the program has it: a weak symbol, which stable Rust has only in assembly.
macro_rules! weak {
    ($name:literal) => {{
        let address: usize;
        // SAFETY: reads the linker's entry for the symbol, 0 if there is no such symbol.
        unsafe {
            asm!(
                concat!(".weak ", $name),
                concat!("mov {}, qword ptr [rip + ", $name, "@GOTPCREL]"),
                out(reg) address,
                options(pure, nomem, nostack, preserves_flags),
            );
        }
        // SAFETY: null or the function, whose type this is.
        unsafe { mem::transmute::<usize, Option<Mark>>(address) }
    }};
}

/// Whoever touches this memory from now on is reported.
///
/// # Safety
/// The memory is the caller's.
#[inline]
pub unsafe fn forbid(start: *mut u8, size: usize) {
    if let Some(poison) = weak!("__asan_poison_memory_region") {
        // SAFETY: the caller's promise.
        unsafe { poison(start, size) };
    }
}

/// This memory may be touched, and what it holds may be relied on.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn allow(start: *mut u8, size: usize) {
    if let Some(unpoison) = weak!("__asan_unpoison_memory_region") {
        // SAFETY: the caller's promise.
        unsafe { unpoison(start, size) };
    }
}

/// This memory may be touched. That nobody has written to it yet is nothing to this sanitizer.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn hand_out(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { allow(start, size) };
}
