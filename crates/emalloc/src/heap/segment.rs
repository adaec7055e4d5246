//! Owns the inside of a segment: its header, the map that says what each grain
//! of a page holds, one span and one [`PageInfo`] per page; and the arithmetic that leads from an
//! address to them. Used inside `heap` only.
//!
//! A segment begins at a multiple of the segment size:
//!
//! ```text
//! Header | map: 8 bytes per page, and 8 | span per page | PageInfo per page | live bits (checked mode) | State, nursery (first segment)
//! page   | page   | page ...
//! ```
//!
//! A huge block has a segment of its own, of which only the header and the map
//! are used. Its block begins on the next page, or further on if it is aligned
//! more strictly. A block aligned to the segment size or more begins exactly
//! one segment size behind its header, which is why the map covers one page more
//! than there are, and why [`Geometry::segment_address`] looks at the byte before
//! the block: no block ever begins where its own header does.

use core::cell::Cell;
use core::mem::{offset_of, size_of};
use core::ptr::{self, NonNull};

use super::field::Field;
use super::geometry::GRANULES;
pub(super) use super::geometry::Geometry;
use super::link::Link;
use super::state::State;
use crate::layout::{GRAIN_SHIFT, PAGE_GRAINS, PAGE_SHIFT};
use crate::size_class::{CLASSES, CODES};

/// Bytes that processors fetch at a time: some fetch more, few less.
pub(super) const LINE: usize = 64;

/// What a byte of the map says. It is the same for all grains of a page, but in the nursery. Bytes below [`CODES`] are the code of a small run's class.
pub(super) mod page {
    /// The segment's own header.
    pub const HEADER: u8 = 0xF0;
    /// Free.
    pub const FREE: u8 = 0xF1;
    /// The first page of a large block.
    pub const LARGE: u8 = 0xF2;
    /// A later page of a large block.
    pub const LARGE_REST: u8 = 0xF3;
    /// The page on which a huge block begins.
    pub const HUGE: u8 = 0xF4;
    /// A later page of a huge block.
    pub const HUGE_REST: u8 = 0xF5;
    /// Set aside for the handler of an error.
    pub const RESERVE: u8 = 0xF6;
    /// A grain of the nursery that no short run has.
    pub const NURSERY: u8 = 0xF7;
    /// The first page of a spare run, whose others are as when it was a large block.
    pub const SPARE: u8 = 0xF8;
    /// The first grain of a large block that is sampled.
    pub const SAMPLED: u8 = 0xF9;
}

/// What kind of segment a header heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// Cut into pages.
    Pages,
    /// One huge block.
    Huge,
}

/// The head of every segment.
#[repr(C, align(16))]
pub(super) struct Header {
    /// What the storage granted: start, size, alignment.
    pub base: Cell<NonNull<u8>>,
    pub size: Cell<usize>,
    pub align: Cell<usize>,
    /// All segments of the heap, newest first.
    pub next: Link,
    pub previous: Link,
    /// Children in the index by address.
    pub left: Link,
    pub right: Link,
    /// Room for a process-wide front end: which of its heaps' threads this segment belongs to.
    pub front: Cell<usize>,
    pub kind: Cell<Kind>,
    /// 1 if the index knows the segment, else 0.
    pub indexed: Cell<u8>,
    /// Pages of the header, the nursery included: up to the first run of pages.
    pub header_pages: Cell<u32>,
    /// Pages no run holds.
    pub free_pages: Cell<u32>,
    /// Huge: bytes of the block, which may be less than the grant has room for.
    pub block: Cell<usize>,
    /// The heap that owns this segment. Last, so that it is near the map, which is read with it.
    pub owner: Cell<*const State>,
}

/// Where the page map begins.
pub(super) const MAP: usize = size_of::<Header>();

