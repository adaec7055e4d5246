//! The contract of [`sys`](super) on Unix: the C library's allocator, mappings,
//! the clock, standard error. What differs between Linux and the others
//! is in the file `kernel`; who may call this: the layers above, through `sys`.

use core::ffi::c_int;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

#[cfg_attr(any(target_os = "linux", target_os = "android"), path = "linux.rs")]
#[cfg_attr(
    not(any(target_os = "linux", target_os = "android")),
    path = "posix.rs"
)]
mod kernel;

pub use kernel::{
    CAN_MOVE, CAN_PREFER_LARGE_PAGES, discard, is_resident, prefer_large_pages, prefer_usual_pages,
    remap_in_place, remap_move,
};

/// The unit of the system's memory in bytes; asked once.
pub fn page_size() -> usize {
    static KNOWN: AtomicUsize = AtomicUsize::new(0);
    match KNOWN.load(Ordering::Relaxed) {
        0 => {
            // SAFETY: sysconf has no preconditions.
            let answer = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(answer)
                .ok()
                .filter(|size| size.is_power_of_two())
                .unwrap_or(crate::layout::PAGE);
            KNOWN.store(size, Ordering::Relaxed);
            size
        }
        size => size,
    }
}

/// Memory of the C library's allocator with any alignment (`posix_memalign`).
pub fn aligned_malloc(size: usize, align: usize) -> *mut u8 {
    if !align.is_power_of_two() {
        return ptr::null_mut();
    }
    let mut start = ptr::null_mut();
    // SAFETY: the alignment is a power of two, and a multiple of a pointer's size after `max`.
    let refused = unsafe { libc::posix_memalign(&mut start, align.max(size_of::<usize>()), size) };
    if refused == 0 {
        start.cast()
    } else {
        ptr::null_mut()
    }
}

/// Gives back what [`aligned_malloc`] handed out.
///
/// # Safety
/// As the contract of `sys` says.
pub unsafe fn aligned_free(start: *mut u8) {
    // SAFETY: posix_memalign's memory is given back with free; the caller vouches for the pointer.
    unsafe { libc::free(start.cast()) }
}

/// [`discard_malloced`] can succeed.
pub const CAN_DISCARD_MALLOCED: bool = true;

/// Lets the system have the memory behind a part of what [`aligned_malloc`] handed out; its content is lost.
/// Pages that lie in it only partly stay.
///
/// # Safety
/// As the contract of `sys` says; a part of it is fine.
pub unsafe fn discard_malloced(start: *mut u8, size: usize) -> bool {
    let page = page_size();
    let first = start.addr().next_multiple_of(page);
    let end = (start.addr() + size) & !(page - 1);
    // SAFETY: whole pages inside the caller's memory, private to this process.
    first < end && unsafe { discard(start.with_addr(first), end - first) }
}

/// The C library's `malloc`.
pub fn malloc(size: usize) -> *mut u8 {
    // SAFETY: malloc has no preconditions.
    unsafe { libc::malloc(size).cast() }
}

/// The C library's `calloc`.
pub fn calloc(count: usize, size: usize) -> *mut u8 {
    // SAFETY: calloc has no preconditions.
    unsafe { libc::calloc(count, size).cast() }
}

/// The C library's `realloc`; null stands for a new block.
///
/// # Safety
/// As the contract of `sys` says; `block` may be null.
pub unsafe fn realloc(block: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: the caller vouches for the pointer.
    unsafe { libc::realloc(block.cast(), size).cast() }
}

/// The C library's `free`.
///
/// # Safety
/// As the contract of `sys` says; `block` may be null.
pub unsafe fn free(block: *mut u8) {
    // SAFETY: the caller vouches for the pointer.
    unsafe { libc::free(block.cast()) }
}

/// Private anonymous memory, all zero, aligned as asked.
pub fn map(size: usize, align: usize) -> *mut u8 {
    map_aligned(
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_ANON,
        -1,
        size,
        align,
    )
}

/// A private mapping of `file`'s beginning, aligned as asked.
pub fn map_file(file: c_int, size: usize, align: usize) -> *mut u8 {
    map_aligned(libc::PROT_READ | libc::PROT_WRITE, 0, file, size, align)
}

/// Gives mapped pages back. `false`: the system refused (too many mappings), they are still there.
///
/// # Safety
/// As the contract of `sys` says; a part of a mapping is fine.
pub unsafe fn unmap(start: *mut u8, size: usize) -> bool {
    // SAFETY: the caller owns these pages and uses them no more.
    unsafe { libc::munmap(start.cast(), size) == 0 }
}

