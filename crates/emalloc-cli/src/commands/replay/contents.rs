//! The table of blocks for `--check`: fills every block, and finds what was changed. Owns the pattern.
//!
//! The pattern depends on the slot and on how many blocks there were before, so that a block that
//! overlaps another one, or comes back from an earlier life, is not taken for the right one.

use std::mem::MaybeUninit;
use std::ops::Range;
use std::ptr;
use std::slice;

use emalloc::{efree, emalloc, erealloc, mem_block_size};

use super::execute::{Blocks, Cause, stop};
use super::failure::Damage;

/// An odd number with bits all over: words of a pattern are this far apart.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The alignment of every block.
const ALIGN: usize = 8;

/// Up to this a block is aligned to each power of two of which its size is a multiple.
const MOST_ALIGN: usize = 4096;

/// Bytes that are verified at both ends of a block that was resized where it stands.
const EDGE: usize = 256;

/// Bytes that are compared at once, a multiple of 8.
const STRETCH: usize = 4096;

/// A block, filled with the pattern of `seed`; null if there is none.
#[derive(Clone, Copy)]
struct Block {
    start: *mut u8,
    size: usize,
    seed: u64,
}

const NONE: Block = Block {
    start: ptr::null_mut(),
    size: 0,
    seed: 0,
};

/// Blocks whose contents are verified. What is in the table is alive, and was filled to its size.
pub struct Verified {
    table: Vec<Block>,
    allocated: u64,
}

impl Blocks for Verified {
    fn new(slots: usize) -> Self {
        Self {
            table: vec![NONE; slots],
            allocated: 0,
        }
    }

    fn allocate(&mut self, slot: u32, size: usize) {
        self.allocated += 1;
        let block = Block {
            start: emalloc(size),
            size,
            seed: (self.allocated << 24 | u64::from(slot)).wrapping_mul(STEP),
        };
        let align = match size {
            0 => ALIGN,
            _ => (1 << size.trailing_zeros()).clamp(ALIGN, MOST_ALIGN),
        };
        block.verify_place(slot, align);
        // SAFETY: `verify_place` has made sure that the block is large enough.
        unsafe { block.fill_from(0) };
        self.table[slot as usize] = block;
    }

    unsafe fn free(&mut self, slot: u32) {
        let block = std::mem::replace(&mut self.table[slot as usize], NONE);
        // SAFETY: the block is alive, and was filled to its size.
        unsafe { block.verify_or_stop(slot, 0..block.size) };
        // SAFETY: the caller's promise.
        unsafe { efree(block.start) };
    }

    /// What is cut off is verified before it is gone. If the block stays where it is, what is kept was not written
    /// to, and what is wrong with it stays wrong: then its edges are enough until it moves or dies. (Strings grow
    /// byte by byte: to read all that is kept, each time, would be 120 GB for the trace `bench` alone.)
    unsafe fn resize(&mut self, slot: u32, size: usize) {
        let old = self.table[slot as usize];
        // SAFETY: the block is alive, and was filled to its size.
        unsafe { old.verify_or_stop(slot, size.min(old.size)..old.size) };
        // SAFETY: the caller's promise.
        let start = unsafe { erealloc(old.start, size) };
        let new = Block { start, size, ..old };
        let kept = size.min(old.size);
        // Whatever is found below, the table holds what is alive and filled.
        self.table[slot as usize] = Block { size: kept, ..new };
        new.verify_place(slot, ALIGN);
        if start == old.start {
            // SAFETY: so much was filled before and has stayed.
            unsafe { new.verify_or_stop(slot, 0..kept.min(EDGE)) };
            // SAFETY: as above.
            unsafe { new.verify_or_stop(slot, kept.saturating_sub(EDGE)..kept) };
        } else {
            // SAFETY: so much was filled before and has come along.
            unsafe { new.verify_or_stop(slot, 0..kept) };
        }
        // SAFETY: `verify_place` has made sure that the block is large enough.
        unsafe { new.fill_from(kept) };
        self.table[slot as usize] = new;
    }