/// What leads from one page to others. Apart from the spans, so that of a segment that fills up few infos are touched.
#[repr(C)]
pub(super) struct PageInfo {
    /// Free run, first page: its neighbours in the list of its length.
    /// Small run, first page, in a large heap (see `cold`): `previous` is the next run of a queue.
    /// Small run, first page, while free lists are sorted by run: `next` is the run's own list.
    pub next: Field<*mut PageInfo>,
    pub previous: Field<*mut PageInfo>,
}

/// Bytes of the map of a segment of `pages` pages.
pub(super) const fn map_size(pages: usize) -> usize {
    (pages + 1) * PAGE_GRAINS
}

/// A segment of a heap. Values of this type lead to a header that is alive:
/// a heap makes one when it sets a segment up and forgets it before giving the segment back.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment(NonNull<Header>);

/// One page of a segment that is cut into pages.
#[derive(Clone, Copy)]
pub(super) struct Page {
    pub segment: Segment,
    pub index: usize,
}

impl Segment {
    /// The segment whose header lies at `address`.
    ///
    /// # Safety
    /// A live segment, whose memory's provenance was exposed, has its header there.
    #[inline(always)]
    pub unsafe fn at(address: usize) -> Self {
        let header = ptr::with_exposed_provenance_mut(address);
        // SAFETY: the caller says a header lies there; no header lies at null.
        Self(unsafe { NonNull::new_unchecked(header) })
    }

    /// Writes a header at `header`; the map and the rest are the caller's to set.
    ///
    /// # Safety
    /// `header` is a multiple of the segment size and lies in the grant, which the caller owns,
    /// with room for header and map.
    pub unsafe fn set_up(
        header: NonNull<u8>,
        grant: (NonNull<u8>, usize, usize),
        kind: Kind,
        owner: *const State,
    ) -> Self {
        let _ = grant.0.as_ptr().expose_provenance();
        let segment = Self(header.cast());
        let content = Header {
            base: Cell::new(grant.0),
            size: Cell::new(grant.1),
            align: Cell::new(grant.2),
            next: Link::none(),
            previous: Link::none(),
            left: Link::none(),
            right: Link::none(),
            front: Cell::new(0),
            kind: Cell::new(kind),
            indexed: Cell::new(0),
            header_pages: Cell::new(0),
            free_pages: Cell::new(0),
            block: Cell::new(0),
            owner: Cell::new(owner),
        };
        // SAFETY: there is room for a header, aligned because segment sizes are.
        unsafe { segment.0.write(content) };
        segment
    }

    /// Notes for the next heap that has this memory that the pages from `free` on are marked as free.
    pub fn leave(self, free: usize) {
        self.header().block.set(free);
    }

    /// What the heap that had this memory before has noted by [`leave`](Self::leave).
    ///
    /// # Safety
    /// At `start` is the first segment of a heap that is gone, as that one left it.
    pub unsafe fn left_free(start: NonNull<u8>) -> usize {
        // SAFETY: the caller says there is a header, and nobody uses it any more.
        unsafe { start.cast::<Header>().as_ref() }.block.get()
    }

    /// Its header. The reference must not be kept beyond the segment: like a `Segment` itself.
    #[inline(always)]
    pub fn header<'a>(self) -> &'a Header {
        // SAFETY: the header is alive as long as the segment is (see the type); all of it is cells.
        unsafe { self.0.as_ref() }
    }

    /// Whose it is. This alone is also asked of the fast paths' nowhere (see `gate`), which is no whole header.
    #[inline(always)]
    pub fn owner(self) -> *const State {
        let owner = self.byte(offset_of!(Header, owner)).cast::<*const State>();
        // SAFETY: a header is alive there, or a state, which is as well aligned and longer.
        unsafe { owner.read() }
    }

    #[inline(always)]
    pub fn address(self) -> usize {
        self.0.addr().get()
    }

    /// A pointer into the segment, `offset` bytes behind its header.
    #[inline(always)]
    pub fn byte(self, offset: usize) -> *mut u8 {
        self.0.as_ptr().cast::<u8>().wrapping_add(offset)
    }

