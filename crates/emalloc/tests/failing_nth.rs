//! Every operation of a heap, with every single call of its storage failing, and every call from one on:
//! the heap is sound, nothing is lost, and what was refused succeeds when the storage has recovered.

#[path = "common/coarse.rs"]
mod coarse;
mod common;

use std::alloc::Layout;
use std::sync::Arc;

use coarse::Coarse;
use common::model::Model;
use common::probe::{Probe, assert_all_returned, on, probe};
use emalloc::heap::{AllocError, Handler, Heap, HeapError, Limit, SoftLimitEvent};
use emalloc::layout::PAGE;
use emalloc::storage::{Fixed, Malloc, Storage};

const SEGMENT: usize = 64 << 10;
const HUGE: usize = 100_000;

/// What is done to a heap that `prepare` has set up.
struct Case {
    name: &'static str,
    prepare: fn(&mut Model),
    act: fn(&mut Model) -> Result<(), AllocError>,
    /// With all calls failing the answer is an error, so retrying is tested.
    refusable: bool,
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// Takes every free page.
fn fill(model: &mut Model) {
    while model.heap.figures().free_pages > 0 {
        model.allocate(layout(PAGE, 8), false).unwrap();
    }
}

/// A heap with no free page, and one block of `SIZE` bytes as its last.
fn full_with<const SIZE: usize>(model: &mut Model) {
    model.allocate(layout(SIZE, 8), false).unwrap();
    fill(model);
    let last = model.blocks.len() - 1;
    model.blocks.swap(0, last);
}

/// A full heap in which collecting finds three pages side by side.
fn collectable(model: &mut Model) {
    while model.heap.figures().free_pages > 3 * PAGE {
        model.allocate(layout(PAGE, 8), false).unwrap();
    }
    let from = model.blocks.len();
    for size in [64, 512, 1024] {
        model.allocate(layout(size, 8), false).unwrap();
    }
    assert_eq!(model.heap.figures().free_pages, 0);
    for _ in 0..3 {
        model.free(from, false);
    }
}

/// Several segments and huge blocks, some free.
fn mixed(model: &mut Model) {
    for number in 0..60 {
        let size = [10, 200, 3000, 5000, 30_000, HUGE][number % 6];
        model.allocate(layout(size, 8), number % 4 == 0).unwrap();
    }
    for number in (0..40).rev().step_by(2) {
        model.free(number, number % 3 == 0);
    }
}

fn allocate<const SIZE: usize, const ALIGN: usize>(model: &mut Model) -> Result<(), AllocError> {
    model.allocate(layout(SIZE, ALIGN), false).map(|_| ())
}

fn zeroed<const SIZE: usize>(model: &mut Model) -> Result<(), AllocError> {
    model.allocate(layout(SIZE, 8), true).map(|_| ())
}

fn resize<const SIZE: usize>(model: &mut Model) -> Result<(), AllocError> {
    model.resize(model.blocks.len() - 1, SIZE)
}

macro_rules! case {
    ($name:literal, $prepare:expr, $act:expr, $refusable:literal) => {
        Case {
            name: $name,
            prepare: $prepare,
            act: $act,
            refusable: $refusable,
        }
    };
}

const CASES: &[Case] = &[
    case!("small", fill, allocate::<100, 8>, true),
    case!("small of a long run", fill, allocate::<2560, 8>, true),
    case!(
        "small after collecting",
        collectable,
        allocate::<100, 8>,
        false
    ),
    case!("large", fill, allocate::<20_000, 8>, true),
    case!(
        "large after collecting",
        collectable,
        allocate::<12_000, 8>,
        false
    ),
    case!("huge", fill, allocate::<HUGE, 8>, true),
    case!("aligned to a page", fill, allocate::<100, 4096>, true),
    case!(
        "aligned inside a segment",
        fill,
        allocate::<100, 16_384>,
        true
    ),
    case!(
        "aligned, too long for a segment",
        fill,
        allocate::<40_000, 32_768>,
        true
    ),
    case!(
        "aligned to the segment size",
        fill,
        allocate::<100, 65_536>,
        true
    ),
    case!(
        "aligned beyond the segment size",
        fill,
        allocate::<100, 1_048_576>,
        true
    ),
    case!("zeroed small", fill, zeroed::<100>, true),
    case!("zeroed large", fill, zeroed::<20_000>, true),
    case!("zeroed huge", fill, zeroed::<HUGE>, true),
    case!(
        "small to its own class",
        full_with::<100>,
        resize::<97>,
        false
    ),
    case!("small to smaller", full_with::<1000>, resize::<10>, true),
    case!("small to larger", full_with::<10>, resize::<1000>, true),
    case!("small to large", full_with::<10>, resize::<5000>, true),
    case!("small to huge", full_with::<10>, resize::<HUGE>, true),
    case!("large to small", full_with::<20_000>, resize::<10>, true),
    case!(
        "large to fewer pages",
        full_with::<20_000>,
        resize::<8000>,
        false
    ),
    case!(
        "large to more pages",
        full_with::<8000>,
        resize::<20_000>,
        true
    ),
    case!("large to huge", full_with::<20_000>, resize::<HUGE>, true),
    case!("huge to small", full_with::<HUGE>, resize::<10>, true),
    case!("huge to large", full_with::<HUGE>, resize::<20_000>, false),
    case!("huge to larger", full_with::<HUGE>, resize::<300_000>, true),
    case!(
        "huge to a little larger",
        full_with::<HUGE>,
        resize::<120_000>,
        true
    ),
    case!(
        "huge to smaller",
        full_with::<300_000>,
        resize::<250_000>,
        false
    ),
    case!(
        "huge to much smaller",
        full_with::<300_000>,
        resize::<HUGE>,
        false
    ),
    case!(
        "free",
        mixed,
        |model| {
            while !model.blocks.is_empty() {
                model.free(model.blocks.len() / 2, false);
            }
            Ok(())
        },
        false
    ),
    case!(
        "reset",
        mixed,
        |model| {
            model.reset();
            Ok(())
        },
        false
    ),
    case!(
        "collect",
        mixed,
        |model| {
            model.heap.collect();
            Ok(())
        },
        false
    ),
    case!(
        "trim",
        mixed,
        |model| {
            model.heap.trim();
            Ok(())
        },
        false
    ),
    case!(
        "limit",
        mixed,
        |model| {
            model
                .heap
                .set_limit(Limit::Bytes(model.heap.real_usage()))
                .unwrap();
            Ok(())
        },
        false
    ),
    case!(
        "reserve",
        fill,
        |model| {
            model.heap.open_reserve();
            let taken = model.allocate(layout(2 * PAGE, 8), false);
            assert!(!model.heap.close_reserve());
            taken.map(|_| ())
        },
        false
    ),
];

/// Uses the heap in the middle of the request that passes the soft limit.
struct Busy;

impl Handler for Busy {
    fn soft_limit(&self, heap: &Heap, _event: &SoftLimitEvent) {
        for size in [10, 5000, HUGE] {
            if let Ok(block) = heap.try_allocate(size) {
                // SAFETY: just allocated.
                unsafe { heap.free(block) };
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Plan {
    /// The first call that fails, from 1, and whether all that follow do.
    nth: usize,
    for_good: bool,
    checked: bool,
    soft_limit: Limit,
}

/// Runs one case on one plan. Says whether anything failed.
fn run<S: Storage + Sync + 'static>(storage: S, case: &Case, plan: Plan) -> bool {
    let probe: Probe<S> = probe(storage);
    let heap = on(&probe, SEGMENT)
        .checked(plan.checked)
        .soft_limit(plan.soft_limit)
        .handler(Busy)
        .build()
        .unwrap();
    let mut model = Model::new(heap);
    (case.prepare)(&mut model);
    model.verify();
    let before = (model.heap.usage(), model.blocks.len());
    if plan.for_good {
        probe.inner().fail_from(plan.nth);
    } else {
        probe.inner().fail_at(plan.nth);
    }
    let answer = (case.act)(&mut model);
    model.verify();
    model.verify_walk();
    if let Err(error) = answer {
        assert!(matches!(error, AllocError::Storage { .. }), "{error}");
        assert_eq!((model.heap.usage(), model.blocks.len()), before);
        probe.inner().never_fail();
        (case.act)(&mut model).expect("the storage has recovered");
        model.verify();
    } else {
        // What the soft limit's handler gave back may serve the request.
        let refused_all = plan.for_good && plan.nth == 1 && plan.soft_limit == Limit::Unlimited;
        assert!(!(case.refusable && refused_all), "done without the storage");
    }
    assert_eq!(probe.counts().live_bytes, model.heap.real_usage());
    let failed = probe.inner().refused() > 0;
    probe.inner().never_fail();
    // It works on as ever.
    model.heap.set_limit(Limit::Unlimited).unwrap();
    mixed(&mut model);
    model.verify();
    drop(model);
    assert_all_returned(&probe);
    failed
}

fn every_failure<S: Storage + Sync + 'static>(storage: impl Fn() -> S) {
    for case in CASES {
        for for_good in [false, true] {
            for checked in [false, true] {
                for soft_limit in [Limit::Unlimited, Limit::Bytes(SEGMENT)] {
                    let plan = |nth| Plan {
                        nth,
                        for_good,
                        checked,
                        soft_limit,
                    };
                    let failed = |&nth: &usize| {
                        // Shown when the test fails.
                        println!("{}: {:?}", case.name, plan(nth));
                        run(storage(), case, plan(nth))
                    };
                    let passed = (1..).find(|nth| !failed(nth)).unwrap();
                    assert!(
                        passed < 20,
                        "{}: it calls the storage {passed} times",
                        case.name
                    );
                }
            }
        }
    }
}

#[test]
fn on_malloc() {
    every_failure(|| Malloc);
}

#[test]
#[cfg(unix)]
fn on_mmap_anon() {
    every_failure(|| emalloc::storage::MmapAnon);
}

#[test]
fn on_fixed() {
    every_failure(|| Fixed::with_capacity(16 << 20).unwrap());
}

#[test]
fn on_coarse() {
    every_failure(|| Coarse(Malloc));
}

#[test]
fn creation() {
    let probe = probe(Malloc);
    probe.inner().fail_at(1);
    let answer = on(&probe, SEGMENT).build();
    assert!(matches!(answer, Err(HeapError::Storage(_))));
    assert_eq!(
        Arc::strong_count(&probe),
        1,
        "the heap's storage is dropped"
    );
    assert_eq!(probe.counts().allocated, 0);
    let heap = on(&probe, SEGMENT).build().unwrap();
    assert_eq!(probe.inner().calls(), 2);
    drop(heap);
    assert_all_returned(&probe);
    assert_eq!(Arc::strong_count(&probe), 1);
}
