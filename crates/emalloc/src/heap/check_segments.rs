//! Owns the part of the check that concerns segments: their links, their
//! headers, their page maps. Called by `check`, before anything else looks
//! into a segment.

use super::check::{Corruption, Invariant, broken, equal};
use super::collect::Run;
use super::segment::{Kind, Segment, class_in, cold_in, page, unmarked};
use super::state::State;
use crate::layout::{GRAIN, PAGE, PAGE_GRAINS};
use crate::size_class::CLASSES;

/// What the segments add up to.
pub(super) struct Sums {
    pub held: usize,
    pub usage: usize,
    pub segments: usize,
    pub empty: usize,
    pub huge: usize,
    pub free_pages: usize,
    /// Those of them that are spare.
    pub spare_pages: usize,
    pub reserve: usize,
    pub runs: [usize; CLASSES],
    pub short_runs: [usize; CLASSES],
}

impl State {
    /// The list and the index lead to the same segments, whose headers are sound.
    pub fn check_links(&self) -> Result<(), Corruption> {
        let mut count = 0;
        let mut previous: Option<Segment> = None;
        let mut place = self.newest.get();
        while let Some(segment) = place {
            if !self.header_is_sound(segment, previous) {
                return broken(Invariant::SegmentLinks, segment.address());
            }
            count += 1;
            previous = place;
            place = segment.header().next.get();
        }
        // What the index takes in must not be in it.
        let new = |segment: &Segment| segment.header().indexed.get() == 0;
        let known = |segment: &Segment| self.index.find(segment.address()).is_some();
        if let Some(segment) = self.segments().take_while(new).find(known) {
            return broken(Invariant::Index, segment.address());
        }
        self.complete_index();
        match self.index.verify() {
            Some(indexed) => equal(Invariant::Index, 0, count, indexed)?,
            None => return broken(Invariant::Index, 0),
        }
        let lost = |segment: &Segment| self.index.find(segment.address()) != Some(*segment);
        match self.segments().find(lost) {
            Some(segment) => broken(Invariant::Index, segment.address()),
            None => Ok(()),
        }
    }

    /// Whether a header is this heap's, behind `previous` in the list, in a grant as this heap takes them, and leads
    /// nowhere else than to segments.
    fn header_is_sound(&self, segment: Segment, previous: Option<Segment>) -> bool {
        let header = segment.header();
        let links = [&header.next, &header.previous, &header.left, &header.right];
        // Read as numbers: what was written over them need not be a `Kind` and a `NonNull`.
        // SAFETY: the header is alive, and a `Kind` is a byte.
        let kind = unsafe { header.kind.as_ptr().cast::<u8>().read() };
        // SAFETY: the header is alive, and a pointer is as large as a `usize`.
        let base = unsafe { header.base.as_ptr().cast::<usize>().read() };
        let (at, geometry) = (segment.address(), &self.geometry);
        let (size, align) = (header.size.get(), header.align.get());
        let block = header.block.get();
        let grant_is_sound = if kind == Kind::Pages as u8 {
            (base, size, align) == (at, geometry.segment_size, geometry.segment_size) && block == 0
        } else {
            let front = at.wrapping_sub(base);
            let pages = header.header_pages.get() as usize;
            let needed = pages
                .checked_mul(PAGE)
                .and_then(|bytes| bytes.checked_add(front))
                .and_then(|before| before.checked_add(block));
            let granularity = self.capabilities.granularity;
            // There may be room to spare behind the block, but never more than half of the grant.
            let block_fits = |needed: usize| {
                needed <= size && needed >= size / 2 && needed.is_multiple_of(granularity)
            };
            kind == Kind::Huge as u8
                && align.is_power_of_two()
                && align >= geometry.segment_size
                && base.is_multiple_of(align)
                && size.is_multiple_of(granularity)
                && isize::try_from(size).is_ok()
                && block > 0
                && needed.is_some_and(block_fits)
        };
        let indexed = header.indexed.get();
        let newer = previous.map_or(0, |previous| previous.header().indexed.get());
        core::ptr::eq(header.owner.get(), self)
            && (newer..=1).contains(&indexed)
            && links.iter().all(|link| link.is_sound())
            && header.previous.get() == previous
            && grant_is_sound
    }

    /// What lies in the segments, whose links are sound.
    pub fn check_segments(&self) -> Result<Sums, Corruption> {
        let mut sums = Sums {
            held: 0,
            usage: 0,
            segments: 0,
            empty: 0,
            huge: 0,
            free_pages: 0,
            spare_pages: 0,
            reserve: 0,
            runs: [0; CLASSES],
            short_runs: [0; CLASSES],
        };
        for segment in self.segments() {
            sums.held = sums.held.saturating_add(segment.header().size.get());
            match segment.header().kind.get() {
                Kind::Huge => {
                    self.check_huge(segment)?;
                    sums.huge += 1;
                    sums.usage = sums.usage.saturating_add(self.huge_size(segment));
                }
                Kind::Pages => {
                    self.check_pages(segment, &mut sums)?;
                    sums.segments += 1;
                }
            }
        }
        Ok(sums)
    }