    /// What the map says of `grain`, which is at most the number of grains.
    #[inline(always)]
    pub fn grain(self, grain: usize) -> u8 {
        // SAFETY: the map has a byte for each grain of each page and of one more, all written by `set_up`.
        unsafe { self.byte(MAP + grain).read() }
    }

    /// What the map says of page `index`, which is at most the number of pages: of its first grain.
    #[inline(always)]
    pub fn map(self, index: usize) -> u8 {
        self.grain(index * PAGE_GRAINS)
    }

    /// Sets the map for `count` pages from `index` on, of which there is one at least.
    #[inline(always)]
    pub fn fill(self, index: usize, count: usize, value: u8) {
        debug_assert!(count > 0);
        match count {
            // Most runs are short, and a call would cost more than a few words.
            0 | 1 => self.fill_ends::<1>(index, 1, value),
            2..=4 => self.fill_ends::<2>(index, count, value),
            5..=8 => self.fill_ends::<4>(index, count, value),
            9..=16 => self.fill_ends::<8>(index, count, value),
            _ => self.fill_grains(index * PAGE_GRAINS, count * PAGE_GRAINS, value),
        }
    }

    /// As [`fill`](Self::fill), for no less than `N` pages and no more than twice as many: the first and the last `N`.
    #[inline(always)]
    fn fill_ends<const N: usize>(self, index: usize, count: usize, value: u8) {
        for index in [index, index + count - N] {
            let words = self.byte(MAP + index * PAGE_GRAINS).cast();
            // SAFETY: as in `fill_grains`.
            unsafe { ptr::write(words, [[value; PAGE_GRAINS]; N]) }
        }
    }

    /// Sets the map for `count` grains from `grain` on.
    pub fn fill_grains(self, grain: usize, count: usize, value: u8) {
        // SAFETY: callers stay within the pages of the segment and one more; the map has that room.
        unsafe { self.byte(MAP + grain).write_bytes(value, count) }
    }

    /// The page of this segment in which `address` lies, or the one behind the last.
    #[inline(always)]
    pub fn index_of(self, address: usize) -> usize {
        (address - self.address()) >> PAGE_SHIFT
    }

    /// The grain of this segment in which `address` lies, or the one behind the last.
    #[inline(always)]
    pub fn grain_of(self, address: usize) -> usize {
        (address - self.address()) >> GRAIN_SHIFT
    }

    /// What the map says of the place at `address`.
    #[inline(always)]
    pub fn map_at(self, address: usize) -> u8 {
        self.grain(self.grain_of(address))
    }

    /// What is known of page `index`.
    pub fn info(self, geometry: &Geometry, index: usize) -> &'static PageInfo {
        debug_assert!(index < geometry.pages);
        // SAFETY: every page has an info in the header; all of it is fields. The reference is used at once and kept by
        // nobody, so it does not outlive the segment.
        unsafe {
            &*self
                .byte(geometry.infos + index * size_of::<PageInfo>())
                .cast()
        }
    }

    /// The span of page `index`.
    fn span(self, geometry: &Geometry, index: usize) -> &'static Field<u32> {
        debug_assert!(index < geometry.pages);
        let at = self.byte(geometry.spans + index * size_of::<u32>());
        // SAFETY: as in `info`: every page has a span in the header, and nobody keeps the reference.
        unsafe { &*at.cast() }
    }

    /// The word of live bits that covers `address`, and the bit in it. Checked mode only.
    pub fn live_bit(self, geometry: &Geometry, address: usize) -> (&'static Cell<u64>, u64) {
        debug_assert!(geometry.checked());
        let granule = (address - self.address()) / 8;
        let word = self
            .byte(geometry.live + granule / 64 * 8)
            .cast::<Cell<u64>>();
        // SAFETY: a heap in checked mode has these words in each header, for every granule of the segment.
        (unsafe { &*word }, 1 << (granule % 64))
    }

    /// Sets all live bits to dead. Checked mode only.
    pub fn clear_live_bits(self, geometry: &Geometry) {
        // SAFETY: as above: that many bytes lie in the header.
        unsafe {
            self.byte(geometry.live)
                .write_bytes(0, geometry.pages * (GRANULES / 8))
        }
    }
}

