//! Owns finding the raw block in which an address lies, whatever the address is: by
//! the index of segments, the map and the live bits, never by what lies at the address.

use core::ptr::NonNull;

use super::shape::Raw;
use crate::heap::fault::{Fault, FaultKind};
use crate::heap::place::{foreign, freed_twice, not_a_block};
use crate::heap::segment::{Kind, Page, Segment, class_in, page, unmarked};
use crate::heap::state::State;
use crate::layout::PAGE;
use crate::size_class::size_of_class;

impl State {
    /// The raw block in use in which `address` lies, or what is there instead.
    pub(super) fn raw_around(&self, address: usize) -> Result<Raw, Fault> {
        let segment = self.segment_around(address).ok_or(foreign(address))?;
        if segment.header().kind.get() == Kind::Huge {
            let raw = self.huge_raw(segment);
            let offset = address.wrapping_sub(raw.start.addr().get());
            return if offset < raw.bytes {
                Ok(raw)
            } else {
                Err(not_a_block(segment, segment.address()))
            };
        }
        let mut index = segment.index_of(address);
        match unmarked(segment.map_at(address)) {
            page::LARGE | page::LARGE_REST => {
                while segment.map(index) == page::LARGE_REST {
                    index -= 1;
                }
                // (A spare run is no block any more, and only its first page says so.)
                if unmarked(segment.map(index)) != page::LARGE {
                    return Err(not_a_block(segment, address));
                }
                Ok(self.large_raw(Page { segment, index }))
            }
            byte => {
                let none = not_a_block(segment, address);
                let class = class_in(byte).ok_or(none)?;
                let (run, bytes) = (self.run_of(segment, class, address), size_of_class(class));
                let number = (address - run.start()) / bytes;
                if number >= run.blocks(class) {
                    return Err(none);
                }
                let at = run.start() + number * bytes;
                let (word, bit) = segment.live_bit(&self.geometry, at);
                if word.get() & bit == 0 {
                    return Err(freed_twice(address, bytes));
                }
                let start = segment.byte(at - segment.address());
                let start = NonNull::new(start).ok_or(none)?;
                Ok(Raw { start, bytes })
            }
        }
    }

    fn huge_raw(&self, segment: Segment) -> Raw {
        let bytes = self.huge_size(segment);
        // SAFETY: a block is not at null.
        let start = unsafe { NonNull::new_unchecked(self.huge_block(segment)) };
        Raw { start, bytes }
    }

    fn large_raw(&self, run: Page) -> Raw {
        // SAFETY: as above.
        let start = unsafe { NonNull::new_unchecked(run.start()) };
        let bytes = run.span(&self.geometry) * PAGE;
        Raw { start, bytes }
    }

    /// Visits all raw blocks in use. Meanwhile the heap is at rest.
    pub(super) fn each_raw(&self, visit: &mut dyn FnMut(Raw)) {
        for segment in self.segments() {
            if segment.header().kind.get() == Kind::Huge {
                visit(self.huge_raw(segment));
                continue;
            }
            for run in self.runs(segment) {
                if run.byte == page::LARGE {
                    visit(self.large_raw(run.first()));
                }
                let Some(class) = class_in(run.byte) else {
                    continue;
                };
                let bytes = size_of_class(class);
                for number in 0..run.blocks(class) {
                    let at = run.start() + number * bytes;
                    let (word, bit) = segment.live_bit(&self.geometry, at);
                    let start = segment.byte(at - segment.address());
                    if let (Some(start), true) = (NonNull::new(start), word.get() & bit != 0) {
                        visit(Raw { start, bytes });
                    }
                }
            }
        }
    }

    /// The fault of an address that lies in a raw block whose block begins elsewhere.
    pub(super) fn inside(&self, address: usize, block: NonNull<u8>, size: usize) -> Fault {
        match (
            address.checked_sub(block.addr().get()),
            self.segment_around(address),
        ) {
            // In front of it lie its guard and its record.
            (None, Some(segment)) => not_a_block(segment, address),
            (offset, _) => {
                let (block_size, offset) = (size, offset.unwrap_or(0));
                let kind = FaultKind::Misaligned { block_size, offset };
                Fault { address, kind }
            }
        }
    }
}
