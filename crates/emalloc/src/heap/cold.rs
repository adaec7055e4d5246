//! Owns cold runs. In a large heap a class has blocks handed out of its last few runs only: those are hot. Any other run
//! is cold, and collects its free blocks itself. When most of what it held is free again, its class gets it back as a
//! whole: blocks freed in no order are handed out page by page, and a run that is free altogether is carved anew.
//!
//! Where runs come back with blocks in use, as in a heap that lives long and whose blocks die at random, that is much work
//! for little: such a run becomes hot without another one becoming cold, so in the end few are cold.
//!
//! Where a run is cold the map says so, in a code that the fast path of `free` takes for no class: it costs others
//! nothing. Mostly blocks are freed in a run one after the other, so one cold run of a class may be *open*: what is
//! freed there goes on the class's list by the fast path (`open`). Called by `small`, `free`, `resize`, `large`,
//! `sweep`; the lists are sorted by `collect`, which begins and ends all this.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::list::{Link, List};
use super::open::is_asked;
use super::parked::Parked;
use super::place::whole;
use super::segment::{
    Page, PageInfo, Segment, class_in, code_in_map, cold_code, cold_in, unmarked,
};
use super::state::State;
use crate::size_class::{CLASSES, blocks_of_class, bytes_of_class, pages_of_class, size_of_class};

/// How many runs of a class are hot at first. With fewer, blocks go back and forth where a program frees soon what it
/// allocates.
const HOT: usize = 16;

/// A class with more hot runs than this is warm: free ones among them are worth looking for.
const WARM: usize = 8 * HOT;

/// So many runs become cold at most when one becomes hot: as many as have to, when there may be one less.
const COOLED: usize = 2;

/// Runs, first in first out. Each is named by the info of its first page, whose `previous` leads to the one behind it.
pub(super) struct Queue {
    first: Cell<*mut PageInfo>,
    last: Cell<*mut PageInfo>,
}

impl Queue {
    const fn new() -> Self {
        Self {
            first: Cell::new(ptr::null_mut()),
            last: Cell::new(ptr::null_mut()),
        }
    }

    /// What is in it; it is empty then.
    pub fn take(&self) -> Self {
        let first = Cell::new(self.first.replace(ptr::null_mut()));
        let last = Cell::new(self.last.replace(ptr::null_mut()));
        Self { first, last }
    }

    /// Puts a run at the end.
    pub fn push(&self, run: &'static PageInfo) {
        run.previous.set(ptr::null_mut());
        let this = ptr::from_ref(run).cast_mut();
        let last = self.last.replace(this);
        if self.first.get().is_null() {
            self.first.set(this);
        } else {
            // SAFETY: the infos of runs in a queue are alive: none is given back while it is in one.
            unsafe { &*last }.previous.set(this);
        }
    }

    /// Takes the first one.
    pub fn pop(&self) -> Option<&'static PageInfo> {
        // SAFETY: as in `push`.
        let run = unsafe { self.first.get().as_ref() }?;
        self.first.set(run.previous.get());
        Some(run)
    }

    /// The first one, for `check`, which trusts no link.
    pub fn first(&self) -> *mut PageInfo {
        self.first.get()
    }
}

/// The runs of a class in a large heap.
pub(super) struct Runs {
    /// Cold ones with free blocks.
    pub waiting: Queue,
    /// Hot ones, the oldest first, and how many.
    pub hot: Queue,
    hot_count: Cell<usize>,
    /// How many may be: [`HOT`], one more for each that came back with blocks in use, one less for each that came back free.
    most_hot: Cell<usize>,
    /// The cold one that is open; null if none is.
    pub open: Cell<*mut PageInfo>,
    /// The one that was asked about last, and whether opening the one before was worth it.
    pub asked: Cell<*const PageInfo>,
    pub keen: Cell<bool>,
    /// The class's free blocks that were on its list when that was opened.
    pub aside: List,
}

impl Runs {
    const fn new() -> Self {
        Self {
            waiting: Queue::new(),
            hot: Queue::new(),
            hot_count: Cell::new(0),
            most_hot: Cell::new(HOT),
            open: Cell::new(ptr::null_mut()),
            asked: Cell::new(ptr::null()),
            keen: Cell::new(false),
            aside: List::new(),
        }
    }

    pub fn hot_count(&self) -> usize {
        self.hot_count.get()
    }

    /// How many hot ones there may be.
    pub fn most_hot(&self) -> usize {
        self.most_hot.get()
    }

    /// Whether so many are hot that free ones among them are worth looking for.
    pub fn is_warm(&self) -> bool {
        self.hot_count.get() > WARM
    }

    /// Takes note of a run that comes back, and whether all of it is free.
    fn note_back(&self, is_free: bool) {
        let most = self.most_hot.get();
        if !is_free {
            self.most_hot.set(most + 1);
        } else if most > HOT {
            self.most_hot.set(most - 1);
        }
    }
}

