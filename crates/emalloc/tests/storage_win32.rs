//! `win32` beyond the conformance suite. Growing in place may fail at any time (under Wine it does);
//! what must hold is that it fails cleanly.
#![cfg(windows)]

use emalloc::storage::{Cached, Storage, StorageError, Win32};

const UNIT: usize = 64 << 10;

#[test]
fn resizing_in_place_keeps_start_and_content_or_refuses() {
    let storage = Win32::new().unwrap();
    for align in [4096, UNIT, 16 * UNIT] {
        let grant = storage.allocate(8 * UNIT, align).unwrap();
        // SAFETY: inside the grant.
        unsafe { grant.start.write_bytes(7, 8 * UNIT) };
        let mut size = 8 * UNIT;
        for new in [4 * UNIT, 2 * UNIT, 4 * UNIT, 64 * UNIT, UNIT] {
            // SAFETY: the grant with its present size; what is cut off is used no more.
            match unsafe { storage.resize(grant.start, size, new, align) } {
                Ok(()) => size = new,
                Err(error) => assert_eq!(error, StorageError::Unsupported),
            }
            println!("{align}: asked for {new}, has {size}");
            // SAFETY: inside the grant, whose first unit was never given up.
            let bytes = unsafe { std::slice::from_raw_parts(grant.start.as_ptr(), UNIT) };
            assert!(bytes.iter().all(|&byte| byte == 7));
        }
        // SAFETY: the grant with its present size.
        unsafe { storage.free(grant.start, size, align) };
    }
}

#[test]
fn compacting_leaves_grants_alone_and_claims_nothing() {
    let storage = Win32::new().unwrap();
    let grant = storage.allocate(UNIT, UNIT).unwrap();
    // SAFETY: inside the grant.
    unsafe { grant.start.write_bytes(3, UNIT) };
    assert_eq!(storage.trim(), 0);
    // SAFETY: inside the grant, written above.
    assert_eq!(unsafe { grant.start.add(UNIT - 1).read() }, 3);
    // SAFETY: granted above.
    unsafe { storage.free(grant.start, UNIT, UNIT) };
}

#[test]
fn heaps_are_apart_and_end_with_what_they_granted() {
    for _ in 0..200 {
        let (one, two) = (Win32::new().unwrap(), Win32::new().unwrap());
        let first = one.allocate(UNIT, UNIT).unwrap();
        let second = two.allocate(UNIT, UNIT).unwrap();
        // SAFETY: inside the grant.
        unsafe { second.start.write_bytes(5, UNIT) };
        // Not freed: it ends with its heap.
        let _ = first;
        drop(one);
        // SAFETY: inside the grant, written above.
        assert_eq!(unsafe { second.start.read() }, 5);
        // SAFETY: granted above.
        unsafe { two.free(second.start, UNIT, UNIT) };
    }
}

#[test]
fn threads_share_one_through_a_cache() {
    let storage = Cached::new(Win32::new().unwrap()).with_limit(4 * UNIT);
    std::thread::scope(|scope| {
        for thread in 1..=4_u8 {
            let storage = &storage;
            scope.spawn(move || {
                for _ in 0..500 {
                    let grant = storage.allocate(UNIT, UNIT).unwrap();
                    // SAFETY: inside the grant.
                    unsafe { grant.start.add(100).write(thread) };
                    std::thread::yield_now();
                    // SAFETY: as above.
                    assert_eq!(unsafe { grant.start.add(100).read() }, thread);
                    // SAFETY: granted above.
                    unsafe { storage.free(grant.start, UNIT, UNIT) };
                }
            });
        }
    });
    assert!(storage.cached_bytes() <= 4 * UNIT);
}
