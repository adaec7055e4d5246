//! The slot of `cached`: one freed segment in front of the table, put there and taken by one exchange. Used by
//! `cached` only.

use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::kept::Piece;
use crate::layout::MIN_SEGMENT;

/// The bits of an address that are free in a multiple of the least segment size and hold any binary logarithm.
const TAG: usize = 63;

/// The bit above says whether an even or an odd number of requests had ended when it was put there.
const TURN: usize = TAG + 1;

/// The next one says that it was left, not freed.
const LEFT: usize = TURN << 1;

/// One segment or none: its address and, in the lowest bits, the binary logarithm of its size, which is its alignment too,
/// the turn and whether it was left.
///
/// The word says all there is to know of what lies there, and whoever exchanges it for null owns that: nothing else is read
/// beforehand, so it does not matter if the same segment was taken and put back in between.
#[derive(Debug)]
pub(super) struct Slot {
    word: AtomicPtr<u8>,
    /// 0 or [`TURN`]: changes with the end of a request.
    turn: AtomicUsize,
}

impl Slot {
    pub(super) const fn new() -> Self {
        Self {
            word: AtomicPtr::new(ptr::null_mut()),
            turn: AtomicUsize::new(0),
        }
    }

    /// Puts a segment there that was freed or `left`. Says no if something lies there, or it is no segment.
    #[inline]
    pub(super) fn put(&self, start: NonNull<u8>, size: usize, align: usize, left: bool) -> bool {
        let address = start.addr().get();
        if size != align || size < MIN_SEGMENT || !address.is_multiple_of(size) {
            return false;
        }
        let left = if left { LEFT } else { 0 };
        let word = tagged(
            start.as_ptr(),
            size,
            self.turn.load(Ordering::Relaxed) | left,
        );
        // Sequentially consistent: whoever puts then looks at the counts, whoever changes those then looks here.
        self.word
            .compare_exchange(ptr::null_mut(), word, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes what lies there if it is a segment of that size, and was left if that is asked for.
    #[inline]
    pub(super) fn take(&self, size: usize, align: usize, left: bool) -> Option<NonNull<u8>> {
        let word = self.word.load(Ordering::Relaxed);
        if left && word.addr() & LEFT == 0 {
            return None;
        }
        if size != align || !size.is_power_of_two() || size != size_in(word) {
            return None;
        }
        // What was there, which may be another grant than that of the look, at the same address.
        let word = self
            .word
            .compare_exchange(word, ptr::null_mut(), Ordering::Acquire, Ordering::Relaxed)
            .ok()?;
        NonNull::new(start_in(word))
    }

    /// Takes what lies there, whatever it is; and says whether it was used since a request ended last.
    pub(super) fn empty(&self) -> Option<(Piece, bool)> {
        if self.bytes() == 0 {
            return None;
        }
        let word = self.word.swap(ptr::null_mut(), Ordering::Acquire);
        let size = size_in(word);
        let piece = Piece {
            start: start_in(word),
            size,
            align: size,
            warm_end: false,
        };
        (size > 0).then_some((piece, self.is_fresh(word)))
    }

    /// Notes the end of a request. Says no if something lies there that was put there before the last one.
    #[inline]
    pub(super) fn end_request(&self) -> bool {
        let word = self.word.load(Ordering::Relaxed);
        if !word.is_null() && !self.is_fresh(word) {
            return false;
        }
        // Two requests that end at once may count as one: what is put there meanwhile is in the table one request later.
        self.turn
            .store(self.turn.load(Ordering::Relaxed) ^ TURN, Ordering::Relaxed);
        true
    }

    /// Whether what the word says was put there since a request ended last.
    fn is_fresh(&self, word: *mut u8) -> bool {
        word.addr() & TURN == self.turn.load(Ordering::Relaxed)
    }

    /// The size of what lies there; 0 if nothing does.
    pub(super) fn bytes(&self) -> usize {
        size_in(self.word.load(Ordering::SeqCst))
    }
}

fn tagged(start: *mut u8, size: usize, bits: usize) -> *mut u8 {
    start.map_addr(|address| address | bits | size.trailing_zeros() as usize)
}

fn start_in(word: *mut u8) -> *mut u8 {
    word.map_addr(|address| address & !(LEFT | TURN | TAG))
}

fn size_in(word: *mut u8) -> usize {
    // Null would be a segment of one byte.
    (1 << (word.addr() & TAG)) & !1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_segment_lies_there_as_it_was_put() {
        let at = |address: usize| NonNull::new(ptr::without_provenance_mut::<u8>(address)).unwrap();
        let slot = Slot::new();
        assert!(slot.take(1, 1, false).is_none() && slot.empty().is_none());
        // Too small, not as large as aligned, not aligned at all.
        assert!(!slot.put(at(MIN_SEGMENT), MIN_SEGMENT / 2, MIN_SEGMENT / 2, false));
        assert!(!slot.put(at(MIN_SEGMENT), 2 * MIN_SEGMENT, MIN_SEGMENT, false));
        assert!(!slot.put(at(MIN_SEGMENT), 2 * MIN_SEGMENT, 2 * MIN_SEGMENT, false));
        for size in [MIN_SEGMENT, 1 << 30] {
            let start = at(size);
            assert!(slot.put(start, size, size, false));
            assert!(!slot.put(at(MIN_SEGMENT), MIN_SEGMENT, MIN_SEGMENT, false));
            assert_eq!(slot.bytes(), size);
            for (other, align) in [(size / 2, size / 2), (size, size / 2), (3 * size / 2, size)] {
                assert_eq!(slot.take(other, align, false), None);
            }
            assert_eq!(slot.take(size, size, false), Some(start));
            assert_eq!((slot.bytes(), slot.take(size, size, false)), (0, None));
            // What was freed is not taken for what was left; what was left may be taken for anything.
            for left in [false, true] {
                assert!(slot.put(start, size, size, left));
                assert_eq!(slot.take(size, size, true), left.then_some(start));
                assert!(left || slot.take(size, size, false).is_some());
            }
            assert!(slot.put(start, size, size, true));
            let (piece, _) = slot.empty().unwrap();
            assert_eq!(
                (piece.start(), piece.size, piece.align),
                (Some(start), size, size)
            );
        }
    }

    /// Only Miri sees the difference between grants at the same address, for some seeds.
    #[test]
    fn what_is_taken_is_what_was_put_last() {
        use crate::storage::{MALLOC, Storage};
        let slot = Slot::new();
        let turn = || {
            for _ in 0..20 {
                if let Some(start) = slot.take(MIN_SEGMENT, MIN_SEGMENT, false) {
                    // SAFETY: granted below, and nobody else's any more.
                    unsafe { start.write(1) };
                    // SAFETY: as above.
                    unsafe { MALLOC.free(start, MIN_SEGMENT, MIN_SEGMENT) };
                }
                let grant = MALLOC.allocate(MIN_SEGMENT, MIN_SEGMENT).unwrap();
                if !slot.put(grant.start, MIN_SEGMENT, MIN_SEGMENT, false) {
                    // SAFETY: granted above, and put nowhere.
                    unsafe { MALLOC.free(grant.start, MIN_SEGMENT, MIN_SEGMENT) };
                }
            }
        };
        std::thread::scope(|threads| {
            for _ in 0..2 {
                threads.spawn(turn);
            }
        });
        if let Some((piece, _)) = slot.empty() {
            // SAFETY: granted above, and nobody else's.
            unsafe { MALLOC.free(piece.start().unwrap(), piece.size, piece.align) };
        }
    }
}
