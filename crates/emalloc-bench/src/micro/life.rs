//! The life of a heap that is hardly used.

use crate::allocator::{Blocks, Peer};
use crate::clock::timed;
use crate::replay::touch_first;

const CYCLES: usize = 2_000;
const WARM: usize = 100;
const SIZE: usize = 64;

pub fn run<P: Peer>(peer: &P) -> Option<f64> {
    if !P::Heap::BULK {
        return None;
    }
    let cycle = || {
        let mut heap = peer.create();
        touch_first(heap.allocate(SIZE), SIZE);
    };
    (0..WARM).for_each(|_| cycle());
    let time = timed(|| (0..CYCLES).for_each(|_| cycle()));
    Some(time / CYCLES as f64)
}
