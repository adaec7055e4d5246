//! A model of how far a design could come: about the least that serves a trace and takes single blocks back. Size
//! classes, for each a list of free blocks, last in first out, and a byte for each page that tells its class. It counts
//! nothing, knows no limit, looks at no pointer twice, and gives no memory back, to the system or to another class. So
//! it is a floor for time, like bumpalo, and not a rival. It has one heap at a time.

use std::cell::UnsafeCell;
use std::ptr;

use super::space::Space;
use crate::allocator::{Blocks, Peer};

/// Bytes of address space that it has; a trace that needs more cannot be replayed.
const SPACE: usize = 32 << 30;
const PAGE_SHIFT: u32 = 12;
/// Bytes of a run of small blocks.
const RUN: usize = 16 << 10;
/// How many blocks are carved together.
const BATCH: usize = 8;

/// The largest size that has a class in steps of a quarter; larger ones are rounded to a power of two.
const SMALL_MAX: usize = 3072;
const SMALL: usize = 31;
/// Classes for small sizes, and one for each power of two.
const CLASSES: usize = SMALL + usize::BITS as usize;

/// Block sizes of the classes.
const SIZES: [usize; CLASSES] = {
    let mut sizes = [0; CLASSES];
    let (mut class, mut size) = (0, 8_usize);
    while class < SMALL {
        sizes[class] = size;
        // In steps of 8 up to 64, then of a quarter of the power of two below.
        size += if size < 64 {
            8
        } else {
            (1 << size.ilog2()) / 4
        };
        class += 1;
    }
    assert!(sizes[SMALL - 1] >= SMALL_MAX);
    while class < CLASSES {
        sizes[class] = 1 << (class - SMALL);
        class += 1;
    }
    sizes
};

/// The class of each size up to `SMALL_MAX`, in steps of 8.
const SMALL_CLASSES: [u8; SMALL_MAX / 8 + 1] = {
    let mut classes = [0; SMALL_MAX / 8 + 1];
    let (mut step, mut class) = (0, 0);
    while step < classes.len() {
        if step * 8 > SIZES[class] {
            class += 1;
        }
        classes[step] = class as u8;
        step += 1;
    }
    classes
};

/// The peer, with all its memory.
pub struct Model {
    space: Space,
    /// The class of each page.
    map: UnsafeCell<Box<[u8]>>,
}

impl Model {
    /// Reserves the memory.
    pub fn new() -> Self {
        Self {
            space: Space::new(SPACE),
            map: UnsafeCell::new(vec![0; SPACE >> PAGE_SHIFT].into_boxed_slice()),
        }
    }
}

impl Peer for Model {
    type Heap = ModelHeap;

    fn create(&self) -> ModelHeap {
        ModelHeap {
            classes: [const { Class::EMPTY }; CLASSES],
            space: self.space.start(),
            // SAFETY: only the one heap looks at it.
            map: unsafe { (*self.map.get()).as_mut_ptr() },
            used: 0,
        }
    }
}

/// What a class has to hand out.
struct Class {
    /// Free blocks, each with the address of the next.
    free: *mut u8,
    /// The rest of its newest run, where no block has been yet.
    rest: *mut u8,
    /// Blocks in there.
    left: usize,
}

impl Class {
    const EMPTY: Self = Self {
        free: ptr::null_mut(),
        rest: ptr::null_mut(),
        left: 0,
    };
}

/// Its heap.
pub struct ModelHeap {
    classes: [Class; CLASSES],
    space: *mut u8,
    map: *mut u8,
    /// Bytes of the space that are in runs.
    used: usize,
}

impl ModelHeap {
    #[inline(always)]
    fn class_of(size: usize) -> usize {
        if size <= SMALL_MAX {
            usize::from(SMALL_CLASSES[size.div_ceil(8)])
        } else {
            SMALL + size.next_power_of_two().ilog2() as usize
        }
    }

    /// The class of a block.
    #[inline(always)]
    fn class_at(&self, block: *mut u8) -> usize {
        let page = (block.addr() - self.space.addr()) >> PAGE_SHIFT;
        // SAFETY: the block lies in the space.
        usize::from(unsafe { self.map.add(page).read() })
    }

