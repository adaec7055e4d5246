//! Telling whichever of valgrind and the address sanitizer watches the program, in builds for them.
// `watch_none.rs` stands for each tool that the build is not for.
#![allow(clippy::duplicate_mod)]

#[cfg_attr(feature = "asan", path = "watch_asan.rs")]
#[cfg_attr(not(feature = "asan"), path = "watch_none.rs")]
mod asan;
#[cfg_attr(feature = "valgrind", path = "watch_valgrind.rs")]
#[cfg_attr(not(feature = "valgrind"), path = "watch_none.rs")]
mod valgrind;

/// Whether anybody may be told.
pub const WATCHED: bool = asan::WATCHED || valgrind::WATCHED;

/// Whoever touches this memory from now on is reported.
///
/// # Safety
/// The memory is the caller's.
#[inline]
pub unsafe fn forbid(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { asan::forbid(start, size) };
    // SAFETY: the caller's promise.
    unsafe { valgrind::forbid(start, size) };
}

/// This memory may be touched, and what it holds may be relied on.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn allow(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { asan::allow(start, size) };
    // SAFETY: the caller's promise.
    unsafe { valgrind::allow(start, size) };
}

/// This memory may be touched, but nobody has written to it yet.
///
/// # Safety
/// As above.
#[inline]
pub unsafe fn hand_out(start: *mut u8, size: usize) {
    // SAFETY: the caller's promise.
    unsafe { asan::hand_out(start, size) };
    // SAFETY: the caller's promise.
    unsafe { valgrind::hand_out(start, size) };
}
