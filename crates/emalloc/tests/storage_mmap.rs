//! The mapping storages beyond what the conformance suite says of every storage:
//! moving really moves pages, and a descriptor is closed.
#![cfg(unix)]

use emalloc::storage::{MMAP_ANON, MmapZero, Storage, StorageError};

const MIB: usize = 1 << 20;

fn grow_by_moving(storage: &dyn Storage) {
    let grant = storage.allocate(4 * MIB, 4 * MIB).unwrap();
    let first = grant.start.as_ptr();
    // SAFETY: inside the grant.
    unsafe { first.write(7) };
    // SAFETY: inside the grant.
    unsafe { first.add(4 * MIB - 1).write(9) };
    // SAFETY: the grant as asked for above.
    let moved = match unsafe { storage.move_resize(grant.start, 4 * MIB, 8 * MIB, 4 * MIB) } {
        Ok(moved) => moved,
        Err(error) => {
            assert_eq!(error, StorageError::Unsupported);
            assert!(!storage.capabilities().move_without_copy);
            return;
        }
    };
    let start = moved.start.as_ptr();
    assert_eq!(start.addr() % (4 * MIB), 0);
    // SAFETY: inside the grant, all of it initialised or zeroed.
    let bytes = unsafe { core::slice::from_raw_parts(start, 8 * MIB) };
    assert_eq!((bytes[0], bytes[4 * MIB - 1]), (7, 9));
    assert!(bytes[4 * MIB..].iter().all(|&byte| byte == 0));
    // SAFETY: the grant with its new size.
    unsafe { storage.free(moved.start, 8 * MIB, 4 * MIB) };
}

#[test]
fn moving_keeps_contents_and_alignment() {
    grow_by_moving(&MMAP_ANON);
    grow_by_moving(&MmapZero::new().unwrap());
}
