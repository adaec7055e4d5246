//! Whoever unwinds out of a storage, or out of a handler that is told of something, leaves a heap that is whole, and blocks that
//! are their owners' still: a container that was about to grow uses its block once more.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use emalloc::heap::{Debug, Handler, Heap, Report};
use emalloc::storage::{Budget, Fixed, Grant, Limit, Storage, StorageError, forward_storage};

const SEGMENT: usize = 64 << 10;

/// Whether the block has `size` bytes, all of them 7.
fn is_intact(heap: &Heap, block: NonNull<u8>, size: usize) -> bool {
    // SAFETY: it is alive: this is what is tested.
    let usable = unsafe { heap.usable_size(block) };
    // SAFETY: as above.
    let bytes = || unsafe { NonNull::slice_from_raw_parts(block, size).as_ref() };
    usable.is_ok_and(|usable| usable >= size) && bytes().iter().all(|&byte| byte == 7)
}

fn filled(heap: &Heap, size: usize) -> NonNull<u8> {
    let block = heap.allocate(size);
    // SAFETY: alive, of that size.
    unsafe { block.write_bytes(7, size) };
    block
}

/// Makes a block larger, which unwinds.
fn unwind(heap: &Heap, block: NonNull<u8>, size: usize) {
    // SAFETY: the block is alive, and nothing is answered.
    let resize = || unsafe { heap.try_resize(block, size) };
    assert!(catch_unwind(AssertUnwindSafe(resize)).is_err());
}

/// Unwinds, if it is told to, when a grant is asked for or is to change.
struct Unwinding(Fixed, Arc<AtomicBool>);

impl Unwinding {
    fn pass(&self) {
        if self.1.load(Ordering::Relaxed) {
            resume_unwind(Box::new(()));
        }
    }
}

// SAFETY: all memory is the inner storage's.
unsafe impl Storage for Unwinding {
    forward_storage!(|self| self.0; name, capabilities, free);

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        self.pass();
        self.0.allocate(size, align)
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        self.pass();
        // SAFETY: the same promise.
        unsafe { self.0.resize(start, old, new, align) }
    }
}

#[test]
fn a_storage_that_unwinds_has_not_changed_the_grant() {
    let unwinds = Arc::new(AtomicBool::new(false));
    let buffer = Fixed::with_capacity(64 * SEGMENT).unwrap();
    let heap = Heap::builder()
        .storage(Unwinding(buffer, Arc::clone(&unwinds)))
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    for size in [3 * SEGMENT, SEGMENT / 4 * 3] {
        heap.allocate(SEGMENT / 2);
        let block = filled(&heap, size);
        unwinds.store(true, Ordering::Relaxed);
        unwind(&heap, block, 4 * SEGMENT);
        unwinds.store(false, Ordering::Relaxed);
        heap.check().unwrap();
        let next = heap.allocate(5 * SEGMENT);
        assert!(is_intact(&heap, block, size), "{size}");
        // SAFETY: alive, and used no more.
        unsafe {
            heap.free(block);
            heap.free(next);
        }
        heap.check().unwrap();
    }
}

#[test]
fn a_budget_takes_nothing_for_a_grant_that_was_not_made() {
    let unwinds = Arc::new(AtomicBool::new(true));
    let buffer = Fixed::with_capacity(4 * SEGMENT).unwrap();
    let inside = Unwinding(buffer, Arc::clone(&unwinds));
    let budget = Budget::new(inside, Limit::Bytes(2 * SEGMENT));
    let take = || budget.allocate(2 * SEGMENT, SEGMENT);
    assert!(catch_unwind(AssertUnwindSafe(take)).is_err());
    unwinds.store(false, Ordering::Relaxed);
    assert_eq!(budget.held(), 0);
    let grant = take().unwrap();
    // SAFETY: granted above.
    unsafe { budget.free(grant.start, 2 * SEGMENT, SEGMENT) };
}

/// Unwinds out of each report.
struct Reports;

impl Handler for Reports {
    fn report(&self, _: &Heap, _: &Report<'_>) {
        resume_unwind(Box::new(()));
    }
}

#[test]
fn a_report_that_unwinds_out_of_a_resize_is_not_the_end_of_the_block() {
    let debug = Debug::new().quarantine_blocks(1);
    let builder = Heap::builder().debug(debug).handler(Reports);
    let heap = builder.build().unwrap();
    let held = heap.allocate(100);
    // SAFETY: alive, and used no more but for what is to be found.
    unsafe { heap.free(held) };
    let late: *mut u8 = ptr::with_exposed_provenance_mut(held.addr().get());
    // SAFETY: it lies in the heap's memory; that it is not the program's is what is found.
    unsafe { late.write(1) };
    let block = filled(&heap, 100);
    unwind(&heap, block, 1000);
    assert!(is_intact(&heap, block, 100));
    heap.check().unwrap();
    // It was found once.
    // SAFETY: alive, and used no more where it was.
    let block = unsafe { heap.resize(block, 1000) };
    assert!(is_intact(&heap, block, 100));
    // SAFETY: alive, and used no more.
    unsafe { heap.free(block) };
    assert_eq!(heap.check_blocks(), 0);
}
