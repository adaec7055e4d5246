//! Every storage that is here, and wrappers several deep, through the public suite.

use emalloc::storage::conformance::{self, ALL_BYTES};
use emalloc::storage::{
    Budget, Cached, Capabilities, Counting, Failing, Fixed, Grant, Limit, MALLOC, Regions, Storage,
    StorageError, registry,
};
use std::ptr::NonNull;
use std::time::Duration;

const MIB: usize = 1 << 20;

#[track_caller]
fn passes<S: Storage>(make: impl Fn() -> Result<S, StorageError>) {
    passes_within(ALL_BYTES, make);
}

/// For wrappers, which do nothing else with large pieces than with small ones.
#[track_caller]
fn passes_in_little<S: Storage>(make: impl Fn() -> Result<S, StorageError>) {
    passes_within(5 * MIB / 2, make);
}

#[track_caller]
fn passes_within<S: Storage>(max_bytes: usize, make: impl Fn() -> Result<S, StorageError>) {
    let report = conformance::run(max_bytes, make);
    assert!(report.passed(), "{report}");
    // A run that was not kept short by want of memory makes more than 200.
    assert!(report.served > 150, "{report}");
}

fn open(entry: &registry::Entry) -> Result<registry::AnyStorage, StorageError> {
    (entry.open)()
}

#[test]
fn every_storage_of_the_registry() {
    for entry in registry::entries() {
        println!("{}", entry.name);
        passes(|| open(entry));
    }
}

#[test]
fn no_storage_of_the_registry_takes_an_alignment_that_is_none() {
    for entry in registry::entries() {
        let storage = open(entry).unwrap();
        for align in [0, 3, 24, 4097, usize::MAX] {
            let granted = storage.allocate(64 << 10, align);
            assert!(granted.is_err(), "{}: {align}", entry.name);
        }
    }
}

#[test]
fn every_storage_of_the_registry_in_every_wrapper() {
    for entry in registry::entries() {
        println!("{}", entry.name);
        passes_in_little(|| Ok(Cached::new(open(entry)?)));
        passes_in_little(|| Ok(Budget::new(open(entry)?, Limit::Unlimited)));
        passes_in_little(|| Ok(Budget::new(open(entry)?, Limit::Bytes(48 * MIB))));
        passes_in_little(|| Ok(Counting::new(open(entry)?)));
        passes_in_little(|| Ok(Failing::new(open(entry)?)));
        passes_in_little(|| Ok(Regions::new(open(entry)?)));
    }
}

#[test]
fn wrappers_several_deep() {
    for entry in registry::entries() {
        println!("{}", entry.name);
        passes_in_little(|| {
            let cached = Cached::new(Counting::new(open(entry)?)).with_limit(4 * MIB);
            let tenant = Budget::new(cached, Limit::Bytes(64 * MIB));
            Ok(Budget::new(Failing::new(tenant), Limit::Bytes(48 * MIB)))
        });
        passes_in_little(|| {
            let budget = Budget::new(
                Budget::new(open(entry)?, Limit::Bytes(48 * MIB)),
                Limit::Unlimited,
            );
            Ok(Cached::new(Cached::new(budget).with_limit(2 * MIB)).with_interval(Duration::ZERO))
        });
    }
}

#[test]
fn regions() {
    passes(|| Ok(Regions::new(MALLOC)));
    passes(|| Ok(Regions::new(Counting::new(MALLOC))));
    passes(|| Ok(Cached::new(Regions::new(MALLOC))));
    passes(|| Ok(Cached::new(Regions::new(MALLOC)).per_request()));
    passes_in_little(|| Ok(Cached::new(Cached::new(Regions::new(Regions::new(MALLOC))))));
    passes_in_little(|| Ok(Cached::new(Regions::new(MALLOC)).with_limit(3 * 4096)));
    // A storage inside that has no room for a whole region.
    passes_in_little(|| Ok(Regions::new(Budget::new(MALLOC, Limit::Bytes(48 * MIB)))));
    passes_in_little(|| Ok(Regions::new(Fixed::with_capacity(48 * MIB)?)));
    passes(|| Ok(Failing::new(Regions::new(&MALLOC))));
    passes(registry::default_storage);
}

#[test]
#[cfg(unix)]
fn mappings_cut_and_joined() {
    use emalloc::storage::MmapAnon;
    passes(|| Ok(Cached::new(MmapAnon)));
    passes(|| Ok(Cached::new(MmapAnon).with_interval(Duration::ZERO)));
    passes(|| Ok(Cached::new(MmapAnon).per_request().with_limit(MIB + 12_345)));
    passes(|| Ok(Cached::new(Budget::new(MmapAnon, Limit::Bytes(80 * MIB)))));
}

