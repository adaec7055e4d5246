//! Owns huge blocks: those too large for a segment, each in a segment of its
//! own straight from the storage. Called by `allocate`, `free`, `resize`.
//!
//! Far from the limits a grant has some room to spare behind its block: texts and lists that grow by a little
//! many times then rarely need the storage, and freed grants come in sizes that others can use. What is never
//! touched costs addresses, not memory.

use core::ptr;

use super::error::AllocError;
use super::segment::{Kind, MAP, Segment, map_size, page};
use super::state::State;
use crate::layout::{PAGE, round_up};
use crate::storage::StorageError;

/// Where a huge block lies in its grant.
struct Place {
    /// Bytes from the grant's start to the header, and from the header to the block.
    header: usize,
    block: usize,
    /// Bytes and alignment of the grant.
    size: usize,
    align: usize,
}

/// A segment that nothing leads to. Dropped, it is linked again, also if the storage unwinds: then it is where it was.
struct Apart<'a>(&'a State, Segment);

impl Drop for Apart<'_> {
    fn drop(&mut self) {
        self.0.link(self.1);
    }
}

impl State {
    /// A huge block of at least `size` bytes at a multiple of `align`, and whether it is all zero.
    /// With `growing`, it is expected to grow. Null after `refuse`.
    pub fn allocate_huge(&self, size: usize, align: usize, growing: bool) -> (*mut u8, bool) {
        let Some(mut place) = self.place(size, align) else {
            return (self.refuse(AllocError::too_large(size, align)), false);
        };
        let exact = place.size;
        let spared = self.with_spare(exact, place.header + place.block, growing);
        let mut grant = None;
        if spared > exact {
            grant = self.acquire(spared, place.align, size).ok();
            place.size = grant.map_or(exact, |_| spared);
        }
        let grant =
            match grant.map_or_else(|| self.acquire_or_collect(exact, place.align, size), Ok) {
                Ok(grant) => grant,
                Err(error) => return (self.refuse(error), false),
            };
        // SAFETY: `place` leaves room for header and map in front of the block, inside the grant.
        let header = unsafe { grant.start.add(place.header) };
        // SAFETY: that header is a multiple of the segment size, because the grant is aligned to at least that.
        let segment = unsafe {
            let grant = (grant.start, place.size, place.align);
            Segment::set_up(header, grant, Kind::Huge, self)
        };
        self.map_huge(segment, place.block / PAGE);
        segment
            .header()
            .block
            .set(exact - place.header - place.block);
        self.link(segment);
        self.huge_segments.set(self.huge_segments.get() + 1);
        self.usage.add(self.huge_size(segment));
        (segment.byte(place.block), grant.zeroed)
    }

    /// Enters into the map of a huge segment that its block begins on page `first`.
    pub fn map_huge(&self, segment: Segment, first: usize) {
        segment.fill(0, first, page::HEADER);
        segment.fill(first, self.geometry.pages + 1 - first, page::HUGE_REST);
        segment.fill(first, 1, page::HUGE);
        segment.header().header_pages.set(first as u32);
    }

    /// The block in a huge segment.
    pub fn huge_block(&self, segment: Segment) -> *mut u8 {
        segment.byte(segment.header().header_pages.get() as usize * PAGE)
    }

    /// Bytes of the grant of a huge segment before its block.
    fn huge_front(&self, segment: Segment) -> usize {
        self.huge_block(segment).addr() - segment.header().base.get().addr().get()
    }

    /// Bytes the block in a huge segment can hold.
    pub fn huge_size(&self, segment: Segment) -> usize {
        segment.header().block.get()
    }

    /// Bytes of a grant that needs `exact`, of which `front` are before the block: the block's in eight steps per doubling;
    /// exactly that near a limit. A block that grows and would have to be copied gets half as much again; if it might
    /// grow in place, only as far as that is no more than blocks have needed lately.
    ///
    /// Programs ask for round sizes with a few words of their own in front, so a page more counts as round.
    fn with_spare(&self, exact: usize, front: usize, growing: bool) -> usize {
        let front = front + PAGE;
        let can = self.capabilities;
        let ample = exact.saturating_add(exact / 2);
        let is_ample =
            growing && !can.move_without_copy && (!can.grow_in_place || self.has_needed(ample));
        let wanted = if is_ample { ample } else { exact };
        let block = wanted.saturating_sub(front).max(PAGE);
        let spared = round_up(block, (1 << block.ilog2()) / 8)
            .and_then(|block| round_up(block.checked_add(front)?, self.capabilities.granularity));
        match spared {
            Some(size) if size <= isize::MAX as usize && self.is_far_from_limits(size) => size,
            _ => exact,
        }
    }

