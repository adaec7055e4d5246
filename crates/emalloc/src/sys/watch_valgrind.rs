//! Telling valgrind's memcheck which memory is whose. Outside of valgrind it is five instructions without effect.

use core::arch::asm;

/// Whether anybody may be told.
pub const WATCHED: bool = true;

/// Memcheck's requests: `MC` above, a number below.
const MAKE_MEM_NOACCESS: usize = 0x4D43_0000;
const MAKE_MEM_UNDEFINED: usize = 0x4D43_0001;
const MAKE_MEM_DEFINED: usize = 0x4D43_0002;

/// Whoever touches this memory from now on is reported.
///
/// # Safety
/// The memory is the caller's.
#[inline]
pub unsafe fn forbid(start: *mut u8, size: usize) {
    request(MAKE_MEM_NOACCESS, start, size);
}

/// This memory may be touched, and what it holds may be relied on.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn allow(start: *mut u8, size: usize) {
    request(MAKE_MEM_DEFINED, start, size);
}

/// This memory may be touched, but nobody has written to it yet.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn hand_out(start: *mut u8, size: usize) {
    request(MAKE_MEM_UNDEFINED, start, size);
}

fn request(code: usize, start: *mut u8, size: usize) {
    let words = [code, start.addr(), size, 0, 0, 0];
    // SAFETY: the rotations add up to two full turns, and the exchange is of a register with itself. Valgrind knows the
    // sequence, reads the words at rax and answers in rdx.
    unsafe {
        asm!(
            "rol rdi, 3",
            "rol rdi, 13",
            "rol rdi, 61",
            "rol rdi, 51",
            "xchg rbx, rbx",
            in("rax") &raw const words,
            inout("rdx") 0_usize => _,
            options(nostack),
        );
    }
}
