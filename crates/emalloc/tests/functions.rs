//! The ten functions: what the original promises of them, on a heap of the test's own.
#![cfg(feature = "std")]

#[path = "common/bytes.rs"]
mod bytes;

use std::collections::HashSet;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Arc;

use bytes::{fill, holds, is_zero};
use emalloc::heap::Heap;
use emalloc::storage::{Cached, Counting, MALLOC};
use emalloc::{
    ecalloc, efree, emalloc, erealloc, erealloc_recoverable, estrdup, estrndup, mem_block_size,
    safe_emalloc, safe_erealloc, scope,
};
use proptest::prelude::*;

/// Sizes on both sides of every border: classes, pages, the segment of 256K.
const SIZES: [usize; 16] = [
    0, 1, 8, 9, 128, 129, 3072, 3073, 4096, 4097, 65_536, 200_000, 262_144, 262_145, 1_000_000,
    5000,
];

fn checked() -> Heap {
    Heap::builder().checked(true).build().unwrap()
}

#[test]
fn null_is_nothing_to_free_and_a_new_block_to_resize() {
    let heap = checked();
    scope(&heap, || {
        // SAFETY: null is allowed; the other blocks are alive and freed once.
        unsafe {
            efree(null_mut());
            assert_eq!(mem_block_size(null_mut()), 0);
            for new in [
                erealloc(null_mut(), 100),
                safe_erealloc(null_mut(), 10, 9, 10),
                erealloc_recoverable(null_mut(), 100),
            ] {
                assert_eq!(mem_block_size(new), 104);
                fill(new, 104, 1);
                efree(new);
            }
        }
    });
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
}

#[test]
fn size_zero_is_a_block_of_its_own() {
    let heap = checked();
    scope(&heap, || {
        let mut blocks: Vec<*mut u8> = (0..200).map(|_| emalloc(0)).collect();
        blocks.push(ecalloc(0, 8));
        blocks.push(ecalloc(8, 0));
        blocks.push(safe_emalloc(0, usize::MAX, 0));
        // SAFETY: null stands for a new block, and each old one is given up for its answer.
        unsafe {
            blocks.push(erealloc(null_mut(), 0));
            blocks.push(erealloc(emalloc(5000), 0));
            blocks.push(erealloc_recoverable(emalloc(1_000_000), 0));
            blocks.push(safe_erealloc(emalloc(1), 0, 0, 0));
        }
        let unique: HashSet<_> = blocks.iter().collect();
        assert_eq!(unique.len(), blocks.len());
        assert!(!unique.contains(&null_mut()));
        for block in blocks {
            // SAFETY: alive, and freed once.
            unsafe { efree(block) };
        }
    });
    assert_eq!(heap.usage(), 0);
}

#[test]
fn a_block_holds_what_was_asked_for_and_its_size_says_how_much_more() {
    let heap = checked();
    scope(&heap, || {
        for size in SIZES {
            let block = emalloc(size);
            // SAFETY: the block is alive.
            let holds_up_to = unsafe { mem_block_size(block) };
            assert!(holds_up_to >= size && holds_up_to > 0, "{size}");
            assert_eq!(block.addr() % 8, 0);
            // All of it may be used; the heap's check at the end would notice otherwise.
            fill(block, holds_up_to, size);
        }
    });
    heap.check().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn resizing_keeps_what_both_sizes_have(steps in proptest::collection::vec((0usize..600_000, 0u8..3), 1..20)) {
        let heap = checked();
        scope(&heap, || {
            let mut block = emalloc(0);
            let mut size = 0;
            for (step, (new, how)) in steps.into_iter().enumerate() {
                fill(block, size, step);
                // SAFETY: the block is alive, and given up for the answer.
                block = unsafe {
                    match how {
                        0 => erealloc(block, new),
                        1 => safe_erealloc(block, new / 7, 7, new % 7),
                        _ => erealloc_recoverable(block, new),
                    }
                };
                assert!(holds(block, size.min(new), step));
                size = new;
                heap.check().unwrap();
            }
            // SAFETY: alive.
            unsafe { efree(block) };
        });
        assert_eq!(heap.usage(), 0);
    }
}

#[test]
fn ecalloc_is_zero_also_where_others_have_written() {
    // The cache hands the segments of huge blocks out again, as dirty as they came back.
    let heap = Heap::builder()
        .storage(Cached::new(MALLOC))
        .build()
        .unwrap();
    scope(&heap, || {
        for _ in 0..3 {
            for size in SIZES {
                let dirty: Vec<*mut u8> = (0..3).map(|_| emalloc(size)).collect();
                for &block in &dirty {
                    fill(block, size, 1);
                }
                for block in dirty {
                    // SAFETY: alive, and freed once.
                    unsafe { efree(block) };
                }
                let zeroed: Vec<*mut u8> = (0..3).map(|_| ecalloc(size, 1)).collect();
                for block in zeroed {
                    assert!(is_zero(block, size), "{size}");
                    fill(block, size, 2);
                    // SAFETY: alive, and freed once.
                    unsafe { efree(block) };
                }
            }
        }
        let table = ecalloc(1000, 24);
        assert!(is_zero(table, 24_000));
    });
}

#[test]
fn texts_are_copied_with_a_nul_behind() {
    let heap = checked();
    scope(&heap, || {
        let long = vec![b'x'; 300_000];
        let texts: [&[u8]; 5] = [b"", b"t", b"1234567", b"12345678", &long];
        for text in texts {
            let copy = estrndup(text);
            // SAFETY: alive, with a closing NUL.
            assert_eq!(unsafe { CStr::from_ptr(copy) }.to_bytes(), text);
            // SAFETY: as above.
            let again = unsafe { estrdup(CStr::from_ptr(copy)) };
            assert_ne!(again, copy);
            // SAFETY: as above.
            assert_eq!(unsafe { CStr::from_ptr(again) }.to_bytes(), text);
            // SAFETY: both are alive and freed once.
            unsafe {
                assert!(mem_block_size(copy.cast()) > text.len());
                efree(copy.cast());
                efree(again.cast());
            }
        }
        // A length is a length: NULs inside are copied like anything else.
        let copy = estrndup(b"a\0b\0").cast::<u8>();
        // SAFETY: alive and five bytes long.
        assert_eq!(unsafe { copy.cast::<[u8; 5]>().read() }, *b"a\0b\0\0");
        // SAFETY: alive.
        unsafe { efree(copy) };
    });
    assert_eq!(heap.usage(), 0);
}

#[test]
fn everything_goes_back_to_the_storage_with_the_heap() {
    let storage = Arc::new(Counting::new(MALLOC));
    let heap = Heap::builder()
        .storage(Arc::clone(&storage))
        .build()
        .unwrap();
    scope(&heap, || {
        for size in SIZES {
            ecalloc(size, 1);
            estrndup(&vec![b'y'; size]);
        }
    });
    assert!(storage.counts().live_grants > 1);
    drop(heap);
    let counts = storage.counts();
    assert_eq!((counts.live_grants, counts.live_bytes), (0, 0));
}
