//! Blocks of one size, known to the compiler, allocated and freed. Where an allocator can be told the size when it
//! frees, and is measured as a Rust program would use it, it is told (see `Blocks::free_sized`).

use std::alloc::Layout;
use std::fmt;
use std::ptr;

use crate::allocator::{Blocks, Peer};
use crate::clock::timed;
use crate::replay::touch_first;

const BATCH: usize = 1_000;
const BATCHES: usize = 200;
const WARM: usize = 5;

/// In which order blocks are freed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Each before the next is allocated.
    AtOnce,
    /// 1000 allocated; the last first.
    Lifo,
    /// 1000 allocated; the first first.
    Fifo,
    /// 1000 allocated; any first.
    Random,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::AtOnce, Self::Lifo, Self::Fifo, Self::Random];

    /// Places in a batch, in the order in which they are freed.
    fn places(self) -> Vec<usize> {
        let mut places: Vec<usize> = (0..BATCH).collect();
        match self {
            Self::AtOnce | Self::Fifo => {}
            Self::Lifo => places.reverse(),
            Self::Random => {
                let mut random = super::fragmented::Random::new();
                for last in (1..BATCH).rev() {
                    places.swap(last, random.below(last + 1));
                }
            }
        }
        places
    }
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AtOnce => "one at a time",
            Self::Lifo => "1000, last in first out",
            Self::Fifo => "1000, first in first out",
            Self::Random => "1000, freed in any order",
        })
    }
}

/// Bytes of each block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// 16
    Small,
    /// 64
    Usual,
    /// 1024
    Large,
}

impl Size {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Small, Self::Usual, Self::Large];

    /// The number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::Small => 16,
            Self::Usual => 64,
            Self::Large => 1024,
        }
    }
}

pub fn run<P: Peer>(peer: &P, order: Order, size: Size) -> f64 {
    let mut heap = peer.create();
    match size {
        Size::Small => sized::<_, 16>(&mut heap, order),
        Size::Usual => sized::<_, 64>(&mut heap, order),
        Size::Large => sized::<_, 1024>(&mut heap, order),
    }
}

fn sized<H: Blocks, const SIZE: usize>(heap: &mut H, order: Order) -> f64 {
    if order == Order::AtOnce {
        at_once::<H, SIZE>(heap, WARM * BATCH);
        let time = timed(|| at_once::<H, SIZE>(heap, BATCHES * BATCH));
        return time / (BATCHES * BATCH) as f64;
    }
    let places = order.places();
    let mut blocks = [ptr::null_mut(); BATCH];
    let mut batches = |count| {
        for _ in 0..count {
            batch::<H, SIZE>(heap, &mut blocks, &places);
        }
    };
    batches(WARM);
    timed(|| batches(BATCHES)) / (BATCHES * BATCH) as f64
}

/// What is freed, as a Rust program knows it.
const fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, 8) {
        Ok(layout) => layout,
        Err(_) => panic!("no such size"),
    }
}

/// So many pairs, one at a time.
#[inline(never)]
pub fn at_once<H: Blocks, const SIZE: usize>(heap: &mut H, pairs: usize) {
    for _ in 0..pairs {
        let block = heap.allocate(SIZE);
        touch_first(block, SIZE);
        // SAFETY: just allocated.
        unsafe { heap.free_sized(block, const { layout(SIZE) }) };
    }
}

#[inline(never)]
fn batch<H: Blocks, const SIZE: usize>(
    heap: &mut H,
    blocks: &mut [*mut u8; BATCH],
    places: &[usize],
) {
    for place in blocks.iter_mut() {
        let block = heap.allocate(SIZE);
        touch_first(block, SIZE);
        *place = block;
    }
    for &place in places {
        // SAFETY: allocated above; each place is named once.
        unsafe { heap.free_sized(blocks[place], const { layout(SIZE) }) };
    }
}
