//! Owns the making of a heap, and its end: the first segment holds, behind its
//! header, the heap's state, its storage and its handler.

use core::alloc::Layout;
use core::array;
use core::cell::Cell;
use core::mem::ManuallyDrop;
use core::ptr::{self, NonNull};

use super::cold::{Cold, ColdRuns};
use super::debug::{Debug, Debugging};
use super::error::HeapError;
use super::gate::Gate;
use super::handler::{DefaultHandler, Handler};
use super::index::Index;
use super::large::{SCATTERED_FROM, SCATTERED_TO};
use super::list::List;
use super::modes::{Modes, mode};
use super::nursery::Nursery;
use super::observers::Observers;
use super::runs::FreeRuns;
use super::sample::Sampling;
use super::segment::{Geometry, Kind, Segment};
use super::spare::Spares;
use super::state::{Bin, Fresh, Lists, SoftLimit, State};
use super::usage::Usage;
use super::{Heap, Limit, Retain};
use crate::layout::{DEFAULT_SEGMENT, GRAIN, MAX_SEGMENT, MIN_SEGMENT, PAGE};
use crate::size_class::size_of_class;
use crate::storage::{Storage, registry};

/// What the original sets aside, in bytes.
const DEFAULT_RESERVE: usize = 8 << 10;

/// The settings of a heap to be made. (`zend_mm_startup_ex`)
///
/// ```
/// use emalloc::heap::{Heap, Limit};
/// use emalloc::storage::Malloc;
///
/// let heap = Heap::builder()
///     .storage(Malloc)
///     .segment_size(2 << 20)
///     .limit(Limit::Bytes(64 << 20))
///     .build()?;
/// # Ok::<(), emalloc::heap::HeapError>(())
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder<S = PlatformStorage, H = DefaultHandler> {
    storage: S,
    handler: H,
    options: Options,
}

#[derive(Clone, Copy, Debug)]
struct Options {
    segment_size: usize,
    limit: Limit,
    soft_limit: Limit,
    reserve: usize,
    retain: Retain,
    compact: usize,
    keep_buffer: bool,
    keep_filled: bool,
    checked: bool,
    debug: Option<Debug>,
    sampling: Option<Sampling>,
    large_from: usize,
}

/// Stands for the registry's default storage, which is set up when the heap is made: `malloc`, on Windows `win32`.
#[derive(Clone, Copy, Debug)]
pub struct PlatformStorage;

impl<H: Handler + 'static> Builder<PlatformStorage, H> {
    /// Makes the heap, with the platform's default storage.
    ///
    /// # Errors
    /// A setting that cannot be, or the storage could not be set up or gave no first segment.
    pub fn build(self) -> Result<Heap, HeapError> {
        let storage = registry::default_storage().map_err(HeapError::Storage)?;
        self.storage(storage).build()
    }
}

impl Heap {
    /// The settings to begin with: the platform's default storage, segments of 256K, no limit.
    pub fn builder() -> Builder {
        let options = Options {
            segment_size: DEFAULT_SEGMENT,
            limit: Limit::Unlimited,
            soft_limit: Limit::Unlimited,
            reserve: DEFAULT_RESERVE,
            retain: Retain::Adaptive,
            compact: 0,
            keep_buffer: false,
            keep_filled: false,
            checked: false,
            debug: None,
            sampling: None,
            large_from: SCATTERED_TO,
        };
        Builder {
            storage: PlatformStorage,
            handler: DefaultHandler,
            options,
        }
    }
}

