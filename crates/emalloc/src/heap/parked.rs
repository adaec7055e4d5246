//! Owns what the spans of a small run's pages say: how far back the first one is, and in that one's, in a large heap, which
//! free blocks the run holds itself (see `cold`): how many, and the one freed last. All of it is one word, so
//! freeing in a cold run touches a line of the spans, which serves sixteen pages, and no other of the header.

use super::list::Link;
use super::segment::{Geometry, Page};
use crate::layout::{MIN_ALIGN, PAGE};
use crate::size_class::MAX_RUN;

/// Bits of a span that lead back to the first page; 0 in that one.
const BACK_BITS: u32 = 8;

/// Bits behind them that count blocks.
const COUNT_BITS: u32 = 12;

/// The free blocks that a small run holds itself.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Parked(u32);

/// One block more.
const ONE: u32 = 1 << BACK_BITS;

/// Where in the word stands how far from the run's beginning the first block is, in units of [`MIN_ALIGN`] bytes.
const FIRST: u32 = BACK_BITS + COUNT_BITS;

// Both fit for all runs.
const _: () = assert!(MAX_RUN < 1 << BACK_BITS);
const _: () = assert!(MAX_RUN * PAGE / MIN_ALIGN <= 1 << (u32::BITS - FIRST));

impl Parked {
    /// None.
    pub const NONE: Self = Self(0);

    /// `count` blocks of the run at `run`, of which `first` is the first; it is of no matter if there are none.
    pub fn new(run: Page, first: Link, count: usize) -> Self {
        if count == 0 {
            return Self::NONE;
        }
        Self(count as u32 * ONE).led_by(run, first)
    }

    /// Whether there is a first one only if there is one.
    pub fn is_sound(self) -> bool {
        self.count() > 0 || self == Self::NONE
    }

    /// How many.
    #[inline(always)]
    pub fn count(self) -> usize {
        ((self.0 >> BACK_BITS) & ((1 << COUNT_BITS) - 1)) as usize
    }

    /// To the block freed last of those of the run at `run`.
    pub fn first(self, run: Page) -> Link {
        if self == Self::NONE {
            return Link::end(run.start());
        }
        self.first_of_some(run)
    }

    /// As [`first`](Self::first), where there is one.
    #[inline(always)]
    pub fn first_of_some(self, run: Page) -> Link {
        let offset = (self.0 >> FIRST) as usize * MIN_ALIGN;
        Link::to(run.start().wrapping_add(offset))
    }

    /// These and `block`, which becomes the first.
    #[inline(always)]
    pub fn and(self, run: Page, block: Link) -> Self {
        Self(self.0 + ONE).led_by(run, block)
    }

    #[inline(always)]
    fn led_by(self, run: Page, block: Link) -> Self {
        let offset = block.addr().wrapping_sub(run.start().addr());
        Self(((offset / MIN_ALIGN) as u32) << FIRST | self.0 & ((1 << FIRST) - 1))
    }
}

impl Page {
    /// Small run: pages from its first one to this one.
    #[inline(always)]
    pub fn back(self, geometry: &Geometry) -> usize {
        self.span(geometry) & ((1 << BACK_BITS) - 1)
    }

    /// Small run, first page: the free blocks that it holds itself.
    #[inline(always)]
    pub fn parked(self, geometry: &Geometry) -> Parked {
        Parked(self.span(geometry) as u32)
    }

    #[inline(always)]
    pub fn set_parked(self, geometry: &Geometry, parked: Parked) {
        self.set_span(geometry, parked.0 as usize);
    }
}
