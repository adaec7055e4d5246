//! A storage that keeps book of every byte: what is granted twice, freed twice, or cut at the wrong place is found
//! at once. Parts may go back by themselves, as the storage inside allows.

use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Mutex;

use emalloc::storage::{Grant, Storage, StorageError};

/// What is granted, as ranges that do not touch, and the most there was.
#[derive(Debug, Default)]
struct Book {
    /// Ends by beginnings.
    ranges: BTreeMap<usize, usize>,
    live: usize,
    peak: usize,
    calls: usize,
    requests: usize,
    to_be_filled: usize,
    to_be_refilled: usize,
}

impl Book {
    fn add(&mut self, mut start: usize, mut end: usize) {
        self.live += end - start;
        self.peak = self.peak.max(self.live);
        let before = self.ranges.range(..=start).next_back();
        if let Some((&first, &last)) = before {
            assert!(last <= start, "granted twice: {start:#x}");
            if last == start {
                start = first;
            }
        }
        let after = self.ranges.range(end - 1..).next();
        if let Some((&first, &last)) = after {
            assert!(first >= end, "granted twice: {first:#x}");
            if first == end {
                self.ranges.remove(&first);
                end = last;
            }
        }
        self.ranges.insert(start, end);
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.live -= end - start;
        let found = self.ranges.range(..=start).next_back();
        let (first, last) = found.map(|(first, last)| (*first, *last)).unwrap();
        assert!(end <= last, "freed twice: {start:#x}..{end:#x}");
        self.ranges.remove(&first);
        if first < start {
            self.ranges.insert(first, start);
        }
        if end < last {
            self.ranges.insert(end, last);
        }
    }
}

/// See above.
#[derive(Debug)]
pub struct Ledger<S> {
    inner: S,
    book: Mutex<Book>,
}

#[allow(dead_code)]
impl<S: Storage> Ledger<S> {
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            book: Mutex::default(),
        }
    }

    /// Bytes that are granted now.
    pub fn live(&self) -> usize {
        self.book.lock().unwrap().live
    }

    /// The most bytes that were granted at once.
    pub fn peak(&self) -> usize {
        self.book.lock().unwrap().peak
    }

    /// Calls that asked for memory, gave some back or changed a grant.
    pub fn calls(&self) -> usize {
        self.book.lock().unwrap().calls
    }

    /// Ends of requests that were heard of.
    pub fn requests(&self) -> usize {
        self.book.lock().unwrap().requests
    }

    /// Bytes of grants that will be filled, as was heard.
    pub fn to_be_filled(&self) -> usize {
        self.book.lock().unwrap().to_be_filled
    }

    /// Bytes of used grants that will be filled again, as was heard.
    pub fn to_be_refilled(&self) -> usize {
        self.book.lock().unwrap().to_be_refilled
    }

    fn ensure_granted(&self, book: &Book, start: NonNull<u8>, size: usize) {
        let start = start.addr().get();
        self.ensure_whole(start, size);
        let range = book.ranges.range(..=start).next_back();
        assert!(range.is_some_and(|(_, &end)| start + size <= end));
    }

    fn ensure_whole(&self, start: usize, size: usize) {
        let unit = self.inner.capabilities().granularity;
        assert!(size > 0 && start.is_multiple_of(unit) && size.is_multiple_of(unit));
    }
}

// SAFETY: all memory is the inner storage's, handed through.
unsafe impl<S: Storage> Storage for Ledger<S> {
    emalloc::storage::forward_storage!(|self| self.inner; capabilities, discard, is_usual, keep_less, note_unfilled, trim);

    fn name(&self) -> &str {
        "ledger"
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let mut book = self.book.lock().unwrap();
        book.calls += 1;
        let grant = self.inner.allocate(size, align)?;
        self.ensure_whole(grant.start.addr().get(), size);
        let start = grant.start.addr().get();
        book.add(start, start + size);
        Ok(grant)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        let mut book = self.book.lock().unwrap();
        book.calls += 1;
        self.ensure_whole(start.addr().get(), size);
        book.remove(start.addr().get(), start.addr().get() + size);
        // SAFETY: granted, as the book says.
        unsafe { self.inner.free(start, size, align) };
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        let mut book = self.book.lock().unwrap();
        book.calls += 1;
        // SAFETY: as the caller vouches.
        unsafe { self.inner.resize(start, old, new, align) }?;
        let at = start.addr().get();
        self.ensure_whole(at, old);
        self.ensure_whole(at, new);
        book.remove(at, at + old);
        book.add(at, at + new);
        Ok(())
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        let mut book = self.book.lock().unwrap();
        book.calls += 1;
        // SAFETY: as the caller vouches.
        let grant = unsafe { self.inner.move_resize(start, old, new, align) }?;
        let (from, to) = (start.addr().get(), grant.start.addr().get());
        self.ensure_whole(from, old);
        self.ensure_whole(to, new);
        book.remove(from, from + old);
        book.add(to, to + new);
        Ok(grant)
    }

    unsafe fn will_fill(&self, start: NonNull<u8>, size: usize, _filled: usize) {
        let mut book = self.book.lock().unwrap();
        self.ensure_granted(&book, start, size);
        book.to_be_filled += size;
    }

    unsafe fn will_refill(&self, start: NonNull<u8>, size: usize) {
        let mut book = self.book.lock().unwrap();
        self.ensure_granted(&book, start, size);
        // SAFETY: nobody needs what lies there, as the caller vouches.
        unsafe { start.write_bytes(0xa5, size) };
        book.to_be_refilled += size;
    }

    fn request_ended(&self) {
        self.book.lock().unwrap().requests += 1;
    }
}
