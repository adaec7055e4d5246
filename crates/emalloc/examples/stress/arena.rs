//! Owns [`Arena`]: a storage that can do whatever the seed says, refuses when it likes, hands out odd places, and
//! watches: what it is given back must be what it granted, and nobody may write there any more.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use emalloc::storage::{Capabilities, Grant, Storage, StorageError};

use crate::random::Random;
use crate::spans::{Spans, other_than};

/// Bytes of an arena, of which only what is used is ever there. Its first byte is a multiple of this: a walk is the
/// same wherever the system puts it.
const SIZE: usize = if cfg!(miri) {
    1 << 24
} else if usize::BITS == 64 {
    1 << 28
} else {
    1 << 27
};

const LAYOUT: Layout = match Layout::from_size_align(SIZE, SIZE) {
    Ok(layout) => layout,
    Err(_) => panic!("a power of two"),
};

/// What memory holds that was given back, that was granted, and that was discarded.
const POISON: u8 = 0xDD;
const FRESH: u8 = 0xCC;
const LOST: u8 = 0xEE;

/// Of larger grants only so much is filled and watched.
const WATCHED: usize = 4 << 20;

/// All in bytes from the arena's beginning.
#[derive(Debug)]
struct Book {
    random: Random,
    granted: Spans,
    /// Size and alignment of each grant, unless grants may be divided.
    exact: BTreeMap<usize, (usize, usize)>,
    /// What was left and not taken back: place, size, alignment.
    left: Vec<(usize, usize, usize)>,
    poisoned: Spans,
}

impl Book {
    #[track_caller]
    fn has_granted(&self, at: usize, size: usize) {
        assert!(
            self.granted.covers(at, at + size),
            "{at:#x}, {size:#x} was not granted"
        );
    }
}

/// See the head of this file.
#[derive(Debug)]
pub struct Arena {
    base: NonNull<u8>,
    capabilities: Capabilities,
    /// Whether a grant may stay as it is where it should be cut.
    stubborn: bool,
    /// Whether what is given back is watched.
    watches: bool,
    refuses_one_in: AtomicUsize,
    book: Mutex<Book>,
}

// SAFETY: the memory is the arena's; who uses which part of it is in the book, behind a lock.
unsafe impl Send for Arena {}
// SAFETY: as above.
unsafe impl Sync for Arena {}

impl Arena {
    pub fn new(seed: u64) -> Self {
        // SAFETY: the size is not zero.
        let base = unsafe { std::alloc::alloc(LAYOUT) };
        let mut random = Random::new(seed);
        let granularity = [64, 4096, 4096, 16384, 65536][random.below(5)];
        let mut capabilities = Capabilities::basic(granularity);
        capabilities.zeroed = random.one_in(2);
        capabilities.grow_in_place = random.one_in(2);
        capabilities.shrink_in_place = random.one_in(2);
        capabilities.discard = random.one_in(2);
        capabilities.move_without_copy = random.one_in(2);
        capabilities.divisible = random.one_in(2);
        Self {
            base: NonNull::new(base).expect("there are so many addresses"),
            capabilities,
            stubborn: random.one_in(3),
            watches: !random.one_in(3),
            refuses_one_in: AtomicUsize::new(0),
            book: Mutex::new(Book {
                random,
                granted: Spans::default(),
                exact: BTreeMap::new(),
                left: Vec::new(),
                poisoned: Spans::default(),
            }),
        }
    }

    /// From now on one call in `n` is refused that may be; 0: none.
    pub fn refuse_one_in(&self, n: usize) {
        self.refuses_one_in.store(n, Ordering::Relaxed);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().expect("nobody has panicked inside")
    }

    fn at(&self, offset: usize) -> NonNull<u8> {
        // SAFETY: offsets in the book lie inside of the arena.
        unsafe { self.base.add(offset) }
    }

    fn offset(&self, start: NonNull<u8>) -> usize {
        let offset = start.addr().get().wrapping_sub(self.base.addr().get());
        assert!(offset < SIZE, "{start:?} is no memory of this arena");
        offset
    }

