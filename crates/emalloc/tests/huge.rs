//! Huge blocks have room to spare far from the limits, and not a byte near them: what growing costs the storage, what
//! a limit leaves, whom the soft limit tells.
#![cfg(feature = "std")]

#[path = "common/coarse.rs"]
mod coarse;
mod common;

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use common::probe::{Probe, assert_all_returned, on, probe};
use emalloc::heap::{Handler, Heap, Limit, Sampling, SoftLimitEvent};
use emalloc::layout::PAGE;
use emalloc::storage::{
    Cached, Counts, Fixed, Grant, Malloc, Regions, Storage, StorageError, forward_storage,
};

const SEGMENT: usize = 256 << 10;
const MIB: usize = 1 << 20;

fn calls(counts: Counts) -> usize {
    counts.allocated + counts.freed + counts.resized + counts.moved + counts.refused
}

fn resize(heap: &Heap, block: NonNull<u8>, size: usize) -> NonNull<u8> {
    // SAFETY: callers pass a live block, and use it no more.
    unsafe { heap.resize(block, size) }
}

fn word(block: NonNull<u8>, size: usize) -> NonNull<usize> {
    // SAFETY: callers pass a live block of at least that size.
    unsafe { block.add(size - size_of::<usize>()) }.cast()
}

/// Grows a block by a page at a time from 300 KiB to 20 MiB. Answers the calls of the storage.
fn grown<S: Storage + Sync + 'static>(storage: S) -> usize {
    let probe = probe(storage);
    let heap = on(&probe, SEGMENT).build().unwrap();
    let mut size = 300 << 10;
    let mut block = heap.allocate(size);
    let before = calls(probe.counts());
    while size < 20 * MIB {
        // SAFETY: the block is that large.
        unsafe { word(block, size).write(size) };
        block = resize(&heap, block, size + PAGE);
        // SAFETY: as above; written before it grew.
        assert_eq!(unsafe { word(block, size).read_unaligned() }, size);
        size += PAGE;
        // SAFETY: alive.
        let usable = unsafe { heap.usable_size(block) }.unwrap();
        assert!((size..size + PAGE).contains(&usable));
        assert_eq!(heap.usage(), usable);
        let spare = heap.real_usage() - SEGMENT - size;
        // Half as much again and up to an eighth of that, beside the header.
        assert!(spare <= size / 16 * 11 + 2 * PAGE, "{spare} for {size}");
    }
    heap.check().unwrap();
    let calls = calls(probe.counts()) - before;
    drop(heap);
    assert_all_returned(&probe);
    calls
}

#[test]
fn growing_by_little_rarely_needs_the_storage() {
    // Some 5000 steps. Where the block has to be copied: a new grant and the old one back, for each half as much again.
    let copied = grown(Malloc);
    assert!((4..=40).contains(&copied), "{copied}");
    // Eight steps per doubling, each at most refused in place and then moved.
    #[cfg(unix)]
    {
        let moved = grown(emalloc::storage::MmapAnon);
        assert!((8..=120).contains(&moved), "{moved}");
        // At the end of its region a block gets no room to spare any more. On 32 bits regions are small.
        let most = if usize::BITS == 64 { 60 } else { 300 };
        let regions = grown(emalloc::storage::Regions::new(Malloc));
        assert!((8..=most).contains(&regions), "{regions}");
    }
}

#[test]
fn a_block_that_grows_by_much_goes_to_what_the_storage_keeps() {
    let storage = Arc::new(Cached::new(Regions::new(Malloc)));
    let heap = on(&storage, SEGMENT).build().unwrap();
    let [warm, mut block] = [4 * MIB, 300 << 10].map(|size| heap.allocate(size));
    // SAFETY: alive, and used no more.
    unsafe { heap.free(warm) };
    // SAFETY: alive, of that length.
    unsafe { block.write_bytes(7, 300 << 10) };
    let (kept, held) = (storage.cached_bytes(), heap.real_usage());
    // To where the other was, and by little on from there.
    for size in [600 << 10, 700 << 10, MIB] {
        block = resize(&heap, block, size);
        assert_eq!(block, warm, "{size}");
        heap.check().unwrap();
        let grown = heap.real_usage() - held;
        assert_eq!(storage.cached_bytes(), kept - grown);
    }
    // SAFETY: alive, with so many bytes, of which these were written.
    let bytes = unsafe { NonNull::slice_from_raw_parts(block, 300 << 10).as_ref() };
    assert!(bytes.iter().all(|&byte| byte == 7));
    drop(heap);
    assert_eq!(storage.cached_bytes(), kept + held);
}

/// A heap with one huge block near its limit, after which `left` bytes may be held.
fn near<S: Storage + Sync + 'static>(storage: S, left: usize) -> (Probe<S>, Heap, NonNull<u8>) {
    let probe = probe(storage);
    let heap = on(&probe, SEGMENT).build().unwrap();
    heap.set_limit(Limit::Bytes(4 * MIB)).unwrap();
    let size = 4 * MIB - SEGMENT - PAGE - left;
    let block = heap.allocate(size);
    assert_eq!(heap.real_usage(), 4 * MIB - left, "not a byte to spare");
    (probe, heap, block)
}

