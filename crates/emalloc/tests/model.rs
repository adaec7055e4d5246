//! Random sequences of everything a heap can do, against a plain model, on every storage.

#[path = "common/busy.rs"]
mod busy;
#[path = "common/coarse.rs"]
mod coarse;
mod common;

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::sync::Arc;

use busy::{Busy, Hoarding, TABLE, sample, toggle};
use coarse::Coarse;
use common::model::Model;
use common::probe::assert_all_returned;
use emalloc::heap::{AllocError, Heap, HeapError, Limit, ObserverNode, Retain, Sampling};
use emalloc::size_class::SMALL_MAX;
use emalloc::storage::{Budget, Cached, Counting, Failing, Fixed, Malloc, Storage};
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Allocate {
        size: usize,
        align: u32,
        zeroed: bool,
    },
    Free {
        which: usize,
        sized: bool,
    },
    Resize {
        which: usize,
        size: usize,
        /// As it was, unless given.
        align: Option<u32>,
    },
    Reset,
    Limit(Option<usize>),
    SoftLimit(Option<usize>),
    Collect,
    Trim,
    OpenReserve,
    CloseReserve,
    Fail {
        after: usize,
        for_good: bool,
    },
    Observe,
    Sample(bool),
    Walk,
}

fn sizes(most: usize) -> impl Strategy<Value = usize> {
    let size = prop_oneof![
        8 => 0usize..=256,
        4 => 0usize..=4096,
        3 => 4096usize..=80_000,
        1 => 60_000usize..=400_000,
    ];
    size.prop_map(move |size| size % (most + 1))
}

/// Steps of all sizes, or of small ones only.
fn steps() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![3 => Just(usize::MAX - 1), 1 => Just(SMALL_MAX)].prop_flat_map(steps_up_to)
}

fn steps_up_to(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let align = || prop_oneof![6 => Just(3u32), 3 => 0u32..=12, 1 => 13u32..=19];
    let other = prop_oneof![4 => Just(None), 1 => align().prop_map(Some)];
    let bytes = || proptest::option::of(prop_oneof![0usize..2_000_000, 0usize..200_000]);
    let step = prop_oneof![
        24 => (sizes(most), align(), any::<bool>()).prop_map(|(size, align, zeroed)| Step::Allocate { size, align, zeroed }),
        16 => (any::<usize>(), any::<bool>()).prop_map(|(which, sized)| Step::Free { which, sized }),
        12 => (any::<usize>(), sizes(most), other).prop_map(|(which, size, align)| Step::Resize { which, size, align }),
        2 => Just(Step::Reset),
        2 => bytes().prop_map(Step::Limit),
        3 => bytes().prop_map(Step::SoftLimit),
        2 => Just(Step::Collect),
        2 => Just(Step::Trim),
        1 => Just(Step::OpenReserve),
        1 => Just(Step::CloseReserve),
        2 => (0usize..6, any::<bool>()).prop_map(|(after, for_good)| Step::Fail { after, for_good }),
        1 => Just(Step::Observe),
        1 => any::<bool>().prop_map(Step::Sample),
        1 => Just(Step::Walk),
    ];
    proptest::collection::vec(step, 1..120)
}

#[derive(Clone, Debug)]
struct Settings {
    shift: u32,
    checked: bool,
    retain: Retain,
    compact: usize,
    reserve: usize,
    keep_buffer: bool,
    busy: bool,
    /// The observer takes what was just given back.
    hoards: bool,
    /// A sample is taken every 1000 bytes, at the beginning at least.
    sampled: bool,
    /// From so many bytes on runs are hot or cold.
    large_from: usize,
}

fn settings() -> impl Strategy<Value = Settings> {
    let retain = prop_oneof![
        2 => Just(Retain::Adaptive),
        1 => Just(Retain::Bytes(0)),
        1 => (0usize..4_000_000).prop_map(Retain::Bytes),
    ];
    let compact = prop_oneof![Just(0), 0usize..1_000_000];
    let reserve = prop_oneof![Just(8192), 0usize..20_000];
    (
        16u32..=21,
        any::<bool>(),
        retain,
        compact,
        reserve,
        any::<[bool; 4]>(),
        prop_oneof![Just(0), 0usize..2_000_000],
    )
        .prop_map(
            |(shift, checked, retain, compact, reserve, switches, large_from)| {
                let [keep_buffer, busy, hoards, sampled] = switches;
                Settings {
                    shift,
                    checked,
                    retain,
                    compact,
                    reserve,
                    keep_buffer,
                    busy,
                    hoards,
                    sampled,
                    large_from,
                }
            },
        )
}

/// Who may refuse besides the heap's own limit, how to make the storage fail, what must hold of it after each step.
struct Bench<'a, S> {
    counting: &'a Arc<Counting<S>>,
    may_refuse: bool,
    fail: &'a dyn Fn(usize, bool),
    settings: &'a Settings,
}

