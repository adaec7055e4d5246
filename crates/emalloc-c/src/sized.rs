//! Owns structs that can grow: their first field says how much of them the caller knows.

use core::ptr;

/// A struct whose first field is a `usize` that holds its size, and in which zero everywhere means "nothing said".
///
/// # Safety
/// That is so, it is `repr(C)`, and all zero is a valid value.
pub unsafe trait Sized_: Copy {}

/// What the caller knows of a struct, and zero in the rest. `None` if its size says that nothing is known: nobody has set it.
///
/// # Safety
/// `from` points to as many bytes as its first field says, and to that field.
pub unsafe fn read<T: Sized_>(from: *const T) -> Option<T> {
    // SAFETY: the first field is a `usize`.
    let known = unsafe { from.cast::<usize>().read() }.min(size_of::<T>());
    if known <= size_of::<usize>() {
        return None;
    }
    // SAFETY: all zero is valid.
    let mut value = unsafe { core::mem::zeroed::<T>() };
    // SAFETY: no more than either has.
    unsafe { ptr::copy_nonoverlapping(from.cast::<u8>(), (&raw mut value).cast(), known) };
    Some(value)
}

/// Fills in what the caller knows of a struct; its first field stays.
///
/// # Safety
/// As [`read`], for a place that can be written.
pub unsafe fn write<T: Sized_>(value: &T, to: *mut T) {
    // SAFETY: the first field is a `usize`.
    let known = unsafe { to.cast::<usize>().read() };
    let first = size_of::<usize>();
    if let Some(rest) = known.min(size_of::<T>()).checked_sub(first) {
        let from = ptr::from_ref(value).cast::<u8>();
        // SAFETY: there is more than the first field.
        let (from, to) = unsafe { (from.add(first), to.cast::<u8>().add(first)) };
        // SAFETY: no more than either has.
        unsafe { ptr::copy_nonoverlapping(from, to, rest) };
    }
}
