//! Who hears that a request has ended: the storage under a heap, through whatever is wrapped around it.
#![cfg(feature = "std")]

#[path = "common/ledger.rs"]
mod ledger;

use std::sync::Arc;

use emalloc::heap::Heap;
use emalloc::storage::{
    Budget, Cached, Counting, Failing, Limit, MALLOC, Malloc, Regions, Storage,
};
use ledger::Ledger;

type Book = Arc<Ledger<Malloc>>;

fn heard<S: Storage>(wrap: impl FnOnce(Book) -> S) -> usize {
    let book = Arc::new(Ledger::new(MALLOC));
    let storage = wrap(Arc::clone(&book));
    storage.request_ended();
    storage.request_ended();
    book.requests()
}

#[test]
fn it_goes_through_every_wrapper() {
    assert_eq!(heard(|book| book), 2);
    assert_eq!(heard(Cached::new), 2);
    assert_eq!(heard(|book| Cached::new(book).per_request()), 2);
    assert_eq!(heard(Regions::new), 2);
    assert_eq!(heard(Counting::new), 2);
    assert_eq!(heard(Failing::new), 2);
    assert_eq!(heard(|book| Budget::new(book, Limit::Unlimited)), 2);
    assert_eq!(heard(|book| Box::new(book) as Box<dyn Storage>), 2);
    assert_eq!(
        heard(|book| Arc::new(book) as Arc<dyn Storage + Send + Sync>),
        2
    );
    static BOOK: std::sync::LazyLock<Ledger<Malloc>> =
        std::sync::LazyLock::new(|| Ledger::new(MALLOC));
    let borrowed: &'static Ledger<Malloc> = &BOOK;
    Storage::request_ended(&borrowed);
    let dynamic: &'static (dyn Storage + Sync) = &*BOOK;
    Storage::request_ended(&dynamic);
    assert_eq!(BOOK.requests(), 2);
}

#[test]
fn a_heap_says_so_when_it_is_reset_and_when_it_goes_after_use() {
    let book = Arc::new(Ledger::new(MALLOC));
    let heap = || Heap::builder().storage(Arc::clone(&book)).build().unwrap();
    let mut first = heap();
    first.allocate(100);
    first.reset();
    assert_eq!(book.requests(), 1);
    first.allocate(100);
    first.reset();
    assert_eq!(book.requests(), 2);
    // Nothing has happened since.
    drop(first);
    assert_eq!(book.requests(), 2);

    let second = heap();
    second.allocate(100);
    drop(second);
    assert_eq!((book.requests(), book.live()), (3, 0));
}

#[test]
fn its_memory_is_given_back_by_then() {
    let storage = Arc::new(Cached::new(MALLOC).per_request());
    for requests in 1..=4 {
        let heap = Heap::builder()
            .storage(Arc::clone(&storage))
            .segment_size(256 << 10)
            .build()
            .unwrap();
        heap.allocate(3 << 20);
        let held = heap.real_usage();
        drop(heap);
        // The mean comes half as near each time; what is kept are whole grants.
        let mean = held - (held >> requests);
        assert!(storage.cached_bytes() <= mean, "{requests}");
    }
    assert!(storage.cached_bytes() > 0);
}