impl<S, H> Builder<S, H> {
    /// Where segments come from. The heap owns the storage; to share one, give a `&'static`
    /// reference or an `Arc` to it.
    pub fn storage<T: Storage + 'static>(self, storage: T) -> Builder<T, H> {
        Builder {
            storage,
            handler: self.handler,
            options: self.options,
        }
    }

    /// Who hears of limits and wrong pointers. The heap owns the handler.
    pub fn handler<T: Handler + 'static>(self, handler: T) -> Builder<S, T> {
        Builder {
            storage: self.storage,
            handler,
            options: self.options,
        }
    }

    /// Bytes of a segment: a power of two from 64K to 1G; 256K unless told. (`ZEND_MM_SEG_SIZE`)
    pub fn segment_size(mut self, bytes: usize) -> Self {
        self.options.segment_size = bytes;
        self
    }

    /// The most the heap may hold from its storage.
    pub fn limit(mut self, limit: Limit) -> Self {
        self.options.limit = limit;
        self
    }

    /// Holding more than this is reported to the handler, once each time it is passed.
    pub fn soft_limit(mut self, limit: Limit) -> Self {
        self.options.soft_limit = limit;
        self
    }

    /// Bytes set aside for the handler of an error; 8K unless told, 0 for none. They are held, and count in no usage.
    pub fn reserve(mut self, bytes: usize) -> Self {
        self.options.reserve = bytes;
        self
    }

    /// What stays with the heap over a reset.
    pub fn retain(mut self, retain: Retain) -> Self {
        self.options.retain = retain;
        self
    }

    /// A [reset](Heap::reset) trims the storage if more than this many bytes were held since the last one; 0, unless
    /// told, means never. (`ZEND_MM_COMPACT`) Meant for a storage that is the heap's own.
    pub fn compact(mut self, bytes: usize) -> Self {
        self.options.compact = bytes;
        self
    }

    /// Keeps the large block that was freed last, if it has 2 to 16 pages, as it is for the next one of its length: for programs that
    /// use one buffer after the other. What is kept, up to 64 KiB, adds to the peak. Off unless told; a heap of more than 8 MiB keeps many such
    /// blocks then, which comes to more.
    pub fn keep_buffer(mut self, keep: bool) -> Self {
        self.options.keep_buffer = keep;
        self
    }

    /// Where much of what was held was never filled, has the storage drop as much of what it keeps as soon as that is known. For a
    /// heap that lives on and has its storage ([`Cached`](crate::storage::Cached)) to itself. Off unless told.
    pub fn keep_filled(mut self, only: bool) -> Self {
        self.options.keep_filled = only;
        self
    }

    /// Takes samples from the beginning: see [`Heap::start_sampling`].
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.options.sampling = Some(sampling);
        self
    }

    /// From how many bytes on the heap is large: for tests, which need not fill 8 MiB then.
    #[doc(hidden)]
    pub fn large_from(mut self, bytes: usize) -> Self {
        self.options.large_from = bytes;
        self
    }

    /// Checked mode: every pointer given back is verified. Costs time on each call, and 1/64 of the memory.
    pub fn checked(mut self, checked: bool) -> Self {
        self.options.checked = checked;
        self
    }

    /// [Debug mode](struct@Debug): every block knows who asked for it and lies between guards, freed ones are held back for
    /// a while, leaks are reported; checked mode is part of it. What is found goes to
    /// [`Handler::report`] and [`Handler::leaks`].
    ///
    /// [`usable_size`](Heap::usable_size) is what was asked for then; usage, peak and limit count blocks as the heap
    /// has them: with records and guards, and those that are held back.
    pub fn debug(mut self, debug: Debug) -> Self {
        self.options.debug = Some(debug);
        self
    }
}

/// Where things lie in the first segment, in bytes from its beginning.
struct Plan {
    state: usize,
    /// In debug mode only.
    debugging: usize,
    storage: usize,
    handler: usize,
    /// Its first grain, if there is one.
    nursery: Option<usize>,
    /// Free blocks by class while the heap is in a mode; hot and cold runs while it is in none, and large. Last, so that
    /// others touch fewer pages.
    hidden: usize,
    pages: usize,
}

/// One or the other (see [`Plan`]).
union Hidden {
    _lists: ManuallyDrop<Lists>,
    _cold: ManuallyDrop<ColdRuns>,
}

