//! Owns huge blocks: those too large for a segment, each in a segment of its
//! own straight from the storage. Called by `allocate`, `free`, `resize`.

use core::ptr;

use super::error::AllocError;
use super::segment::{Kind, MAP, Segment, map_size, page};
use super::state::State;
use crate::layout::{PAGE, round_up};

/// Where a huge block lies in its grant.
struct Place {
    /// Bytes from the grant's start to the header, and from the header to the block.
    header: usize,
    block: usize,
    /// Bytes and alignment of the grant.
    size: usize,
    align: usize,
}

impl State {
    /// A huge block of at least `size` bytes at a multiple of `align`, and whether it is all zero.
    /// Null after `refuse`.
    pub fn allocate_huge(&self, size: usize, align: usize) -> (*mut u8, bool) {
        let Some(place) = self.place(size, align) else {
            return (
                self.refuse(AllocError::Overflow {
                    count: 1,
                    size,
                    offset: align,
                }),
                false,
            );
        };
        let grant = match self.acquire_or_collect(place.size, place.align, size) {
            Ok(grant) => grant,
            Err(error) => return (self.refuse(error), false),
        };
        // SAFETY: `place` leaves room for header and map in front of the block, inside the grant.
        let header = unsafe { grant.start.add(place.header) };
        // SAFETY: that header is a multiple of the segment size, because the grant is aligned to at least that.
        let segment = unsafe {
            let grant = (grant.start, place.size, place.align);
            Segment::set_up(
                header,
                grant,
                Kind::Huge,
                self,
                &self.geometry,
                page::HUGE_REST,
            )
        };
        let first = place.block / PAGE;
        segment.fill(0, first, page::HEADER);
        segment.fill(first, 1, page::HUGE);
        segment.header().header_pages.set(first as u32);
        self.link(segment);
        self.huge_segments.set(self.huge_segments.get() + 1);
        self.add_usage(self.huge_size(segment));
        (segment.byte(place.block), grant.zeroed)
    }

    /// The block in a huge segment.
    pub fn huge_block(&self, segment: Segment) -> *mut u8 {
        segment.byte(segment.header().header_pages.get() as usize * PAGE)
    }

    /// Bytes the block in a huge segment can hold.
    pub fn huge_size(&self, segment: Segment) -> usize {
        let header = segment.header();
        let front = self.huge_block(segment).addr() - header.base.get().addr().get();
        header.size.get() - front
    }

    /// Frees the block in a huge segment, and the segment.
    pub fn free_huge(&self, segment: Segment) {
        self.sub_usage(self.huge_size(segment));
        self.release_segment(segment);
    }

    /// Makes the block in `segment` hold `size` bytes without copying it: where it stands, or moved by the storage.
    /// Null if that cannot be; nothing has changed then. `align` is what a moved block must keep to.
    pub fn resize_huge(&self, segment: Segment, size: usize, align: usize) -> *mut u8 {
        let header = segment.header();
        let (base, old, grant_align) = (header.base.get(), header.size.get(), header.align.get());
        let front = self.huge_block(segment).addr() - base.addr().get();
        let Some(new) = size
            .checked_add(front)
            .and_then(|sum| round_up(sum, self.capabilities.granularity))
        else {
            return ptr::null_mut();
        };
        if new == old {
            return self.huge_block(segment);
        }
        // Asked before anything is done: the soft limit's handler must meet a heap that is whole.
        if new > old && !self.may_grow(new - old, size) {
            return ptr::null_mut();
        }
        let able = if new > old {
            self.capabilities.grow_in_place
        } else {
            self.capabilities.shrink_in_place
        };
        // SAFETY: the grant is as the header says; what is cut off lies behind the block's new end.
        if able && unsafe { self.storage().resize(base, old, new, grant_align) }.is_ok() {
            return self.count_resized(segment, old, new);
        }
        if !self.capabilities.move_without_copy || align > grant_align {
            return ptr::null_mut();
        }
        // The header moves along, so nothing may lead to it meanwhile.
        let offset = segment.address() - base.addr().get();
        self.unlink(segment);
        // SAFETY: as above; nothing leads to the old address any more, but for the caller's pointer.
        let Ok(grant) = (unsafe { self.storage().move_resize(base, old, new, grant_align) }) else {
            self.link(segment);
            return ptr::null_mut();
        };
        let _ = grant.start.as_ptr().expose_provenance();
        // SAFETY: header and map came along unchanged, at the same offset and alignment.
        let segment = unsafe { Segment::at(grant.start.addr().get() + offset) };
        segment.header().base.set(grant.start);
        self.link(segment);
        self.count_resized(segment, old, new)
    }

    /// Counts what a grant's change from `old` to `new` bytes means, and answers its block.
    fn count_resized(&self, segment: Segment, old: usize, new: usize) -> *mut u8 {
        segment.header().size.set(new);
        self.count_changed(old, new);
        self.change_usage(old, new);
        self.huge_block(segment)
    }

    fn place(&self, size: usize, align: usize) -> Option<Place> {
        let geometry = &self.geometry;
        let segment = geometry.segment_size;
        let (header, block, grant_align) = if align < segment {
            (
                0,
                round_up(MAP + map_size(geometry.pages), align.max(PAGE))?,
                segment,
            )
        } else {
            // The block begins one segment size behind its header (see `segment`).
            (align - segment, segment, align)
        };
        let size = size.max(1).checked_add(header)?.checked_add(block)?;
        let size = round_up(size, self.capabilities.granularity)?;
        (size <= isize::MAX as usize).then_some(Place {
            header,
            block,
            size,
            align: grant_align,
        })
    }
}
