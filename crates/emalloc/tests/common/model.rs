//! A plain model of a heap: it knows every block and what was written to it, and checks contents,
//! alignment, overlap and accounting beside the real heap.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use emalloc::heap::{AllocError, Heap, Item};
use emalloc::layout::PAGE;
use emalloc::size_class::SMALL_MAX;

/// A block as the model knows it.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pub start: NonNull<u8>,
    pub layout: Layout,
    pub seed: u8,
    pub usable: usize,
}

/// A heap and what must be in it.
pub struct Model {
    pub heap: Heap,
    pub blocks: Vec<Block>,
    /// The most that was in blocks since the last reset.
    pub peak: usize,
    /// Start to end of each live block, to find overlaps.
    ranges: BTreeMap<usize, usize>,
    next_seed: u8,
}

impl Model {
    pub fn new(heap: Heap) -> Self {
        Self {
            heap,
            blocks: Vec::new(),
            peak: 0,
            ranges: BTreeMap::new(),
            next_seed: 0,
        }
    }

    /// Allocates, and answers the block's number.
    pub fn allocate(&mut self, layout: Layout, zeroed: bool) -> Result<usize, AllocError> {
        let start = if zeroed {
            self.heap.try_allocate_zeroed(layout)?
        } else {
            self.heap.try_allocate_layout(layout)?
        };
        if zeroed {
            assert_zero(start, layout.size());
        }
        self.enter(start, layout);
        Ok(self.blocks.len() - 1)
    }

    /// Takes in a block that somebody else was handed out.
    pub fn adopt(&mut self, start: NonNull<u8>, layout: Layout) {
        self.enter(start, layout);
    }

    fn enter(&mut self, start: NonNull<u8>, layout: Layout) {
        let address = start.addr().get();
        assert_eq!(address % layout.align(), 0, "misaligned: {layout:?}");
        assert_eq!(address % 8, 0);
        // SAFETY: the block was just handed out.
        let usable = unsafe { self.heap.usable_size(start) }.expect("a live block");
        assert!(usable >= layout.size());
        assert!(self.heap.owns(start.as_ptr()));
        if let Some((_, &end)) = self.ranges.range(..=address).next_back() {
            assert!(end <= address, "overlaps the block before");
        }
        if let Some((&next, _)) = self.ranges.range(address..).next() {
            assert!(address + usable <= next, "overlaps the block behind");
        }
        self.ranges.insert(address, address + usable);
        self.next_seed = self.next_seed.wrapping_mul(5).wrapping_add(113);
        let seed = self.next_seed;
        // All of it may be used, not just what was asked for.
        fill(start, usable, seed);
        self.blocks.push(Block {
            start,
            layout,
            seed,
            usable,
        });
        self.peak = self.peak.max(self.usage());
    }

    fn leave(&mut self, block: Block) {
        assert!(self.ranges.remove(&block.start.addr().get()).is_some());
    }

    /// The number of the block that begins at `start`.
    pub fn index_of(&self, start: NonNull<u8>) -> usize {
        let place = self.blocks.iter().position(|block| block.start == start);
        place.expect("a live block")
    }

    pub fn free(&mut self, index: usize, sized: bool) {
        let block = self.blocks.swap_remove(index);
        verify(block.start, block.usable, block.seed);
        self.leave(block);
        // SAFETY: the block is alive, has this layout, and the model forgets it.
        unsafe {
            if sized {
                self.heap.free_sized(block.start, block.layout);
            } else {
                self.heap.free(block.start);
            }
        }
    }

    pub fn resize(&mut self, index: usize, size: usize) -> Result<(), AllocError> {
        self.resize_aligned(index, size, self.blocks[index].layout.align())
    }

    pub fn resize_aligned(
        &mut self,
        index: usize,
        size: usize,
        align: usize,
    ) -> Result<(), AllocError> {
        let block = self.blocks[index];
        // SAFETY: the block is alive; the model forgets it if it moved.
        let start = unsafe { self.heap.try_resize_aligned(block.start, size, align) };
        let start = match start {
            Ok(start) => start,
            Err(error) => {
                verify(block.start, block.usable, block.seed);
                return Err(error);
            }
        };
        verify(start, block.usable.min(size), block.seed);
        self.blocks.swap_remove(index);
        self.leave(block);
        self.enter(start, Layout::from_size_align(size, align).unwrap());
        Ok(())
    }

