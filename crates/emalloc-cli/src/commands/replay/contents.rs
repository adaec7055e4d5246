//! The table of blocks for `--check`: fills every block, and finds what was changed. Owns the pattern.
//!
//! The pattern depends on the slot and on how many blocks there were before, so that a block that
//! overlaps another one, or comes back from an earlier life, is not taken for the right one.

use std::mem::MaybeUninit;
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

/// Blocks whose contents are verified.
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
        self.table[slot as usize] = block;
        let align = match size {
            0 => ALIGN,
            _ => (1 << size.trailing_zeros()).clamp(ALIGN, MOST_ALIGN),
        };
        block.verify_place(slot, align);
        // SAFETY: `verify_place` has made sure that the block is large enough.
        unsafe { block.fill_from(0) };
    }

    unsafe fn free(&mut self, slot: u32) {
        let block = std::mem::replace(&mut self.table[slot as usize], NONE);
        // SAFETY: the block is alive, and was filled to its size.
        unsafe { block.verify_or_stop(slot) };
        // SAFETY: the caller's promise.
        unsafe { efree(block.start) };
    }

    unsafe fn resize(&mut self, slot: u32, size: usize) {
        let old = self.table[slot as usize];
        // SAFETY: the block is alive, and was filled to its size.
        unsafe { old.verify_or_stop(slot) };
        // SAFETY: the caller's promise.
        let start = unsafe { erealloc(old.start, size) };
        let new = Block { start, size, ..old };
        new.verify_place(slot, ALIGN);
        let kept = Block {
            size: size.min(old.size),
            ..new
        };
        self.table[slot as usize] = kept;
        // SAFETY: so much was filled before and has come along.
        unsafe { kept.verify_or_stop(slot) };
        // SAFETY: `verify_place` has made sure that the block is large enough.
        unsafe { new.fill_from(kept.size) };
        self.table[slot as usize] = new;
    }

    unsafe fn end_request(&mut self) -> Result<(), Damage> {
        for (slot, block) in self.table.iter_mut().enumerate() {
            if !block.start.is_null() {
                // SAFETY: the block is alive, and was filled to its size.
                unsafe { block.verify(slot as u32) }?;
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

    /// Says where the block does not hold its pattern.
    ///
    /// # Safety
    /// The block is alive, and its whole size has been written.
    unsafe fn verify(self, slot: u32) -> Result<(), Damage> {
        // SAFETY: the whole block, which nobody writes to meanwhile.
        let bytes = unsafe { slice::from_raw_parts(self.start, self.size) };
        match first_difference(bytes, self.seed) {
            None => Ok(()),
            Some(at) => Err(Damage::Content {
                slot,
                size: self.size,
                address: self.start.addr(),
                at,
            }),
        }
    }

    /// As [`verify`](Self::verify), but stops.
    ///
    /// # Safety
    /// As there.
    unsafe fn verify_or_stop(self, slot: u32) {
        // SAFETY: the same promise.
        if let Err(damage) = unsafe { self.verify(slot) } {
            stop(Cause::Damage(damage));
        }
    }
}

/// The eight bytes of the pattern at byte `8 * word` of a block.
fn pattern(seed: u64, word: usize) -> [u8; 8] {
    seed.wrapping_add(STEP.wrapping_mul(word as u64))
        .to_ne_bytes()
}

/// Writes bytes `from…` of a block's pattern.
fn write_pattern(bytes: &mut [MaybeUninit<u8>], from: usize, seed: u64) {
    let before = (from.next_multiple_of(8) - from).min(bytes.len());
    let (head, rest) = bytes.split_at_mut(before);
    for (byte, value) in head.iter_mut().zip(&pattern(seed, from / 8)[from % 8..]) {
        byte.write(*value);
    }
    let first = from.div_ceil(8);
    for (word, chunk) in rest.chunks_mut(8).enumerate() {
        for (byte, value) in chunk.iter_mut().zip(pattern(seed, first + word)) {
            byte.write(value);
        }
    }
}

/// The first byte that is not the pattern's.
fn first_difference(bytes: &[u8], seed: u64) -> Option<usize> {
    let differs = |(word, chunk): (usize, &[u8])| chunk != &pattern(seed, word)[..chunk.len()];
    let word = bytes.chunks(8).enumerate().position(differs)?;
    let expected = pattern(seed, word);
    let within = bytes[word * 8..]
        .iter()
        .zip(expected)
        .position(|(&found, expected)| found != expected)?;
    Some(word * 8 + within)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(first_difference(&whole, SEED), None);
    }

    #[test]
    fn every_changed_byte_is_found() {
        for len in [1, 7, 8, 9, 63, 64] {
            for at in 0..len {
                let mut bytes = filled(&[len]);
                bytes[at] ^= 0x40;
                assert_eq!(first_difference(&bytes, SEED), Some(at), "{len}");
            }
        }
    }
}
