//! What Linux does in its own way: mappings that grow and move by page tables (`mremap`),
//! pages given back at once, a coarse clock. Same names as `posix.rs`; used by `unix.rs` only.

use core::ptr;

/// [`remap_move`] can succeed.
pub const CAN_MOVE: bool = true;

/// Precise to some milliseconds, and read without a system call.
pub(super) const CLOCK: libc::clockid_t = libc::CLOCK_MONOTONIC_COARSE;

#[cfg(target_os = "linux")]
use libc::__errno_location as errno_location;

#[cfg(target_os = "android")]
use libc::__errno as errno_location;

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
    // SAFETY: the caller's mapping; without MAYMOVE it stays where it is.
    let answer = unsafe { libc::mremap(start.cast(), old, new, 0) };
    answer != libc::MAP_FAILED
}

/// Makes a mapping larger (`old < new`) without copying: where it is, or moved to an aligned place. Null: it is as and
/// where it was.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn remap_move(start: *mut u8, old: usize, new: usize, align: usize) -> *mut u8 {
    // SAFETY: the caller's mapping.
    if unsafe { remap_in_place(start, old, new) } {
        return start;
    }
    // So says the kernel of what is several mappings to it, and moves none.
    if errno() == libc::EFAULT {
        return ptr::null_mut();
    }
    // An aligned place that nobody else can take meanwhile.
    let target = super::map_aligned(
        libc::PROT_NONE,
        libc::MAP_ANON | libc::MAP_NORESERVE,
        -1,
        new,
        align,
    );
    if target.is_null() {
        return target;
    }
    if !has_room(new - old) {
        // SAFETY: mapped above and used by nobody yet.
        unsafe { super::unmap(target, new) };
        return ptr::null_mut();
    }
    let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
    // SAFETY: the caller's mapping goes onto the reservation, which is ours and as large as `new`.
    let answer =
        unsafe { libc::mremap(start.cast(), old, new, flags, target.cast::<libc::c_void>()) };
    if answer == libc::MAP_FAILED {
        // The kernel may or may not have cleared the target before it refused, and cleared
        // addresses may be another thread's by now: unmapping them here could hit that thread.
        // What can stay behind is an empty reservation, and only at the process's limit of mappings.
        return ptr::null_mut();
    }
    answer.cast()
}

/// Whether the process may have `size` bytes more beside all that it has.
fn has_room(size: usize) -> bool {
    let is_limited = |which| {
        let mut limit = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: it is there to be written; a refusal leaves it zero, which is a limit.
        unsafe { libc::getrlimit(which, &mut limit) };
        limit.rlim_cur != libc::RLIM_INFINITY
    };
    // Asking costs more than knowing that there is nothing to ask for.
    if ![libc::RLIMIT_AS, libc::RLIMIT_DATA]
        .into_iter()
        .any(is_limited)
    {
        return true;
    }
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    let start = super::map_raw(prot, libc::MAP_ANON, -1, ptr::null_mut(), size);
    // SAFETY: just mapped, if it was.
    !start.is_null() && unsafe { super::unmap(start, size) }
}

/// Gives the memory behind pages back and keeps the addresses; they read as zero then.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn discard(start: *mut u8, size: usize) -> bool {
    // SAFETY: whole pages of the caller's private mapping, whose content may go.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_DONTNEED) == 0 }
}

/// [`prefer_large_pages`] can have an effect.
pub const CAN_PREFER_LARGE_PAGES: bool = true;

/// Lets the system bring whole large pages in where there are none yet.
///
/// # Safety
/// As the contract of `sys` says; a part of a mapping is fine.
pub unsafe fn prefer_large_pages(start: *mut u8, size: usize) {
    // SAFETY: pages of the caller's mapping; how they are brought in changes nothing in what they hold. A refusal
    // (of a system without large pages) leaves all as it was.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_HUGEPAGE) };
}

/// Lets the system bring in usual pages where there are none yet. Large ones that are there stay.
///
/// # Safety
/// As the contract of `sys` says; a part of a mapping is fine.
pub unsafe fn prefer_usual_pages(start: *mut u8, size: usize) {
    // SAFETY: as for `prefer_large_pages`.
    unsafe { libc::madvise(start.cast(), size, libc::MADV_NOHUGEPAGE) };
}

/// Whether the page at `start` is in memory, as far as the system tells.
pub fn is_resident(start: *mut u8) -> bool {
    let mut state = 0;
    // SAFETY: it writes one byte for one page, and refuses what is no mapping's address.
    let answer = unsafe { libc::mincore(start.cast(), 1, &mut state) };
    answer == 0 && state & 1 != 0
}