impl Page {
    /// Its first byte.
    #[inline]
    pub fn start(self) -> *mut u8 {
        self.segment.byte(self.index << PAGE_SHIFT)
    }

    pub fn info(self, geometry: &Geometry) -> &'static PageInfo {
        self.segment.info(geometry, self.index)
    }

    /// Its span (see [`Geometry`]).
    #[inline]
    pub fn span(self, geometry: &Geometry) -> usize {
        self.segment.span(geometry, self.index).get() as usize
    }

    #[inline]
    pub fn set_span(self, geometry: &Geometry, pages: usize) {
        self.segment.span(geometry, self.index).set(pages as u32);
    }

    pub fn map(self) -> u8 {
        self.segment.map(self.index)
    }

    /// Writes `code`, a small run's, for `pages` pages of one from this one on, and leaves the marks of samples as they are.
    #[inline(always)]
    pub fn recode_marked(self, pages: usize, code: u8) {
        for index in self.index..self.index + pages {
            let word = self.segment.byte(MAP + index * PAGE_GRAINS).cast::<u64>();
            // SAFETY: the map has a byte for each grain of each page, and begins as well aligned as words are.
            let marks = unsafe { word.read() } & MARKS;
            // SAFETY: as above.
            unsafe { word.write(marks | u64::from_ne_bytes([code; PAGE_GRAINS])) };
        }
    }

    /// The page `count` further on in the same segment.
    #[inline(always)]
    pub fn plus(self, count: usize) -> Self {
        let index = self.index + count;
        Self { index, ..self }
    }

    /// The page `count` before it in the same segment.
    #[inline(always)]
    pub fn minus(self, count: usize) -> Self {
        let index = self.index - count;
        Self { index, ..self }
    }
}

/// In the map, beside the code of a class: a block that is sampled begins in this grain.
const MARK: u8 = 0x80;

/// The marks of all grains of a page.
const MARKS: u64 = u64::from_ne_bytes([MARK; PAGE_GRAINS]);

const _: () = assert!(MAP.is_multiple_of(align_of::<u64>()));

/// What the map says of a grain in which a sampled block begins, where `byte` is what it says of the others. (Of a huge
/// block there is no mark.)
pub(super) fn marked(byte: u8) -> u8 {
    match byte {
        page::LARGE | page::SAMPLED => page::SAMPLED,
        _ => byte | MARK,
    }
}

/// In the map: a cold run of the first class; those of the others follow.
const COLD: u8 = CODES as u8;

/// What a byte of the map says but for the mark.
pub(super) fn unmarked(byte: u8) -> u8 {
    match byte {
        page::SAMPLED => page::LARGE,
        _ => class_in(byte).map_or(byte, |_| byte & !MARK),
    }
}

/// The class of a small run that the map byte speaks of, if it does.
#[inline(always)]
pub(super) fn class_in(byte: u8) -> Option<usize> {
    let code = usize::from(byte & !MARK);
    if let Some(class) = cold_in(byte & !MARK) {
        return Some(class);
    }
    (code < CODES && code.is_multiple_of(2)).then_some(code / 2)
}

/// The class of the cold run that the map byte speaks of, if it does and there is no mark beside it.
#[inline(always)]
pub(super) fn cold_in(byte: u8) -> Option<usize> {
    let class = usize::from(byte.wrapping_sub(COLD));
    (class < CLASSES).then_some(class)
}

/// The map byte for a cold run of `class`.
pub(super) fn cold_code(class: usize) -> u8 {
    COLD + class as u8
}

// All codes leave room for the mark, and none is one of `page` with it.
const _: () = assert!(CODES + CLASSES <= (page::HEADER & !MARK) as usize);

/// The map byte for a small run of `class`.
pub(super) fn code_in_map(class: usize) -> u8 {
    2 * class as u8
}
