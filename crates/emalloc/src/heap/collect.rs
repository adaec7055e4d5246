//! Owns finding what is free but scattered: small runs without a block in use,
//! and empty segments. Also owns sorting the free lists by run, on which `walk`
//! and `check` rely.

use core::ptr;

use super::Heap;
use super::list::Link;
use super::observers::Event;
use super::segment::{Kind, Page, Segment, class_in, page, unmarked};
use super::site::Site;
use super::state::State;
use crate::layout::{GRAIN, GRAIN_SHIFT, PAGE, PAGE_GRAINS};
use crate::size_class::{CLASSES, CODES, grains_of_short_run, pages_of_class, size_of_class};

/// What [`Heap::collect`] and [`Heap::trim`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// Bytes of pages that held only free small blocks and now are free for anything (`zend_mm_gc`'s answer).
    pub pages: usize,
    /// Bytes the heap gave back to its storage.
    pub returned: usize,
    /// Bytes that [`Heap::trim`] made the storage give back: parts it discarded, and what it kept in store itself.
    pub discarded: usize,
}

/// A run as it stands in a segment: its first grain, how many it has, what the map says of the first one.
#[derive(Clone, Copy)]
pub(super) struct Run {
    pub segment: Segment,
    pub grain: usize,
    pub grains: usize,
    pub byte: u8,
}

impl Run {
    /// The run of `pages` pages that begins at `first`.
    pub fn of_pages(first: Page, pages: usize) -> Self {
        Self {
            segment: first.segment,
            grain: first.index * PAGE_GRAINS,
            grains: pages * PAGE_GRAINS,
            byte: unmarked(first.map()),
        }
    }

    /// Address of its first byte.
    pub fn start(self) -> usize {
        self.segment.address() + (self.grain << GRAIN_SHIFT)
    }

    pub fn bytes(self) -> usize {
        self.grains * GRAIN
    }

    /// Its pages, unless it lies in the nursery.
    pub fn pages(self) -> usize {
        self.grains / PAGE_GRAINS
    }

    /// The page it begins in.
    pub fn first(self) -> Page {
        Page {
            segment: self.segment,
            index: self.grain / PAGE_GRAINS,
        }
    }

    /// Blocks of `class` that it has room for.
    pub fn blocks(self, class: usize) -> usize {
        self.bytes() / size_of_class(class)
    }
}

