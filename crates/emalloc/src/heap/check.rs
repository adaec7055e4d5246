//! Owns the check of everything that must hold inside a heap: what it is, the
//! free lists and the counts; the segments are in `check_segments`. It follows
//! no pointer it has not found to be sound first, so a broken heap gets a report.

use core::fmt;

use super::Heap;
use super::check_segments::Sums;
use super::list::List;
use super::segment::{Kind, Segment, class_in, page};
use super::state::State;
use super::walk::Walking;
use crate::size_class::{CLASSES, size_of_class};

/// Something that must hold inside a heap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Invariant {
    /// Every segment names this heap as its owner, lies in its grant, is linked both ways and leads nowhere else.
    SegmentLinks,
    /// The index holds exactly the listed segments, in order.
    Index,
    /// Runs tile a segment from its header to its end, each marked on every page, no two free ones side by side;
    /// a huge segment's map says where its block begins.
    PageMap,
    /// The lists of free runs hold exactly the free runs, each in the list of its length; those of spare runs exactly those.
    FreeRuns,
    /// Counts of segments, empty segments, huge blocks, runs and free pages are what is there.
    Counts,
    /// Every free block begins a block of its class's run, and is on the list once.
    FreeList,
    /// In a large heap every small run is hot or cold, and in one list with its like if it has to be; a cold one's list holds
    /// its own free blocks, as many as are counted.
    Cold,
    /// The part of a class that is not carved yet ends with a run of that class.
    Fresh,
    /// In checked mode: the live bits say what the lists say.
    LiveBits,
    /// The usage is the sum of the live blocks, what is held the sum of the grants, no peak lies below.
    Usage,
    /// The reserve's pages are marked as such, and no others.
    Reserve,
}

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corruption {
    /// Which one.
    pub invariant: Invariant,
    /// Where: an address in the heap, or 0 where it concerns the heap as a whole.
    pub address: usize,
    /// What had to be, and what is; where that is no number both are 0.
    pub expected: usize,
    /// See `expected`.
    pub found: usize,
}

impl fmt::Display for Corruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            invariant,
            address,
            expected,
            found,
        } = self;
        write!(
            f,
            "zend_mm_heap corrupted: {invariant:?} does not hold at {address:#x}"
        )?;
        if expected != found {
            write!(f, " (expected {expected}, found {found})")
        } else {
            Ok(())
        }
    }
}

impl core::error::Error for Corruption {}

pub(super) fn broken<T>(invariant: Invariant, address: usize) -> Result<T, Corruption> {
    Err(Corruption {
        invariant,
        address,
        expected: 0,
        found: 0,
    })
}

pub(super) fn equal(
    invariant: Invariant,
    address: usize,
    expected: usize,
    found: usize,
) -> Result<(), Corruption> {
    if expected == found {
        Ok(())
    } else {
        Err(Corruption {
            invariant,
            address,
            expected,
            found,
        })
    }
}

impl State {
    /// Every block on a list of `class` is one, and the list ends.
    fn check_list(&self, class: usize, list: &List) -> Result<(), Corruption> {
        let most = self.blocks_in_runs(class);
        let mut link = list.head.get();
        let mut count = 0;
        while !link.is_end() {
            let at = link.addr();
            let segment = self.find_segment(self.geometry.segment_address(at));
            let Some(segment) =
                segment.filter(|segment| segment.header().kind.get() == Kind::Pages)
            else {
                return broken(Invariant::FreeList, at);
            };
            if class_in(segment.map_at(at)) != Some(class) {
                return broken(Invariant::FreeList, at);
            }
            let run = self.run_of(segment, class, at);
            let (offset, size) = (at - run.start(), size_of_class(class));
            let inside = offset / size < run.blocks(class);
            if !offset.is_multiple_of(size) || !inside || self.is_uncarved(class, at) {
                return broken(Invariant::FreeList, at);
            }
            count += 1;
            if count > most {
                return broken(Invariant::FreeList, at);
            }
            let Some(node) = link.node() else {
                break;
            };
            link = node.next.get();
        }
        Ok(())
    }

