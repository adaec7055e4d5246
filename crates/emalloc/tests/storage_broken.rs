//! The conformance suite can fail: each of these storages breaks the contract in one way,
//! and the suite names the rule.

use emalloc::storage::conformance::{self, ALL_BYTES};
use emalloc::storage::{Capabilities, Grant, MALLOC, Storage, StorageError};
use std::cell::Cell;
use std::ptr::NonNull;
use std::sync::Mutex;

/// What is wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Nothing,
    NoName,
    OddGranularity,
    ChangingCapabilities,
    RefusesAll,
    RefusesAsUnsupported,
    Misaligned,
    SameMemoryTwice,
    CallsDirtyMemoryZero,
    NeverSaysZero,
    GrantsTheAbsurd,
    FreeSpoilsOthers,
    TrimSpoilsOthers,
    ResizesSecretly,
    CannotForWantOfMemory,
    ResizeLosesContent,
    ResizeSpoilsOthers,
    RefusedResizeSpoils,
    GrowsSecretly,
    GrowForgets,
    GrowMisaligns,
    RefusedGrowthSpoils,
    MovesSecretly,
    MoveForgets,
    MoveMisaligns,
    MoveCallsDirtyMemoryZero,
    RefusedMoveSpoils,
    GrowsToTheAbsurd,
    DiscardsSecretly,
    DiscardSpills,
    RefusedDiscardSpoils,
    FreesMoreThanThePart,
}

use Fault::*;

/// More bytes than there can be, with 64 bits.
const ABSURD: usize = isize::MAX as usize / 4;

/// Bytes behind each grant that nobody was told of.
const SLACK: usize = 4 << 20;

/// `malloc` with a fault. Knows what is alive, to be able to spoil it.
struct Broken {
    fault: Fault,
    asked: Cell<usize>,
    /// Start, size and alignment of what `malloc` gave; what is left goes back at the end.
    alive: Mutex<Vec<(NonNull<u8>, usize, usize)>>,
    one: Cell<Option<NonNull<u8>>>,
}

// SAFETY: the pointers in it lead to memory of `malloc`, which any thread may use.
unsafe impl Send for Broken {}

impl Broken {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            asked: Cell::new(0),
            alive: Mutex::new(Vec::new()),
            one: Cell::new(None),
        }
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn spoil_the_others(&self, than: Option<NonNull<u8>>) {
        for &(start, size, _) in self.alive.lock().unwrap().iter() {
            if Some(start) != than {
                fill(start, size);
            }
        }
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        for (start, size, align) in self.alive.get_mut().unwrap().drain(..) {
            // SAFETY: from `allocate` below, used no more.
            unsafe { MALLOC.free(start, size + SLACK, align) };
        }
    }
}

fn fill(start: NonNull<u8>, size: usize) {
    // SAFETY: callers pass live grants, all of them with slack behind.
    unsafe { start.write_bytes(0xA5, size) };
}

// SAFETY: it is not, which is the point; the memory itself is there, with slack.
unsafe impl Storage for Broken {
    fn name(&self) -> &str {
        if self.is(NoName) { "" } else { "broken" }
    }

