//! The suite that says whether a storage keeps its contract, for this library's and for your own.
//! Owns the report; the checks are in `checks.rs`. Needs no `std`, panics nowhere, keeps no memory.

mod changes;
mod checks;
mod parts;
mod piece;
mod run;

use super::{Storage, StorageError};
use checks::{CHECKS, Check};
use core::cell::Cell;
use core::fmt;
use run::Run;

/// Bytes that [`run`] holds at once at most when it may do all it can.
pub const ALL_BYTES: usize = 64 << 20;

/// Grants that must have been made for a verdict to mean anything.
const ENOUGH: usize = 32;

/// The verdict on a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[must_use = "it alone says whether the storage passed"]
pub struct Report {
    /// Single statements that were checked.
    pub checks: usize,
    /// Grants that were made on the way.
    pub served: usize,
    /// Steps that were left out: too large for the bytes allowed, or refused for want of memory.
    pub skipped: usize,
    /// The first statement that did not hold, if one did not.
    pub failure: Option<Failure>,
}

/// What a storage did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// The part of the suite.
    pub part: &'static str,
    /// What should have been so.
    pub rule: &'static str,
    /// The size that was asked for, in bytes; 0 where none plays a role.
    pub size: usize,
    /// The alignment that was asked for, in bytes; 0 where none plays a role.
    pub align: usize,
    /// What the storage answered, where its answer was the fault.
    pub error: Option<StorageError>,
}

impl Report {
    /// Whether everything that was checked held.
    pub const fn passed(&self) -> bool {
        self.failure.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            checks,
            served,
            skipped,
            ..
        } = self;
        match &self.failure {
            None => write!(f, "passed: ")?,
            Some(failure) => write!(f, "FAILED: {failure}; ")?,
        }
        write!(
            f,
            "{checks} checks, {served} grants, {skipped} steps skipped"
        )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.part, self.rule)?;
        if self.size != 0 {
            write!(f, " (size {}, alignment {})", self.size, self.align)?;
        }
        match self.error {
            Some(error) => write!(f, ": {error}"),
            None => Ok(()),
        }
    }
}

impl core::error::Error for Failure {}

/// What has happened so far.
#[derive(Default)]
struct Tally {
    checks: Cell<usize>,
    served: Cell<usize>,
    skipped: Cell<usize>,
}

/// Runs the suite on the storages that `make` sets up, two for each part, each holding
/// `max_bytes` at once at most ([`ALL_BYTES`] for all it can do).
///
/// It stops at the first thing that is wrong, without giving back what it holds then. A storage whose
/// promise about its memory is false (say, memory that is not there) can still crash the program.
///
/// ```
/// use emalloc::storage::{Cached, MALLOC, conformance};
/// let report = conformance::run(conformance::ALL_BYTES, || Ok(Cached::new(MALLOC)));
/// assert!(report.passed(), "{report}");
/// ```
pub fn run<S: Storage>(max_bytes: usize, make: impl Fn() -> Result<S, StorageError>) -> Report {
    let tally = Tally::default();
    let mut failure = CHECKS
        .iter()
        .find_map(|(part, check)| run_part(part, *check, &tally, max_bytes, &make).err());
    let served = tally.served.get();
    if failure.is_none() && served < ENOUGH {
        failure = Some(Failure {
            part: "verdict",
            rule: "at least 32 grants are made, else nothing is proved",
            size: 0,
            align: 0,
            error: None,
        });
    }
    Report {
        checks: tally.checks.get(),
        served,
        skipped: tally.skipped.get(),
        failure,
    }
}

fn run_part<S: Storage>(
    part: &'static str,
    check: Check,
    tally: &Tally,
    max_bytes: usize,
    make: &impl Fn() -> Result<S, StorageError>,
) -> Result<(), Failure> {
    let fresh = || {
        make().map_err(|error| Failure {
            part,
            rule: "the storage can be set up",
            size: 0,
            align: 0,
            error: Some(error),
        })
    };
    let mut places = [fresh()?, fresh()?];
    let run = Run::new(part, &places[0], tally, max_bytes);
    let capabilities = run.capabilities();
    run.ensure(
        capabilities.granularity.is_power_of_two(),
        "the granularity is a power of two",
    )?;
    match check {
        Check::Still(check) => check(&run),
        Check::Moving(first, then) => {
            let pieces = first(&run)?;
            let other = Run::new(part, &places[1], tally, max_bytes).with_salt(0x5A17);
            let pieces_of_other = first(&other)?;
            // What was granted must not depend on where the value lies: the two change places.
            places.swap(0, 1);
            let [other, moved] = core::hint::black_box(&places);
            then(&Run::new(part, moved, tally, max_bytes), pieces)?;
            then(&Run::new(part, other, tally, max_bytes), pieces_of_other)
        }
    }?;
    let run = Run::new(part, &places[0], tally, max_bytes);
    run.ensure(
        run.capabilities() == capabilities,
        "the capabilities never change",
    )
}
