//! Owns [`State`]: everything a heap knows, kept behind the header of its first
//! segment. The fields the fast paths touch come first. Used inside `heap`; the
//! sibling files each implement one part of it.

use core::cell::Cell;
use core::ptr::{self, NonNull};

use super::cold::Cold;
use super::debug::Debugging;
use super::error::AllocError;
use super::gate::Gate;
use super::handler::Handler;
use super::index::Index;
use super::list::List;
use super::modes::Modes;
use super::nursery::Nursery;
use super::observers::Observers;
use super::runs::FreeRuns;
use super::samples::Samples;
use super::segment::{Geometry, Segment};
use super::spare::Spares;
use super::usage::Usage;
use crate::size_class::CLASSES;
use crate::storage::{Capabilities, Storage};

/// Free blocks by class.
pub(super) type Lists = [List; CLASSES];

/// What the fast paths know of a class.
#[repr(C)]
pub(super) struct Bin {
    /// Its free blocks. Empty in any mode, so that all requests take the slow path (see `modes`).
    pub list: List,
    /// Bytes of each.
    pub size: usize,
}

/// The part of a class's newest run that no list knows yet.
pub(super) struct Fresh {
    /// The first byte not carved into blocks.
    pub next: Cell<*mut u8>,
    /// Bytes from there to the end of the last block.
    pub bytes: Cell<usize>,
}

impl Fresh {
    pub const fn none() -> Self {
        Self {
            next: Cell::new(ptr::null_mut()),
            bytes: Cell::new(0),
        }
    }
}

/// How things stand between the soft limit and the handler.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SoftLimit {
    /// Passing it is to be told.
    Armed,
    /// The handler is being told; what it does with the heap meanwhile is told to nobody.
    Telling,
    /// It is told, and stays so until no more than the limit is held.
    Told,
}

/// Everything a heap knows.
#[repr(C, align(16))]
pub(super) struct State {
    pub bins: [Bin; CLASSES],
    pub usage: Usage,
    pub gate: Gate,
    pub geometry: Geometry,
    pub spares: Spares,

    pub fresh: [Fresh; CLASSES],
    /// Runs, by class.
    pub run_counts: [Cell<u32>; CLASSES],
    pub free_runs: FreeRuns,
    /// Where the large block ends that grew last: it will grow again, so others take pages elsewhere if they can. 0: none did.
    pub growing_end: Cell<usize>,
    pub nursery: Nursery,
    pub index: Index,

    /// All segments, newest first, and the one this state lives in.
    pub newest: Cell<Option<Segment>>,
    pub first: Segment,
    /// How many segments are cut into pages, how many of those are empty, how many hold a huge block.
    pub page_segments: Cell<usize>,
    pub empty_segments: Cell<usize>,
    pub huge_segments: Cell<usize>,
    /// The most bytes held in what was not empty since the last reset, and how much recent requests have needed.
    pub need: Cell<usize>,
    pub keep: Cell<usize>,
    /// The most bytes lately that were held at once and that blocks may have filled: neither in empty segments nor in long
    /// free runs.
    pub filled: Cell<usize>,
    /// How much of what is held the storage was told last that is free.
    pub unfilled: Cell<usize>,
    /// The storage is told when much of what was held was never filled.
    pub keep_filled: bool,
    pub retain: super::Retain,
    /// A reset after more than this was held trims the storage; 0: never.
    pub compact: usize,

    /// Bytes held from the storage (real usage).
    pub held: Cell<usize>,
    pub held_peak: Cell<usize>,
    /// Before more than this is held, what is scattered over small runs is collected.
    pub collect_at: Cell<usize>,
    /// Before more than this is held, a large heap looks for cold runs that are free.
    pub sweep_at: Cell<usize>,
    pub limit: Cell<super::Limit>,
    pub soft_limit: Cell<super::Limit>,
    pub soft: Cell<SoftLimit>,
    /// Pages set aside, how many, and whether they are set aside now.
    pub reserve: Cell<usize>,
    pub reserve_at: Cell<Option<(Segment, usize)>>,
    /// Why the last request was refused.
    pub refusal: Cell<Option<AllocError>>,

    pub modes: Modes,
    pub cold: Cold,
    /// The table of samples, while they are taken.
    pub samples: Cell<Option<NonNull<Samples>>>,
    pub observers: Observers,
    /// Debug mode's own state. It lies behind this one.
    pub debugging: Option<NonNull<Debugging>>,
    pub capabilities: Capabilities,
    pub storage: NonNull<dyn Storage>,
    pub handler: NonNull<dyn Handler>,
    /// Takes storage and handler out and gives every segment back.
    pub destroy: unsafe fn(NonNull<State>),
}

impl State {
    pub fn storage(&self) -> &dyn Storage {
        // SAFETY: the storage lies in the first segment, beside this state, as long as the state does.
        unsafe { self.storage.as_ref() }
    }

    pub fn handler(&self) -> &dyn Handler {
        // SAFETY: the handler lies in the first segment, beside this state, as long as the state does.
        unsafe { self.handler.as_ref() }
    }

    /// The bin of the class whose code this is.
    ///
    /// # Safety
    /// It is a code: out of the table of codes, or found to be less than [`CODES`](crate::size_class::CODES).
    #[inline(always)]
    pub unsafe fn bin(&self, code: usize) -> &Bin {
        let bins: *const Bin = self.bins.as_ptr();
        // SAFETY: a code is twice the number of a class, and each class has a bin.
        unsafe { &*bins.byte_add(code * (size_of::<Bin>() / 2)) }
    }

    /// Notes why a request is refused; the caller then answers null.
    #[cold]
    pub fn refuse(&self, error: AllocError) -> *mut u8 {
        // The handler may have been told that the soft limit is about to be passed, and then it was not.
        self.arm_soft_limit();
        self.refusal.set(Some(error));
        ptr::null_mut()
    }

    /// The segments, newest first. The next one is read before the caller gets hold of one.
    pub fn segments(&self) -> impl Iterator<Item = Segment> + use<> {
        let mut place = self.newest.get();
        core::iter::from_fn(move || {
            let segment = place?;
            place = segment.header().next.get();
            Some(segment)
        })
    }

    /// Enters a segment into the list. The index takes it in when somebody looks: many huge blocks are gone before.
    pub fn link(&self, segment: Segment) {
        let newest = self.newest.replace(Some(segment));
        segment.header().next.set(newest);
        segment.header().previous.set(None);
        if let Some(newest) = newest {
            newest.header().previous.set(Some(segment));
        }
        segment.header().indexed.set(0);
    }

    /// Lets the index take in the segments it does not know, which are the newest.
    pub fn complete_index(&self) {
        for segment in self.segments() {
            if segment.header().indexed.replace(1) != 0 {
                break;
            }
            self.index.insert(segment);
        }
    }

    /// The segment whose header lies at `address`, which may be anything.
    pub fn find_segment(&self, address: usize) -> Option<Segment> {
        self.complete_index();
        self.index.find(address)
    }

    /// Takes a segment out of the list and the index.
    pub fn unlink(&self, segment: Segment) {
        let (next, previous) = (segment.header().next.get(), segment.header().previous.get());
        if let Some(next) = next {
            next.header().previous.set(previous);
        }
        match previous {
            Some(previous) => previous.header().next.set(next),
            None => self.newest.set(next),
        }
        if segment.header().indexed.get() != 0 {
            self.index.remove(segment);
        }
    }
}