    /// A huge segment's map says where its block begins.
    fn check_huge(&self, segment: Segment) -> Result<(), Corruption> {
        let (at, header) = (segment.address(), segment.header());
        let first = header.header_pages.get() as usize;
        for grain in 0..(self.geometry.pages + 1) * PAGE_GRAINS {
            let expected = match grain / PAGE_GRAINS {
                index if index < first => page::HEADER,
                index if index == first => page::HUGE,
                _ => page::HUGE_REST,
            };
            if segment.grain(grain) != expected {
                return broken(Invariant::PageMap, at + grain * GRAIN);
            }
        }
        // The map ends with a page on which a block may still begin.
        if first == 0 || first > self.geometry.pages {
            return broken(Invariant::PageMap, at);
        }
        equal(Invariant::Counts, at, 0, header.free_pages.get() as usize)
    }

    /// Runs tile a segment that is cut into pages.
    fn check_pages(&self, segment: Segment, sums: &mut Sums) -> Result<(), Corruption> {
        let mut free = 0;
        let mut after_free = false;
        for run in self.runs(segment) {
            let at = run.start();
            self.check_run(run)?;
            match run.byte {
                page::FREE if after_free => return broken(Invariant::PageMap, at),
                page::FREE => free += run.pages(),
                page::SPARE => {
                    free += run.pages();
                    sums.spare_pages += run.pages();
                }
                page::LARGE => sums.usage += run.bytes(),
                page::RESERVE => sums.reserve += run.pages(),
                byte => {
                    if let Some(class) = class_in(byte) {
                        sums.runs[class] += 1;
                        let short = self.in_nursery(segment, run.grain);
                        sums.short_runs[class] += usize::from(short);
                    }
                }
            }
            after_free = run.byte == page::FREE;
        }
        let (at, header) = (segment.address(), segment.header());
        // The page behind the last is one on which no block begins.
        let behind = self.geometry.pages * PAGE_GRAINS;
        let is_sound = |grain| segment.grain(grain) == page::HEADER;
        if !(behind..behind + PAGE_GRAINS).all(is_sound) {
            return broken(Invariant::PageMap, at + self.geometry.segment_size);
        }
        let counted = header.free_pages.get() as usize;
        equal(Invariant::Counts, at, free, counted)?;
        sums.free_pages += free;
        sums.empty += usize::from(free + header.header_pages.get() as usize == self.geometry.pages);
        Ok(())
    }

    /// A run lies inside its segment, and every grain of it is marked as one of it.
    fn check_run(&self, run: Run) -> Result<(), Corruption> {
        let at = run.start();
        let Run {
            segment,
            grain: first,
            grains,
            byte,
        } = run;
        let in_nursery = self.in_nursery(segment, first);
        let end = if in_nursery {
            self.header_grains(segment)
        } else {
            self.geometry.pages * PAGE_GRAINS
        };
        if grains == 0 || grains > end - first {
            return broken(Invariant::PageMap, at);
        }
        let rest = match byte {
            page::HEADER if first == 0 => byte,
            _ if first == 0 => return broken(Invariant::PageMap, at),
            page::NURSERY if in_nursery && first == self.nursery.next.get() => byte,
            _ if in_nursery && cold_in(byte).is_some() => return broken(Invariant::PageMap, at),
            _ if class_in(byte).is_some() => byte,
            _ if in_nursery => return broken(Invariant::PageMap, at),
            page::LARGE | page::SPARE => page::LARGE_REST,
            page::FREE | page::RESERVE => byte,
            _ => return broken(Invariant::PageMap, at),
        };
        for number in 0..grains {
            let expected = if number < PAGE_GRAINS { byte } else { rest };
            let (found, at) = (segment.grain(first + number), at + number * GRAIN);
            if unmarked(found) != expected || (found != expected && !self.has_sample(at)) {
                return broken(Invariant::PageMap, at);
            }
        }
        if in_nursery {
            return Ok(());
        }
        let (first, pages) = (run.first(), run.pages());
        let small_pages = if class_in(byte).is_some() { pages } else { 0 };
        for number in 0..small_pages {
            let page = first.plus(number);
            if page.back(&self.geometry) != number {
                return broken(Invariant::PageMap, page.start().addr());
            }
        }
        if byte == page::FREE {
            let last = first.plus(pages - 1).span(&self.geometry);
            return equal(Invariant::PageMap, at, pages, last);
        }
        Ok(())
    }
}