impl Plan {
    fn new<S, H>(geometry: &Geometry, debug: bool) -> Self {
        let after = |end: usize, layout: Layout| end.next_multiple_of(layout.align());
        let state = after(geometry.header_end, Layout::new::<State>());
        let debugging = after(state + size_of::<State>(), Layout::new::<Debugging>());
        let room = if debug { size_of::<Debugging>() } else { 0 };
        let storage = after(debugging + room, Layout::new::<S>());
        let handler = after(storage + size_of::<S>(), Layout::new::<H>());
        let end = handler + size_of::<H>();
        let (nursery, grains) = Nursery::plan(end.div_ceil(GRAIN), geometry.pages);
        let hidden = after(grains * GRAIN, Layout::new::<Hidden>());
        let pages = (hidden + size_of::<Hidden>()).div_ceil(PAGE);
        Self {
            state,
            debugging,
            storage,
            handler,
            nursery,
            hidden,
            pages,
        }
    }
}

impl<S: Storage + 'static, H: Handler + 'static> Builder<S, H> {
    /// Makes the heap.
    ///
    /// # Errors
    /// A setting that cannot be, or the storage gave no first segment.
    pub fn build(self) -> Result<Heap, HeapError> {
        let options = &self.options;
        let size = options.segment_size;
        if !size.is_power_of_two() {
            return Err(HeapError::SegmentSizeNotPowerOfTwo(size));
        }
        if !(MIN_SEGMENT..=MAX_SEGMENT).contains(&size) {
            return Err(HeapError::SegmentSizeOutOfRange(size));
        }
        let capabilities = self.storage.capabilities();
        let checked = options.checked || options.debug.is_some();
        let geometry = Geometry::new(size, checked);
        let plan = Plan::new::<S, H>(&geometry, options.debug.is_some());
        let reserve = options.reserve.div_ceil(PAGE);
        // At least one page is left for blocks.
        let needed = capabilities
            .granularity
            .max((plan.pages + reserve + 1).saturating_mul(PAGE));
        if needed > size {
            return Err(HeapError::SegmentSizeTooSmall {
                segment: size,
                needed,
            });
        }
        if let Limit::Bytes(limit) = options.limit
            && limit < size
        {
            return Err(HeapError::LimitTooLow {
                limit,
                needed: size,
            });
        }
        if let Some(guards) = options.debug.map(|debug| debug.guards)
            && guards > Debug::MAX_GUARDS
        {
            return Err(HeapError::GuardsTooLarge {
                guards,
                max: Debug::MAX_GUARDS,
            });
        }
        let left = self.storage.take_back(size, size);
        let start = match left {
            Some(start) => start,
            None => {
                let grant = self.storage.allocate(size, size);
                grant.map_err(HeapError::Storage)?.start
            }
        };
        // SAFETY: what was left is another heap's first segment, as large as this one.
        let free = left.map(|start| unsafe { Segment::left_free(start) });
        let free = free
            .filter(|_| !checked)
            .unwrap_or(geometry.pages)
            .min(geometry.pages);
        // SAFETY: `plan` lies inside the grant, which is larger.
        let state_at = unsafe { start.add(plan.state) }.cast::<State>();
        // SAFETY: the grant is a segment, aligned to its own size, and ours.
        let segment =
            unsafe { Segment::set_up(start, (start, size, size), Kind::Pages, state_at.as_ptr()) };
        if checked {
            segment.clear_live_bits(&geometry);
        }
        segment.header().header_pages.set(plan.pages as u32);
        // SAFETY: as above.
        let storage_at = unsafe { start.add(plan.storage) }.cast::<S>();
        // SAFETY: as above.
        let handler_at = unsafe { start.add(plan.handler) }.cast::<H>();
        // SAFETY: as above; what lies there is written when there is a mode.
        let hidden_at = unsafe { start.add(plan.hidden) }.cast::<Lists>();
        // SAFETY: as above; what lies there is written when the heap becomes large.
        let cold_at = unsafe { start.add(plan.hidden) }.cast::<ColdRuns>();
        let debugging = options.debug.map(|debug| {
            // SAFETY: as above.
            let debugging = unsafe { start.add(plan.debugging) }.cast::<Debugging>();
            // SAFETY: `plan` gives it a place of its own, aligned, in the first segment's header pages.
            unsafe { debugging.write(Debugging::new(debug)) };
            debugging
        });
        let state = State {
            bins: array::from_fn(|class| Bin {
                list: List::new(),
                size: size_of_class(class),
            }),
            usage: Usage::new(),
            gate: Gate::new(size),
            geometry,
            fresh: [const { Fresh::none() }; _],
            run_counts: [const { Cell::new(0) }; _],
            spares: Spares::new(options.keep_buffer, size, options.large_from),
            free_runs: FreeRuns::new(),
            growing_end: Cell::new(0),
            nursery: Nursery::new(plan.nursery),
            index: Index::new(),
            newest: Cell::new(None),
            first: segment,
            page_segments: Cell::new(1),
            empty_segments: Cell::new(0),
            huge_segments: Cell::new(0),
            need: Cell::new(size),
            keep: Cell::new(size),
            filled: Cell::new(size),
            unfilled: Cell::new(0),
            keep_filled: options.keep_filled,
            retain: options.retain,
            compact: options.compact,
            held: Cell::new(size),
            held_peak: Cell::new(size),
            collect_at: Cell::new(SCATTERED_FROM),
            sweep_at: Cell::new(0),
            limit: Cell::new(options.limit),
            soft_limit: Cell::new(options.soft_limit),
            soft: Cell::new(SoftLimit::Armed),
            reserve: Cell::new(reserve),
            reserve_at: Cell::new(None),
            refusal: Cell::new(None),
            capabilities,
            storage: storage_at,
            handler: handler_at,
            modes: Modes::none(hidden_at),
            cold: Cold::new(options.large_from, cold_at),
            samples: Cell::new(None),
            observers: Observers::none(),
            debugging,
            destroy: destroy::<S, H>,
        };
        // SAFETY: `plan` gives each of the three a place of its own, aligned, in the first segment's header pages.
        unsafe { state_at.write(state) };
        // SAFETY: as above.
        unsafe { storage_at.write(self.storage) };
        // SAFETY: as above.
        unsafe { handler_at.write(self.handler) };
        let heap = Heap::from_state(state_at);
        let state = heap.state();
        if checked {
            state.set_mode(mode::CHECKED, true);
            state.set_mode(mode::DEBUGGED, options.debug.is_some());
        }
        state.link(segment);
        state.mark_header(segment);
        state.enter_first(free);
        if let Some(sampling) = options.sampling {
            state.start_sampling(sampling).map_err(HeapError::Storage)?;
        }
        Ok(heap)
    }
}

