//! Owns sampling: taking note of a block every so many bytes, with the place
//! that allocated it, cheaply enough for production; and what that tells. When a
//! sample is due `usage` says; what was sampled is in `samples`. Called by
//! `allocate`, `free`, `resize`, `reset`, each outside its fast path.
//!
//! The grain of the map in which a sampled block begins is marked, so that the
//! fast paths do not take it for a block as any other, and freeing comes along
//! here; all other blocks are spared that. (Huge ones, which are few, are not
//! marked and always come.)

use core::fmt::{self, Write};
use core::hint;
use core::ptr::NonNull;

use super::Heap;
use super::place::Place;
use super::samples::Samples;
use super::segment::{Segment, marked, page, unmarked};
use super::site::Site;
use super::state::State;
use crate::layout::PAGE;
use crate::storage::StorageError;

/// How a heap takes samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    every: usize,
    memory: usize,
}

impl Sampling {
    /// A sample every `bytes` bytes that are allocated, on average: at random, so that no rhythm of the program
    /// escapes. 512K unless told.
    #[must_use]
    pub const fn every(bytes: usize) -> Self {
        Self {
            every: if bytes == 0 { 1 } else { bytes },
            memory: 256 << 10,
        }
    }

    /// Bytes the table of samples takes from the heap's storage, which no figure and no limit counts; 256K unless told.
    /// That is room for some 4000 sampled blocks that are alive and 300 places.
    #[must_use]
    pub const fn memory(self, bytes: usize) -> Self {
        Self {
            memory: bytes,
            ..self
        }
    }

    /// Bytes between samples, on average.
    pub const fn bytes(&self) -> usize {
        self.every
    }
}

impl Default for Sampling {
    fn default() -> Self {
        Self::every(512 << 10)
    }
}

/// What samples tell about many blocks. Each stands for as many as are likely to be between it and the
/// next one, so count and bytes are right on average for all sizes; the more samples, the closer.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// How many samples it is made of.
    pub samples: u64,
    /// Blocks.
    pub count: f64,
    /// Their bytes, as rounded when handed out.
    pub bytes: f64,
}

impl Estimate {
    pub(super) const NONE: Self = Self {
        samples: 0,
        count: 0.0,
        bytes: 0.0,
    };

    pub(super) fn add(&mut self, other: Self) {
        self.samples += other.samples;
        self.count += other.count;
        self.bytes += other.bytes;
    }

    pub(super) fn subtract(&mut self, other: Self) {
        self.samples -= other.samples;
        self.count -= other.count;
        self.bytes -= other.bytes;
        if self.samples == 0 {
            // Whatever rounding left over.
            *self = Self::NONE;
        }
    }
}

/// What samples tell of one place in the program.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SiteProfile {
    /// The place that allocated.
    pub at: Site<'static>,
    /// The one on whose behalf it did.
    pub origin: Option<Site<'static>>,
    /// Blocks that are alive.
    pub live: Estimate,
    /// All blocks that were allocated since sampling began.
    pub allocated: Estimate,
    /// Blocks that were alive when the heap was [reset](Heap::reset): leaks, where each request should free its own.
    pub left: Estimate,
}

impl SiteProfile {
    pub(super) fn new(at: Site<'static>, origin: Option<Site<'static>>) -> Self {
        Self {
            at,
            origin,
            live: Estimate::NONE,
            allocated: Estimate::NONE,
            left: Estimate::NONE,
        }
    }
}

/// A number that samples tell of each place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Measure {
    /// Bytes in blocks that are alive.
    LiveBytes,
    /// Blocks that are alive.
    LiveCount,
    /// Bytes in all blocks allocated since sampling began.
    AllocatedBytes,
    /// All blocks allocated since sampling began.
    AllocatedCount,
    /// Bytes in blocks left over at resets.
    LeftBytes,
    /// Blocks left over at resets.
    LeftCount,
}

impl Measure {
    /// The number.
    pub fn of(self, profile: &SiteProfile) -> f64 {
        match self {
            Self::LiveBytes => profile.live.bytes,
            Self::LiveCount => profile.live.count,
            Self::AllocatedBytes => profile.allocated.bytes,
            Self::AllocatedCount => profile.allocated.count,
            Self::LeftBytes => profile.left.bytes,
            Self::LeftCount => profile.left.count,
        }
    }
}

impl State {
    pub fn samples(&self) -> Option<&Samples> {
        // SAFETY: the table lives until sampling stops, and this is not kept beyond.
        self.samples.get().map(|table| unsafe { table.as_ref() })
    }

    /// What a request at `at` that was served with `block` has to do before it answers that, if counting it said so.
    #[cold]
    #[inline(never)]
    pub fn turn(&self, block: *mut u8, at: Site<'_>) -> *mut u8 {
        self.usage.turn();
        // Did compilers see that this is what was given, callers would keep it, and could not end with a jump to here.
        self.sampled(hint::black_box(block), at)
    }