/// Hot and cold runs, by class.
pub(super) type ColdRuns = [Runs; CLASSES];

/// Whether there are hot and cold runs, and which: none of either while the heap is small or in a mode.
pub(super) struct Cold {
    on: Cell<bool>,
    /// A heap that holds more than this is large.
    pub from: usize,
    /// They lie behind the state and hold nothing before.
    runs: NonNull<ColdRuns>,
}

impl Cold {
    /// None yet. `runs` is room that lives as long as the state.
    pub fn new(from: usize, runs: NonNull<ColdRuns>) -> Self {
        let on = Cell::new(false);
        Self { on, from, runs }
    }

    #[inline(always)]
    pub fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Begins with none.
    fn begin(&self) {
        let runs = [const { Runs::new() }; CLASSES];
        // SAFETY: the builder gave them a place of their own behind the state.
        unsafe { self.runs.write(runs) };
        self.on.set(true);
    }

    /// The free blocks of `class` that are set aside, if there may be any.
    pub fn aside(&self, class: usize) -> Option<&List> {
        self.runs().map(|runs| &runs[class].aside)
    }

    /// Those of all classes, if there are any.
    #[inline(always)]
    pub fn runs(&self) -> Option<&ColdRuns> {
        if !self.on.get() {
            return None;
        }
        // SAFETY: they were written when they began, beside the state, and live as long as it does.
        Some(unsafe { self.runs.as_ref() })
    }
}

impl State {
    /// Whether runs are to be hot or cold from now on.
    pub fn may_part_runs(&self) -> bool {
        self.held.get() > self.cold.from && !self.modes.is_any()
    }

    /// Makes all runs cold, with what lists they have of their own (see `begin_sorting`).
    pub fn part_runs(&self) {
        self.cold.begin();
        for segment in self.page_segment_list() {
            for run in self.page_runs(segment) {
                let Some(class) = class_in(run.byte) else {
                    continue;
                };
                let (first, info) = (run.first(), run.first().info(&self.geometry));
                self.recode(first, class, cold_code(class));
                let count = info.previous.get().addr();
                let parked = Parked::new(
                    first,
                    Link::to_any(info.next.get().cast(), first.start()),
                    count,
                );
                first.set_parked(&self.geometry, parked);
                if count > 0 {
                    self.enqueue(class, info);
                }
            }
        }
        self.settle_sized();
    }

    /// Makes no run hot or cold any more.
    pub fn join_runs(&self) {
        self.cold.on.set(false);
        self.settle_sized();
    }

    /// Gives every small run of pages a list of its own: what it held itself, else an empty one. The count of what is on
    /// it is its info's `previous`.
    pub fn begin_sorting(&self) {
        for segment in self.page_segment_list() {
            for run in self.page_runs(segment) {
                let Some(class) = class_in(run.byte) else {
                    continue;
                };
                let (first, info) = (run.first(), run.first().info(&self.geometry));
                let parked = first.parked(&self.geometry);
                first.set_parked(&self.geometry, Parked::NONE);
                info.next.set(parked.first(first).block().cast());
                let count = ptr::without_provenance_mut(parked.count());
                info.previous.set(count);
                if cold_in(run.byte).is_some() {
                    self.recode(first, class, code_in_map(class));
                }
            }
        }
    }

    /// Writes what the map says of the small run of `class` at `first`; samples stay marked.
    pub fn recode(&self, first: Page, class: usize, code: u8) {
        let pages = pages_of_class(class);
        match self.samples.get() {
            None => first.segment.fill(first.index, pages, code),
            Some(_) => first.recode_marked(pages, code),
        }
    }

    /// Makes the run of `class` at `first` hot, and cold those that have been so for longest, if there are too many. Only in a
    /// large heap.
    pub fn make_hot(&self, class: usize, first: Page) {
        let Some(runs) = self.cold.runs().map(|runs| &runs[class]) else {
            return;
        };
        runs.hot.push(first.info(&self.geometry));
        let mut count = runs.hot_count.get() + 1;
        for _ in 0..COOLED {
            if count <= runs.most_hot.get() {
                break;
            }
            let Some(oldest) = runs.hot.pop() else {
                break;
            };
            count -= 1;
            let run = self.geometry.page_of(ptr::from_ref(oldest).cast_mut());
            self.recode(run, class, cold_code(class));
        }
        runs.hot_count.set(count);
    }

