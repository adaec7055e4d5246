//! Who asks for large pages, and when: a heap that needs much, for fresh grants, and a store only for as much as was
//! needed before.
#![cfg(feature = "std")]

#[path = "common/ledger.rs"]
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use emalloc::heap::{Heap, Retain};
use emalloc::storage::{
    Budget, Cached, Capabilities, Counting, Failing, Grant, Limit, MALLOC, Malloc, Regions,
    Storage, StorageError,
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
    fill(&heap, 8);
    assert_eq!(book.to_be_filled(), 0);
    heap.reset();
    // From the third segment up to a large page below the most there was.
    fill(&heap, 8);
    assert_eq!(book.to_be_filled(), (7 - 2) * SEGMENT);
    heap.reset();
    storage.trim();
    fill(&heap, 8);
    assert_eq!(book.to_be_filled(), (7 - 2) * SEGMENT);
}

#[test]
fn what_is_little_to_what_the_heap_has_filled_it_hands_on_the_first_time() {
    let book = Arc::new(Ledger::new(Fresh(MALLOC)));
    let storage = Arc::new(Cached::new(Arc::clone(&book)).with_interval(NEVER));
    let heap = heap(Arc::clone(&storage));
    fill(&heap, 32);
    assert_eq!(book.to_be_filled(), 0);
    fill(&heap, 40);
    assert_eq!(book.to_be_filled(), (40 - 32) * SEGMENT);
    // A grant of no more than a 32nd.
    heap.allocate(2 * MIB);
    let huge = heap.real_usage() - 40 * SEGMENT;
    assert_eq!(book.to_be_filled(), (40 - 32) * SEGMENT + huge);
    heap.allocate(4 * MIB);
    assert_eq!(book.to_be_filled(), (40 - 32) * SEGMENT + huge);
    // Others' memory does not count.
    let small = self::heap(storage);
    fill(&small, 8);
    assert_eq!(book.to_be_filled(), (40 - 32) * SEGMENT + huge);
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

type BookOfRegions = Book<Regions<Malloc>>;

/// A store of parts of regions, and what it asks for.
fn store_of_regions() -> (Arc<Cached<BookOfRegions>>, BookOfRegions) {
    let book = Arc::new(Ledger::new(Regions::new(MALLOC)));
    let storage = Cached::new(Arc::clone(&book)).with_interval(NEVER);
    (Arc::new(storage), book)
}

#[test]
fn small_segments_have_large_pages_together_with_what_is_kept_beside_them() {
    let (storage, book) = store_of_regions();
    let mut heap = Heap::builder()
        .storage(Arc::clone(&storage))
        .segment_size(SEGMENT / 8)
        .retain(Retain::Bytes(0))
        .build()
        .unwrap();
    let fill = |heap: &Heap| {
        while heap.real_usage() < 20 * SEGMENT {
            let block = heap.allocate(100_000);
            // SAFETY: just allocated, with that size.
            unsafe { block.write_bytes(0x5a, 100_000) };
        }
    };
    fill(&heap);
    heap.reset();
    assert_eq!(book.to_be_refilled(), 0);
    fill(&heap);
    heap.check().unwrap();
    let renewed = book.to_be_refilled();
    // (With 32 bits regions have room for one whole large page each.)
    let least = if usize::BITS == 64 { 15 } else { 7 };
    assert!(
        renewed.is_multiple_of(SEGMENT) && renewed >= least * SEGMENT,
        "{renewed}"
    );
    for _ in 0..4 {
        heap.reset();
        fill(&heap);
        heap.check().unwrap();
    }
    assert!(book.to_be_refilled() <= 20 * SEGMENT);
}

#[test]
fn a_large_page_of_which_others_have_a_part_is_left_as_it_is() {
    const PART: usize = SEGMENT / 8;
    let (storage, book) = store_of_regions();
    let whole = storage.allocate(8 * SEGMENT, SEGMENT).unwrap().start;
    // SAFETY: granted above, and used no more.
    unsafe { storage.free(whole, 8 * SEGMENT, SEGMENT) };
    let parts = [0; 8].map(|_| storage.allocate(PART, PART).unwrap().start);
    // SAFETY: inside one large page of the store.
    assert_eq!(parts[7], unsafe { parts[0].add(7 * PART) });
    for (i, part) in parts.into_iter().enumerate() {
        // SAFETY: granted above.
        unsafe { part.write_bytes(i as u8 + 1, PART) };
    }
    // All but the first and the last are kept, in one piece. Nobody may lose what is in those.
    for part in &parts[2..7] {
        // SAFETY: granted above, and used no more.
        unsafe { storage.free(*part, PART, PART) };
    }
    // SAFETY: a grant in which nothing is needed.
    unsafe { storage.will_refill(parts[1], PART) };
    assert_eq!(book.to_be_refilled(), 0);
    for i in [0, 7] {
        // SAFETY: granted above, and written.
        assert_eq!(unsafe { parts[i].add(PART - 1).read() }, i as u8 + 1);
    }
    for i in [0, 7] {
        // SAFETY: granted above, and used no more.
        unsafe { storage.free(parts[i], PART, PART) };
    }
    // What is kept lies on both sides now.
    // SAFETY: as above.
    unsafe { storage.will_refill(parts[1], PART) };
    assert_eq!(book.to_be_refilled(), SEGMENT);
    assert_eq!(storage.cached_bytes(), 8 * SEGMENT - PART);
    // SAFETY: as above.
    unsafe { storage.free(parts[1], PART, PART) };
    assert_eq!(storage.trim(), 8 * SEGMENT);
    assert_eq!(book.live(), 0);
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
        unsafe { storage.will_fill(grant.start, SEGMENT, 0) };
        // SAFETY: as above; nothing lies there.
        unsafe { storage.will_refill(grant.start, SEGMENT) };
        // SAFETY: as above, and used no more.
        unsafe { storage.free(grant.start, SEGMENT, SEGMENT) };
        [book.to_be_filled(), book.to_be_refilled()]
    }
    assert_eq!(heard(|book| book), [SEGMENT; 2]);
    assert_eq!(heard(Counting::new), [SEGMENT; 2]);
    assert_eq!(heard(Failing::new), [SEGMENT; 2]);
    assert_eq!(
        heard(|book| Budget::new(book, Limit::Unlimited)),
        [SEGMENT; 2]
    );
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
    unsafe { MMAP_ANON.will_fill(grant.start, 4 * SEGMENT, 0) };
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

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn regions_get_them_at_once_and_stay_unmarked() {
    let storage = Regions::new(MALLOC);
    let grant = storage.allocate(2 * SEGMENT, SEGMENT).unwrap();
    let bytes = grant.start.as_ptr();
    // SAFETY: just granted.
    unsafe { bytes.write_bytes(0x5a, 2 * SEGMENT) };
    // SAFETY: the first half of the grant, of which nobody needs anything.
    unsafe { storage.will_refill(grant.start, SEGMENT) };
    // SAFETY: inside the grant.
    assert_eq!(unsafe { bytes.add(SEGMENT).read_volatile() }, 0x5a);
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let range = |line: &str| {
        let (start, rest) = line.split_once('-')?;
        let (end, _) = rest.split_once(' ')?;
        let number = |digits| usize::from_str_radix(digits, 16).ok();
        Some(number(start)?..number(end)?)
    };
    let flags = smaps
        .lines()
        .skip_while(|line| !range(line).is_some_and(|range| range.contains(&bytes.addr())))
        .find_map(|line| line.strip_prefix("VmFlags:"))
        .unwrap();
    // Whoever has a part of this next may need no more than that.
    assert!(
        !flags.split_whitespace().any(|flag| flag == "hg"),
        "{flags}"
    );
    // SAFETY: granted above.
    unsafe { storage.free(grant.start, 2 * SEGMENT, SEGMENT) };
}

/// `malloc` that cannot discard, and says so.
struct Lasting;

// SAFETY: all memory is malloc's, handed through.
unsafe impl Storage for Lasting {
    fn name(&self) -> &str {
        "lasting"
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = MALLOC.capabilities();
        can.discard = false;
        can
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        MALLOC.allocate(size, align)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        // SAFETY: granted by malloc above.
        unsafe { MALLOC.free(start, size, align) };
    }

    unsafe fn discard(&self, _start: NonNull<u8>, _size: usize) -> bool {
        panic!("it never said that it can")
    }
}

#[test]
fn regions_of_a_storage_that_cannot_discard_are_left_as_they_are() {
    let regions = Regions::new(Lasting);
    let start = regions.allocate(SEGMENT, SEGMENT).unwrap().start;
    // SAFETY: granted above, and nobody needs what lies there.
    unsafe { regions.will_refill(start, SEGMENT) };
    // SAFETY: granted above, and used no more.
    unsafe { regions.free(start, SEGMENT, SEGMENT) };
}
