//! The mapping storages beyond what the conformance suite says of every storage:
//! moving moves pages instead of copying them, and giving back gives back.
#![cfg(target_os = "linux")]

use emalloc::storage::{Grant, MMAP_ANON, MmapZero, Storage, StorageError};

const MIB: usize = 1 << 20;
const LARGE: usize = 256 * MIB;

/// How many of the grant's pages are in memory.
fn resident(grant: Grant, size: usize) -> usize {
    let page = MMAP_ANON.capabilities().granularity;
    let mut pages = vec![0_u8; size / page];
    // SAFETY: mapped pages, and a byte for each.
    let refused = unsafe { libc::mincore(grant.start.as_ptr().cast(), size, pages.as_mut_ptr()) };
    assert_eq!(refused, 0);
    pages.iter().filter(|&&page| page & 1 != 0).count()
}

fn on_both(test: impl Fn(&dyn Storage)) {
    test(&MMAP_ANON);
    test(&MmapZero::new().unwrap());
}

#[test]
fn moving_a_large_sparse_grant_touches_none_of_its_pages() {
    on_both(|storage| {
        // The first half as if it were a grant, so that it cannot grow where it is.
        let old = storage.allocate(2 * LARGE, 4 * MIB).unwrap();
        for at in (0..LARGE).step_by(16 * MIB) {
            // SAFETY: inside the grant.
            unsafe { old.start.add(at).write(1) };
        }
        let before = resident(old, LARGE);
        assert!((16..LARGE / 4096 / 2).contains(&before), "{before}");
        // SAFETY: the first half.
        let new = unsafe { storage.move_resize(old.start, LARGE, LARGE + MIB, 4 * MIB) }.unwrap();
        assert_eq!(resident(new, LARGE + MIB), before);
        assert_ne!(new.start, old.start);
        assert_eq!(new.start.addr().get() % (4 * MIB), 0);
        // SAFETY: inside the grant.
        assert_eq!(unsafe { new.start.add(16 * MIB).read() }, 1);
        // SAFETY: the grant with its new size.
        unsafe { storage.free(new.start, LARGE + MIB, 4 * MIB) };
        // SAFETY: inside what was granted first.
        let rest = unsafe { old.start.add(LARGE) };
        // SAFETY: what is left of it.
        unsafe { storage.free(rest, LARGE, 4 * MIB) };
    });
}

#[test]
fn discarding_gives_pages_back_and_they_read_as_zero() {
    on_both(|storage| {
        let grant = storage.allocate(8 * MIB, 2 * MIB).unwrap();
        // SAFETY: inside the grant.
        unsafe { grant.start.write_bytes(7, 8 * MIB) };
        assert_eq!(resident(grant, 8 * MIB), 8 * MIB / 4096);
        // SAFETY: the second quarter of the grant.
        let second = unsafe { grant.start.add(2 * MIB) };
        // SAFETY: as above.
        assert!(unsafe { storage.discard(second, 2 * MIB) });
        assert_eq!(resident(grant, 8 * MIB), 6 * MIB / 4096);
        // SAFETY: inside the grant, all of it written or zero.
        let bytes = unsafe { std::slice::from_raw_parts(grant.start.as_ptr(), 8 * MIB) };
        let zeros = bytes.iter().filter(|&&byte| byte == 0).count();
        assert_eq!(zeros, 2 * MIB);
        // SAFETY: the grant above.
        unsafe { storage.free(grant.start, 8 * MIB, 2 * MIB) };
    });
}

/// Grows a grant into addresses that were just freed. `false`: another thread was there first.
fn grows_into_free_addresses(storage: &dyn Storage) -> bool {
    let grant = storage.allocate(4 * MIB, MIB).unwrap();
    // SAFETY: the grant above; what is cut off is used no more.
    unsafe { storage.resize(grant.start, 4 * MIB, MIB, MIB) }.unwrap();
    // SAFETY: the grant with its new size.
    let grown = unsafe { storage.resize(grant.start, MIB, 2 * MIB, MIB) }.is_ok();
    let size = if grown { 2 * MIB } else { MIB };
    // SAFETY: inside the grant; pages of a mapping that nobody wrote to are zero.
    assert_eq!(unsafe { grant.start.add(size - 1).read() }, 0);
    // SAFETY: the grant with its size.
    unsafe { storage.free(grant.start, size, MIB) };
    grown
}

#[test]
fn growing_in_place_goes_into_free_addresses() {
    on_both(|storage| assert!((0..20).any(|_| grows_into_free_addresses(storage))));
}

#[test]
fn growing_in_place_replaces_nothing() {
    on_both(|storage| {
        let grant = storage.allocate(2 * MIB, MIB).unwrap();
        // SAFETY: the grant above.
        unsafe { grant.start.write_bytes(1, 2 * MIB) };
        // SAFETY: the second half, which is made a wall to grow against.
        let wall = unsafe { grant.start.add(MIB) };
        // SAFETY: the first half as if it were a grant: one mapping or a part of it is the same.
        let answer = unsafe { storage.resize(grant.start, MIB, MIB + 4096, MIB) };
        assert_eq!(answer, Err(StorageError::Unsupported));
        // SAFETY: inside the grant.
        assert_eq!(unsafe { wall.read() }, 1);
        // SAFETY: the grant above.
        unsafe { storage.free(grant.start, 2 * MIB, MIB) };
    });
}

#[test]
fn fresh_memory_is_not_in_memory_yet() {
    on_both(|storage| {
        let grant = storage.allocate(LARGE, 4096).unwrap();
        assert_eq!(resident(grant, LARGE), 0);
        // SAFETY: the grant above.
        unsafe { storage.free(grant.start, LARGE, 4096) };
    });
}
