//! One block that grows, as a buffer does that is appended to. Each page is written to when it is added, so moving is only
//! cheap for those who do not copy.

use std::fmt;

use crate::allocator::{Blocks, Peer};
use crate::clock::timed;

const FIRST: usize = 16;
const LAST: usize = 1 << 30;
const PAGE: usize = 4096;

/// How much more each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// As much again.
    Doubling,
    /// An eighth.
    Eighths,
}

impl Steps {
    fn after(self, size: usize) -> usize {
        let next = match self {
            Self::Doubling => size * 2,
            Self::Eighths => size + (size / 8).max(8),
        };
        next.min(LAST)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Doubling => "doubling",
            Self::Eighths => "by eighths",
        })
    }
}

pub fn run<P: Peer>(peer: &P, steps: Steps) -> f64 {
    let mut heap = peer.create();
    timed(|| grow(&mut heap, steps)) / 1e6
}

fn grow<H: Blocks>(heap: &mut H, steps: Steps) {
    let mut size = FIRST;
    let mut block = heap.allocate(size);
    while size < LAST {
        let next = steps.after(size);
        // SAFETY: the block is alive.
        block = unsafe { heap.resize(block, next) };
        for page in (size.next_multiple_of(PAGE)..next).step_by(PAGE) {
            // SAFETY: inside the block.
            unsafe { block.add(page).write_volatile(1) };
        }
        size = next;
    }
    // SAFETY: the block is alive.
    unsafe { heap.free(block) };
}