    fn fill(&self, from: usize, to: usize, byte: u8) {
        let bytes = (to - from).min(WATCHED);
        // SAFETY: inside of the arena, and in nobody's use: just granted, or given back.
        unsafe { self.at(from).write_bytes(byte, bytes) };
    }

    fn refuses(&self, book: &mut Book) -> bool {
        match self.refuses_one_in.load(Ordering::Relaxed) {
            0 => false,
            n => book.random.one_in(n),
        }
    }

    fn whole(&self, size: usize) {
        assert!(size > 0 && size.is_multiple_of(self.capabilities.granularity));
        assert!(isize::try_from(size).is_ok(), "{size}");
    }

    /// A place for so many bytes, anywhere.
    fn find(&self, book: &mut Book, size: usize, align: usize) -> Option<usize> {
        if size > SIZE / 2 || align > SIZE / 2 {
            return None;
        }
        let align = align.max(self.capabilities.granularity.min(4096));
        let most = if book.random.one_in(2) { 64 } else { 4 };
        let (mut at, odd) = (book.random.below(SIZE / most), book.random.one_in(2));
        let mut again = true;
        loop {
            at = at.next_multiple_of(align);
            // At no larger multiple than asked for.
            if odd && at.is_multiple_of(2 * align) {
                at += align;
            }
            if at + size > SIZE {
                if !again {
                    return None;
                }
                again = false;
                at = 0;
                continue;
            }
            match self.end_of_use(book, at, at + size) {
                Some(end) => at = end,
                None => return Some(at),
            }
        }
    }

    /// Where the last use in there ends, if there is any.
    fn end_of_use(&self, book: &Book, from: usize, to: usize) -> Option<usize> {
        let left = book.left.iter().map(|&(at, size, _)| (at, at + size));
        let left = left.filter(|&(at, end)| at < to && end > from);
        let granted = book.granted.parts(from, to).map(|(_, end)| end).next();
        left.map(|(_, end)| end).chain(granted).max()
    }

    /// Nobody has written to what was given back there; it may be written to from now on.
    fn unpoison(&self, book: &mut Book, from: usize, to: usize) {
        for (start, end) in book.poisoned.parts(from, to) {
            // SAFETY: inside of the arena, and nobody has been granted it.
            let bytes = unsafe { std::slice::from_raw_parts(self.at(start).as_ptr(), end - start) };
            if let Some(place) = other_than(POISON, bytes) {
                let found = &bytes[place..bytes.len().min(place + 16)];
                panic!(
                    "written to at {:#x} after it was given back: {found:x?}",
                    start + place
                );
            }
        }
        book.poisoned.remove(from, to);
    }

    fn poison(&self, book: &mut Book, from: usize, to: usize) {
        if self.watches {
            self.fill(from, to, POISON);
            book.poisoned.add(from, to.min(from + WATCHED));
        }
    }

    fn grant(&self, book: &mut Book, at: usize, size: usize, align: usize) {
        assert!(self.end_of_use(book, at, at + size).is_none());
        book.granted.add(at, at + size);
        if !self.capabilities.divisible {
            book.exact.insert(at, (size, align));
        }
    }

    fn take(&self, book: &mut Book, at: usize, size: usize, align: usize) -> Grant {
        self.unpoison(book, at, at + size);
        self.grant(book, at, size, align);
        let zeroed = self.capabilities.zeroed && size <= WATCHED && book.random.one_in(2);
        self.fill(at, at + size, if zeroed { 0 } else { FRESH });
        Grant {
            start: self.at(at),
            zeroed,
        }
    }

    fn take_off(&self, book: &mut Book, at: usize, size: usize, align: usize) {
        book.has_granted(at, size);
        book.granted.remove(at, at + size);
        if !self.capabilities.divisible {
            assert_eq!(
                book.exact.remove(&at),
                Some((size, align)),
                "not as granted"
            );
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let book = self.book();
            assert!(
                book.granted.is_empty(),
                "never given back: {:x?}",
                book.granted
            );
        }
        // SAFETY: allocated with this layout, and everything was given back.
        unsafe { std::alloc::dealloc(self.base.as_ptr(), LAYOUT) };
    }
}

