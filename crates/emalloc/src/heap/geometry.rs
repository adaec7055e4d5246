//! Owns [`Geometry`]: the measures of a heap's segments, and the arithmetic that leads from addresses to headers and back
//! to pages. Used inside `heap` only, as a part of `segment`.

use core::mem::{align_of, size_of};
use core::ptr;

use super::index::Index;
use super::segment::{LINE, MAP, Page, PageInfo, Segment, map_size, page};
use crate::layout::{PAGE, PAGE_SHIFT};
use crate::sys;

/// The measures of a heap's segments: the same for all of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    pub segment_size: usize,
    /// The bits of an address that lead to its segment.
    mask: usize,
    /// Pages in a segment, header included.
    pub pages: usize,
    /// Offset of the first span: a `u32` for each page. Free run, first and last page, and large block or reserve,
    /// first page: pages of the run. Small run: pages from the run's first one to this one, in the lowest bits; in
    /// the first one's others how many free blocks it holds itself.
    pub spans: usize,
    /// Offset of the first [`PageInfo`].
    pub infos: usize,
    /// Offset of the live bits; 0 without checked mode.
    pub live: usize,
    /// Where the header of a segment ends, in bytes.
    pub header_end: usize,
}

/// Granules of 8 bytes in a page: each has a live bit in checked mode.
pub(super) const GRANULES: usize = PAGE / 8;

impl Geometry {
    pub fn new(segment_size: usize, checked: bool) -> Self {
        let pages = segment_size >> PAGE_SHIFT;
        let spans = MAP + map_size(pages);
        let infos = (spans + pages * size_of::<u32>()).next_multiple_of(align_of::<PageInfo>());
        let infos_end = (infos + pages * size_of::<PageInfo>()).next_multiple_of(align_of::<u64>());
        let (live, header_end) = if checked {
            (infos_end, infos_end + pages * (GRANULES / 8))
        } else {
            (0, infos_end)
        };
        Self {
            segment_size,
            mask: !(segment_size - 1),
            pages,
            spans,
            infos,
            live,
            header_end,
        }
    }

    /// The most pages one run can have in any segment but the first.
    pub fn longest_run(&self) -> usize {
        (self.segment_size - self.header_end) >> PAGE_SHIFT
    }

    /// Whether a block of `pages` pages at a multiple of `align` bytes fits into any segment. Its run is found
    /// with room to align it, so that much must fit; at a multiple of the segment size lies only a header.
    pub fn fits(&self, pages: usize, align: usize) -> bool {
        // (An alignment is a power of two: no page of it is a part.)
        pages + (align.max(PAGE) >> PAGE_SHIFT) - 1 <= self.longest_run()
    }

    /// Where the header of the segment must be that holds the block at `address`.
    #[inline(always)]
    pub fn segment_address(&self, address: usize) -> usize {
        address.wrapping_sub(1) & self.mask
    }

    /// Has the processor fetch what is written when the pages of a segment are entered anew. Any address may be given.
    pub fn fetch_header(&self, address: usize) {
        let fetch = |offset| sys::prefetch(ptr::without_provenance(address.wrapping_add(offset)));
        // The header and a map of 64 pages; what follows of a longer one, processors fetch by themselves.
        (0..MAP + map_size(64)).step_by(LINE).for_each(fetch);
        [self.spans, self.infos - LINE, self.infos]
            .into_iter()
            .for_each(fetch);
    }

    /// Whether the heap is in checked mode.
    pub fn checked(&self) -> bool {
        self.live != 0
    }

    /// The page to which `info` belongs, if that is the first one of a free run: for pointers that may be anything.
    pub fn free_run_of(&self, info: *mut PageInfo, segments: &Index) -> Option<Page> {
        // (A huge segment has no free pages.)
        let is_free = |page: Page| page.map() == page::FREE;
        self.find_page(info, segments)
            .filter(|&page| is_free(page) && !is_free(page.minus(1)))
    }

    /// The page to which `info` belongs, if that is one at all, and not the first of its segment.
    pub fn find_page(&self, info: *mut PageInfo, segments: &Index) -> Option<Page> {
        let address = info.addr() & !(self.segment_size - 1);
        let segment = segments.find(address)?;
        let offset = (info.addr() - address).checked_sub(self.infos)?;
        let index = offset / size_of::<PageInfo>();
        let is_one =
            offset.is_multiple_of(size_of::<PageInfo>()) && (1..self.pages).contains(&index);
        is_one.then_some(Page { segment, index })
    }

    /// The page to which `info` belongs.
    pub fn page_of(&self, info: *mut PageInfo) -> Page {
        let address = info.addr() & self.mask;
        // SAFETY: a PageInfo lies in the header of its segment, so the segment begins at the multiple below.
        let segment = unsafe { Segment::at(address) };
        let index = (info.addr() - address - self.infos) / size_of::<PageInfo>();
        Page { segment, index }
    }
}
