//! What several tests need: a plain model of a heap that checks contents,
//! alignment, overlap and accounting beside the real one.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;

use emalloc::heap::{AllocError, Heap, Item};

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
    /// Start to end of each live block, to find overlaps.
    ranges: BTreeMap<usize, usize>,
    next_seed: u8,
}

impl Model {
    pub fn new(heap: Heap) -> Self {
        Self {
            heap,
            blocks: Vec::new(),
            ranges: BTreeMap::new(),
            next_seed: 0,
        }
    }

    fn seed(&mut self) -> u8 {
        self.next_seed = self.next_seed.wrapping_mul(5).wrapping_add(113);
        self.next_seed
    }

    pub fn allocate(&mut self, layout: Layout, zeroed: bool) -> Result<(), AllocError> {
        let start = if zeroed {
            self.heap.try_allocate_zeroed(layout)?
        } else {
            self.heap.try_allocate_layout(layout)?
        };
        if zeroed {
            assert!(
                edges(start, layout.size()).all(|byte| byte == 0),
                "not zero: {layout:?}"
            );
        }
        self.enter(start, layout);
        Ok(())
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
        let seed = self.seed();
        // All of it may be used, not just what was asked for.
        fill(start, usable, seed);
        self.blocks.push(Block {
            start,
            layout,
            seed,
            usable,
        });
    }

    fn leave(&mut self, block: Block) {
        assert!(self.ranges.remove(&block.start.addr().get()).is_some());
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
        let block = self.blocks[index];
        let align = block.layout.align();
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
        for block in &self.blocks {
            verify(block.start, block.usable, block.seed);
        }
        self.blocks.clear();
        self.ranges.clear();
        self.heap.reset();
        assert_eq!((self.heap.usage(), self.heap.peak()), (0, 0));
    }

    /// The heap's own check, its accounting against the model's, and a walk that finds exactly the model's blocks.
    pub fn verify(&self) {
        if let Err(corruption) = self.heap.check() {
            panic!("{corruption}");
        }
        let usage: usize = self.blocks.iter().map(|block| block.usable).sum();
        assert_eq!(self.heap.usage(), usage);
        assert!(self.heap.peak() >= usage && self.heap.real_peak() >= self.heap.real_usage());
        assert!(self.heap.real_usage() >= usage);
    }

    pub fn verify_walk(&self) {
        let mut met = BTreeMap::new();
        self.heap.walk(&mut |item| {
            if let Item::Block { address, size } = item {
                assert!(met.insert(address, address + size).is_none());
            }
        });
        assert_eq!(met, self.ranges);
        let live: usize = self
            .heap
            .figures()
            .classes
            .iter()
            .map(|class| class.live)
            .sum();
        let small = self
            .blocks
            .iter()
            .filter(|block| block.usable <= 3072)
            .count();
        assert_eq!(live, small);
    }

    pub fn verify_contents(&self) {
        for block in &self.blocks {
            verify(block.start, block.usable, block.seed);
        }
    }
}

/// Offsets worth looking at in a block: every byte of the first page, then one in each half page.
fn offsets(size: usize) -> impl Iterator<Item = usize> {
    (0..size.min(4096)).chain((4096..size).step_by(2048))
}

fn edges(start: NonNull<u8>, size: usize) -> impl Iterator<Item = u8> {
    // SAFETY: offsets lie inside the block, which is alive and initialised there.
    offsets(size).map(move |offset| unsafe { start.add(offset).read() })
}

fn pattern(offset: usize, seed: u8) -> u8 {
    (offset as u8)
        .wrapping_mul(31)
        .wrapping_add((offset >> 8) as u8)
        ^ seed
}

fn fill(start: NonNull<u8>, size: usize, seed: u8) {
    for offset in offsets(size) {
        // SAFETY: inside a live block.
        unsafe { start.add(offset).write(pattern(offset, seed)) };
    }
}

/// What `fill` wrote is still there in the first `size` bytes.
fn verify(start: NonNull<u8>, size: usize, seed: u8) {
    for (offset, found) in offsets(size).zip(edges(start, size)) {
        assert_eq!(
            found,
            pattern(offset, seed),
            "content changed at {offset} of {size}"
        );
    }
}