impl State {
    /// The runs of a segment that is cut into pages, by rising address.
    pub fn runs(&self, segment: Segment) -> impl Iterator<Item = Run> + '_ {
        self.runs_from(segment, 0)
    }

    /// As [`runs`](Self::runs), without the header and the nursery.
    pub fn page_runs(&self, segment: Segment) -> impl Iterator<Item = Run> + '_ {
        self.runs_from(segment, self.header_grains(segment))
    }

    /// The runs of a segment from grain `grain` on, where one begins.
    fn runs_from(&self, segment: Segment, mut grain: usize) -> impl Iterator<Item = Run> + '_ {
        core::iter::from_fn(move || {
            if grain >= self.geometry.pages * PAGE_GRAINS {
                return None;
            }
            let byte = unmarked(segment.grain(grain));
            let first = Page {
                segment,
                index: grain / PAGE_GRAINS,
            };
            let grains = match class_in(byte) {
                Some(class) if self.in_nursery(segment, grain) => grains_of_short_run(class),
                Some(class) => pages_of_class(class) * PAGE_GRAINS,
                None if byte == page::HEADER => self.nursery_start(segment),
                None if byte == page::NURSERY => self.header_grains(segment).saturating_sub(grain),
                // (For `check`, that may be anything.)
                None => first.span(&self.geometry).saturating_mul(PAGE_GRAINS),
            };
            let run = Run {
                segment,
                grain,
                grains,
                byte,
            };
            // A length of 0 can only be read from a broken heap; `check` must end there too.
            grain = grain.saturating_add(grains.max(1));
            Some(run)
        })
    }

    /// The segments that are cut into pages.
    pub fn page_segment_list(&self) -> impl Iterator<Item = Segment> {
        self.segments()
            .filter(|segment| segment.header().kind.get() == Kind::Pages)
    }

    /// Gives every small run its own list of its free blocks. The lists by class are those of the short runs then. No run is
    /// hot or cold meanwhile.
    pub fn sort_lists(&self) {
        self.close_all();
        self.give_spares();
        self.join_runs();
        self.begin_sorting();
        for class in 0..CLASSES {
            let list = self.list(class);
            let mut link = list.take().head.get();
            while let Some(node) = link.node() {
                let block = link.block();
                let next = node.next.get();
                // SAFETY: the block lies in a segment of this heap.
                let segment = unsafe { Segment::at(self.geometry.segment_address(block.addr())) };
                if self.in_nursery(segment, segment.grain_of(block.addr())) {
                    node.next.set(list.head.replace(link));
                } else {
                    let run = self.run_of(segment, class, block.addr());
                    let info = run.first().info(&self.geometry);
                    let near = ptr::from_ref(list).cast();
                    node.next.set(Link::to_any(info.next.get().cast(), near));
                    info.next.set(block.cast());
                    let count = info.previous.get().addr() + 1;
                    info.previous.set(ptr::without_provenance_mut(count));
                }
                link = next;
            }
        }
    }

    /// The free blocks of a small run, while the lists are sorted by run.
    pub fn free_blocks(&self, class: usize, run: Run) -> impl Iterator<Item = Link> + use<> {
        let mut link = if self.in_nursery(run.segment, run.grain) {
            self.list(class).head.get()
        } else {
            Link::to_any(
                run.first().info(&self.geometry).next.get().cast(),
                ptr::null(),
            )
        };
        core::iter::from_fn(move || {
            let found = link;
            link = found.node()?.next.get();
            Some(found)
        })
    }

    /// Puts the runs' lists back together into lists by class; a large heap makes runs cold with them.
    pub fn unsort_lists(&self) {
        if self.may_part_runs() {
            self.part_runs();
        } else {
            self.merge_lists();
        }
    }

    /// Puts the runs' lists back together into lists by class.
    pub fn merge_lists(&self) {
        for segment in self.page_segment_list() {
            // Those of the short runs are there already.
            for run in self.page_runs(segment) {
                if let Some(class) = class_in(run.byte)
                    && let Some(first) = self.free_blocks(class, run).next()
                    && let Some(last) = self.free_blocks(class, run).last()
                    && let Some(node) = last.node()
                {
                    node.next.set(self.list(class).head.replace(first));
                }
            }
        }
    }

    /// Frees the pages of small runs that have no block in use. Answers how many bytes.
    pub fn collect_runs(&self) -> usize {
        self.sort_lists();
        let mut pages = 0;
        for segment in self.page_segment_list() {
            // Giving a run back joins it with its neighbours and may end the segment, so each search
            // begins anew behind the last run given back, and behind the free one that it was joined with:
            // inside that, nothing says any more where runs begin.
            let mut grain = self.header_grains(segment);
            while let Some(run) = self.empty_run(segment, grain) {
                let Some(class) = class_in(run.byte) else {
                    break;
                };
                if self.holds_fresh(class, run) {
                    self.fresh[class].bytes.set(0);
                }
                self.run_counts[class].set(self.run_counts[class].get() - 1);
                pages += run.pages();
                grain = run.grain + run.grains;
                if let Some(next) = self.runs_from(segment, grain).next()
                    && next.byte == page::FREE
                {
                    grain += next.grains;
                }
                // If the segment ends with this, `grain` is at its end, and nothing is looked at any more.
                self.give_pages(run.first(), run.pages());
            }
        }
        self.unsort_lists();
        pages * PAGE
    }

    /// The first small run of pages from `grain` on that has no block in use, while the lists are sorted by run.
    fn empty_run(&self, segment: Segment, grain: usize) -> Option<Run> {
        self.runs_from(segment, grain).find(|&run| {
            class_in(run.byte).is_some_and(|class| {
                let mut free = run.first().info(&self.geometry).previous.get().addr();
                if self.holds_fresh(class, run) {
                    free += self.fresh[class].bytes.get() / size_of_class(class);
                }
                free == run.blocks(class)
            })
        })
    }

    /// Whether the part of `class` that is not carved yet lies in `run`.
    pub fn holds_fresh(&self, class: usize, run: Run) -> bool {
        let fresh = &self.fresh[class];
        let (start, next) = (run.start(), fresh.next.get().addr());
        fresh.bytes.get() > 0 && (start..start + run.bytes()).contains(&next)
    }

    fn collect(&self) -> Collected {
        if let Some(debugging) = self.debugging() {
            self.release_held(debugging, (0, 0), Site::UNKNOWN);
        }
        let held = self.held.get();
        let pages = self.collect_runs();
        self.release_empty_segments(0);
        Collected {
            pages,
            returned: held - self.held.get(),
            discarded: 0,
        }
    }

    /// Gives back the memory of free pages, where the storage can. Answers how many bytes.
    fn discard_free_pages(&self) -> usize {
        let free = self
            .page_segment_list()
            .flat_map(|segment| self.page_runs(segment));
        free.filter(|run| run.byte == page::FREE)
            .map(|run| self.discard_pages(run.first(), run.pages()))
            .sum()
    }

    /// Gives back the memory of `pages` free pages. Answers how many bytes.
    pub fn discard_pages(&self, run: Page, pages: usize) -> usize {
        let step = self.capabilities.granularity.max(PAGE) / PAGE;
        let first = run.index.next_multiple_of(step);
        let end = (run.index + pages) / step * step;
        let Some(start) = ptr::NonNull::new(run.segment.byte(first * PAGE)) else {
            return 0;
        };
        let size = end.saturating_sub(first) * PAGE;
        // SAFETY: the pages are free, inside the segment's grant, and cut to the storage's unit.
        if size > 0 && unsafe { self.storage().discard(start, size) } {
            size
        } else {
            0
        }
    }
}

/// Giving memory back.
impl Heap {
    /// Finds pages that hold only free small blocks, and gives empty segments back to the storage. (`zend_mm_gc`)
    ///
    /// The heap does this by itself before it refuses a request.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// let block = heap.allocate(1000);
    /// // SAFETY: the block is alive and used no more.
    /// unsafe { heap.free(block) };
    /// assert_eq!(heap.collect().pages, 4096);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn collect(&self) -> Collected {
        let state = self.state();
        if state.modes.is_walking() {
            return Collected::default();
        }
        let collected = state.collect();
        state.tell(|| Event::Collected(collected));
        collected
    }

    /// As [`collect`](Self::collect), and gives back to the system what it can of the rest: free pages whose
    /// memory the storage can discard, and what the storage keeps in store. One segment always stays.
    pub fn trim(&self) -> Collected {
        let state = self.state();
        if state.modes.is_walking() {
            return Collected::default();
        }
        let mut collected = state.collect();
        if state.capabilities.discard {
            collected.discarded = state.discard_free_pages();
        }
        collected.discarded += state.storage().trim();
        state.tell(|| Event::Collected(collected));
        collected
    }
}

const _: () = assert!(CODES <= page::HEADER as usize);
