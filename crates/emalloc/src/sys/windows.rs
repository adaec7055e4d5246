//! The contract of [`sys`](super) on Windows: the process's heap, private heaps,
//! the clock, standard error. Who may call this: the layers above, through `sys`.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};
use windows_sys::Win32::Foundation::{GetLastError, INVALID_HANDLE_VALUE, SYSTEMTIME};
use windows_sys::Win32::Storage::FileSystem::WriteFile;
use windows_sys::Win32::System::Console::{GetStdHandle, STD_ERROR_HANDLE};
use windows_sys::Win32::System::Memory::{
    GetProcessHeap, HEAP_REALLOC_IN_PLACE_ONLY, HEAP_ZERO_MEMORY, HeapAlloc, HeapCompact,
    HeapCreate, HeapDestroy, HeapFree, HeapReAlloc, PAGE_NOACCESS, PAGE_READWRITE, VirtualProtect,
};
use windows_sys::Win32::System::SystemInformation::{
    GetLocalTime, GetSystemInfo, GetTickCount64, SYSTEM_INFO,
};
use windows_sys::Win32::System::Threading::{ExitProcess, GetCurrentProcess, TerminateProcess};

/// A private heap's handle, or the process's.
pub type HeapHandle = *mut c_void;

/// The unit of the system's memory in bytes; asked once.
pub fn page_size() -> usize {
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: SYSTEM_INFO is plain numbers and pointers, zero is a value of each.
            let mut info: SYSTEM_INFO = unsafe { core::mem::zeroed() };
            // SAFETY: `info` is writable.
            unsafe { GetSystemInfo(&mut info) };
            let size = usize::try_from(info.dwPageSize)
                .ok()
                .filter(|size| size.is_power_of_two())
                .unwrap_or(crate::layout::PAGE);
            KNOWN.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Memory of the process's heap with any alignment.
pub fn aligned_malloc(size: usize, align: usize) -> *mut u8 {
    // SAFETY: the process's heap lives as long as the process.
    unsafe { heap_alloc(process_heap(), size, align) }
}

/// Gives back what [`aligned_malloc`] handed out.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn aligned_free(start: *mut u8) {
    // SAFETY: `aligned_malloc` got it from this heap.
    unsafe { heap_free(process_heap(), start) }
}

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

/// A block of the process's heap.
pub fn malloc(size: usize) -> *mut u8 {
    // SAFETY: the process's heap lives as long as the process.
    unsafe { HeapAlloc(process_heap(), 0, size).cast() }
}

/// A zeroed block of the process's heap; null too when the product is more than a `usize` holds.
pub fn calloc(count: usize, size: usize) -> *mut u8 {
    let Some(bytes) = count.checked_mul(size) else {
        return ptr::null_mut();
    };
    // SAFETY: the process's heap lives as long as the process.
    unsafe { HeapAlloc(process_heap(), HEAP_ZERO_MEMORY, bytes).cast() }
}

/// A block of the process's heap with another size; null stands for a new block.
///
/// # Safety
/// As the contract of `sys` says; `block` may be null.
pub unsafe fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        return malloc(size);
    }
    // SAFETY: the caller vouches for the block.
    unsafe { HeapReAlloc(process_heap(), 0, block.cast(), size).cast() }
}

/// Gives a block back to the process's heap.
///
/// # Safety
/// As the contract of `sys` says; `block` may be null.
pub unsafe fn free(block: *mut u8) {
    // SAFETY: the caller vouches for the block, and null is allowed.
    unsafe { HeapFree(process_heap(), 0, block.cast()) };
}

/// Makes a private heap that threads may share.
///
/// # Errors
/// The system's error number.
pub fn heap_create() -> Result<HeapHandle, i32> {
    // SAFETY: HeapCreate has no preconditions; 0, 0 mean: grows as needed.
    let heap = unsafe { HeapCreate(0, 0, 0) };
    if heap.is_null() {
        // SAFETY: GetLastError has no preconditions.
        Err(unsafe { GetLastError() }.cast_signed())
    } else {
        Ok(heap)
    }
}

/// Memory of a heap with any alignment: a larger block, the aligned start inside it,
/// and the block's own address in the word before that start.
///
/// # Safety
/// The heap is alive.
pub unsafe fn heap_alloc(heap: HeapHandle, size: usize, align: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        return ptr::null_mut();
    }
    let align = align.max(size_of::<*mut u8>());
    let Some(bytes) = size
        .checked_add(align)
        .and_then(|sum| sum.checked_add(size_of::<*mut u8>()))
    else {
        return ptr::null_mut();
    };
    // SAFETY: the heap is alive.
    let raw: *mut u8 = unsafe { HeapAlloc(heap, 0, bytes) }.cast();
    if raw.is_null() {
        return raw;
    }
    let start = raw.map_addr(|addr| (addr + size_of::<*mut u8>()).next_multiple_of(align));
    // SAFETY: between `raw` and `start` there is room for a pointer, and `start` is aligned for one.
    unsafe { start.cast::<*mut u8>().sub(1).write(raw) };
    start
}