impl<S: Storage + Sync + 'static> Bench<'_, S> {
    fn heap(&self, node: *const ObserverNode) -> Result<Heap, HeapError> {
        let Settings {
            shift,
            checked,
            retain,
            compact,
            reserve,
            keep_buffer,
            busy,
            sampled,
            large_from,
            ..
        } = *self.settings;
        let mut builder = Heap::builder();
        if sampled {
            builder = builder.sampling(Sampling::every(1000).memory(TABLE));
        }
        builder
            .storage(Arc::clone(self.counting))
            .segment_size(1 << shift)
            .large_from(large_from)
            .checked(checked)
            .keep_filled(reserve % 2 == 0)
            .retain(retain)
            .compact(compact)
            .keep_buffer(keep_buffer)
            .reserve(reserve)
            .handler(Busy {
                idle: !busy,
                sampled,
                node: node.expose_provenance(),
                told: Cell::new(0),
            })
            .build()
    }

    /// The refusal says the truth.
    fn refused(&self, heap: &Heap, error: AllocError) {
        match error {
            AllocError::Limit { limit, held, .. } => {
                assert_eq!(heap.limit(), Limit::Bytes(limit));
                assert_eq!(held, heap.real_usage());
            }
            AllocError::Storage { held, .. } => {
                assert!(self.may_refuse, "{error}");
                assert_eq!(held, heap.real_usage());
            }
            _ => panic!("{error}"),
        }
    }

    fn run(&self, steps: &[Step]) {
        let observer = Hoarding {
            idle: !self.settings.hoards,
            taken: RefCell::default(),
        };
        let node = ObserverNode::new(&observer);
        let heap = match self.heap(&node) {
            Ok(heap) => heap,
            Err(HeapError::Storage(_)) if self.may_refuse => return,
            Err(error) => panic!("{error}"),
        };
        let mut model = Model::new(heap);
        let mut resets = 0;
        for step in steps {
            let before = (model.heap.usage(), model.heap.peak());
            let refusal = match *step {
                Step::Allocate {
                    size,
                    align,
                    zeroed,
                } => {
                    let layout = Layout::from_size_align(size, 1 << align).unwrap();
                    model.allocate(layout, zeroed).err()
                }
                Step::Free { which, sized } if !model.blocks.is_empty() => {
                    model.free(which % model.blocks.len(), sized);
                    None
                }
                Step::Resize { which, size, align } if !model.blocks.is_empty() => {
                    let index = which % model.blocks.len();
                    let before = model.blocks[index].layout.align();
                    let align = align.map_or(before, |shift| 1 << shift);
                    model.resize_aligned(index, size, align).err()
                }
                Step::Free { .. } | Step::Resize { .. } => None,
                Step::Reset => {
                    resets += 1;
                    model.reset();
                    None
                }
                Step::Limit(limit) => {
                    set_limit(&model.heap, limit.map_or(Limit::Unlimited, Limit::Bytes));
                    None
                }
                Step::SoftLimit(limit) => {
                    model
                        .heap
                        .set_soft_limit(limit.map_or(Limit::Unlimited, Limit::Bytes));
                    None
                }
                Step::Collect => {
                    model.heap.collect();
                    None
                }
                Step::Trim => {
                    model.heap.trim();
                    None
                }
                Step::OpenReserve => {
                    model.heap.open_reserve();
                    None
                }
                Step::CloseReserve => {
                    model.heap.close_reserve();
                    None
                }
                Step::Fail { after, for_good } => {
                    (self.fail)(after, for_good);
                    None
                }
                Step::Observe => {
                    toggle(&model.heap, &node);
                    None
                }
                Step::Sample(on) => {
                    if self.settings.sampled {
                        sample(&model.heap, on);
                    }
                    None
                }
                Step::Walk => {
                    model.verify_walk();
                    None
                }
            };
            let usage = model.usage();
            for (block, layout) in observer.taken.take() {
                model.adopt(block, layout);
            }
            if let Some(error) = refusal {
                self.refused(&model.heap, error);
                assert_eq!(model.heap.usage(), before.0 + model.usage() - usage);
                assert!(self.settings.busy || model.heap.peak() == before.1);
            }
            self.verify(&model, resets);
        }
        model.verify_walk();
        drop(model);
        assert_all_returned(self.counting);
    }

    fn verify(&self, model: &Model, resets: usize) {
        model.verify();
        let counts = self.counting.counts();
        let unit = self.counting.capabilities().granularity;
        let table = if model.heap.sampling().is_some() {
            TABLE.next_multiple_of(unit)
        } else {
            0
        };
        assert_eq!(counts.live_bytes, model.heap.real_usage() + table);
        let tells = resets == 0 && !self.settings.sampled;
        assert!(!tells || counts.peak_bytes == model.heap.real_peak());
        assert!(self.settings.busy || model.heap.peak() == model.peak);
        if let Limit::Bytes(limit) = model.heap.limit() {
            assert!(model.heap.real_usage() <= limit);
        }
    }
}