    fn check_fresh(&self, class: usize) -> Result<(), Corruption> {
        let (next, bytes) = (
            self.fresh[class].next.get().addr(),
            self.fresh[class].bytes.get(),
        );
        if bytes == 0 {
            return Ok(());
        }
        let segment = self.find_segment(self.geometry.segment_address(next + 1));
        let Some(segment) = segment.filter(|segment| segment.header().kind.get() == Kind::Pages)
        else {
            return broken(Invariant::Fresh, next);
        };
        if class_in(segment.map_at(next)) != Some(class) {
            return broken(Invariant::Fresh, next);
        }
        let run = self.run_of(segment, class, next);
        let end = run.start() + run.blocks(class) * size_of_class(class);
        equal(Invariant::Fresh, next, end, next.wrapping_add(bytes))
    }

    /// Live blocks of small runs: the lists are sorted by run now and known to be sound.
    fn check_small(&self, segment: Segment, sums: &mut Sums) -> Result<(), Corruption> {
        for run in self.runs(segment) {
            let Some(class) = class_in(run.byte) else {
                continue;
            };
            let (map, once) = self.free_map(class, run);
            let start = run.start();
            if !once {
                return broken(Invariant::FreeList, start);
            }
            for number in 0..run.blocks(class) {
                let live = !map.is_marked(number);
                sums.usage += if live { size_of_class(class) } else { 0 };
                if self.geometry.checked() {
                    let at = start + number * size_of_class(class);
                    let (word, bit) = segment.live_bit(&self.geometry, at);
                    if (word.get() & bit != 0) != live {
                        return broken(Invariant::LiveBits, at);
                    }
                }
            }
        }
        Ok(())
    }

    fn check_sums(&self, sums: &Sums) -> Result<(), Corruption> {
        equal(
            Invariant::Counts,
            0,
            sums.segments,
            self.page_segments.get(),
        )?;
        equal(Invariant::Counts, 0, sums.empty, self.empty_segments.get())?;
        equal(Invariant::Counts, 0, sums.huge, self.huge_segments.get())?;
        match self.free_runs.verify(&self.geometry, &self.index) {
            Ok(entered) => equal(Invariant::FreeRuns, 0, sums.free_pages, entered)?,
            Err(wrong) => return broken(Invariant::FreeRuns, wrong),
        }
        equal(Invariant::Usage, 0, sums.held, self.held.get())?;
        equal(Invariant::Usage, 0, sums.usage, self.usage.now())?;
        if self.usage.peak() < self.usage.now() || self.held_peak.get() < self.held.get() {
            return broken(Invariant::Usage, 0);
        }
        let at = self.reserve_at.get();
        let reserve = at.map_or(0, |_| self.reserve.get());
        equal(Invariant::Reserve, 0, reserve, sums.reserve)?;
        if let Some((segment, index)) = at {
            let (expected, found) = (page::RESERVE, segment.map(index));
            let at = segment.address();
            equal(Invariant::Reserve, at, expected.into(), found.into())?;
        }
        Ok(())
    }
}

/// Checking.
impl Heap {
    /// Verifies every invariant of the heap's structure. (`full_mem_check`)
    ///
    /// The cost grows with the number of blocks. During a [`walk`](Self::walk) nothing is verified.
    ///
    /// # Errors
    /// The first invariant found broken, and where.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// heap.allocate(100);
    /// assert!(heap.check().is_ok());
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn check(&self) -> Result<(), Corruption> {
        let state = self.state();
        if state.modes.is_walking() {
            return Ok(());
        }
        state.check_links()?;
        let mut sums = state.check_segments()?;
        for class in 0..CLASSES {
            let runs = state.run_counts[class].get() as usize;
            equal(Invariant::Counts, 0, sums.runs[class], runs)?;
            let short = usize::from(state.has_short_run(class));
            equal(Invariant::Counts, 0, sums.short_runs[class], short)?;
        }
        match state.spares.verify(&state.geometry, &state.index) {
            Ok(entered) => equal(Invariant::FreeRuns, 0, sums.spare_pages, entered)?,
            Err(wrong) => return broken(Invariant::FreeRuns, wrong),
        }
        state.check_cold()?;
        for class in 0..CLASSES {
            state.check_fresh(class)?;
            state.check_list(class, state.list(class))?;
            if let Some(aside) = state.cold.aside(class) {
                state.check_list(class, aside)?;
            }
        }
        if let Some(_walking) = Walking::begin(state) {
            for segment in state.page_segment_list() {
                state.check_small(segment, &mut sums)?;
            }
        }
        state.check_sums(&sums)
    }
}