    unsafe fn end_request(&mut self) -> Result<(), Damage> {
        for (slot, block) in self.table.iter_mut().enumerate() {
            if !block.start.is_null() {
                // SAFETY: the block is alive, and was filled to its size.
                unsafe { block.verify(slot as u32, 0..block.size) }?;
                *block = NONE;
            }
        }
        Ok(())
    }
}

impl Block {
    /// Stops if the block cannot be what it should be.
    fn verify_place(self, slot: u32, align: usize) {
        let address = self.start.addr();
        if !address.is_multiple_of(align) {
            stop(Cause::Damage(Damage::Misaligned {
                slot,
                size: self.size,
                address,
                align,
            }));
        }
        // SAFETY: the heap has just handed it out.
        let usable = unsafe { mem_block_size(self.start) };
        if usable < self.size {
            stop(Cause::Damage(Damage::TooSmall {
                slot,
                size: self.size,
                usable,
            }));
        }
    }

    /// Writes the pattern from byte `from` on.
    ///
    /// # Safety
    /// The block is alive and holds its size.
    unsafe fn fill_from(self, from: usize) {
        let start = self.start.wrapping_add(from).cast::<MaybeUninit<u8>>();
        // SAFETY: the rest of the block, which nobody else refers to.
        let rest = unsafe { slice::from_raw_parts_mut(start, self.size - from) };
        write_pattern(rest, from, self.seed);
    }

    /// Says where a part of the block does not hold its pattern.
    ///
    /// # Safety
    /// The block is alive, and that part of it has been written.
    unsafe fn verify(self, slot: u32, part: Range<usize>) -> Result<(), Damage> {
        // The pattern is made of whole words.
        let from = part.start & !7;
        let start = self.start.wrapping_add(from);
        // SAFETY: a part of the block that was written (in front of it, too, to the word's beginning), and that
        // nobody writes to meanwhile.
        let bytes = unsafe { slice::from_raw_parts(start, part.end - from) };
        match first_difference(bytes, from / 8, self.seed) {
            None => Ok(()),
            Some(at) => Err(Damage::Content {
                slot,
                size: self.size,
                address: self.start.addr(),
                at: from + at,
            }),
        }
    }

    /// As [`verify`](Self::verify), but stops.
    ///
    /// # Safety
    /// As there.
    unsafe fn verify_or_stop(self, slot: u32, part: Range<usize>) {
        // SAFETY: the same promise.
        if let Err(damage) = unsafe { self.verify(slot, part) } {
            stop(Cause::Damage(damage));
        }
    }
}

/// The word of the pattern with this number, in a block.
fn pattern(seed: u64, word: usize) -> u64 {
    seed.wrapping_add(STEP.wrapping_mul(word as u64))
}

/// Writes bytes `from…` of a block's pattern.
fn write_pattern(bytes: &mut [MaybeUninit<u8>], from: usize, seed: u64) {
    let before = (from.next_multiple_of(8) - from).min(bytes.len());
    let (head, rest) = bytes.split_at_mut(before);
    let first = pattern(seed, from / 8).to_ne_bytes();
    write_bytes(head, &first[from % 8..]);
    let mut word = pattern(seed, from.div_ceil(8));
    let (words, tail) = rest.as_chunks_mut::<8>();
    for place in words {
        *place = word.to_ne_bytes().map(MaybeUninit::new);
        word = word.wrapping_add(STEP);
    }
    write_bytes(tail, &word.to_ne_bytes());
}

fn write_bytes(places: &mut [MaybeUninit<u8>], values: &[u8]) {
    for (place, &value) in places.iter_mut().zip(values) {
        place.write(value);
    }
}

/// The first of `bytes`, which begin with word `word` of a block, that is not the pattern's.
fn first_difference(bytes: &[u8], word: usize, seed: u64) -> Option<usize> {
    let expected = |at: usize| pattern(seed, word + at / 8).to_ne_bytes()[at % 8];
    // Only a stretch that has one in it is looked at byte by byte.
    let stretches = bytes.chunks(STRETCH).enumerate();
    let (number, stretch) = stretches
        .into_iter()
        .find(|&(number, stretch)| differs(stretch, pattern(seed, word + number * STRETCH / 8)))?;
    let at = number * STRETCH;
    (at..at + stretch.len()).find(|&at| bytes[at] != expected(at))
}