    fn capabilities(&self) -> Capabilities {
        self.asked.set(self.asked.get() + 1);
        let resizes = matches!(
            self.fault,
            ResizeLosesContent | ResizeSpoilsOthers | RefusedResizeSpoils | GrowsToTheAbsurd
        );
        let grows = matches!(
            self.fault,
            GrowForgets | GrowMisaligns | RefusedGrowthSpoils
        );
        let mut capabilities = Capabilities::basic(4096);
        if self.is(OddGranularity) {
            capabilities.granularity = 3000;
        }
        if self.is(ChangingCapabilities) {
            capabilities.zeroed = self.asked.get() > 4;
        }
        capabilities.zeroed |= self.is(NeverSaysZero);
        capabilities.grow_in_place = resizes || grows;
        capabilities.shrink_in_place = resizes;
        capabilities.discard = matches!(self.fault, DiscardSpills | RefusedDiscardSpoils);
        capabilities.divisible = self.is(FreesMoreThanThePart);
        capabilities.move_without_copy = matches!(
            self.fault,
            MoveForgets | MoveMisaligns | MoveCallsDirtyMemoryZero | RefusedMoveSpoils
        );
        capabilities
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        if self.is(RefusesAll) {
            return Err(StorageError::Exhausted { requested: size });
        }
        if self.is(RefusesAsUnsupported) && align > 64 << 10 {
            return Err(StorageError::Unsupported);
        }
        if self.is(SameMemoryTwice) && size <= SLACK {
            if let Some(start) = self.one.get() {
                return Ok(Grant {
                    start,
                    zeroed: false,
                });
            }
            let grant = MALLOC.allocate(SLACK + SLACK, SLACK)?;
            self.alive.lock().unwrap().push((grant.start, SLACK, SLACK));
            self.one.set(Some(grant.start));
            return Ok(grant);
        }
        if size > ABSURD {
            return match self.fault {
                GrantsTheAbsurd => Ok(Grant {
                    start: NonNull::dangling(),
                    zeroed: false,
                }),
                _ => Err(StorageError::Exhausted { requested: size }),
            };
        }
        let mut grant = MALLOC.allocate(size.saturating_add(SLACK), align)?;
        self.alive.lock().unwrap().push((grant.start, size, align));
        if self.is(CallsDirtyMemoryZero) {
            fill(grant.start, size);
            grant.zeroed = true;
        }
        if self.is(Misaligned) {
            // SAFETY: there is slack behind.
            grant.start = unsafe { grant.start.add(8) };
        }
        Ok(grant)
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        if self.is(SameMemoryTwice) || self.is(Misaligned) {
            return;
        }
        let mut alive = self.alive.lock().unwrap();
        if self.is(FreesMoreThanThePart)
            && let Some(&(whole, all, _)) = alive.iter().find(|(other, all, _)| {
                (other.addr().get()..other.addr().get() + all).contains(&start.addr().get())
            })
            && all != size
        {
            fill(whole, all);
            return;
        }
        alive.retain(|&(other, _, _)| other != start);
        drop(alive);
        if self.is(FreeSpoilsOthers) {
            self.spoil_the_others(None);
        }
        // SAFETY: from `allocate` above, as the caller vouches.
        unsafe { MALLOC.free(start, size + SLACK, align) };
    }

    unsafe fn resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        _align: usize,
    ) -> Result<(), StorageError> {
        if new > SLACK {
            return match self.fault {
                GrowsToTheAbsurd => Ok(()),
                _ => Err(StorageError::Unsupported),
            };
        }
        match self.fault {
            ResizesSecretly => Ok(()),
            CannotForWantOfMemory => Err(StorageError::Exhausted { requested: new }),
            ResizeLosesContent => {
                fill(start, new);
                Ok(())
            }
            ResizeSpoilsOthers => {
                self.spoil_the_others(Some(start));
                Ok(())
            }
            RefusedResizeSpoils => {
                fill(start, old);
                Err(StorageError::Unsupported)
            }
            _ => Err(StorageError::Unsupported),
        }
    }

    unsafe fn grow(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<NonNull<u8>, StorageError> {
        if self.is(RefusedGrowthSpoils) {
            fill(start, old);
        }
        let grows = matches!(self.fault, GrowsSecretly | GrowForgets | GrowMisaligns);
        if !grows || new > SLACK {
            // SAFETY: the same promise.
            return unsafe { self.resize(start, old, new, align) }.map(|()| start);
        }
        let mut grown = self.allocate(new, align)?.start;
        if self.is(GrowMisaligns) {
            // SAFETY: there is slack behind.
            grown = unsafe { grown.add(64) };
        }
        if !self.is(GrowForgets) {
            // SAFETY: the old grant and a new one, both at least that large.
            unsafe { start.copy_to_nonoverlapping(grown, old) };
        }
        Ok(grown)
    }

    unsafe fn move_resize(
        &self,
        start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        let moves = matches!(
            self.fault,
            MovesSecretly | MoveForgets | MoveMisaligns | MoveCallsDirtyMemoryZero
        );
        if self.is(RefusedMoveSpoils) {
            fill(start, old);
        }
        if !moves || new > SLACK {
            return Err(StorageError::Unsupported);
        }
        let mut grant = self.allocate(new, align)?;
        fill(grant.start, new);
        if self.is(MoveMisaligns) {
            // SAFETY: there is slack behind.
            grant.start = unsafe { grant.start.add(64) };
        }
        if !self.is(MoveForgets) {
            // SAFETY: the old grant and a new one, both at least that large.
            unsafe { start.copy_to_nonoverlapping(grant.start, old.min(new)) };
        }
        grant.zeroed = self.is(MoveCallsDirtyMemoryZero);
        Ok(grant)
    }

    unsafe fn discard(&self, start: NonNull<u8>, size: usize) -> bool {
        match self.fault {
            DiscardsSecretly => fill(start, size),
            DiscardSpills => fill(start, size + 4096),
            RefusedDiscardSpoils => fill(start, size),
            _ => return false,
        }
        !self.is(RefusedDiscardSpoils)
    }

    fn trim(&self) -> usize {
        if self.is(TrimSpoilsOthers) {
            self.spoil_the_others(None);
        }
        0
    }
}

