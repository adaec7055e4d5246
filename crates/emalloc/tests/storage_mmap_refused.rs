//! A mapping that cannot be moved costs nothing: no addresses stay taken. In a process of its own, whose addresses are
//! counted and limited.
#![cfg(target_os = "linux")]

use std::ptr::NonNull;

use emalloc::storage::{MMAP_ANON, Storage};

const MIB: usize = 1 << 20;

/// Bytes of addresses that the process has.
fn addresses() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').next().unwrap().parse().unwrap();
    pages * MMAP_ANON.capabilities().granularity
}

/// Asks many times for the `old` bytes at `start` to be moved to where there is room for `new`. Answers by how much the
/// addresses of the process became more, beyond what the mapping itself did.
fn asked(start: NonNull<u8>, mut old: usize, new: usize) -> usize {
    let before = addresses() - old;
    let mut start = start;
    for _ in 0..32 {
        // SAFETY: the caller's mapping.
        if let Ok(grant) = unsafe { MMAP_ANON.move_resize(start, old, new, MIB) } {
            (start, old) = (grant.start, new);
        }
    }
    // SAFETY: written by the caller, and moved along.
    assert_eq!(unsafe { start.read() }, 7);
    let more = (addresses() - old).saturating_sub(before);
    // SAFETY: the mapping as it is now.
    unsafe { MMAP_ANON.free(start, old, MIB) };
    more
}

#[test]
fn a_refused_move_leaves_nothing_behind() {
    // What it takes to read a file.
    let little = 8 * MIB;
    addresses();

    // Two mappings to the kernel, where it knows large pages.
    let grant = MMAP_ANON.allocate(8 * MIB, MIB).unwrap();
    // SAFETY: inside the grant.
    unsafe { grant.start.write_bytes(7, 8 * MIB) };
    // SAFETY: a part of the grant.
    unsafe { MMAP_ANON.will_fill(grant.start, 4 * MIB, 0) };
    let more = asked(grant.start, 8 * MIB, 64 * MIB);
    assert!(more < little, "{more} bytes");

    // One that cannot become larger where it is, and no room to have both.
    let grant = MMAP_ANON.allocate(32 * MIB, MIB).unwrap();
    // SAFETY: inside the grant.
    unsafe { grant.start.write(7) };
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: it is there to be written.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut limit) }, 0);
    limit.rlim_cur = (addresses() + 64 * MIB) as libc::rlim_t;
    // SAFETY: it is there to be read.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    let more = asked(grant.start, 16 * MIB, 48 * MIB);
    assert!(more < little, "{more} bytes");
    // SAFETY: inside the grant.
    let wall = unsafe { grant.start.add(16 * MIB) };
    // SAFETY: the other half of it.
    unsafe { MMAP_ANON.free(wall, 16 * MIB, MIB) };
}
