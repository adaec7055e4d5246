//! The contract of [`sys`](super) where there is no operating system:
//! no memory, no clock, nowhere to write. Storages bring their own memory there.

/// The unit of the system's memory in bytes: nobody says, so the usual one.
pub fn page_size() -> usize {
    crate::layout::PAGE
}

/// Null: there is no memory to have.
pub fn aligned_malloc(_size: usize, _align: usize) -> *mut u8 {
    core::ptr::null_mut()
}

/// Nothing, as [`aligned_malloc`] hands nothing out.
///
/// # Safety
/// The pointer came from [`aligned_malloc`].
pub unsafe fn aligned_free(_start: *mut u8) {}

/// [`discard_malloced`] never does anything here.
pub const CAN_DISCARD_MALLOCED: bool = false;

/// Nothing: the memory stays as it is.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn discard_malloced(_start: *mut u8, _size: usize) -> bool {
    false
}

/// [`prefer_large_pages`] never does anything here.
pub const CAN_PREFER_LARGE_PAGES: bool = false;

/// Does nothing: memory comes in pages of one size.
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

/// Null: there is no memory to have.
pub fn malloc(_size: usize) -> *mut u8 {
    core::ptr::null_mut()
}

/// Null: there is no memory to have.
pub fn calloc(_count: usize, _size: usize) -> *mut u8 {
    core::ptr::null_mut()
}

/// Null: there is no memory to have.
///
/// # Safety
/// The pointer is null.
pub unsafe fn realloc(_block: *mut u8, _size: usize) -> *mut u8 {
    core::ptr::null_mut()
}

/// Nothing, as [`malloc`] hands nothing out.
///
/// # Safety
/// The pointer is null.
pub unsafe fn free(_block: *mut u8) {}

/// A clock that stands still.
pub fn millis() -> u64 {
    0
}

/// Nowhere to write: the text is lost.
pub fn write_stderr(_text: &[u8]) {}

/// There is nothing to return to: stops here.
pub fn exit(_code: i32) -> ! {
    abort()
}

/// Stops here.
pub fn abort() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// Nothing: pages can be touched always.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn shut(_start: *mut u8, _size: usize) -> bool {
    false
}

/// Nothing, as [`shut`] shuts nothing.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn open(_start: *mut u8, _size: usize) -> bool {
    true
}

/// There is no clock.
pub fn local_time() -> Option<super::LocalTime> {
    None
}
