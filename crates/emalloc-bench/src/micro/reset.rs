//! The end of a request, alone.

use std::time::Instant;

use crate::allocator::{Blocks, Peer};
use crate::replay::touch_first;
use crate::stats::Spread;

/// Blocks to allocate in all repetitions together.
const BLOCKS: usize = 1_000_000;

pub fn run<P: Peer>(peer: &P, blocks: usize) -> Option<f64> {
    if !P::Heap::BULK {
        return None;
    }
    let mut heap = peer.create();
    let repeats = (BLOCKS / blocks).clamp(9, 1001);
    let times = (0..repeats)
        .map(|_| {
            for size in super::small_sizes().cycle().take(blocks) {
                touch_first(heap.allocate(size), size);
            }
            // Too short for the clock of processor time; the median leaves interruptions out.
            let before = Instant::now();
            heap.end_request();
            before.elapsed().as_nanos() as f64
        })
        .collect();
    Some(Spread::of(times).median)
}