/// Makes what [`heap_alloc`] handed out `size` bytes large where it is. `false`: it is as it was.
///
/// # Safety
/// As the contract of `sys` says; the heap is alive.
pub unsafe fn heap_resize_in_place(heap: HeapHandle, start: *mut u8, size: usize) -> bool {
    // SAFETY: `start` came from `heap_alloc`.
    let raw = unsafe { raw_of(start) };
    let Some(bytes) = size.checked_add(start.addr() - raw.addr()) else {
        return false;
    };
    // SAFETY: `raw` is the block's own address in this heap.
    let answer = unsafe { HeapReAlloc(heap, HEAP_REALLOC_IN_PLACE_ONLY, raw.cast(), bytes) };
    !answer.is_null()
}

/// Gives back what [`heap_alloc`] handed out.
///
/// # Safety
/// As the contract of `sys` says; the heap is alive.
pub unsafe fn heap_free(heap: HeapHandle, start: *mut u8) {
    // SAFETY: `start` came from `heap_alloc`.
    let raw = unsafe { raw_of(start) };
    // SAFETY: `raw` is the block's own address in this heap.
    unsafe { HeapFree(heap, 0, raw.cast()) };
}

/// Has a heap give free memory back. How much went is not told: `HeapCompact`
/// answers the largest free block, and 0 on some systems.
///
/// # Safety
/// The heap is alive.
pub unsafe fn heap_compact(heap: HeapHandle) {
    // SAFETY: the heap is alive.
    unsafe { HeapCompact(heap, 0) };
}

/// Ends a private heap and everything in it.
///
/// # Safety
/// It came from [`heap_create`] and nothing of it is used any more.
pub unsafe fn heap_destroy(heap: HeapHandle) {
    // SAFETY: the caller vouches for the handle.
    unsafe { HeapDestroy(heap) };
}

/// Milliseconds of a clock that never goes back.
pub fn millis() -> u64 {
    // SAFETY: GetTickCount64 has no preconditions.
    unsafe { GetTickCount64() }
}

/// The time of day here.
pub fn local_time() -> Option<super::LocalTime> {
    // SAFETY: SYSTEMTIME is plain numbers, zero is a value of each.
    let mut now: SYSTEMTIME = unsafe { core::mem::zeroed() };
    // SAFETY: `now` is writable.
    unsafe { GetLocalTime(&mut now) };
    Some(super::LocalTime {
        year: now.wYear.into(),
        month: usize::from(now.wMonth).saturating_sub(1),
        day: now.wDay.into(),
        weekday: now.wDayOfWeek.into(),
        hour: now.wHour.into(),
        minute: now.wMinute.into(),
        second: now.wSecond.into(),
    })
}

/// Makes pages ones that cannot be touched, whatever they hold. `false`: they can.
///
/// # Safety
/// As the contract of `sys` says: the caller's pages, also a part of what [`aligned_malloc`] handed out, which are
/// [`open`] again before they are given back.
pub unsafe fn shut(start: *mut u8, size: usize) -> bool {
    // SAFETY: the same promise.
    unsafe { protect(start, size, PAGE_NOACCESS) }
}

/// Makes pages ones that can be read and written again. `false`: they are as they were.
///
/// # Safety
/// As [`shut`].
pub unsafe fn open(start: *mut u8, size: usize) -> bool {
    // SAFETY: the same promise.
    unsafe { protect(start, size, PAGE_READWRITE) }
}

/// Changes what may be done with pages.
///
/// # Safety
/// They are the caller's.
unsafe fn protect(start: *mut u8, size: usize, how: u32) -> bool {
    let mut before = 0;
    // SAFETY: the caller's pages; `before` is writable.
    unsafe { VirtualProtect(start.cast(), size, how, &mut before) != 0 }
}

/// Writes to standard error as far as it can be written.
pub fn write_stderr(mut text: &[u8]) {
    // SAFETY: GetStdHandle has no preconditions.
    let handle = unsafe { GetStdHandle(STD_ERROR_HANDLE) };
    if handle.is_null() || handle == INVALID_HANDLE_VALUE {
        return;
    }
    while !text.is_empty() {
        let wanted = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let mut written = 0;
        // SAFETY: the bytes are readable, the count is writable, the handle is the process's own.
        let done =
            unsafe { WriteFile(handle, text.as_ptr(), wanted, &mut written, ptr::null_mut()) };
        let count = usize::try_from(written).unwrap_or(0);
        if done == 0 || count == 0 {
            return;
        }
        text = text.get(count..).unwrap_or_default();
    }
}

/// Ends the process with this code, modules told.
pub fn exit(code: i32) -> ! {
    // SAFETY: ExitProcess has no preconditions.
    unsafe { ExitProcess(code.cast_unsigned()) }
}

/// Ends the process at once with 3, the code of C's `abort`.
pub fn abort() -> ! {
    // SAFETY: the pseudo handle of this process is always valid.
    let this = unsafe { GetCurrentProcess() };
    // SAFETY: as above.
    unsafe { TerminateProcess(this, 3) };
    exit(3)
}

fn process_heap() -> HeapHandle {
    // SAFETY: GetProcessHeap has no preconditions.
    unsafe { GetProcessHeap() }
}

/// The block behind an aligned start.
///
/// # Safety
/// `start` came from [`heap_alloc`] and is alive.
unsafe fn raw_of(start: *mut u8) -> *mut u8 {
    // SAFETY: `heap_alloc` put the pointer there.
    unsafe { start.cast::<*mut u8>().sub(1).read() }
}
