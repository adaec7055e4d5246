//! Owns what a heap tells of itself in numbers.

use super::segment::Kind;
use super::state::State;
use super::{Heap, Limit};
use crate::layout::PAGE;
use crate::size_class::{CLASSES, size_of_class};

/// What one size class holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[repr(C)]
pub struct ClassFigures {
    /// Bytes of a block.
    pub block_size: usize,
    /// Runs cut into such blocks; the first may be a short one of less than a page.
    pub runs: usize,
    /// Blocks those runs have room for.
    pub blocks: usize,
    /// Blocks in use.
    pub live: usize,
}

/// A heap in numbers, at one moment. Sizes are in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
#[repr(C)]
pub struct Figures {
    /// The version of this struct: 1. Fields are only ever added at the end.
    pub version: u32,
    /// Its size, for readers that know an older version.
    pub size: u32,
    /// In blocks, rounded as they are handed out. (`memory_get_usage(false)`)
    pub usage: usize,
    /// The most that was in blocks since the last reset of the heap or of its peaks.
    pub peak: usize,
    /// Held from the storage. (`memory_get_usage(true)`)
    pub real_usage: usize,
    /// The most that was held since then.
    pub real_peak: usize,
    /// The size of a segment.
    pub segment_size: usize,
    /// Segments cut into pages.
    pub segments: usize,
    /// Huge blocks.
    pub huge_blocks: usize,
    /// In segments that are empty, kept for what comes.
    pub cached: usize,
    /// In free pages, the cached ones included.
    pub free_pages: usize,
    /// In the longest run of free pages: the largest request served without the storage.
    pub longest_free_run: usize,
    /// Free blocks inside runs of small blocks.
    pub free_small: usize,
    /// The part of what is held that no block uses, from 0 to 1.
    pub fragmentation: f64,
    /// By size class.
    pub classes: [ClassFigures; CLASSES],
}

impl State {
    fn class_figures(&self, class: usize) -> ClassFigures {
        let block_size = size_of_class(class);
        let runs = self.run_counts[class].get() as usize;
        let blocks = self.blocks_in_runs(class);
        let mut free = self.fresh[class].bytes.get() / block_size;
        for list in [Some(self.list(class)), self.cold.aside(class)]
            .into_iter()
            .flatten()
        {
            let mut link = list.head.get();
            while let Some(node) = link.node() {
                free += 1;
                link = node.next.get();
            }
        }
        free += self.blocks_parked(class);
        ClassFigures {
            block_size,
            runs,
            blocks,
            live: blocks - free,
        }
    }
}

/// Figures.
impl Heap {
    /// Bytes in blocks, as rounded when handed out. (`memory_get_usage(false)`)
    #[inline]
    pub fn usage(&self) -> usize {
        self.state().usage.now()
    }

    /// The most bytes in blocks since the last reset of the heap or of its peaks. (`memory_get_peak_usage(false)`)
    #[inline]
    pub fn peak(&self) -> usize {
        self.state().usage.peak()
    }

    /// Bytes held from the storage: what the limit bounds. (`memory_get_usage(true)`)
    #[inline]
    pub fn real_usage(&self) -> usize {
        self.state().held.get()
    }

    /// The most bytes held since the last reset of the heap or of its peaks. (`memory_get_peak_usage(true)`)
    #[inline]
    pub fn real_peak(&self) -> usize {
        self.state().held_peak.get()
    }

    /// Makes both peaks begin anew at what is used now. (`memory_reset_peak_usage`)
    pub fn reset_peaks(&self) {
        let state = self.state();
        state.usage.set_peak(0);
        state.held_peak.set(state.held.get());
    }

    /// Everything in numbers. Counts free blocks one by one: not for every request.
    ///
    /// During a [`walk`](Self::walk), blocks that are free count as live.
    ///
    /// ```
    /// # use emalloc::heap::Heap;
    /// let heap = Heap::new()?;
    /// heap.allocate(100);
    /// let figures = heap.figures();
    /// assert_eq!((figures.usage, figures.segments), (104, 1));
    /// assert_eq!(figures.classes[12].live, 1);
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn figures(&self) -> Figures {
        let state = self.state();
        state.give_spares();
        let mut classes = [ClassFigures::default(); CLASSES];
        for (class, figures) in classes.iter_mut().enumerate() {
            *figures = state.class_figures(class);
        }
        let free_small = classes
            .iter()
            .map(|class| (class.blocks - class.live) * class.block_size)
            .sum();
        let pages = |segment: super::segment::Segment| match segment.header().kind.get() {
            Kind::Pages => segment.header().free_pages.get() as usize,
            Kind::Huge => 0,
        };
        let (usage, held) = (state.usage.now(), state.held.get());
        Figures {
            version: 1,
            size: size_of::<Figures>() as u32,
            usage,
            peak: state.usage.peak(),
            real_usage: held,
            real_peak: state.held_peak.get(),
            segment_size: state.geometry.segment_size,
            segments: state.page_segments.get(),
            huge_blocks: state.huge_segments.get(),
            cached: state.empty_segments.get() * state.geometry.segment_size,
            free_pages: state.segments().map(pages).sum::<usize>() * PAGE,
            longest_free_run: state.free_runs.longest(&state.geometry) * PAGE,
            free_small,
            fragmentation: 1.0 - usage as f64 / held as f64,
            classes,
        }
    }

    /// The limit on what is held.
    pub fn limit(&self) -> Limit {
        self.state().limit.get()
    }

    /// The size of this heap's segments, in bytes.
    pub fn segment_size(&self) -> usize {
        self.state().geometry.segment_size
    }

    /// The name of this heap's storage.
    pub fn storage_name(&self) -> &str {
        self.state().storage().name()
    }

    /// Whether the heap is in checked mode.
    pub fn is_checked(&self) -> bool {
        self.state().geometry.checked()
    }
}
