//! Random sequences of everything a heap can do, against a plain model.

mod common;

use std::alloc::Layout;

use common::Model;
use emalloc::heap::{Heap, HeapError, Limit, Retain};
use emalloc::storage::{Malloc, Storage};
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
    },
    Reset,
    Limit(Option<usize>),
    Collect,
    Trim,
}

fn sizes() -> impl Strategy<Value = usize> {
    prop_oneof![
        8 => 0usize..=256,
        4 => 0usize..=4096,
        3 => 4096usize..=80_000,
        1 => 60_000usize..=400_000,
    ]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let align = prop_oneof![6 => Just(3u32), 3 => 0u32..=12, 1 => 13u32..=19];
    let step = prop_oneof![
        12 => (sizes(), align, any::<bool>()).prop_map(|(size, align, zeroed)| Step::Allocate { size, align, zeroed }),
        8 => (any::<usize>(), any::<bool>()).prop_map(|(which, sized)| Step::Free { which, sized }),
        6 => (any::<usize>(), sizes()).prop_map(|(which, size)| Step::Resize { which, size }),
        1 => Just(Step::Reset),
        1 => proptest::option::of(0usize..2_000_000).prop_map(Step::Limit),
        1 => Just(Step::Collect),
        1 => Just(Step::Trim),
    ];
    proptest::collection::vec(step, 1..200)
}

fn run(heap: Heap, steps: &[Step]) {
    let mut model = Model::new(heap);
    for step in steps {
        match *step {
            Step::Allocate {
                size,
                align,
                zeroed,
            } => {
                let layout = Layout::from_size_align(size, 1 << align).unwrap();
                let before = model.heap.usage();
                if model.allocate(layout, zeroed).is_err() {
                    assert_eq!(model.heap.usage(), before);
                    assert_ne!(
                        model.heap.limit(),
                        Limit::Unlimited,
                        "refused without a limit"
                    );
                }
            }
            Step::Free { which, sized } if !model.blocks.is_empty() => {
                let which = which % model.blocks.len();
                model.free(which, sized);
            }
            Step::Resize { which, size } if !model.blocks.is_empty() => {
                let which = which % model.blocks.len();
                let before = model.heap.usage();
                if model.resize(which, size).is_err() {
                    assert_eq!(model.heap.usage(), before);
                }
            }
            Step::Free { .. } | Step::Resize { .. } => {}
            Step::Reset => model.reset(),
            Step::Limit(limit) => {
                let limit = limit.map_or(Limit::Unlimited, Limit::Bytes);
                let before = model.heap.limit();
                match model.heap.set_limit(limit) {
                    Ok(()) => assert_eq!(model.heap.limit(), limit),
                    Err(HeapError::LimitBelowHeld { held, .. }) => {
                        assert_eq!(held, model.heap.real_usage());
                        assert_eq!(model.heap.limit(), before);
                    }
                    Err(other) => panic!("{other}"),
                }
            }
            Step::Collect => {
                model.heap.collect();
            }
            Step::Trim => {
                model.heap.trim();
                model.verify_contents();
            }
        }
        model.verify();
        if let Limit::Bytes(limit) = model.heap.limit() {
            assert!(model.heap.real_usage() <= limit);
        }
    }
    model.verify_walk();
    model.verify_contents();
}

fn heap(
    storage: impl Storage + 'static,
    segment_size: usize,
    checked: bool,
    retain: Retain,
) -> Heap {
    Heap::builder()
        .storage(storage)
        .segment_size(segment_size)
        .checked(checked)
        .retain(retain)
        .build()
        .unwrap()
}

proptest! {
    #[test]
    fn on_malloc(steps in steps(), shift in 16u32..=21, checked: bool) {
        run(heap(Malloc, 1 << shift, checked, Retain::Adaptive), &steps);
    }
}
