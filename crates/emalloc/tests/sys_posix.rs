//! `sys/posix.rs`, what other Unix systems get in place of `linux.rs`, compiled and run on Linux:
//! it uses nothing that Linux does not have too.
#![cfg(target_os = "linux")]

#[path = "../src/sys/posix.rs"]
#[allow(dead_code)]
mod posix;

use std::ptr;

const SIZE: usize = 1 << 20;

/// What `posix.rs` finds in `unix.rs`.
fn map_raw(prot: i32, flags: i32, file: i32, hint: *mut u8, size: usize) -> *mut u8 {
    // SAFETY: without MAP_FIXED a mapping lands where nothing else is.
    let start = unsafe { libc::mmap(hint.cast(), size, prot, libc::MAP_PRIVATE | flags, file, 0) };
    assert_ne!(start, libc::MAP_FAILED);
    start.cast()
}

/// What `posix.rs` finds in `unix.rs`.
///
/// # Safety
/// The pages are the caller's.
unsafe fn unmap(start: *mut u8, size: usize) -> bool {
    // SAFETY: the caller's pages.
    unsafe { libc::munmap(start.cast(), size) == 0 }
}

fn map(size: usize) -> *mut u8 {
    let prot = libc::PROT_READ | libc::PROT_WRITE;
    map_raw(prot, libc::MAP_ANON, -1, ptr::null_mut(), size)
}

/// Grows into addresses that were just freed. `false`: another thread was there first.
fn grows() -> bool {
    let start = map(4 * SIZE);
    // SAFETY: inside the mapping.
    unsafe { start.write_bytes(5, 4 * SIZE) };
    // SAFETY: the mapping above, here and below with its sizes as they follow each other.
    assert!(unsafe { posix::remap_in_place(start, 4 * SIZE, SIZE) });
    // SAFETY: as above.
    let grown = unsafe { posix::remap_in_place(start, SIZE, 2 * SIZE) };
    if grown {
        // SAFETY: inside the mapping.
        assert_eq!(unsafe { start.add(SIZE).read() }, 0);
    }
    // SAFETY: inside the mapping.
    assert_eq!(unsafe { start.add(SIZE - 1).read() }, 5);
    // SAFETY: as above.
    unsafe { unmap(start, if grown { 2 * SIZE } else { SIZE }) };
    grown
}

#[test]
fn grows_into_free_addresses_and_replaces_nothing() {
    assert!((0..20).any(|_| grows()));
    let start = map(2 * SIZE);
    // SAFETY: inside the mapping.
    unsafe { start.add(SIZE).write(1) };
    // SAFETY: the first half of the mapping above.
    assert!(!unsafe { posix::remap_in_place(start, SIZE, SIZE + 4096) });
    // SAFETY: inside the mapping.
    assert_eq!(unsafe { start.add(SIZE).read() }, 1);
    // SAFETY: the mapping above.
    assert!(unsafe { posix::remap_move(start, SIZE, 4 * SIZE, SIZE) }.is_null());
    // SAFETY: the mapping above.
    assert!(unsafe { posix::discard(start, 2 * SIZE) });
    // SAFETY: the mapping above.
    assert!(unsafe { unmap(start, 2 * SIZE) });
}

#[test]
fn errors_have_their_number() {
    // SAFETY: closing what is not open changes nothing.
    assert_eq!(unsafe { libc::close(-1) }, -1);
    assert_eq!(posix::errno(), libc::EBADF);
}
