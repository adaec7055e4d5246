//! Telling a tool that watches the program's memory which of it is whose: one that is not built for.

/// Whether anybody may be told.
pub const WATCHED: bool = false;

/// Nothing.
///
/// # Safety
/// As in the other files of this name.
#[inline(always)]
pub unsafe fn forbid(_start: *mut u8, _size: usize) {}

/// Nothing.
///
/// # Safety
/// As above.
#[inline(always)]
pub unsafe fn allow(_start: *mut u8, _size: usize) {}

/// Nothing.
///
/// # Safety
/// As above.
#[inline(always)]
pub unsafe fn hand_out(_start: *mut u8, _size: usize) {}