// SAFETY: the book knows which part of the memory is granted, and nothing is granted twice.
unsafe impl Storage for Arena {
    fn name(&self) -> &str {
        "arena"
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        self.whole(size);
        assert!(align.is_power_of_two(), "{align}");
        let book = &mut *self.book();
        let refused = StorageError::Exhausted { requested: size };
        if self.refuses(book) {
            return Err(refused);
        }
        let at = self.find(book, size, align).ok_or(refused)?;
        Ok(self.take(book, at, size, align))
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        self.whole(size);
        let (book, at) = (&mut *self.book(), self.offset(start));
        self.take_off(book, at, size, align);
        self.poison(book, at, at + size);
    }

    unsafe fn leave(&self, start: NonNull<u8>, size: usize, align: usize) {
        self.whole(size);
        let (book, at) = (&mut *self.book(), self.offset(start));
        self.take_off(book, at, size, align);
        if book.left.len() < 3 && book.random.one_in(2) {
            book.left.push((at, size, align));
        } else {
            self.poison(book, at, at + size);
        }
    }

    fn take_back(&self, size: usize, align: usize) -> Option<NonNull<u8>> {
        let book = &mut *self.book();
        let like = |&(_, s, a): &(usize, usize, usize)| (s, a) == (size, align);
        let which = book.left.iter().position(like)?;
        let (at, ..) = book.left.swap_remove(which);
        self.grant(book, at, size, align);
        Some(self.at(at))
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        self.whole(old);
        self.whole(new);
        let (book, at) = (&mut *self.book(), self.offset(start));
        book.has_granted(at, old);
        if self.refuses(book) {
            return Err(StorageError::Exhausted { requested: new });
        }
        let can = if new > old {
            self.capabilities.grow_in_place
                && book.random.one_in(2)
                && new < SIZE - at
                && self.end_of_use(book, at + old, at + new).is_none()
        } else {
            self.capabilities.shrink_in_place && !(self.stubborn && book.random.one_in(2))
        };
        if !can {
            return Err(StorageError::Unsupported);
        }
        self.take_off(book, at, old, align);
        if new > old {
            self.unpoison(book, at + old, at + new);
            self.fill(at + old, at + new, FRESH);
        } else if new < old {
            self.poison(book, at + new, at + old);
        }
        self.grant(book, at, new, align);
        Ok(())
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        self.whole(old);
        self.whole(new);
        let (book, from) = (&mut *self.book(), self.offset(start));
        book.has_granted(from, old);
        let can = self.capabilities.move_without_copy && !book.random.one_in(3);
        if !can || self.refuses(book) {
            return Err(StorageError::Unsupported);
        }
        let refused = StorageError::Exhausted { requested: new };
        let at = self.find(book, new, align).ok_or(refused)?;
        let mut grant = self.take(book, at, new, align);
        // SAFETY: both are in the arena, granted, and apart.
        unsafe { start.copy_to_nonoverlapping(grant.start, old.min(new)) };
        self.take_off(book, from, old, align);
        self.poison(book, from, from + old);
        grant.zeroed = false;
        Ok(grant)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        self.whole(size);
        assert!(self.capabilities.discard, "it never said so");
        let (book, at) = (&mut *self.book(), self.offset(start));
        book.has_granted(at, size);
        let discards = !book.random.one_in(3);
        if discards {
            self.fill(at, at + size, LOST);
        }
        discards
    }

    fn is_usual(&self, _: usize, _: usize) -> bool {
        self.book().random.one_in(2)
    }

    unsafe fn will_fill(&self, start: NonNull<u8>, size: usize, _filled: usize) {
        let (book, at) = (self.book(), self.offset(start));
        book.has_granted(at, size);
    }

    unsafe fn will_refill(&self, start: NonNull<u8>, size: usize) {
        let (book, at) = (&mut *self.book(), self.offset(start));
        book.has_granted(at, size);
        if book.random.one_in(2) {
            self.fill(at, at + size, LOST);
        }
    }
}
