//! Owns [`Place`]: what a pointer is, found out before anything is done to it,
//! and the faults of pointers that are nothing. Used by `free`, `resize` and `walk`.

use core::ptr::{self, NonNull};

use super::fault::{Fault, FaultKind, PageUse};
use super::segment::{Kind, Page, Segment, class_in, page};
use super::state::State;
use crate::layout::PAGE;
use crate::size_class::size_of_class;

/// What a pointer turned out to be.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Small { class: usize },
    Large { run: Page, pages: usize },
    Huge { segment: Segment },
}

impl State {
    /// Finds out what `block` is. In checked mode nothing is followed that is not known to be ours, and
    /// the answer is certain; otherwise it is as good as the owner, the page map and the address tell.
    pub fn locate(&self, block: NonNull<u8>) -> Result<Place, Fault> {
        let address = block.addr().get();
        let at = self.geometry.segment_address(address);
        let segment = if self.geometry.checked() {
            self.find_segment(at).ok_or_else(|| self.astray(address))?
        } else {
            // SAFETY: outside checked mode the caller vouches for the block, as for `free`.
            let segment = unsafe { Segment::at(at) };
            if !ptr::eq(segment.header().owner.get(), self) {
                return Err(self.astray(address));
            }
            segment
        };
        match self.place_in(segment, address) {
            Some(Place::Small { class }) => self.locate_small(segment, class, address),
            Some(place) if address.is_multiple_of(PAGE) => Ok(place),
            _ => Err(not_a_block(segment, address)),
        }
    }

    /// What begins at `address`, by what the map of its segment says there, if anything does.
    #[inline(always)]
    pub fn place_in(&self, segment: Segment, address: usize) -> Option<Place> {
        match segment.map_at(address) {
            page::LARGE | page::SAMPLED => {
                let index = segment.index_of(address);
                let run = Page { segment, index };
                let pages = run.span(&self.geometry);
                Some(Place::Large { run, pages })
            }
            page::HUGE => Some(Place::Huge { segment }),
            byte => class_in(byte).map(|class| Place::Small { class }),
        }
    }

    fn locate_small(&self, segment: Segment, class: usize, address: usize) -> Result<Place, Fault> {
        let run = self.run_of(segment, class, address);
        let (block_size, offset) = (size_of_class(class), address - run.start());
        if offset / block_size >= run.blocks(class) {
            return Err(not_a_block(segment, address));
        }
        if !offset.is_multiple_of(block_size) {
            let kind = FaultKind::Misaligned {
                block_size,
                offset: offset % block_size,
            };
            return Err(Fault { address, kind });
        }
        if self.geometry.checked() {
            let (word, bit) = segment.live_bit(&self.geometry, address);
            if word.get() & bit == 0 {
                return Err(freed_twice(address, size_of_class(class)));
            }
        }
        Ok(Place::Small { class })
    }

    /// The segment in whose grant `address`, which may be anything, lies.
    pub fn segment_around(&self, address: usize) -> Option<Segment> {
        self.complete_index();
        // A grant can begin before its header only to align a huge block behind it.
        let segment = self.index.floor(address)?;
        let header = segment.header();
        let offset = address.wrapping_sub(header.base.get().addr().get());
        (offset < header.size.get()).then_some(segment)
    }

    /// What is wrong with an address that leads to no header of ours. That of a header itself does not, nor does one
    /// that lies further inside a huge block than a segment is long.
    #[cold]
    fn astray(&self, address: usize) -> Fault {
        let Some(segment) = self.segment_around(address) else {
            return foreign(address);
        };
        let page = segment.index_of(address);
        if segment.header().kind.get() == Kind::Huge && page > self.geometry.pages {
            // The map does not reach so far.
            let holds = PageUse::Huge;
            let kind = FaultKind::NotABlock { page, holds };
            return Fault { address, kind };
        }
        not_a_block(segment, address)
    }

    /// Bytes the block at `place` can hold.
    pub fn size_of_place(&self, place: Place) -> usize {
        match place {
            Place::Small { class } => size_of_class(class),
            Place::Large { pages, .. } => pages * PAGE,
            Place::Huge { segment } => self.huge_size(segment),
        }
    }
}

#[cold]
pub(super) fn foreign(address: usize) -> Fault {
    Fault {
        address,
        kind: FaultKind::Foreign,
    }
}

#[cold]
pub(super) fn not_a_block(segment: Segment, address: usize) -> Fault {
    let page = segment.index_of(address);
    let holds = page_use(segment.map_at(address));
    let kind = FaultKind::NotABlock { page, holds };
    Fault { address, kind }
}

#[cold]
pub(super) fn freed_twice(address: usize, block_size: usize) -> Fault {
    Fault {
        address,
        kind: FaultKind::DoubleFree { block_size },
    }
}

/// What a byte of the page map means to the reader of a report.
pub(super) fn page_use(byte: u8) -> PageUse {
    match byte {
        page::HEADER | page::NURSERY => PageUse::Header,
        page::LARGE | page::LARGE_REST | page::SAMPLED => PageUse::Large,
        page::HUGE | page::HUGE_REST => PageUse::Huge,
        page::RESERVE => PageUse::Reserve,
        byte if class_in(byte).is_some() => PageUse::Small,
        _ => PageUse::Free,
    }
}

/// A block by a pointer that reaches all of it. One that comes back may have been narrowed to what the program had of it, by a
/// reference or a `Box`; heaps write links into freed blocks, and copy what was never asked for.
#[inline(always)]
pub(super) fn whole(block: NonNull<u8>) -> NonNull<u8> {
    let whole = ptr::with_exposed_provenance_mut(block.addr().get());
    // SAFETY: the same address, which is not null.
    unsafe { NonNull::new_unchecked(whole) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::Heap;
    use crate::storage::Fixed;

    /// The same place by a pointer that may reach one byte.
    fn narrowed(mut block: NonNull<u8>) -> NonNull<u8> {
        // SAFETY: the block is alive, and was written.
        NonNull::from(unsafe { block.as_mut() })
    }

    /// Only Miri sees the difference.
    #[test]
    fn blocks_come_back_by_pointers_that_were_narrowed() {
        for large_from in [0, usize::MAX] {
            let heap = Heap::builder()
                .storage(Fixed::with_capacity(1 << 20).unwrap())
                .segment_size(64 << 10)
                .large_from(large_from)
                .build()
                .unwrap();
            for sizes in [
                [1, 5, 8, 40],
                [40, 3000, 5000, 2],
                [5000, 9000, 200_000, 100],
            ] {
                let mut blocks = [0; 20].map(|_| heap.allocate(sizes[0]));
                for block in &mut blocks {
                    // SAFETY: the block has a byte.
                    unsafe { block.write(7) };
                    for size in sizes {
                        // SAFETY: it is alive, and used no more where it was.
                        *block = unsafe { heap.resize(narrowed(*block), size) };
                        // SAFETY: the block has that many bytes.
                        unsafe { block.add(size - 1).write(7) };
                        // SAFETY: the block is alive, and its first byte was written.
                        assert_eq!(unsafe { block.read() }, 7);
                    }
                    // SAFETY: it is alive, and used no more.
                    unsafe { heap.free(narrowed(*block)) };
                    *block = heap.allocate(sizes[3]);
                    // SAFETY: the block has a byte.
                    unsafe { block.write(7) };
                }
                for block in blocks {
                    // SAFETY: it is alive, and used no more.
                    unsafe { heap.free(narrowed(block)) };
                }
            }
            heap.check().unwrap();
        }
    }
}
