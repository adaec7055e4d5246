//! Owns [`Slots`]: places for values in memory that nobody has written yet, with
//! a bit for each that says whether there is one. So memory is touched only where
//! something is put, and whether something is there is seen in few lines of
//! memory. Used by `samples`.

use core::cell::Cell;
use core::mem::{MaybeUninit, size_of};
use core::ptr::NonNull;

/// Bits in a word.
const WORD: usize = u64::BITS as usize;

/// So many slots for values. Numbers are below that.
pub(super) struct Slots<T> {
    bits: NonNull<Cell<u64>>,
    first: NonNull<Cell<MaybeUninit<T>>>,
    count: usize,
}

impl<T: Copy> Slots<T> {
    /// Bytes that `count` slots take.
    pub const fn bytes(count: usize) -> usize {
        Self::bytes_of_bits(count) + count * size_of::<T>()
    }

    const fn bytes_of_bits(count: usize) -> usize {
        count.div_ceil(WORD) * size_of::<u64>()
    }

    /// `count` slots without values.
    ///
    /// # Safety
    /// At `start` are [`bytes`](Self::bytes) that are the caller's as long as the slots are used, aligned as words and values are.
    pub unsafe fn set_up(start: NonNull<u8>, count: usize) -> Self {
        let bytes = Self::bytes_of_bits(count);
        // SAFETY: so many bytes are the caller's.
        unsafe { start.write_bytes(0, bytes) };
        // SAFETY: as above.
        let first = unsafe { start.add(bytes) };
        Self {
            bits: start.cast(),
            first: first.cast(),
            count,
        }
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// The word with the bit of slot `number`, and the bit.
    fn bit(&self, number: usize) -> (&Cell<u64>, u64) {
        (self.word(number / WORD), 1 << (number % WORD))
    }

    fn word(&self, word: usize) -> &Cell<u64> {
        debug_assert!(word < self.count.div_ceil(WORD));
        // SAFETY: there are as many words as the slots need, all of them written when they were set up.
        unsafe { self.bits.add(word).as_ref() }
    }

    fn slot(&self, number: usize) -> &Cell<MaybeUninit<T>> {
        debug_assert!(number < self.count);
        // SAFETY: there are so many slots, and what lies in one may be anything.
        unsafe { self.first.add(number).as_ref() }
    }

    /// The value in slot `number`, if there is one.
    #[inline(always)]
    pub fn get(&self, number: usize) -> Option<T> {
        let (word, bit) = self.bit(number);
        if word.get() & bit == 0 {
            return None;
        }
        // SAFETY: the bit says that a value was put there.
        Some(unsafe { self.slot(number).get().assume_init() })
    }

    /// Puts a value in slot `number`, whatever is there.
    #[inline(always)]
    pub fn put(&self, number: usize, value: T) {
        let (word, bit) = self.bit(number);
        word.set(word.get() | bit);
        self.slot(number).set(MaybeUninit::new(value));
    }

    /// Empties slot `number`.
    pub fn clear(&self, number: usize) {
        let (word, bit) = self.bit(number);
        word.set(word.get() & !bit);
    }

    /// The numbers of all slots with a value.
    pub fn taken(&self) -> impl Iterator<Item = usize> {
        (0..self.count.div_ceil(WORD)).flat_map(|word| {
            let mut bits = self.word(word).get();
            core::iter::from_fn(move || {
                let bit = bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
                (bit < WORD).then_some(word * WORD + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn slots_hold_what_was_put_there() {
        const COUNT: usize = 130;
        let mut memory = std::vec![u64::MAX; Slots::<[u64; 2]>::bytes(COUNT) / 8];
        let start = NonNull::from(memory.as_mut_slice()).cast();
        // SAFETY: so many bytes are there, and nobody else looks at them.
        let slots = unsafe { Slots::<[u64; 2]>::set_up(start, COUNT) };
        assert_eq!((slots.count(), slots.taken().next()), (COUNT, None));
        for number in [0, 63, 64, 129] {
            assert_eq!(slots.get(number), None);
            slots.put(number, [number as u64, 7]);
        }
        slots.put(64, [1, 2]);
        slots.clear(63);
        assert_eq!(slots.taken().collect::<Vec<_>>(), [0, 64, 129]);
        assert_eq!((slots.get(64), slots.get(63)), (Some([1, 2]), None));
        assert_eq!(slots.get(129), Some([129, 7]));
    }
}
