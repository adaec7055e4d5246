//! A trace made ready for replaying, and the loop that replays it.

use std::path::Path;
use std::ptr;

use anyhow::{Context, Result};
use emalloc_trace::{Op, OpKind, Recording};

use crate::allocator::Blocks;

/// What the replay does with a block it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Writes its first 8 bytes.
    First,
    /// Writes all of it.
    Fill,
}

/// One request of a trace.
struct Request {
    ops: std::ops::Range<usize>,
    /// Slots that hold a block at its end, in rising order.
    left: Vec<u32>,
}

/// A trace in memory.
pub struct Trace {
    /// The file's name up to the first dot.
    pub name: String,
    ops: Vec<Op>,
    requests: Vec<Request>,
    /// The replay's table of blocks.
    slots: Vec<*mut u8>,
}

impl Trace {
    /// Reads a trace.
    ///
    /// # Errors
    /// The file cannot be read or is no trace.
    pub fn open(path: &Path) -> Result<Self> {
        let recording = Recording::open(path)
            .with_context(|| format!("cannot read the trace {}", path.display()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split('.').next().unwrap_or_default().to_owned();
        let mut alive = vec![false; recording.header.slots as usize];
        let requests = recording
            .requests
            .iter()
            .map(|request| {
                for op in &recording.ops[request.ops.clone()] {
                    alive[op.slot as usize] = op.kind != OpKind::Free;
                }
                let mut left = Vec::with_capacity(request.live_blocks as usize);
                for (slot, alive) in (0..).zip(&mut alive) {
                    if std::mem::take(alive) {
                        left.push(slot);
                    }
                }
                Request {
                    ops: request.ops.clone(),
                    left,
                }
            })
            .collect();
        Ok(Self {
            name,
            slots: vec![ptr::null_mut(); recording.header.slots as usize],
            ops: recording.ops,
            requests,
        })
    }

    /// Allocations, frees and resizes.
    pub fn operations(&self) -> usize {
        self.ops.len()
    }

    /// Replays the whole trace.
    pub fn replay<H: Blocks>(&mut self, heap: &mut H, touch: Touch) {
        match touch {
            Touch::First => self.replay_touching(heap, touch_first),
            Touch::Fill => self.replay_touching(heap, fill),
        }
    }

    #[inline(never)]
    fn replay_touching<H: Blocks>(&mut self, heap: &mut H, touch: impl Fn(*mut u8, usize)) {
        let slots = self.slots.as_mut_slice();
        for request in &self.requests {
            for op in &self.ops[request.ops.clone()] {
                // SAFETY: a recording has been checked: every slot is below the table's length.
                let slot = unsafe { slots.get_unchecked_mut(op.slot as usize) };
                let size = op.size as usize;
                match op.kind {
                    OpKind::Alloc => {
                        let block = heap.allocate(size);
                        touch(block, size);
                        *slot = block;
                    }
                    // SAFETY: it is alive, as the recording has been checked.
                    OpKind::Free => unsafe { heap.free(*slot) },
                    OpKind::Realloc => {
                        // SAFETY: as above.
                        let block = unsafe { heap.resize(*slot, size) };
                        touch(block, size);
                        *slot = block;
                    }
                }
            }
            if !H::BULK {
                for &slot in &request.left {
                    // SAFETY: alive at the request's end, and below the table's length.
                    unsafe { heap.free(slots[slot as usize]) };
                }
            }
            heap.end_request();
        }
    }
}

/// Writes the first 8 bytes of a block.
#[inline(always)]
pub fn touch_first(block: *mut u8, size: usize) {
    // SAFETY: every block has at least 8 bytes and is aligned to 8.
    unsafe { block.cast::<u64>().write_volatile(size as u64) };
}

#[inline(always)]
fn fill(block: *mut u8, size: usize) {
    // SAFETY: the block has that many bytes.
    unsafe { block.write_bytes(0xa5, size) };
    std::hint::black_box(block);
}