    /// Takes note of the block that was counted last and is answered to a call at `at`, if a sample is due.
    #[inline(always)]
    pub fn sampled(&self, block: *mut u8, at: Site<'_>) -> *mut u8 {
        if self.usage.is_sample_due() {
            self.take_sample(block, at);
        }
        block
    }

    /// Takes note of the block at `block`, allocated at `at`: a sample is due.
    #[cold]
    #[inline(never)]
    pub fn take_sample(&self, block: *mut u8, at: Site<'_>) {
        let Some(samples) = self.samples() else {
            return self.usage.sample_in(None);
        };
        self.usage.sample_in(Some(samples.gap()));
        if let Some(block) = NonNull::new(block)
            && let Some(place) = self.place_of_new(block)
            && samples.enter(block.addr().get(), self.size_of_place(place), at)
        {
            self.mark_sampled(block.addr().get(), place);
        }
    }

    /// What a block is that was just handed out: without a look at more than the map says.
    fn place_of_new(&self, block: NonNull<u8>) -> Option<Place> {
        if self.modes.is_any() {
            // (A block inside another, as some modes hand it out, is none of ours.)
            return self.locate(block).ok();
        }
        let address = block.addr().get();
        // SAFETY: a block of ours lies there, so a segment does.
        let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
        self.place_in(segment, address)
    }

    /// Forgets a sample of the block at `place`, which is freed, if there is one.
    #[inline(always)]
    pub fn drop_sample(&self, block: NonNull<u8>, place: Place) {
        if self.samples.get().is_some() && self.may_be_sampled(block, place) {
            self.drop_sample_slow(block.addr().get());
        }
    }

    #[cold]
    #[inline(never)]
    fn drop_sample_slow(&self, address: usize) {
        if let Some(samples) = self.samples()
            && samples.remove(address)
        {
            self.unmark_sampled(samples, address);
        }
    }

    /// Whether the block at `place` may be among the sampled ones.
    #[inline(always)]
    fn may_be_sampled(&self, block: NonNull<u8>, place: Place) -> bool {
        match place {
            Place::Small { .. } => {
                let address = block.addr().get();
                // SAFETY: a block lies there, so a segment does.
                let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
                let byte = segment.map_at(address);
                unmarked(byte) != byte
            }
            Place::Large { run, .. } => run.map() == page::SAMPLED,
            Place::Huge { .. } => true,
        }
    }

    /// Takes note that the large or huge block at `old`, which lay at `place`, has another size, and is at `new` now: before
    /// anybody is told, who may have something else allocated at `old`. (One that was copied is a new block, and the old one
    /// was freed.)
    #[inline(always)]
    pub fn move_sample(&self, old: NonNull<u8>, place: Place, new: *mut u8) {
        if self.samples.get().is_some() && self.may_be_sampled(old, place) {
            self.move_sample_slow(old, new);
        }
    }

    #[cold]
    #[inline(never)]
    fn move_sample_slow(&self, old: NonNull<u8>, new: *mut u8) {
        if let (Some(samples), Some(block)) = (self.samples(), NonNull::new(new))
            && let Ok(place) = self.locate(block)
        {
            samples.moved(old.addr().get(), new.addr(), self.size_of_place(place));
        }
    }

    /// Whether a sampled block begins in the grain in which `address` lies.
    pub fn has_sample(&self, address: usize) -> bool {
        self.samples()
            .is_some_and(|samples| samples.has_grain(address))
    }

    /// Marks the grain in which the block at `place` begins.
    fn mark_sampled(&self, address: usize, place: Place) {
        if let Place::Small { .. } | Place::Large { .. } = place {
            // SAFETY: a block lies there, so a segment does.
            let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
            let grain = segment.grain_of(address);
            segment.fill_grains(grain, 1, marked(segment.grain(grain)));
        }
    }

    /// Takes the mark off the grain in which the block at `address` begins, if no other sampled one does.
    fn unmark_sampled(&self, samples: &Samples, address: usize) {
        if samples.has_grain(address) {
            return;
        }
        // SAFETY: a block lies there, or did a moment ago: its segment is given back later, if at all.
        let segment = unsafe { Segment::at(self.geometry.segment_address(address)) };
        let grain = segment.grain_of(address);
        segment.fill_grains(grain, 1, unmarked(segment.grain(grain)));
    }

    /// Begins to take samples, or goes on otherwise.
    pub fn start_sampling(&self, sampling: Sampling) -> Result<(), StorageError> {
        self.stop_sampling();
        let align = self.samples_align();
        // No storage is asked for more than half of all addresses.
        let most = isize::MAX as usize - (align - 1);
        let size = sampling.memory.min(most).max(1).next_multiple_of(align);
        let grant = self.storage().allocate(size, align)?;
        let seed = (grant.start.addr().get() as u64) ^ (&raw const *self).addr() as u64;
        // SAFETY: just granted, until `stop_sampling`.
        match unsafe { Samples::set_up(grant.start, size, sampling, seed) } {
            Some(table) => {
                self.samples.set(Some(table));
                self.settle_sized();
                self.take_sample(core::ptr::null_mut(), Site::UNKNOWN);
                Ok(())
            }
            None => {
                // SAFETY: granted above with that size and alignment, and used by nobody.
                unsafe { self.storage().free(grant.start, size, align) };
                Err(StorageError::Exhausted { requested: size })
            }
        }
    }

