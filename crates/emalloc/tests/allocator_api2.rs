//! The `Allocator` trait of each version of allocator-api2: by itself and under its `Vec` and `Box`, against std's
//! as a model. The heap is in checked mode, so it verifies the size of each block given back.
#![cfg(any(
    feature = "allocator-api2-02",
    feature = "allocator-api2-03",
    feature = "allocator-api2-04"
))]

#[path = "common/bytes.rs"]
mod bytes;
#[path = "common/strict.rs"]
mod strict;

use std::alloc::Layout;
use std::fmt::Debug;

use emalloc::heap::{Heap, Limit};
use proptest::prelude::*;
use strict::{Strict, checked};

fn limited() -> Heap {
    let limit = Limit::Bytes(1 << 20);
    Heap::builder()
        .checked(true)
        .handler(Strict)
        .limit(limit)
        .build()
        .unwrap()
}

/// What is done to a vector.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u16),
    Pop,
    Extend(u16),
    Truncate(u16),
    Insert(u16),
    Remove(u16),
    Shrink,
    Reserve(u16),
    SplitOff(u16),
    Clone,
    Clear,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => any::<u16>().prop_map(Step::Push),
        3 => Just(Step::Pop),
        4 => (0u16..2000).prop_map(Step::Extend),
        3 => any::<u16>().prop_map(Step::Truncate),
        4 => any::<u16>().prop_map(Step::Insert),
        4 => any::<u16>().prop_map(Step::Remove),
        3 => Just(Step::Shrink),
        2 => (0u16..5000).prop_map(Step::Reserve),
        2 => any::<u16>().prop_map(Step::SplitOff),
        1 => Just(Step::Clone),
        1 => Just(Step::Clear),
    ];
    proptest::collection::vec(step, 1..60)
}

/// What vectors are made of.
trait Element: Clone + Debug + PartialEq {
    fn make(number: u16) -> Self;
}

impl Element for u8 {
    fn make(number: u16) -> Self {
        number as u8
    }
}

impl Element for () {
    fn make(_: u16) {}
}

/// Has a destructor and memory elsewhere.
impl Element for String {
    fn make(number: u16) -> Self {
        number.to_string()
    }
}

/// An odd size.
impl Element for [u16; 11] {
    fn make(number: u16) -> Self {
        [number; 11]
    }
}

#[derive(Clone, Debug, PartialEq)]
#[repr(align(64))]
struct Wide(u16);

impl Element for Wide {
    fn make(number: u16) -> Self {
        Self(number)
    }
}

/// More than a page.
#[derive(Clone, Debug, PartialEq)]
#[repr(align(8192))]
struct Widest(u16);

impl Element for Widest {
    fn make(number: u16) -> Self {
        Self(number)
    }
}

/// What is done to the allocator itself. A `Resize` grows or shrinks, whichever it is.
#[derive(Clone, Copy, Debug)]
enum Call {
    Allocate(Layout, bool),
    Resize(usize, Layout, bool),
    Deallocate(usize),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let size = prop_oneof![4 => 0usize..300, 3 => 0usize..10_000, 1 => 0usize..400_000];
    let align = prop_oneof![6 => 0u32..=4, 2 => 5u32..=12, 1 => 13u32..=18];
    let layout =
        (size, align).prop_map(|(size, align)| Layout::from_size_align(size, 1 << align).unwrap());
    let call = prop_oneof![
        4 => (layout.clone(), any::<bool>()).prop_map(|(layout, zeroed)| Call::Allocate(layout, zeroed)),
        6 => (any::<usize>(), layout, any::<bool>())
            .prop_map(|(which, layout, zeroed)| Call::Resize(which, layout, zeroed)),
        3 => any::<usize>().prop_map(Call::Deallocate),
    ];
    proptest::collection::vec(call, 1..60)
}