    pub fn reset(&mut self) {
        self.verify_contents();
        self.blocks.clear();
        self.ranges.clear();
        self.peak = 0;
        self.heap.reset();
        assert_eq!((self.heap.usage(), self.heap.peak()), (0, 0));
        assert_eq!(self.heap.real_peak(), self.heap.real_usage());
    }

    /// What the blocks add up to.
    pub fn usage(&self) -> usize {
        self.blocks.iter().map(|block| block.usable).sum()
    }

    /// The heap's own check, its accounting against the model's, and the content of every block.
    pub fn verify(&self) {
        if let Err(corruption) = self.heap.check() {
            panic!("{corruption}");
        }
        assert_eq!(self.heap.usage(), self.usage());
        assert!(self.heap.peak() >= self.peak);
        assert!(self.heap.real_peak() >= self.heap.real_usage());
        assert!(self.heap.real_usage() >= self.usage());
        self.verify_contents();
    }

    /// A walk finds exactly the model's blocks, and the figures count them.
    pub fn verify_walk(&self) {
        let mut met = BTreeMap::new();
        self.heap.walk(&mut |item| {
            if let Item::Block { address, size } = item {
                assert!(met.insert(address, address + size).is_none());
            }
        });
        assert_eq!(met, self.ranges);
        let figures = self.heap.figures();
        let live: usize = figures.classes.iter().map(|class| class.live).sum();
        let small = |block: &&Block| {
            let align = block.layout.align();
            align <= PAGE && block.layout.size().max(1).next_multiple_of(align) <= SMALL_MAX
        };
        assert_eq!(live, self.blocks.iter().filter(small).count());
    }

    pub fn verify_contents(&self) {
        for block in &self.blocks {
            verify(block.start, block.usable, block.seed);
        }
    }
}

/// Bytes without a short period, from which blocks get their content.
static NOISE: [u8; CHUNK + 256] = noise();

const CHUNK: usize = 4096;

const fn noise() -> [u8; CHUNK + 256] {
    let mut bytes = [0; CHUNK + 256];
    let mut state: u32 = 12345;
    let mut at = 0;
    while at < bytes.len() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        bytes[at] = (state >> 24) as u8;
        at += 1;
    }
    bytes
}

/// The content of a block with `seed`, in pieces with their offsets: each page of it differs from the next.
fn content(size: usize, seed: u8) -> impl Iterator<Item = (usize, &'static [u8])> {
    (0..size).step_by(CHUNK).map(move |offset| {
        let shift = usize::from(seed.wrapping_add(((offset / CHUNK) as u8).wrapping_mul(7)));
        (offset, &NOISE[shift..][..CHUNK.min(size - offset)])
    })
}

/// Writes what belongs to `seed` into a block.
pub fn fill(start: NonNull<u8>, size: usize, seed: u8) {
    for (offset, piece) in content(size, seed) {
        // SAFETY: inside a live block.
        unsafe {
            start
                .add(offset)
                .copy_from_nonoverlapping(NonNull::from(piece).cast(), piece.len())
        };
    }
}

/// What `fill` wrote is still there in the first `size` bytes.
pub fn verify(start: NonNull<u8>, size: usize, seed: u8) {
    for (offset, piece) in content(size, seed) {
        // SAFETY: inside a live block, written before.
        let found = unsafe { std::slice::from_raw_parts(start.add(offset).as_ptr(), piece.len()) };
        assert!(found == piece, "content changed behind {offset} of {size}");
    }
}

fn assert_zero(start: NonNull<u8>, size: usize) {
    // SAFETY: inside a live block, all zero or so it should be.
    let found = unsafe { std::slice::from_raw_parts(start.as_ptr(), size) };
    assert!(
        found
            .chunks(CHUNK)
            .all(|piece| piece == &[0; CHUNK][..piece.len()]),
        "not zero"
    );
}
