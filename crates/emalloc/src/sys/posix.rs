//! What a Unix other than Linux offers in place of `linux.rs`, with the same names:
//! growing by a mapping right behind, no moving. Used by `unix.rs` only.

use core::ptr;

/// [`remap_move`] never succeeds here.
pub const CAN_MOVE: bool = false;

/// The clock that never goes back.
pub(super) const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC;

#[cfg(any(target_os = "linux", target_os = "dragonfly"))]
use libc::__errno_location as errno_location;

#[cfg(any(target_vendor = "apple", target_os = "freebsd"))]
use libc::__error as errno_location;

#[cfg(any(target_os = "netbsd", target_os = "openbsd"))]
use libc::__errno as errno_location;

#[cfg(any(target_os = "solaris", target_os = "illumos"))]
use libc::___errno as errno_location;

/// The number of the thread's last error.
pub(super) fn errno() -> i32 {
    // SAFETY: the C library answers a valid pointer to the thread's own number.
    unsafe { *errno_location() }
}

/// Makes a mapping larger or smaller where it is. `false`: it is as it was.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn remap_in_place(start: *mut u8, old: usize, new: usize) -> bool {
    if new <= old {
        // SAFETY: the tail belongs to the caller's mapping.
        return new == old || unsafe { super::unmap(start.wrapping_add(new), old - new) };
    }
    let wanted = start.wrapping_add(old);
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // Without MAP_FIXED the address is a wish: another place means that something is in the way.
    let got = super::map_raw(prot, libc::MAP_ANON, -1, wanted, new - old);
    if got.is_null() || got == wanted {
        return !got.is_null();
    }
    // SAFETY: mapped just now and used by nobody.
    unsafe { super::unmap(got, new - old) };
    false
}

/// Null: there is no moving without a copy here.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn remap_move(_start: *mut u8, _old: usize, _new: usize, _align: usize) -> *mut u8 {
    ptr::null_mut()
}

/// Lets the system have the memory behind pages back and keeps the addresses.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn discard(start: *mut u8, size: usize) -> bool {
    // SAFETY: whole pages of the caller's private mapping, whose content may go.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_FREE) == 0 }
}

/// [`prefer_large_pages`] never does anything here.
pub const CAN_PREFER_LARGE_PAGES: bool = false;

/// Does nothing: elsewhere the system sees to large pages by itself.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn prefer_large_pages(_start: *mut u8, _size: usize) {}

/// Does nothing.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn prefer_usual_pages(_start: *mut u8, _size: usize) {}

/// No: nobody says.
pub const fn is_resident(_start: *mut u8) -> bool {
    false
}
