//! Who asks for large pages, and when: a heap that needs much, for fresh grants, and a store only for as much as was
//! needed before.
#![cfg(feature = "std")]

#[path = "common/ledger.rs"]
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use emalloc::heap::{Heap, Retain};
use emalloc::storage::{
    Budget, Cached, Capabilities, Counting, Failing, Grant, MALLOC, Malloc, Regions, Storage,
    StorageError,
};
use ledger::Ledger;
use std::ptr::NonNull;

const MIB: usize = 1 << 20;
const SEGMENT: usize = 2 * MIB;
const NEVER: Duration = Duration::MAX;

/// `malloc` that calls its memory fresh.
#[derive(Debug)]
struct Fresh(Malloc);

// SAFETY: all memory is the inner storage's, written over with zeros first.
unsafe impl Storage for Fresh {
    fn name(&self) -> &str {
        "fresh"
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities()
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let mut grant = self.0.allocate(size, align)?;
        // SAFETY: just granted.
        unsafe { grant.start.write_bytes(0, size) };
        grant.zeroed = true;
        Ok(grant)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: the caller's promise.
        unsafe { self.0.free(start, size, align) }
    }
}

type Book<S> = Arc<Ledger<S>>;

fn heap(storage: impl Storage + 'static) -> Heap {
    Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .retain(Retain::Bytes(0))
        .build()
        .unwrap()
}

/// Has the heap need so many segments.
fn fill(heap: &Heap, segments: usize) {
    while heap.real_usage() < segments * SEGMENT {
        heap.allocate(100_000);
    }
    assert_eq!(heap.real_usage(), segments * SEGMENT);
}

#[test]
fn a_heap_asks_for_fresh_memory_once_it_needs_two_segments() {
    let book = Arc::new(Ledger::new(Fresh(MALLOC)));
    let heap = heap(Arc::clone(&book));
    fill(&heap, 2);
    assert_eq!(book.to_be_filled(), 0);
    fill(&heap, 5);
    assert_eq!(book.to_be_filled(), 3 * SEGMENT);
    heap.allocate(16 * MIB);
    let huge = heap.real_usage() - 5 * SEGMENT;
    assert_eq!(book.to_be_filled(), 3 * SEGMENT + huge);
}

#[test]
fn memory_that_has_its_pages_already_is_left_alone() {
    let book = Arc::new(Ledger::new(MALLOC));
    fill(&heap(Arc::clone(&book)), 5);
    assert_eq!(book.to_be_filled(), 0);
}

#[test]
fn a_store_hands_on_only_what_adds_nothing_to_the_peak() {
    let book = Arc::new(Ledger::new(Fresh(MALLOC)));
    let storage = Arc::new(
        Cached::new(Arc::clone(&book))
            .with_interval(NEVER)
            .with_limit(0),
    );
    let mut heap = heap(Arc::clone(&storage));
    // Nobody knows yet how much will be needed.
    fill(&heap, 20);
    assert_eq!(book.to_be_filled(), 0);
    heap.reset();
    // From the third segment up to a large page below the most there was.
    fill(&heap, 20);
    assert_eq!(book.to_be_filled(), (19 - 2) * SEGMENT);
    heap.reset();
    storage.trim();
    fill(&heap, 20);
    assert_eq!(book.to_be_filled(), (19 - 2) * SEGMENT);
}

#[test]
fn what_is_kept_for_a_large_heap_is_brought_in_anew_once() {
    let book = Arc::new(Ledger::new(MALLOC));
    let storage = Arc::new(Cached::new(Arc::clone(&book)).with_interval(NEVER));
    let mut heap = heap(Arc::clone(&storage));
    fill(&heap, 20);
    heap.reset();
    assert_eq!(book.to_be_refilled(), 0);
    // As with fresh memory: from the third segment up to a large page below the most there was.
    fill(&heap, 20);
    assert_eq!(book.to_be_refilled(), (19 - 2) * SEGMENT);
    heap.check().unwrap();
    for _ in 0..4 {
        heap.reset();
        fill(&heap, 20);
    }
    assert_eq!(book.to_be_refilled(), 20 * SEGMENT);
    // Small heaps beside it leave theirs as it is.
    heap.reset();
    storage.trim();
    fill(&heap, 20);
    heap.reset();
    for _ in 0..10 {
        heap.allocate(100);
        heap.reset();
    }
    assert_eq!(book.to_be_refilled(), 20 * SEGMENT);
}