#[cfg(feature = "std")]
#[test]
fn behind_pointers() {
    use std::sync::Arc;
    passes_in_little(|| Ok(&MALLOC));
    passes_in_little(|| Ok(&MALLOC as &'static (dyn Storage + Sync)));
    passes_in_little(|| Ok(Arc::new(Cached::new(MALLOC))));
    passes_in_little(|| Ok(Box::new(Cached::new(MALLOC)) as Box<dyn Storage>));
    passes_in_little(|| Ok(Arc::new(Cached::new(MALLOC)) as Arc<dyn Storage + Send + Sync>));
}

#[test]
fn fixed_as_far_as_its_buffer_goes() {
    for bytes in [512 << 10, MIB, 4 * MIB] {
        let report = conformance::run(ALL_BYTES, || Fixed::with_capacity(bytes));
        assert!(report.passed(), "{bytes}: {report}");
        assert!(report.skipped > 0, "{bytes}: {report}");
    }
    passes(|| Fixed::with_capacity(16 * MIB));
    passes(|| {
        Ok(Cached::new(Budget::new(
            Fixed::with_capacity(64 * MIB)?,
            Limit::Unlimited,
        )))
    });
}

#[test]
fn a_refusal_now_and_then_is_no_fault() {
    let mut passed = 0;
    for n in (1..60).step_by(4) {
        let report = conformance::run(ALL_BYTES, || {
            let storage = Failing::new(Fixed::with_capacity(64 * MIB)?);
            storage.fail_at(n);
            Ok(storage)
        });
        // Not to be able to hold two grants is one: nothing could be compared.
        let starved = report
            .failure
            .is_some_and(|failure| failure.rule == "two grants can be had at once");
        // Neither can the refusal of a move that the buffer says it cannot do be told from a fault.
        let unlikely = report
            .failure
            .is_some_and(|failure| failure.rule.ends_with("answered with Unsupported"));
        assert!(report.passed() || starved || unlikely, "{n}: {report}");
        passed += usize::from(report.passed());
    }
    assert!(passed > 5, "{passed}");
}

#[test]
fn little_room_is_no_verdict() {
    let report = conformance::run(4 << 10, || Fixed::with_capacity(64 * MIB));
    assert!(!report.passed(), "{report}");
    let report = conformance::run(ALL_BYTES, || Fixed::with_capacity(4 << 10));
    assert!(!report.passed(), "{report}");
}

#[test]
fn a_storage_that_cannot_be_set_up_fails() {
    let report = conformance::run(ALL_BYTES, || Err::<Fixed, _>(StorageError::System(2)));
    let failure = report.failure.unwrap();
    assert_eq!(
        failure.to_string(),
        "identity: the storage can be set up: the system refused (error 2)"
    );
}

/// Fails the test if it is asked for what the contract of storages rules out.
struct ByContract;

impl ByContract {
    fn may_be_asked(size: usize, align: usize) {
        assert!(align.is_power_of_two(), "an alignment of {align}");
        assert!(size > 0 && size.is_multiple_of(UNIT), "{size} bytes");
        assert!(isize::try_from(size).is_ok(), "{size} bytes");
    }
}

const UNIT: usize = 64;

// SAFETY: all memory is malloc's.
unsafe impl Storage for ByContract {
    fn name(&self) -> &str {
        "by contract"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::basic(UNIT)
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        Self::may_be_asked(size, align);
        let grant = MALLOC.allocate(size, align)?;
        Ok(Grant {
            zeroed: false,
            ..grant
        })
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        Self::may_be_asked(size, align);
        // SAFETY: the caller's promise.
        unsafe { MALLOC.free(start, size, align) };
    }

    unsafe fn resize(
        &self,
        _start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<(), StorageError> {
        Self::may_be_asked(old, align);
        Self::may_be_asked(new, align);
        Err(StorageError::Unsupported)
    }

    unsafe fn move_resize(
        &self,
        _start: NonNull<u8>,
        old: usize,
        new: usize,
        align: usize,
    ) -> Result<Grant, StorageError> {
        Self::may_be_asked(old, align);
        Self::may_be_asked(new, align);
        Err(StorageError::Unsupported)
    }
}

#[test]
fn the_suite_asks_for_nothing_that_the_contract_rules_out() {
    passes(|| Ok(ByContract));
}