    /// Stops taking samples, and forgets those that were taken.
    pub fn stop_sampling(&self) {
        let Some(samples) = self.samples() else {
            return;
        };
        // Forgetting one may move others, so each search begins anew.
        while let Some(address) = samples.any() {
            samples.remove(address);
            self.unmark_sampled(samples, address);
        }
        if let Some((table, size)) = self.take_samples() {
            // SAFETY: granted with that size and alignment; nothing leads there any more.
            unsafe { self.storage().free(table, size, self.samples_align()) };
        }
        self.settle_sized();
        self.usage.sample_in(None);
    }

    /// What the memory of the table of samples is aligned to.
    pub fn samples_align(&self) -> usize {
        self.capabilities.granularity.max(PAGE)
    }

    /// The memory of the table of samples, if there is one, which the caller is to give back.
    pub fn take_samples(&self) -> Option<(NonNull<u8>, usize)> {
        let size = self.samples()?.size;
        self.samples.take().map(|table| (table.cast(), size))
    }
}

/// Sampling: who allocates, found out while the program runs in production.
impl Heap {
    /// Begins to take samples: every so many bytes of allocations a block is noted, with the place that allocated it,
    /// until it is freed. A heap that takes samples already begins anew.
    ///
    /// Requests are as fast as before, but for one in some thousand; blocks freed with their size take a few nanoseconds
    /// more. All figures stay exact. In debug mode, which knows the place of every block, nothing is sampled.
    ///
    /// # Errors
    /// The storage has no memory for the table, or that is to be too small.
    ///
    /// ```
    /// # use emalloc::heap::{Heap, Measure, Sampling};
    /// let heap = Heap::new()?;
    /// heap.start_sampling(Sampling::every(1000)).unwrap();
    /// for _ in 0..10_000 {
    ///     heap.allocate(100);
    /// }
    /// let mut bytes = 0.0;
    /// heap.profile(&mut |site| {
    ///     assert_eq!(site.at.file(), file!());
    ///     bytes += site.live.bytes;
    /// });
    /// // 104 bytes each, by about a thousand samples.
    /// assert!((0.8..1.2).contains(&(bytes / 1_040_000.0)));
    /// # Ok::<(), emalloc::heap::HeapError>(())
    /// ```
    pub fn start_sampling(&self, sampling: Sampling) -> Result<(), StorageError> {
        self.state().start_sampling(sampling)
    }

    /// Stops taking samples, and forgets those that were taken.
    pub fn stop_sampling(&self) {
        self.state().stop_sampling();
    }

    /// How samples are taken, if they are.
    pub fn sampling(&self) -> Option<Sampling> {
        self.state().samples().map(|samples| samples.sampling)
    }

    /// What samples tell, place by place, in no order. Answers how many samples found no room in the table, and so are
    /// missing among the live blocks. No more is shown once `visit` has stopped the sampling.
    pub fn profile(&self, visit: &mut dyn FnMut(&SiteProfile)) -> u64 {
        let mut from = 0;
        // Looked for each time: whoever is shown a place may end the sampling, or begin it anew.
        while let Some((number, profile)) = self.next_profile(from) {
            visit(&profile);
            from = number + 1;
        }
        self.state().samples().map_or(0, Samples::lost)
    }

    fn next_profile(&self, from: usize) -> Option<(usize, SiteProfile)> {
        self.state().samples()?.profile_from(from)
    }

    /// Writes what samples tell as collapsed stacks, for flame graphs: a line for each place, which is
    /// `origin;place` where it has an origin, and the number. `inferno-flamegraph`, `flamegraph.pl` and speedscope read that.
    /// Samples that found no room are missing, as in [`profile`](Self::profile).
    ///
    /// # Errors
    /// What `out` answers.
    ///
    /// ```
    /// # use emalloc::heap::{Heap, Measure, Sampling};
    /// let heap = Heap::builder().sampling(Sampling::every(1000)).build()?;
    /// for _ in 0..1000 {
    ///     heap.allocate(100);
    /// }
    /// let mut stacks = String::new();
    /// heap.write_collapsed(Measure::LiveBytes, &mut stacks)?;
    /// assert!(stacks.starts_with(file!()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn write_collapsed(&self, measure: Measure, out: &mut dyn Write) -> fmt::Result {
        let mut written = Ok(());
        self.profile(&mut |profile| {
            let number = measure.of(profile);
            if written.is_ok() && number > 0.0 {
                written = match profile.origin {
                    Some(origin) => writeln!(out, "{origin};{} {number:.0}", profile.at),
                    None => writeln!(out, "{} {number:.0}", profile.at),
                };
            }
        });
        written
    }
}