/// Takes storage and handler out of the first segment and gives every segment back.
///
/// # Safety
/// `state` is alive and was made with this `S` and `H`; nobody uses the heap any more.
unsafe fn destroy<S: Storage, H: Handler>(state: NonNull<State>) {
    // SAFETY: the caller says it is alive.
    let state = unsafe { state.as_ref() };
    // SAFETY: it lies there, as an `S`, and is read once.
    let storage = unsafe { state.storage.cast::<S>().read() };
    // SAFETY: it lies there, as an `H`, and is read once.
    let _handler = unsafe { state.handler.cast::<H>().read() };
    let first = state.first;
    if let Some((table, size)) = state.take_samples() {
        // SAFETY: the storage granted this with that size and alignment, and nothing is used any more.
        unsafe { storage.free(table, size, state.samples_align()) };
    }
    let free = |segment: Segment| {
        let header = segment.header();
        let (base, size, align) = (header.base.get(), header.size.get(), header.align.get());
        // Or the next heap would take it for its own, where its state comes to lie in the same place.
        header.owner.set(ptr::null());
        // SAFETY: the storage granted this with that size and alignment, and nothing is used any more.
        unsafe { storage.free(base, size, align) };
    };
    let others = state.segments().filter(|&segment| segment != first);
    others.for_each(free);
    storage.note_unfilled(state.unfilled.get(), 0);
    // What is needed counts the reserve too; the peak does not.
    let used = state.usage.peak() > 0;
    // The state itself goes with the first segment.
    first.leave(state.free_end(first));
    let size = state.geometry.segment_size;
    // SAFETY: as above; a segment is as large as it is aligned.
    unsafe { storage.leave(first.header().base.get(), size, size) };
    if used {
        storage.request_ended();
    }
}