macro_rules! suite {
    ($version:ident, $api:ident, $feature:literal) => {
        #[cfg(feature = $feature)]
        mod $version {
            use std::ptr::NonNull;

            use $api::alloc::{AllocError, Allocator};
            use $api::boxed::Box;
            use $api::vec::Vec as HeapVec;

            use super::bytes::{fill, holds, is_zero};
            use super::*;

            fn vectors<T: Element, A: Allocator + Clone>(allocator: A, steps: &[Step]) {
                let mut ours: HeapVec<T, A> = HeapVec::new_in(allocator);
                let mut model: Vec<T> = Vec::new();
                for &step in steps {
                    let within = |number: u16| usize::from(number) % (model.len() + 1);
                    match step {
                        Step::Push(number) => {
                            ours.push(T::make(number));
                            model.push(T::make(number));
                        }
                        Step::Pop => assert_eq!(ours.pop(), model.pop()),
                        Step::Extend(count) => {
                            // Elements of more than a page are many bytes soon.
                            let count = count / size_of::<T>().clamp(1, 100) as u16;
                            ours.extend((0..count).map(T::make));
                            model.extend((0..count).map(T::make));
                        }
                        Step::Truncate(number) => {
                            let length = within(number);
                            ours.truncate(length);
                            model.truncate(length);
                        }
                        Step::Insert(number) => {
                            let index = within(number);
                            ours.insert(index, T::make(number));
                            model.insert(index, T::make(number));
                        }
                        Step::Remove(number) => {
                            let index = within(number);
                            if index < model.len() {
                                assert_eq!(ours.swap_remove(index), model.swap_remove(index));
                            }
                        }
                        Step::Shrink => ours.shrink_to_fit(),
                        Step::Reserve(count) => {
                            let count = usize::from(count) / size_of::<T>().clamp(1, 100);
                            ours.try_reserve(count).unwrap();
                            assert!(ours.capacity() >= model.len() + count);
                        }
                        Step::SplitOff(number) => {
                            let index = within(number);
                            let (rest, expected) = (ours.split_off(index), model.split_off(index));
                            assert_eq!(&rest[..], &expected[..]);
                        }
                        Step::Clone => ours = ours.clone(),
                        Step::Clear => {
                            ours.clear();
                            model.clear();
                        }
                    }
                    assert_eq!(&ours[..], &model[..]);
                    assert_eq!(ours.as_ptr().addr() % align_of::<T>(), 0);
                }
            }

            fn all_vectors<A: Allocator + Clone>(allocator: A, steps: &[Step]) {
                vectors::<u8, A>(allocator.clone(), steps);
                vectors::<(), A>(allocator.clone(), steps);
                vectors::<String, A>(allocator.clone(), steps);
                vectors::<[u16; 11], A>(allocator.clone(), steps);
                vectors::<Wide, A>(allocator.clone(), steps);
                vectors::<Widest, A>(allocator, steps);
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 5))]

                #[test]
                fn vectors_are_like_std_ones(steps in steps()) {
                    let heap = checked();
                    all_vectors(&heap, &steps);
                    heap.check().unwrap();
                    all_vectors(heap.here(), &steps);
                    prop_assert_eq!(heap.usage(), 0);
                    heap.check().unwrap();
                }

                #[test]
                fn blocks_are_as_their_layouts_say(calls in calls()) {
                    let heap = checked();
                    blocks(&heap, &heap, &calls);
                    blocks(&heap, heap.here(), &calls);
                    prop_assert_eq!(heap.usage(), 0);
                }
            }

            type Piece = (NonNull<u8>, Layout, usize);

            fn blocks<A: Allocator>(heap: &Heap, allocator: A, calls: &[Call]) {
                let mut pieces: Vec<Piece> = Vec::new();
                for (seed, &call) in calls.iter().enumerate() {
                    let (block, layout) = match call {
                        Call::Allocate(layout, zeroed) => {
                            let block = if zeroed {
                                allocator.allocate_zeroed(layout)
                            } else {
                                allocator.allocate(layout)
                            };
                            let block = block.unwrap();
                            assert!(block.len() >= layout.size());
                            let block = block.cast::<u8>();
                            assert!(!zeroed || is_zero(block.as_ptr(), layout.size()));
                            (block, layout)
                        }
                        Call::Resize(which, new, zeroed) if !pieces.is_empty() => {
                            let piece = pieces.swap_remove(which % pieces.len());
                            (resized(&allocator, piece, new, zeroed), new)
                        }
                        Call::Deallocate(which) if !pieces.is_empty() => {
                            deallocate(&allocator, pieces.swap_remove(which % pieces.len()));
                            continue;
                        }
                        _ => continue,
                    };
                    assert_eq!(block.addr().get() % layout.align(), 0);
                    fill(block.as_ptr(), layout.size(), seed);
                    pieces.push((block, layout, seed));
                    heap.check().unwrap();
                }
                for piece in pieces {
                    deallocate(&allocator, piece);
                }
            }

            fn deallocate(allocator: &impl Allocator, (block, layout, seed): Piece) {
                assert!(holds(block.as_ptr(), layout.size(), seed));
                // SAFETY: the block is alive, this is its layout, and its list forgot it.
                unsafe { allocator.deallocate(block, layout) };
            }

            fn resized(
                allocator: &impl Allocator,
                (block, old, seed): Piece,
                new: Layout,
                zeroed: bool,
            ) -> NonNull<u8> {
                assert!(holds(block.as_ptr(), old.size(), seed));
                // SAFETY: the block is alive, its layout is `old`, and its list forgot it.
                let resized = unsafe {
                    match (new.size() >= old.size(), zeroed) {
                        (true, false) => allocator.grow(block, old, new),
                        (true, true) => allocator.grow_zeroed(block, old, new),
                        (false, _) => allocator.shrink(block, old, new),
                    }
                };
                let resized = resized.unwrap();
                assert!(resized.len() >= new.size());
                let resized = resized.cast::<u8>();
                let both = old.size().min(new.size());
                assert!(holds(resized.as_ptr(), both, seed));
                if zeroed && new.size() > both {
                    // SAFETY: the block is that long.
                    let added = unsafe { resized.add(both) };
                    assert!(is_zero(added.as_ptr(), new.size() - both));
                }
                resized
            }

            #[test]
            fn boxes() {
                let heap = checked();
                let number = Box::new_in(5u64, &heap);
                let text = Box::new_in(String::from("text"), heap.here());
                let wide = Box::new_in(Widest(7), &heap);
                let nothing = Box::new_in((), &heap);
                let slice: Box<[u16], _> = (0..1000)
                    .fold(HeapVec::new_in(&heap), |mut all, number| {
                        all.push(number);
                        all
                    })
                    .into_boxed_slice();
                assert_eq!(
                    (*number, text.as_str(), wide.0, *nothing),
                    (5, "text", 7, ())
                );
                assert!(slice.iter().copied().eq(0..1000));
                drop((number, text, wide, nothing, slice));
                assert_eq!(heap.usage(), 0);
            }

            #[test]
            fn no_bytes_at_all() {
                let heap = checked();
                for align in [1, 8, 64, 4096, 8192, 1 << 20] {
                    let layout = Layout::from_size_align(0, align).unwrap();
                    let allocator = heap.here();
                    let block = allocator.allocate(layout).unwrap().cast::<u8>();
                    assert_eq!(block.addr().get() % align, 0);
                    let some = Layout::from_size_align(100, align).unwrap();
                    // SAFETY: the block is alive, has the layout named, and is forgotten.
                    unsafe {
                        let block = allocator
                            .grow_zeroed(block, layout, some)
                            .unwrap()
                            .cast::<u8>();
                        assert!(is_zero(block.as_ptr(), 100));
                        let block = allocator.shrink(block, some, layout).unwrap().cast::<u8>();
                        assert_eq!(block.addr().get() % align, 0);
                        allocator.deallocate(block, layout);
                    }
                }
                assert_eq!(heap.usage(), 0);
                heap.check().unwrap();
            }

            #[test]
            fn a_refusal_is_an_error_and_changes_nothing() {
                let heap = limited();
                let mut numbers: HeapVec<u32, _> = HeapVec::new_in(&heap);
                numbers.extend(0..50_000);
                let usage = heap.usage();
                assert!(numbers.try_reserve(1 << 20).is_err());
                assert!(numbers.try_reserve(usize::MAX / 8).is_err());
                assert!(numbers.iter().copied().eq(0..50_000));
                assert!(Box::<[u8; 2 << 20], _>::try_new_uninit_in(&heap).is_err());
                let many = Layout::from_size_align(2 << 20, 8).unwrap();
                assert!(matches!(heap.here().allocate(many), Err(AllocError)));
                assert!(matches!(
                    Allocator::allocate_zeroed(&&heap, many),
                    Err(AllocError)
                ));
                assert_eq!(heap.usage(), usage);
                heap.check().unwrap();
                numbers.shrink_to_fit();
                drop(numbers);
                assert_eq!(heap.usage(), 0);
            }
        }
    };
}

suite!(v02, allocator_api2_02, "allocator-api2-02");
suite!(v03, allocator_api2_03, "allocator-api2-03");
suite!(v04, allocator_api2_04, "allocator-api2-04");