/// Opens `/dev/zero` for [`map_file`]; not inherited by a program that this one starts.
///
/// # Errors
/// The system's error number.
pub fn open_zero() -> Result<c_int, i32> {
    // SAFETY: the path is a C string.
    let file = unsafe { libc::open(c"/dev/zero".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if file >= 0 {
        Ok(file)
    } else {
        Err(kernel::errno())
    }
}

/// Closes what [`open_zero`] opened.
///
/// # Safety
/// The descriptor came from there and is used no more.
pub unsafe fn close(file: c_int) {
    // SAFETY: the caller owns the descriptor.
    unsafe { libc::close(file) };
}

/// What a clock shows; zero if there is no such clock.
fn clock(which: libc::clockid_t) -> libc::timespec {
    // SAFETY: timespec is plain numbers, zero is a value of each.
    let mut now: libc::timespec = unsafe { core::mem::zeroed() };
    // SAFETY: `now` is writable; a refusal leaves it zero.
    unsafe { libc::clock_gettime(which, &mut now) };
    now
}

/// Milliseconds of a clock that never goes back. Coarse where that is cheaper.
pub fn millis() -> u64 {
    let now = clock(kernel::CLOCK);
    (now.tv_sec as u64) * 1000 + (now.tv_nsec as u64) / 1_000_000
}

/// The time of day here.
pub fn local_time() -> Option<super::LocalTime> {
    // SAFETY: tm is plain numbers and a pointer, zero is a value of each.
    let mut now: libc::tm = unsafe { core::mem::zeroed() };
    let seconds = clock(libc::CLOCK_REALTIME).tv_sec;
    // SAFETY: both are valid for the call.
    if unsafe { libc::localtime_r(&seconds, &mut now) }.is_null() {
        return None;
    }
    let positive = |number: c_int| u32::try_from(number).unwrap_or(0);
    Some(super::LocalTime {
        year: now.tm_year.saturating_add(1900),
        month: positive(now.tm_mon) as usize,
        day: positive(now.tm_mday),
        weekday: positive(now.tm_wday) as usize,
        hour: positive(now.tm_hour),
        minute: positive(now.tm_min),
        second: positive(now.tm_sec),
    })
}

/// Makes pages ones that cannot be touched, whatever they hold. `false`: they can.
///
/// # Safety
/// As the contract of `sys` says: the caller's pages, also a part of what [`aligned_malloc`] handed out, which are
/// [`open`] again before they are given back.
pub unsafe fn shut(start: *mut u8, size: usize) -> bool {
    // SAFETY: the caller's pages, which nobody touches meanwhile.
    unsafe { libc::mprotect(start.cast(), size, libc::PROT_NONE) == 0 }
}

/// Makes pages ones that can be read and written again. `false`: they are as they were.
///
/// # Safety
/// As [`shut`].
pub unsafe fn open(start: *mut u8, size: usize) -> bool {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: the caller's pages, which were readable and writable before.
    unsafe { libc::mprotect(start.cast(), size, prot) == 0 }
}

/// Has `before` called before each fork, and `after` behind it in both processes, all on the thread that forks. Says no if there
/// is no room for that.
pub fn at_fork(before: extern "C" fn(), after: extern "C" fn()) -> bool {
    // Not every system's part of the crate `libc` has it.
    unsafe extern "C" {
        fn pthread_atfork(
            before: extern "C" fn(),
            parent: extern "C" fn(),
            child: extern "C" fn(),
        ) -> c_int;
    }
    // SAFETY: both are functions that stay, or go with this library, and then the C library calls them no more.
    unsafe { pthread_atfork(before, after, after) == 0 }
}

/// Lets another thread run, if one waits for that.
pub fn give_way() {
    // SAFETY: no preconditions.
    unsafe { libc::sched_yield() };
}

/// A number that no other thread has.
pub fn this_thread() -> usize {
    // SAFETY: no preconditions.
    unsafe { libc::pthread_self() as usize }
}

/// Writes to standard error as far as it can be written.
pub fn write_stderr(mut text: &[u8]) {
    while !text.is_empty() {
        // SAFETY: the bytes are readable.
        let written = unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        match usize::try_from(written) {
            Ok(0) => return,
            Ok(count) => text = text.get(count..).unwrap_or_default(),
            Err(_) if kernel::errno() == libc::EINTR => {}
            Err(_) => return,
        }
    }
}

/// Ends the process as C's `exit` does.
pub fn exit(code: i32) -> ! {
    // SAFETY: exit has no preconditions here; what runs at exit is the program's own.
    unsafe { libc::exit(code) }
}

/// Ends the process as C's `abort` does.
pub fn abort() -> ! {
    // SAFETY: abort has no preconditions.
    unsafe { libc::abort() }
}

/// One private mapping; null if the system refuses.
fn map_raw(prot: c_int, flags: c_int, file: c_int, hint: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: without MAP_FIXED a mapping lands where nothing else is.
    let start = unsafe { libc::mmap(hint.cast(), size, prot, libc::MAP_PRIVATE | flags, file, 0) };
    if start == libc::MAP_FAILED {
        ptr::null_mut()
    } else {
        start.cast()
    }
}

/// A mapping whose start is aligned: of the exact size first, for the system often
/// aligns by itself; else a larger one with both ends cut off.
fn map_aligned(prot: c_int, flags: c_int, file: c_int, size: usize, align: usize) -> *mut u8 {
    // No object may be larger; a 32-bit process could get such a mapping.
    if isize::try_from(size).is_err() || !align.is_power_of_two() {
        return ptr::null_mut();
    }
    let start = map_raw(prot, flags, file, ptr::null_mut(), size);
    if start.is_null() || start.addr() & (align - 1) == 0 {
        return start;
    }
    // SAFETY: mapped above and used by nobody yet.
    unsafe { unmap(start, size) };
    let Some(large) = size.checked_add(align - page_size()) else {
        return ptr::null_mut();
    };
    let start = map_raw(prot, flags, file, ptr::null_mut(), large);
    if start.is_null() {
        return start;
    }
    let head = start.addr().wrapping_neg() & (align - 1);
    let aligned = start.wrapping_add(head);
    if head != 0 {
        // SAFETY: the first `head` bytes of the fresh mapping, whole pages, used by nobody.
        unsafe { unmap(start, head) };
    }
    let tail = large - head - size;
    if tail != 0 {
        // SAFETY: what follows `size` bytes in the fresh mapping, whole pages, used by nobody.
        unsafe { unmap(aligned.wrapping_add(size), tail) };
    }
    aligned
}