    /// A block of `class` whose list is empty: of what was set aside, or of the cold run that has waited for longest; its
    /// others go on the list. Null if there is none.
    pub fn take_cold(&self, class: usize, list: &List) -> *mut u8 {
        let Some(runs) = self.cold.runs().map(|runs| &runs[class]) else {
            return ptr::null_mut();
        };
        self.close(class, runs);
        let block = list.pop();
        if !block.is_null() {
            return block;
        }
        let Some(info) = runs.waiting.pop() else {
            return block;
        };
        let run = self.geometry.page_of(ptr::from_ref(info).cast_mut());
        let parked = run.parked(&self.geometry);
        let (count, first) = (parked.count(), parked.first(run));
        run.set_parked(&self.geometry, Parked::NONE);
        self.recode(run, class, code_in_map(class));
        let is_free = count == blocks_of_class(class);
        runs.note_back(is_free);
        self.make_hot(class, run);
        if is_free {
            // By rising address, which processors read ahead, and without a look at any of them.
            let start = run.start();
            list.link(start, size_of_class(class), bytes_of_class(class));
            return start;
        }
        list.head.set(first);
        list.pop()
    }

    /// The class and the run of the block at `block`, if that run is cold and the block not sampled; none while the gate
    /// is shut.
    ///
    /// # Safety
    /// As [`Heap::free`](super::Heap::free).
    #[inline(always)]
    pub unsafe fn cold_at(&self, block: NonNull<u8>) -> Option<(usize, Page)> {
        let address = block.addr().get();
        // SAFETY: as in `small_code`.
        let segment = unsafe { Segment::at(self.gate.header_of(address)) };
        if !ptr::eq(segment.owner(), self) {
            return None;
        }
        let class = cold_in(segment.map_at(address))?;
        Some((class, self.first_page(segment, address)))
    }

    /// The run of a small block of this heap, if it is cold.
    pub fn cold_run_of(&self, block: NonNull<u8>) -> Option<Page> {
        if !self.cold.is_on() {
            return None;
        }
        let address = block.addr().get();
        // SAFETY: the block lies in a segment of this heap.
        let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
        cold_in(unmarked(segment.map_at(address))).map(|_| self.first_page(segment, address))
    }

    /// The first page of the run of pages in which the small block at `address` lies.
    #[inline(always)]
    pub fn first_page(&self, segment: Segment, address: usize) -> Page {
        let index = segment.index_of(address);
        let page = Page { segment, index };
        page.minus(page.back(&self.geometry))
    }

    /// Frees a block of the cold run of `class` at `first`. Says no if it is the one that was freed there last.
    pub fn park(&self, class: usize, first: Page, block: NonNull<u8>) -> bool {
        let parked = first.parked(&self.geometry);
        if parked.first(first).addr() == block.addr().get() {
            return false;
        }
        if is_asked(parked) {
            self.open_or_park(class, first, block);
        } else {
            self.put_in(class, first, block, parked.first(first));
        }
        true
    }

    /// Puts a block on the list of the cold run of `class` at `first`, before `next`.
    #[inline(always)]
    pub fn put_in(&self, class: usize, first: Page, block: NonNull<u8>, next: Link) {
        let link = next.follow(whole(block).as_ptr());
        let parked = first.parked(&self.geometry).and(first, link);
        first.set_parked(&self.geometry, parked);
        self.usage.sub_read(&self.bins[class].size);
    }

    /// Has a cold run wait that has got a free block.
    #[inline(never)]
    fn enqueue(&self, class: usize, run: &'static PageInfo) {
        if let Some(runs) = self.cold.runs() {
            runs[class].waiting.push(run);
        }
    }

    /// Frees the block at `block` if it lies in a cold run and nothing is wrong with it.
    ///
    /// # Safety
    /// As [`Heap::free`](super::Heap::free).
    pub unsafe fn free_cold(&self, block: NonNull<u8>) -> bool {
        // SAFETY: the same promise.
        unsafe { self.cold_at(block) }.is_some_and(|(class, run)| self.park(class, run, block))
    }

    /// As [`free_cold`](Self::free_cold), and says no, too, where it is asked whether to open the run. Others in it are free
    /// then: in as few steps as can be, for in a large heap most blocks are freed here.
    ///
    /// # Safety
    /// As [`Heap::free`](super::Heap::free).
    #[inline(always)]
    pub unsafe fn free_cold_fast(&self, block: NonNull<u8>) -> bool {
        // SAFETY: the same promise.
        let Some((class, run)) = (unsafe { self.cold_at(block) }) else {
            return false;
        };
        let parked = run.parked(&self.geometry);
        let next = parked.first_of_some(run);
        if is_asked(parked) || next.addr() == block.addr().get() {
            return false;
        }
        self.put_in(class, run, block, next);
        true
    }

    /// Free blocks of `class` in cold runs.
    pub fn blocks_parked(&self, class: usize) -> usize {
        let runs = self.cold.runs();
        let mut place = runs.map_or(ptr::null_mut(), |runs| runs[class].waiting.first());
        let mut blocks = 0;
        // SAFETY: as in `Queue::push`.
        while let Some(info) = unsafe { place.as_ref() } {
            let run = self.geometry.page_of(place);
            blocks += run.parked(&self.geometry).count();
            place = info.previous.get();
        }
        blocks
    }
}