    /// Frees the block in a huge segment, and the segment.
    pub fn free_huge(&self, segment: Segment) {
        self.tell_filled();
        self.usage.sub(self.huge_size(segment));
        self.release_segment(segment);
    }

    /// Makes the block in `segment` hold `size` bytes without copying it: where it stands, or moved by the storage.
    /// Null if that cannot be; nothing has changed then. `align` is what a moved block must keep to.
    pub fn resize_huge(&self, segment: Segment, size: usize, align: usize) -> *mut u8 {
        let old = segment.header().size.get();
        let front = self.huge_front(segment);
        let Some(exact) = size
            .checked_add(front)
            .and_then(|sum| round_up(sum, self.capabilities.granularity))
            .filter(|&exact| exact <= isize::MAX as usize)
        else {
            return ptr::null_mut();
        };
        let fitting = if exact > old {
            self.grow_huge(segment, exact, align, size)
        } else {
            self.cut_huge(segment, exact).then_some(segment)
        };
        let Some(segment) = fitting else {
            return ptr::null_mut();
        };
        let block = segment.header().block.replace(exact - front);
        match (exact - front).checked_sub(block) {
            Some(more) => self.usage.add(more),
            None => self.usage.sub(block - (exact - front)),
        }
        self.huge_block(segment)
    }

    /// Makes a grant fit for `exact` bytes, which is no more than it has. Says no if it would be mostly empty.
    fn cut_huge(&self, segment: Segment, exact: usize) -> bool {
        let header = segment.header();
        let (base, old, align) = (header.base.get(), header.size.get(), header.align.get());
        let new = self.with_spare(exact, self.huge_front(segment), false);
        // An eighth to spare is what a grant may have anyway, far from the limits.
        let spare = exact > old / 8 * 7 && self.is_far_from_limits(0);
        if spare || new >= old {
            return true;
        }
        let cut = self.capabilities.shrink_in_place
            // SAFETY: the grant is as the header says; what is cut off lies behind the block's new end.
            && unsafe { self.storage().resize(base, old, new, align) }.is_ok();
        if cut {
            self.count_resized(segment, old, new);
        }
        cut || exact > old / 2
    }

    /// Makes a grant larger, to `exact` bytes at least, where it is or elsewhere.
    fn grow_huge(
        &self,
        segment: Segment,
        exact: usize,
        align: usize,
        size: usize,
    ) -> Option<Segment> {
        let (old, grant_align) = (segment.header().size.get(), segment.header().align.get());
        let spared = self.with_spare(exact, self.huge_front(segment), false);
        for new in [Some(spared), Some(exact).filter(|&exact| exact < spared)]
            .into_iter()
            .flatten()
        {
            // Asked before anything is done: the soft limit's handler must meet a heap that is whole.
            if !self.may_grow(new - old, grant_align, size) {
                return None;
            }
            if let Some(segment) = self.stretch_huge(segment, new, align) {
                self.count_resized(segment, old, new);
                return Some(segment);
            }
        }
        None
    }

    /// Has the storage make a grant larger.
    fn stretch_huge(&self, segment: Segment, new: usize, align: usize) -> Option<Segment> {
        let header = segment.header();
        let (base, old, grant_align) = (header.base.get(), header.size.get(), header.align.get());
        let can_grow = self.capabilities.grow_in_place;
        let may_move = align <= grant_align;
        let can_move = self.capabilities.move_without_copy && may_move;
        if !can_grow && !can_move {
            return None;
        }
        // The header moves along, so nothing may lead to it meanwhile.
        let offset = segment.address() - base.addr().get();
        self.unlink(segment);
        let mut apart = Apart(self, segment);
        let mut start = Err(StorageError::Unsupported);
        if can_grow && may_move {
            // SAFETY: the grant is as the header says; nothing leads to the old address any more, but for the caller's pointer.
            start = unsafe { self.storage().grow(base, old, new, grant_align) };
        } else if can_grow {
            // SAFETY: as above.
            start = unsafe { self.storage().resize(base, old, new, grant_align) }.map(|()| base);
        }
        if start.is_err() && can_move {
            // SAFETY: as above.
            let moved = unsafe { self.storage().move_resize(base, old, new, grant_align) };
            start = moved.map(|grant| grant.start);
        }
        let start = start.ok()?;
        let _ = start.as_ptr().expose_provenance();
        // SAFETY: header and map came along unchanged, at the same offset and alignment.
        let segment = unsafe { Segment::at(start.addr().get() + offset) };
        segment.header().base.set(start);
        apart.1 = segment;
        Some(segment)
    }

    /// Notes that a grant changed from `old` to `new` bytes.
    fn count_resized(&self, segment: Segment, old: usize, new: usize) {
        segment.header().size.set(new);
        self.count_changed(old, new);
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
