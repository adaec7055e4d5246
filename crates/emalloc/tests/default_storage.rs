//! The storage that all heaps share which name none: warm from one to the next, bounded, and given back on request.
//! Alone in its file, since it is one for the whole process.
#![cfg(all(unix, feature = "std"))]

use std::sync::Mutex;

use emalloc::heap::Heap;
use emalloc::storage::{Storage, registry};

const MIB: usize = 1 << 20;

/// One test at a time: they look at what the process has only one of.
static ALONE: Mutex<()> = Mutex::new(());

fn work(heap: &Heap, bytes: usize) {
    let mut left = bytes;
    let mut size = 16;
    while left > size {
        // SAFETY: just allocated, as long as that.
        unsafe { heap.allocate(size).write_bytes(7, size) };
        left -= size;
        size = size * 3 % (600 << 10) + 16;
    }
}

#[test]
fn a_thousand_heaps_need_what_one_needs() {
    let _alone = ALONE.lock();
    let storage = registry::default_storage().unwrap();
    assert_eq!(storage.name(), "malloc");
    storage.trim();
    let mut most = 0;
    for _ in 0..1000 {
        let heap = Heap::new().unwrap();
        work(&heap, 5 * MIB);
        most = most.max(heap.real_peak());
        heap.check().unwrap();
        drop(heap);
        assert!(storage.cached_bytes() <= most);
    }
    assert!(storage.cached_bytes() > 0);
    assert!(
        storage.hits() > 10 * storage.misses(),
        "{} hits, {} misses",
        storage.hits(),
        storage.misses()
    );
    let kept = storage.cached_bytes();
    assert_eq!((storage.trim(), storage.cached_bytes()), (kept, 0));
}

#[test]
fn a_trim_leaves_one_segment_and_empties_the_store() {
    let _alone = ALONE.lock();
    let storage = registry::default_storage().unwrap();
    let other = Heap::new().unwrap();
    work(&other, 8 * MIB);
    drop(other);
    assert!(storage.cached_bytes() > MIB);
    let mut heap = Heap::new().unwrap();
    work(&heap, 8 * MIB);
    heap.reset();
    let segment = heap.real_usage() / heap.figures().segments;
    assert!(heap.figures().segments > 1);
    let trimmed = heap.trim();
    assert!(trimmed.returned > 0);
    assert_eq!((heap.figures().segments, heap.real_usage()), (1, segment));
    assert_eq!(storage.cached_bytes(), 0);
    heap.check().unwrap();
}

#[test]
fn threads_with_heaps_of_their_own() {
    let _alone = ALONE.lock();
    let storage = registry::default_storage().unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..40 {
                    let heap = Heap::new().unwrap();
                    work(&heap, 3 * MIB);
                    heap.check().unwrap();
                }
            });
        }
    });
    storage.trim();
    assert_eq!(storage.cached_bytes(), 0);
}