/// Each fault, and the beginning of the rule that it breaks.
const EXPECTED: &[(Fault, &str)] = &[
    (NoName, "a storage has a name"),
    (OddGranularity, "the granularity is a power of two"),
    (ChangingCapabilities, "the capabilities never change"),
    (RefusesAll, "two grants can be had at once"),
    (RefusesAsUnsupported, "an allocation is refused for want"),
    (Misaligned, "a grant is aligned"),
    (SameMemoryTwice, "grants do not overlap"),
    (CallsDirtyMemoryZero, "memory said to be zero is zero"),
    (NeverSaysZero, "a storage with zeroed memory says so"),
    (GrantsTheAbsurd, "more than there can be is refused"),
    (FreeSpoilsOthers, "a grant keeps its content"),
    (TrimSpoilsOthers, "a trim leaves live grants alone"),
    (
        ResizesSecretly,
        "a storage that can resize in place says so",
    ),
    (CannotForWantOfMemory, "what a storage says it cannot do"),
    (ResizeLosesContent, "a resize keeps the content"),
    (
        ResizeSpoilsOthers,
        "a change of one grant leaves the others",
    ),
    (RefusedResizeSpoils, "a refused change leaves the content"),
    (GrowsSecretly, "a storage that can grow says so"),
    (GrowForgets, "growing keeps the content"),
    (GrowMisaligns, "a grown grant is aligned as it was"),
    (RefusedGrowthSpoils, "a refused change leaves the content"),
    (MovesSecretly, "a storage that can move says so"),
    (MoveForgets, "a move brings the content along"),
    (MoveMisaligns, "a moved grant is aligned"),
    (MoveCallsDirtyMemoryZero, "memory said to be zero is zero"),
    (RefusedMoveSpoils, "a refused change leaves the content"),
    (
        GrowsToTheAbsurd,
        "growing to more than there can be is refused",
    ),
    (DiscardsSecretly, "a storage that can discard says so"),
    (DiscardSpills, "a discard leaves what is around it alone"),
    (RefusedDiscardSpoils, "a discard that gives nothing back"),
    (
        FreesMoreThanThePart,
        "a part that is freed leaves the others alone",
    ),
];

#[test]
fn the_storage_is_sound_without_a_fault() {
    let report = conformance::run(ALL_BYTES, || Ok(Broken::new(Nothing)));
    assert!(report.passed(), "{report}");
}

#[test]
fn each_fault_is_found_and_named() {
    // With 32 bits there can be as much as anybody may ask for.
    let can_be_known =
        |fault| usize::BITS > 32 || !matches!(fault, GrantsTheAbsurd | GrowsToTheAbsurd);
    for &(fault, rule) in EXPECTED.iter().filter(|(fault, _)| can_be_known(*fault)) {
        let report = conformance::run(ALL_BYTES, || Ok(Broken::new(fault)));
        let Some(failure) = report.failure else {
            panic!("{fault:?} was not found: {report}");
        };
        assert!(failure.rule.starts_with(rule), "{fault:?}: {report}");
        assert!(report.to_string().contains(rule), "{fault:?}: {report}");
    }
}

/// Hands out memory inside of itself, so that it must not move, but a storage may.
#[repr(align(16384))]
struct Inline {
    memory: std::cell::UnsafeCell<[u8; 96 << 10]>,
    used: Cell<usize>,
}

// SAFETY: it does not keep its grants where they are when it moves, which is the point.
unsafe impl Storage for Inline {
    fn name(&self) -> &str {
        "inline"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::basic(64)
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        let refused = StorageError::Exhausted { requested: size };
        let base: NonNull<u8> = NonNull::from(&self.memory).cast();
        let end = base.addr().get() + (96 << 10);
        let first = (base.addr().get() + self.used.get()).next_multiple_of(align);
        let after = first.checked_add(size).filter(|&after| after <= end);
        let after = after.ok_or(refused)?;
        self.used.set(after - base.addr().get());
        // SAFETY: inside the memory.
        let start = unsafe { base.add(first - base.addr().get()) };
        Ok(Grant {
            start,
            zeroed: false,
        })
    }

    unsafe fn free(&self, _start: NonNull<u8>, _size: usize, _align: usize) {
        self.used.set(0);
    }
}

#[test]
fn memory_inside_the_value_is_found() {
    let run = || {
        conformance::run(64 << 10, || {
            Ok(Inline {
                memory: [0; 96 << 10].into(),
                used: Cell::new(0),
            })
        })
    };
    let thread = std::thread::Builder::new().stack_size(16 << 20);
    let report = thread.spawn(run).unwrap().join().unwrap();
    let failure = report.failure.expect("not found");
    assert_eq!(failure.part, "move of the value", "{report}");
}
