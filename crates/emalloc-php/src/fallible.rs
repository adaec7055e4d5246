//! Owns what the header of PHP 8.2.36 has beyond that of earlier ones: forms that answer null at the limit, the hard
//! limit, and the count of allocations. The rest of it, which needs PHP's own structures, is in `php/hook.c`.

use core::ffi::{c_int, c_void};

use crate::allocate::{_ecalloc, _emalloc, _erealloc};
use crate::current::started;
use crate::safe::{_safe_emalloc, _safe_erealloc};

/// Runs `body` with a null as the answer to a refusal.
fn fallible(body: impl FnOnce() -> *mut c_void) -> *mut c_void {
    let record = started();
    let before = record.set_fallible(true);
    let block = body();
    record.set_fallible(before);
    block
}

/// As [`_emalloc`], or null at the limit. (`femalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _femalloc(size: usize) -> *mut c_void {
    fallible(|| _emalloc(size))
}

/// As [`_ecalloc`], or null at the limit. (`fecalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _fecalloc(count: usize, size: usize) -> *mut c_void {
    fallible(|| _ecalloc(count, size))
}

/// As [`_erealloc`], or null at the limit; the old block is untouched then. (`ferealloc`)
///
/// # Safety
/// As [`_erealloc`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _ferealloc(block: *mut c_void, size: usize) -> *mut c_void {
    // SAFETY: the caller's promise.
    fallible(|| unsafe { _erealloc(block, size) })
}

/// As [`_ferealloc`]; only the first `_copy_size` bytes matter to the caller. (`ferealloc2`)
///
/// # Safety
/// As [`_erealloc`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _ferealloc2(
    block: *mut c_void,
    size: usize,
    _copy_size: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { _ferealloc(block, size) }
}

/// As [`_safe_emalloc`], or null at the limit. (`safe_femalloc`)
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn _safe_femalloc(count: usize, size: usize, offset: usize) -> *mut c_void {
    fallible(|| _safe_emalloc(count, size, offset))
}

/// As [`_safe_erealloc`], or null at the limit; the old block is untouched then. (`safe_ferealloc`)
///
/// # Safety
/// As [`_erealloc`].
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub unsafe extern "C" fn _safe_ferealloc(
    block: *mut c_void,
    count: usize,
    size: usize,
    offset: usize,
) -> *mut c_void {
    // SAFETY: the caller's promise.
    fallible(|| unsafe { _safe_erealloc(block, count, size, offset) })
}

/// Whether a refusal may be answered with null.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_mm_is_fallible() -> bool {
    started().fallible()
}

/// Sets that.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_mm_set_fallible(fallible: bool) {
    started().set_fallible(fallible);
}

/// Sets how far beyond the limit memory is handed out to a script that is about to end because of the limit: in percent of
/// it, at least 100; -1: twice the limit, or 1 GiB more for limits above that. 0 if it was set, -1 if not.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_set_memory_hard_limit_percent(percent: isize) -> c_int {
    let record = started();
    let number = usize::try_from(percent)
        .ok()
        .filter(|&number| number >= 100);
    if (percent != -1 && number.is_none()) || record.usage(true).0 > record.limit() {
        return -1;
    }
    record.set_hard_percent(number);
    0
}

/// Lets the `most`-th allocation from now fail as if it were beyond the limit; 0: none. Only where blocks are tracked,
/// as in the original.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_mm_set_max_allocs(most: u64) {
    if let Some(tracked) = started().tracked() {
        tracked.set_most(most);
    }
}

/// Whether that has happened.
#[cfg_attr(feature = "exports", unsafe(no_mangle))]
pub extern "C" fn zend_mm_max_allocs_hit() -> bool {
    started().tracked().is_some_and(|tracked| tracked.ran_out())
}
