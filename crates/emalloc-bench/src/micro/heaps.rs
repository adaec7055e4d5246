//! Many small heaps alive at once: what one costs in memory. Run in a process of its own.

use crate::allocator::{Blocks, Peer};
use crate::resident::Baseline;

const HEAPS: usize = 10_000;

/// Bytes after which fewer heaps have to do: some allocators hold a megabyte for each.
const ENOUGH: i64 = 4 << 30;

pub fn run<P: Peer>(peer: &P) -> Option<f64> {
    if !P::Heap::BULK {
        return None;
    }
    let mut heaps = Vec::with_capacity(HEAPS);
    // The table itself is there before the measurement begins.
    heaps
        .spare_capacity_mut()
        .fill_with(std::mem::MaybeUninit::zeroed);
    let baseline = Baseline::take().ok()?;
    for count in 1..=HEAPS {
        let mut heap = peer.create();
        for size in super::small_sizes() {
            let block = heap.allocate(size);
            // SAFETY: the block has that many bytes.
            unsafe { block.write_bytes(1, size) };
        }
        heaps.push(heap);
        if count % 500 == 0 && baseline.now().ok()? > ENOUGH {
            break;
        }
    }
    Some(baseline.now().ok()? as f64 / heaps.len() as f64)
}