#[test]
fn segments_of_less_than_a_large_page_are_left_as_they_are() {
    let book = Arc::new(Ledger::new(MALLOC));
    let storage = Arc::new(Cached::new(Arc::clone(&book)).with_interval(NEVER));
    let mut heap = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT / 2)
        .retain(Retain::Bytes(0))
        .build()
        .unwrap();
    for _ in 0..3 {
        fill(&heap, 20);
        heap.reset();
    }
    assert_eq!(book.to_be_refilled(), 0);
}

#[test]
fn what_requests_leave_is_cut_between_large_pages() {
    let book = Arc::new(Ledger::new(Regions::new(MALLOC)));
    let storage = Cached::new(Arc::clone(&book)).per_request();
    let segments = [0; 5].map(|_| storage.allocate(SEGMENT, SEGMENT).unwrap());
    for segment in segments {
        // SAFETY: granted above.
        unsafe { storage.free(segment.start, SEGMENT, SEGMENT) };
    }
    storage.request_ended();
    // Half of it would be two and a half.
    assert_eq!(
        (storage.cached_bytes(), book.live()),
        (2 * SEGMENT, 2 * SEGMENT)
    );
}

#[test]
fn every_wrapper_hands_it_on() {
    fn heard<S: Storage>(wrap: impl FnOnce(Book<Malloc>) -> S) -> [usize; 2] {
        let book = Arc::new(Ledger::new(MALLOC));
        let storage = wrap(Arc::clone(&book));
        let grant = storage.allocate(SEGMENT, SEGMENT).unwrap();
        // SAFETY: just granted.
        unsafe { storage.will_fill(grant.start, SEGMENT) };
        // SAFETY: as above; nothing lies there.
        unsafe { storage.will_refill(grant.start, SEGMENT) };
        // SAFETY: as above, and used no more.
        unsafe { storage.free(grant.start, SEGMENT, SEGMENT) };
        [book.to_be_filled(), book.to_be_refilled()]
    }
    assert_eq!(heard(|book| book), [SEGMENT; 2]);
    assert_eq!(heard(Counting::new), [SEGMENT; 2]);
    assert_eq!(heard(Failing::new), [SEGMENT; 2]);
    assert_eq!(heard(|book| Budget::new(book, None)), [SEGMENT; 2]);
    assert_eq!(
        heard(|book| Box::new(book) as Box<dyn Storage + Send>),
        [SEGMENT; 2]
    );
}

// Where programs are emulated, large pages are not.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn mappings_get_them_if_the_system_has_any() {
    use emalloc::storage::MMAP_ANON;

    let may = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    if !may.is_ok_and(|may| may.contains("[madvise]") || may.contains("[always]")) {
        return;
    }
    let grant = MMAP_ANON.allocate(4 * SEGMENT, SEGMENT).unwrap();
    // SAFETY: just granted.
    unsafe { MMAP_ANON.will_fill(grant.start, 4 * SEGMENT) };
    let bytes = grant.start.as_ptr();
    // SAFETY: inside the grant; the second unit is touched, and no other.
    unsafe { bytes.add(SEGMENT).write_volatile(1) };
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let mine = format!("{:x}-", bytes.addr());
    let entry = smaps.split_once(&mine).map(|(_, entry)| entry).unwrap();
    let line = entry
        .lines()
        .find_map(|line| line.strip_prefix("VmFlags:"))
        .unwrap();
    assert!(line.split_whitespace().any(|flag| flag == "hg"), "{line}");
    // What is to be filled again is brought in anew.
    // SAFETY: inside the grant, of which nobody needs anything.
    unsafe { MMAP_ANON.will_refill(grant.start, 4 * SEGMENT) };
    // SAFETY: inside the grant.
    assert_eq!(unsafe { bytes.add(SEGMENT).read_volatile() }, 0);
    // SAFETY: granted above.
    unsafe { MMAP_ANON.free(grant.start, 4 * SEGMENT, SEGMENT) };
}