fn set_limit(heap: &Heap, limit: Limit) {
    let before = heap.limit();
    match heap.set_limit(limit) {
        Ok(()) => assert_eq!(heap.limit(), limit),
        Err(HeapError::LimitBelowHeld {
            held,
            limit: wanted,
        }) => {
            assert_eq!((held, Limit::Bytes(wanted)), (heap.real_usage(), limit));
            assert!(held > wanted);
            assert_eq!(heap.limit(), before);
        }
        Err(other) => panic!("{other}"),
    }
}

/// Runs the steps on a storage that never fails by itself.
fn run<S: Storage + Sync + 'static>(
    storage: S,
    may_refuse: bool,
    settings: &Settings,
    steps: &[Step],
) -> Arc<Counting<S>> {
    let counting = Arc::new(Counting::new(storage));
    let bench = Bench {
        counting: &counting,
        may_refuse,
        fail: &|_, _| {},
        settings,
    };
    bench.run(steps);
    counting
}

/// Runs the steps on a storage that fails when the steps say so.
fn run_failing<S: Storage + Sync + 'static>(storage: S, settings: &Settings, steps: &[Step]) {
    let counting = Arc::new(Counting::new(Failing::new(storage)));
    let failing = Arc::clone(&counting);
    let bench = Bench {
        counting: &counting,
        may_refuse: true,
        fail: &move |after, for_good| {
            if for_good {
                failing.inner().fail_from(after);
            } else {
                failing.inner().fail_at(after);
            }
        },
        settings,
    };
    bench.run(steps);
}

/// A buffer of which a segment's alignment leaves as much as possible.
fn fixed(bytes: usize) -> Fixed {
    Fixed::with_capacity(bytes).unwrap()
}

proptest! {
    #[test]
    fn on_malloc(steps in steps(), settings in settings()) {
        run(Malloc, false, &settings, &steps);
    }

    #[test]
    fn on_malloc_failing(steps in steps(), settings in settings()) {
        run_failing(Malloc, &settings, &steps);
    }

    #[test]
    fn on_cached(steps in steps(), settings in settings(), limit in 0usize..3_000_000) {
        let inner = Arc::new(Counting::new(Malloc));
        drop(run(Cached::new(Arc::clone(&inner)).with_limit(limit), false, &settings, &steps));
        assert_all_returned(&inner);
    }

    #[test]
    fn on_budget(steps in steps(), settings in settings(), bytes in 0usize..4_000_000) {
        let tenant = Arc::new(Budget::new(Counting::new(Malloc), Limit::Bytes(3_000_000)));
        let request = Budget::new(Arc::clone(&tenant), Limit::Bytes(bytes));
        let counting = run(request, true, &settings, &steps);
        prop_assert_eq!((counting.inner().held(), tenant.held()), (0, 0));
        assert_all_returned(tenant.inner());
    }

    #[test]
    fn on_fixed(steps in steps(), settings in settings(), bytes in 100_000usize..4_000_000) {
        let inner = fixed(bytes);
        let counting = run(inner, true, &settings, &steps);
        // The buffer is whole again.
        let whole = counting.inner().capacity();
        let grant = counting.inner().allocate(whole, 1).unwrap();
        // SAFETY: just granted.
        unsafe { counting.inner().free(grant.start, whole, 1) };
    }
}

proptest! {
    #[test]
    fn on_coarse(steps in steps(), settings in settings()) {
        run(Coarse(Malloc), false, &settings, &steps);
    }

    #[test]
    fn on_coarse_failing(steps in steps(), settings in settings()) {
        run_failing(Coarse(Malloc), &settings, &steps);
    }
}

#[cfg(unix)]
proptest! {
    #[test]
    fn on_mmap_anon(steps in steps(), settings in settings()) {
        run(emalloc::storage::MmapAnon, false, &settings, &steps);
    }

    #[test]
    fn on_mmap_anon_failing(steps in steps(), settings in settings()) {
        run_failing(emalloc::storage::MmapAnon, &settings, &steps);
    }

    #[test]
    fn on_mmap_zero(steps in steps(), settings in settings()) {
        run(emalloc::storage::MmapZero::new().unwrap(), false, &settings, &steps);
    }

    #[test]
    fn on_cached_mappings_that_fail(steps in steps(), settings in settings(), limit in 0usize..3_000_000) {
        let inner = Arc::new(Counting::new(emalloc::storage::MmapAnon));
        run_failing(Cached::new(Arc::clone(&inner)).with_limit(limit), &settings, &steps);
        assert_all_returned(&inner);
    }
}