fn exact_near_the_limit<S: Storage + Sync + 'static>(make: impl Fn() -> S) {
    let (_probe, heap, block) = near(make(), 0);
    // SAFETY: alive.
    let size = unsafe { heap.usable_size(block) }.unwrap();
    // SAFETY: alive.
    let refused = unsafe { heap.try_resize(block, size + 1) };
    assert!(refused.is_err());
    assert!(heap.try_allocate(SEGMENT).is_err());
    heap.check().unwrap();
    drop(heap);

    // What is left can be had to the last byte, and what is given up is left.
    let (probe, heap, block) = near(make(), SEGMENT);
    // SAFETY: alive.
    let size = unsafe { heap.usable_size(block) }.unwrap();
    // SAFETY: alive.
    let answer = unsafe { heap.try_resize(block, size + SEGMENT) };
    let block = match answer {
        Ok(block) => block,
        Err(_) => {
            // The storage can neither grow nor move it, and there is no room for two.
            assert!(!probe.capabilities().grow_in_place);
            return;
        }
    };
    assert_eq!(heap.real_usage(), 4 * MIB);
    let block = resize(&heap, block, size);
    assert_eq!(heap.real_usage(), 4 * MIB - SEGMENT);
    let other = heap.allocate(SEGMENT - PAGE);
    assert_eq!(heap.real_usage(), 4 * MIB);
    heap.check().unwrap();
    // SAFETY: alive.
    unsafe { heap.free(other) };
    // SAFETY: alive.
    unsafe { heap.free(block) };
}

#[test]
fn near_a_limit_it_is_exact() {
    exact_near_the_limit(|| Malloc);
    exact_near_the_limit(|| emalloc::storage::Fixed::with_capacity(16 * MIB).unwrap());
    #[cfg(unix)]
    exact_near_the_limit(|| emalloc::storage::MmapAnon);
}

struct Told(Arc<AtomicUsize>);

impl Handler for Told {
    fn soft_limit(&self, _heap: &Heap, _event: &SoftLimitEvent) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn room_to_spare_is_no_reason_to_tell_of_the_soft_limit() {
    for size in (SEGMENT..6 * MIB).step_by(12_345) {
        let told = Arc::new(AtomicUsize::new(0));
        let heap = Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .handler(Told(Arc::clone(&told)))
            .build()
            .unwrap();
        let needed = SEGMENT + (size + PAGE).next_multiple_of(PAGE);
        heap.set_soft_limit(Limit::Bytes(needed));
        let block = heap.allocate(size);
        assert_eq!(told.load(Relaxed), 0, "{size}");
        assert!(heap.real_usage() <= needed);
        // Neither does a block that is copied because it grows, as long as there is room for both.
        heap.set_soft_limit(Limit::Bytes(2 * needed + PAGE));
        let block = resize(&heap, block, size + PAGE);
        assert_eq!(told.load(Relaxed), 0, "{size}");
        // And what is needed is told of.
        heap.set_soft_limit(Limit::Bytes(heap.real_usage() + SEGMENT));
        heap.allocate(2 * MIB);
        assert_eq!(told.load(Relaxed), 1, "{size}");
        // SAFETY: alive.
        unsafe { heap.free(block) };
    }
}

#[test]
fn what_is_cut_goes_back_where_the_storage_can_cut() {
    let probe = probe(emalloc::storage::Fixed::with_capacity(32 * MIB).unwrap());
    let heap = on(&probe, SEGMENT).build().unwrap();
    let mut block = heap.allocate(16 * MIB);
    let mut size = 16 * MIB;
    while size > SEGMENT {
        size -= 3 * PAGE;
        block = resize(&heap, block, size);
        let held = heap.real_usage() - SEGMENT;
        assert!(held >= size + PAGE && held - size - PAGE <= held / 7);
        assert_eq!(probe.counts().live_bytes, heap.real_usage());
    }
    assert_eq!(probe.counts().allocated, 2);
    // Little by little does not ask the storage each time.
    assert!(probe.counts().resized < 60, "{:?}", probe.counts());
    heap.check().unwrap();
}

#[test]
fn a_cut_that_is_refused_is_no_cut() {
    let probe = probe(emalloc::storage::Fixed::with_capacity(32 * MIB).unwrap());
    let heap = on(&probe, SEGMENT).build().unwrap();
    let block = heap.allocate(16 * MIB);
    let held = heap.real_usage();
    // SAFETY: the block is that large.
    unsafe { word(block, 12 * MIB).write(7) };
    probe.inner().fail_from(1);
    // Most of the grant is the block's still, so it stays in it.
    assert_eq!(resize(&heap, block, 12 * MIB), block);
    assert!(probe.inner().refused() > 0);
    assert_eq!((heap.real_usage(), heap.usage()), (held, 12 * MIB));
    assert_eq!(probe.counts().live_bytes, held);
    heap.check().unwrap();
    // SAFETY: alive, and written above.
    assert_eq!(unsafe { word(block, 12 * MIB).read() }, 7);
    probe.inner().never_fail();
    // SAFETY: alive, used no more.
    unsafe { heap.free(block) };
    drop(heap);
    assert_all_returned(&probe);
}

#[test]
fn usage_speaks_of_blocks_and_not_of_room_to_spare() {
    let probe: Arc<_> = probe(Malloc);
    let heap = on(&probe, SEGMENT).build().unwrap();
    // A round size, or one of a few words more, has a page to spare at most.
    for (size, usable) in [(MIB, MIB), (MIB + 24, MIB + PAGE)] {
        let block = heap.allocate(size);
        // SAFETY: alive.
        assert_eq!(unsafe { heap.usable_size(block) }, Ok(usable));
        assert_eq!(heap.usage(), usable);
        assert_eq!(heap.real_usage(), SEGMENT + MIB + 2 * PAGE);
        // SAFETY: alive.
        unsafe { heap.free(block) };
    }
    let block = heap.allocate(MIB + 2 * PAGE);
    assert!(heap.real_usage() > SEGMENT + MIB + 4 * PAGE);
    // Within what it has room for it grows without the storage.
    let before = probe.counts();
    let block = resize(&heap, block, MIB + 3 * PAGE);
    assert_eq!((heap.usage(), probe.counts()), (MIB + 3 * PAGE, before));
    assert_eq!(heap.peak(), MIB + 3 * PAGE);
    // SAFETY: alive.
    unsafe { heap.free(block) };
    assert_eq!((heap.usage(), heap.real_usage()), (0, SEGMENT));
}

/// Looks at the sizes that a storage is asked for.
struct Measuring<S>(S);

impl<S> Measuring<S> {
    fn look(size: usize) {
        assert!(isize::try_from(size).is_ok(), "{size:#x}");
    }
}

// SAFETY: all memory is the storage's inside.
unsafe impl<S: Storage> Storage for Measuring<S> {
    forward_storage!(|self| self.0; name, capabilities, free, discard);

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        Self::look(size);
        self.0.allocate(size, align)
    }