    #[inline(always)]
    fn class(&mut self, class: usize) -> &mut Class {
        // SAFETY: classes come from `class_of` or the map, which holds what came from there.
        unsafe { self.classes.get_unchecked_mut(class) }
    }

    /// A block that was none before. The few behind it go on the list: written to together, they come from memory
    /// together.
    #[cold]
    #[inline(never)]
    fn carve(&mut self, class: usize) -> *mut u8 {
        let size = SIZES[class];
        if self.classes[class].left == 0 {
            self.add_run(class);
        }
        let blocks = self.classes[class].left.min(BATCH);
        let first = self.classes[class].rest;
        for back in (1..blocks).rev() {
            // SAFETY: within the run.
            let block = unsafe { first.add(back * size) };
            // SAFETY: it is of this class, and nobody's.
            unsafe { self.push(class, block) };
        }
        let class = &mut self.classes[class];
        class.left -= blocks;
        // SAFETY: at most to the run's end.
        class.rest = unsafe { first.add(blocks * size) };
        first
    }

    fn add_run(&mut self, class: usize) {
        let size = SIZES[class];
        let bytes = RUN.max(size);
        assert!(self.used + bytes <= SPACE, "the model's space is used up");
        // SAFETY: the map has a byte for each page of the space.
        let map = unsafe { self.map.add(self.used >> PAGE_SHIFT) };
        // SAFETY: as above, for all pages of the run.
        unsafe { map.write_bytes(class as u8, bytes >> PAGE_SHIFT) };
        self.classes[class].left = bytes / size;
        // SAFETY: within the space.
        self.classes[class].rest = unsafe { self.space.add(self.used) };
        self.used += bytes;
    }

    /// Puts a block on the list of its class.
    ///
    /// # Safety
    /// The block is of that class and not in use.
    #[inline(always)]
    unsafe fn push(&mut self, class: usize, block: *mut u8) {
        let class = self.class(class);
        // SAFETY: a block has at least 8 bytes and is aligned to 8.
        unsafe { block.cast::<*mut u8>().write(class.free) };
        class.free = block;
    }
}

impl Blocks for ModelHeap {
    const BULK: bool = true;

    #[inline(always)]
    fn allocate(&mut self, size: usize) -> *mut u8 {
        let index = Self::class_of(size);
        let class = self.class(index);
        let block = class.free;
        if block.is_null() {
            return self.carve(index);
        }
        // SAFETY: a free block begins with the address of the next.
        class.free = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    #[inline(always)]
    unsafe fn free(&mut self, block: *mut u8) {
        let class = self.class_at(block);
        // SAFETY: the caller's promise.
        unsafe { self.push(class, block) };
    }

    #[inline(always)]
    unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
        let old = self.class_at(block);
        if Self::class_of(size) == old {
            return block;
        }
        let new = self.allocate(size);
        // SAFETY: both hold that many bytes, and they are two blocks.
        unsafe { new.copy_from_nonoverlapping(block, size.min(SIZES[old])) };
        // SAFETY: the caller's promise.
        unsafe { self.free(block) };
        new
    }

    fn end_request(&mut self) {
        self.classes = [const { Class::EMPTY }; CLASSES];
        self.used = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_apart_and_hold_what_they_should() {
        let model = Model::new();
        let mut heap = model.create();
        for _ in 0..2 {
            let mut blocks: Vec<(*mut u8, usize)> = (0..6000)
                .map(|size| (heap.allocate(size), size.max(8)))
                .collect();
            for (block, size) in &mut blocks {
                if *size % 3 == 0 {
                    // SAFETY: it is alive.
                    *block = unsafe { heap.resize(*block, *size * 2) };
                    *size *= 2;
                } else if *size % 3 == 1 {
                    // SAFETY: as above.
                    unsafe { heap.free(*block) };
                    *block = heap.allocate(*size);
                }
            }
            blocks.sort_unstable();
            for pair in blocks.windows(2) {
                assert!(pair[0].0.addr() + pair[0].1 <= pair[1].0.addr());
            }
            heap.end_request();
        }
    }
}
