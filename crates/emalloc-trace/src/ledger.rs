//! Keeps book of the live blocks while a trace goes by. The common ground of
//! `check.rs` (is the trace right?) and `writer.rs` (what does its header say?).

use crate::error::Fault;
use crate::record::{Kind, Record};

/// What a slot held last.
#[derive(Clone, Copy, Default)]
struct Slot {
    /// The era in which its block was allocated; 0 for none.
    era: u64,
    /// The block's size, in bytes.
    size: u64,
}

/// The live blocks and the figures so far.
///
/// Slots must be below [`MAX_SLOTS`](crate::MAX_SLOTS) and sizes up to
/// [`MAX_SIZE`](crate::MAX_SIZE); then no sum overflows.
pub(crate) struct Ledger {
    /// Grows with the highest slot.
    table: Vec<Slot>,
    /// A block is alive if it is of this era. The end of a request starts the next
    /// one, so it costs the same however many blocks die.
    era: u64,
    /// The request that runs.
    pub running: Option<u32>,
    pub live_blocks: u32,
    pub live_bytes: u64,
    pub peak_live: u64,
    pub allocs: u64,
    pub frees: u64,
    pub reallocs: u64,
    pub requests: u64,
    pub left_blocks: u64,
    pub left_bytes: u64,
}

impl Ledger {
    pub fn new() -> Self {
        Self {
            table: Vec::new(),
            era: 1,
            running: None,
            live_blocks: 0,
            live_bytes: 0,
            peak_live: 0,
            allocs: 0,
            frees: 0,
            reallocs: 0,
            requests: 0,
            left_blocks: 0,
            left_bytes: 0,
        }
    }

    /// The highest slot so far plus one.
    pub fn slots(&self) -> u64 {
        self.table.len() as u64
    }

    /// ALLOC, FREE and REALLOC records so far.
    pub fn ops(&self) -> u64 {
        self.allocs + self.frees + self.reallocs
    }

    /// Takes the next record in, or says what is wrong with it and stays as it was.
    pub fn apply(&mut self, record: &Record) -> Result<(), Fault> {
        match (*record, self.running) {
            (Record::RequestBegin { number }, None) => self.running = Some(number),
            (Record::RequestBegin { number }, Some(running)) => {
                return Err(Fault::Nested { number, running });
            }
            (record, None) => {
                let kind = record.kind();
                return Err(Fault::NoRequest { kind });
            }
            (Record::Alloc { slot, size, .. }, _) => self.alloc(slot, size)?,
            (Record::Free { slot, .. }, _) => {
                let entry = self.live(slot, Kind::Free)?;
                let size = entry.size;
                entry.era = 0;
                self.live_blocks -= 1;
                self.live_bytes -= size;
                self.frees += 1;
            }
            (Record::Realloc { slot, size, .. }, _) => {
                let entry = self.live(slot, Kind::Realloc)?;
                let old = core::mem::replace(&mut entry.size, size);
                self.live_bytes = self.live_bytes - old + size;
                self.reallocs += 1;
            }
            (
                Record::RequestEnd {
                    number,
                    live_blocks,
                    live_bytes,
                },
                Some(running),
            ) => {
                if number != running {
                    return Err(Fault::OtherRequest { number, running });
                }
                self.end(number, live_blocks, live_bytes)?;
            }
        }
        self.peak_live = self.peak_live.max(self.live_bytes);
        Ok(())
    }

    fn alloc(&mut self, slot: u32, size: u64) -> Result<(), Fault> {
        let index = slot as usize;
        if index >= self.table.len() {
            self.table.resize(index + 1, Slot::default());
        }
        let entry = &mut self.table[index];
        if entry.era == self.era {
            let size = entry.size;
            return Err(Fault::Occupied { slot, size });
        }
        *entry = Slot {
            era: self.era,
            size,
        };
        self.live_blocks += 1;
        self.live_bytes += size;
        self.allocs += 1;
        Ok(())
    }

    fn live(&mut self, slot: u32, kind: Kind) -> Result<&mut Slot, Fault> {
        let era = self.era;
        match self.table.get_mut(slot as usize) {
            Some(entry) if entry.era == era => Ok(entry),
            _ => Err(Fault::Empty { kind, slot }),
        }
    }

    fn end(&mut self, number: u32, live_blocks: u32, live_bytes: u64) -> Result<(), Fault> {
        if live_blocks != self.live_blocks {
            let (said, found) = (live_blocks, self.live_blocks);
            return Err(Fault::LiveBlocks {
                number,
                said,
                found,
            });
        }
        if live_bytes != self.live_bytes {
            let (said, found) = (live_bytes, self.live_bytes);
            return Err(Fault::LiveBytes {
                number,
                said,
                found,
            });
        }
        self.running = None;
        self.requests += 1;
        self.left_blocks += u64::from(live_blocks);
        self.left_bytes = self.left_bytes.saturating_add(live_bytes);
        self.era += 1;
        self.live_blocks = 0;
        self.live_bytes = 0;
        Ok(())
    }
}