    unsafe fn resize(
        &self,
        _start: NonNull<u8>,
        _old: usize,
        new: usize,
        _align: usize,
    ) -> Result<(), StorageError> {
        Self::look(new);
        Err(StorageError::Unsupported)
    }

    unsafe fn move_resize(
        &self,
        _start: NonNull<u8>,
        _old: usize,
        new: usize,
        _align: usize,
    ) -> Result<Grant, StorageError> {
        Self::look(new);
        Err(StorageError::Unsupported)
    }
}

#[test]
fn no_storage_is_asked_for_more_than_half_of_all_addresses() {
    let storage = Measuring(coarse::Coarse(Malloc));
    let heap = Heap::builder().storage(storage).build().unwrap();
    let mut block = heap.allocate(MIB);
    for less in [0, 1, PAGE, 4 * PAGE, 5 * PAGE, SEGMENT, 2 * SEGMENT] {
        let size = isize::MAX as usize - less;
        let large = heap.try_allocate(size);
        // (With 32 bits a system may have nearly so much.)
        assert!(large.is_err() || cfg!(target_pointer_width = "32"));
        if let Ok(large) = large {
            // SAFETY: just allocated.
            unsafe { heap.free(large) };
        }
        // SAFETY: alive, and so after a refusal.
        let resized = unsafe { heap.try_resize(block, size) };
        assert!(resized.is_err() || cfg!(target_pointer_width = "32"));
        if let Ok(resized) = resized {
            // SAFETY: alive.
            block = unsafe { heap.resize(resized, MIB) };
        }
    }
    let sampling = Sampling::every(1).memory(usize::MAX);
    assert!(heap.start_sampling(sampling).is_err());
    let regions = Regions::new(Measuring(Malloc));
    for less in [1, 2, 100, 1 << 16] {
        let size = isize::MAX as usize + 1 - less * PAGE;
        let grant = regions.allocate(size, PAGE);
        assert!(grant.is_err() || cfg!(target_pointer_width = "32"));
        if let Ok(grant) = grant {
            // SAFETY: just granted.
            unsafe { regions.free(grant.start, size, PAGE) };
        }
    }
}

#[test]
fn where_there_is_no_room_to_spare_it_grows_by_what_it_needs() {
    let probe = probe(Fixed::with_capacity(6 * SEGMENT).unwrap());
    let heap = on(&probe, SEGMENT).build().unwrap();
    let block = heap.allocate(4 * SEGMENT - PAGE);
    // As far as the buffer goes, behind a page of header.
    assert_eq!(resize(&heap, block, 5 * SEGMENT - PAGE), block);
    assert_eq!(heap.real_usage(), 6 * SEGMENT);
    assert!(heap.try_allocate(SEGMENT).is_err());
    heap.check().unwrap();
}