/// Whether `bytes` are not the pattern that begins with the word `expected`.
fn differs(bytes: &[u8], mut expected: u64) -> bool {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut difference = 0;
    for word in words {
        difference |= u64::from_ne_bytes(*word) ^ expected;
        expected = expected.wrapping_add(STEP);
    }
    difference != 0 || tail != &expected.to_ne_bytes()[..tail.len()]
}

#[cfg(test)]
mod tests {
    use emalloc::{Heap, scope};

    use super::super::batch::{Op, OpKind};
    use super::super::execute::{Unwinding, execute};
    use super::*;

    const SEED: u64 = 0x0123_4567_89ab_cdef;

    fn filled(parts: &[usize]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &part in parts {
            let mut more = vec![MaybeUninit::new(0); part];
            write_pattern(&mut more, bytes.len(), SEED);
            // SAFETY: all were written.
            bytes.extend(more.iter().map(|byte| unsafe { byte.assume_init() }));
        }
        bytes
    }

    #[test]
    fn a_pattern_written_in_parts_is_whole() {
        let whole = filled(&[100]);
        for first in 0..=20 {
            for second in 0..=20 {
                assert_eq!(filled(&[first, second, 100 - first - second]), whole);
            }
        }
        assert_eq!(first_difference(&whole, 0, SEED), None);
    }

    #[test]
    fn every_changed_byte_is_found() {
        for len in [1, 7, 8, 9, 63, 64, STRETCH, STRETCH + 9] {
            for at in 0..len {
                let mut bytes = filled(&[len]);
                bytes[at] ^= 0x40;
                assert_eq!(first_difference(&bytes, 0, SEED), Some(at), "{len}");
            }
        }
    }

    fn op(kind: OpKind, slot: u32, size: usize) -> Op {
        Op { size, slot, kind }
    }

    /// Allocates two blocks of `size` bytes, changes byte `at` of the first, executes `op` on it, and answers
    /// which byte was found to be wrong.
    fn found(size: usize, at: Option<usize>, op_after: Op) -> Option<usize> {
        let heap = Heap::builder().handler(Unwinding).build().unwrap();
        scope(&heap, || {
            let mut blocks = Verified::new(2);
            let before = [0, 1].map(|slot| op(OpKind::Alloc, slot, size));
            // SAFETY: two allocations into empty slots; the heap is current from here to the end.
            unsafe { execute(&mut blocks, &before) }.unwrap();
            if let Some(at) = at {
                let byte = blocks.table[0].start.wrapping_add(at);
                // SAFETY: a byte of a block that is alive and filled.
                unsafe { *byte ^= 1 };
            }
            // SAFETY: an operation on the block in slot 0.
            let stopped = unsafe { execute(&mut blocks, &[op_after]) };
            // SAFETY: what is in the table is alive.
            let at_end = unsafe { blocks.end_request() };
            match (stopped.map_err(|stop| stop.cause), at_end) {
                (Err(Cause::Damage(Damage::Content { slot: 0, at, .. })), _)
                | (Ok(()), Err(Damage::Content { slot: 0, at, .. })) => Some(at),
                (Ok(()), Ok(())) => None,
                other => panic!("{other:?}"),
            }
        })
    }

    #[test]
    fn a_changed_byte_of_a_block_is_found_whatever_happens_to_it() {
        for size in [1, 40, 700, 5000, 300_000, 1 << 20] {
            for next in [
                op(OpKind::Free, 0, 0),
                op(OpKind::Realloc, 0, 0),
                op(OpKind::Realloc, 0, size / 2),
                op(OpKind::Realloc, 0, size + 1),
                op(OpKind::Realloc, 0, size * 3),
                op(OpKind::Alloc, 1, 10),
            ] {
                assert_eq!(found(size, None, next), None, "{size} {next:?}");
                for at in [0, size / 2, size - 1] {
                    assert_eq!(found(size, Some(at), next), Some(at), "{size} {next:?}");
                }
            }
        }
    }
}
