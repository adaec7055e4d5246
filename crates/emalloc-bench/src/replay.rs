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
        let name = name.split('.').next().unwrap_or_default();
        Ok(Self::new(name, recording))
    }

    /// Makes a recording ready.
    fn new(name: &str, recording: Recording) -> Self {
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
        Self {
            name: name.to_owned(),
            slots: vec![ptr::null_mut(); recording.header.slots as usize],
            ops: recording.ops,
            requests,
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use emalloc_trace::{Compression, Flags, Hints, Reader, Record, Writer};
    use std::io::Cursor;

    /// Remembers what it was asked; every block is the same one.
    struct Diary<const BULK: bool> {
        entries: Vec<String>,
        block: [u8; 64],
    }

    impl<const B: bool> Blocks for Diary<B> {
        const BULK: bool = B;

        fn allocate(&mut self, size: usize) -> *mut u8 {
            self.entries.push(format!("allocate {size}"));
            self.block.as_mut_ptr()
        }

        unsafe fn free(&mut self, _block: *mut u8) {
            self.entries.push("free".to_owned());
        }

        unsafe fn resize(&mut self, block: *mut u8, size: usize) -> *mut u8 {
            self.entries.push(format!("resize {size}"));
            block
        }

        fn end_request(&mut self) {
            self.entries.push("end".to_owned());
        }
    }

    fn trace() -> Trace {
        let target = Cursor::new(Vec::new());
        let mut writer = Writer::new(target, Flags::EMPTY, Compression::None).unwrap();
        let hints = Hints::EMPTY;
        let alloc = |slot, size| Record::Alloc { slot, size, hints };
        for record in [
            Record::RequestBegin { number: 1 },
            alloc(0, 24),
            alloc(1, 8),
            Record::Free { slot: 0, hints },
            Record::Realloc {
                slot: 1,
                size: 40,
                hints,
            },
            Record::RequestEnd {
                number: 1,
                live_blocks: 1,
                live_bytes: 40,
            },
            Record::RequestBegin { number: 2 },
            alloc(0, 16),
            Record::Free { slot: 0, hints },
            Record::RequestEnd {
                number: 2,
                live_blocks: 0,
                live_bytes: 0,
            },
        ] {
            writer.write(&record).unwrap();
        }
        let (file, _) = writer.finish().unwrap();
        let reader = Reader::new(file.get_ref().as_slice()).unwrap();
        Trace::new("t", Recording::read(reader).unwrap())
    }

    fn replayed<const BULK: bool>() -> Vec<String> {
        let mut diary = Diary::<BULK> {
            entries: Vec::new(),
            block: [0; 64],
        };
        trace().replay(&mut diary, Touch::Fill);
        diary.entries
    }

    #[test]
    fn a_heap_is_asked_what_the_trace_says() {
        let first = ["allocate 24", "allocate 8", "free", "resize 40", "end"];
        let second = ["allocate 16", "free", "end"];
        assert_eq!(replayed::<true>(), [&first[..], &second].concat());
    }

    #[test]
    fn who_cannot_drop_all_frees_what_is_left() {
        let first = [
            "allocate 24",
            "allocate 8",
            "free",
            "resize 40",
            "free",
            "end",
        ];
        let second = ["allocate 16", "free", "end"];
        assert_eq!(replayed::<false>(), [&first[..], &second].concat());
    }
}
