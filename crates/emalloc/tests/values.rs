//! Rust values in a heap: where they lie, when they are dropped, what happens when a destructor or a handler unwinds.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use emalloc::heap::{AllocError, Fault, Handler, Heap, Limit, Site};
use emalloc::interface::HeapBox;
use proptest::prelude::*;

fn checked() -> Heap {
    Heap::builder().checked(true).build().unwrap()
}

/// Counts its drops.
struct Counted<'a>(&'a Cell<u32>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn plain_values_are_never_dropped() {
    let drops = Cell::new(0);
    let mut heap = checked();
    heap.alloc(Counted(&drops));
    heap.try_alloc([Counted(&drops), Counted(&drops)])
        .unwrap_or_else(|error| panic!("{error}"));
    heap.reset();
    drop(heap);
    assert_eq!(drops.get(), 0);
}

#[test]
fn a_value_that_finds_no_room_is_dropped() {
    let drops = Cell::new(0);
    let heap = Heap::builder()
        .segment_size(64 << 10)
        .limit(Limit::Bytes(64 << 10))
        .build()
        .unwrap();
    assert!(heap.try_alloc((Counted(&drops), [0u8; 100_000])).is_err());
    assert_eq!(drops.get(), 1);
    assert!(heap.try_boxed((Counted(&drops), [0u8; 100_000])).is_err());
    assert_eq!(drops.get(), 2);
    assert_eq!(heap.usage(), 0);
}

#[test]
fn a_box_drops_its_value_once_and_frees_its_block() {
    let drops = Cell::new(0);
    let heap = checked();
    let first = heap.boxed(Counted(&drops));
    let second = heap.try_boxed((Counted(&drops), [7u8; 5000])).unwrap();
    assert_eq!(second.1[4999], 7);
    assert!(heap.usage() > 5000);
    drop(second);
    assert_eq!(drops.get(), 1);
    drop(first);
    assert_eq!((drops.get(), heap.usage()), (2, 0));
    heap.check().unwrap();
}

#[test]
fn a_box_is_shown_as_its_value() {
    let heap = checked();
    let boxed = heap.boxed("text");
    assert_eq!(
        (format!("{boxed:>6}"), format!("{boxed:?}")),
        ("  text".into(), "\"text\"".into())
    );
}

#[test]
fn into_inner_and_leak_give_the_value_up() {
    let drops = Cell::new(0);
    let heap = checked();
    let value = HeapBox::into_inner(heap.boxed(Counted(&drops)));
    assert_eq!((drops.get(), heap.usage()), (0, 0));
    drop(value);
    assert_eq!(drops.get(), 1);

    let leaked: &mut Counted<'_> = HeapBox::leak(heap.boxed(Counted(&drops)));
    assert_eq!(leaked.0.get(), 1);
    assert!(heap.usage() > 0);
    drop(heap);
    assert_eq!(drops.get(), 1);
}

#[test]
fn a_forgotten_box_is_gone_with_the_heap() {
    let drops = Cell::new(0);
    let mut heap = checked();
    std::mem::forget(heap.boxed(Counted(&drops)));
    heap.reset();
    assert_eq!((drops.get(), heap.usage()), (0, 0));
}

#[test]
fn a_destructor_that_unwinds_still_frees_the_block() {
    struct Unwinds<'a>(#[allow(dead_code, reason = "dropped after")] Counted<'a>);
    impl Drop for Unwinds<'_> {
        fn drop(&mut self) {
            resume_unwind(Box::new("out of a destructor"));
        }
    }
    let drops = Cell::new(0);
    let heap = checked();
    let value = heap.boxed(Unwinds(Counted(&drops)));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(value))).is_err());
    assert_eq!((drops.get(), heap.usage()), (1, 0));
    heap.check().unwrap();
}

#[test]
fn a_handler_that_unwinds_does_not_drop_a_value_twice() {
    struct Unwinds;
    impl Handler for Unwinds {
        fn fault(&self, _: &Heap, fault: &Fault, _: Site<'_>) {
            resume_unwind(Box::new(*fault));
        }
    }
    let drops = Cell::new(0);
    let heap = Heap::builder().handler(Unwinds).build().unwrap();
    // Pages cannot be freed during a walk: the fault handler is told.
    let large = heap.boxed((Counted(&drops), [0u8; 5000]));
    let boxed = RefCell::new(Some(large));
    let walked = catch_unwind(AssertUnwindSafe(|| {
        heap.walk(&mut |_| {
            if let Some(large) = boxed.take() {
                HeapBox::into_inner(large);
            }
        });
    }));
    assert!(walked.unwrap_err().is::<Fault>());
    assert_eq!(drops.get(), 1);

    let large = heap.boxed((Counted(&drops), [0u8; 5000]));
    let boxed = RefCell::new(Some(large));
    let walked = catch_unwind(AssertUnwindSafe(|| heap.walk(&mut |_| drop(boxed.take()))));
    assert!(walked.is_err());
    assert_eq!(drops.get(), 2);
    heap.check().unwrap();
}

#[test]
fn boxes_are_used_like_their_values() {
    let heap = checked();
    let mut text = heap.boxed(String::from("text"));
    text.push_str(" and more");
    assert_eq!(text.len(), 13);
    assert_eq!(format!("{text:?}"), "\"text and more\"");
    // Boxes hold boxes and references into the heap.
    let word = heap.alloc_str("word");
    let before = heap.usage();
    let nested = heap.boxed((heap.boxed(word), Rc::new(5)));
    assert_eq!((*nested.0, *nested.1), ("word", 5));
    drop(nested);
    assert_eq!(heap.usage(), before);
}

#[test]
fn nothing_at_all_is_a_value_too() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Nothing;
    let heap = checked();
    let (first, second) = (heap.alloc(Nothing), heap.alloc(()));
    assert_eq!((*first, *second), (Nothing, ()));
    assert_eq!(heap.alloc_slice::<u64>(&[]), &[]);
    assert_eq!(heap.alloc_slice(&[Nothing; 1000]).len(), 1000);
    assert_eq!(heap.alloc_str(""), "");
    let before = heap.usage();
    drop(heap.boxed(()));
    assert_eq!(HeapBox::into_inner(heap.boxed(Nothing)), Nothing);
    assert_eq!(heap.usage(), before);

    struct Drops;
    static DROPS: AtomicU32 = AtomicU32::new(0);
    impl Drop for Drops {
        fn drop(&mut self) {
            DROPS.fetch_add(1, Ordering::Relaxed);
        }
    }
    drop(heap.boxed(Drops));
    assert_eq!(DROPS.load(Ordering::Relaxed), 1);
    heap.check().unwrap();
}

/// Values of a type with this alignment, plain and boxed, lie as they must and can be given back.
macro_rules! aligned {
    ($($name:ident $align:literal),*) => {$(
        #[test]
        fn $name() {
            #[repr(align($align))]
            struct Aligned<const N: usize>([u8; N]);
            fn try_size<const N: usize>(heap: &Heap) {
                let is_aligned = |address: usize| assert_eq!(address % $align, 0);
                let usage = heap.usage();
                let boxes: Vec<_> = (0..5).map(|_| heap.boxed(Aligned([N as u8; N]))).collect();
                for value in &boxes {
                    is_aligned(std::ptr::from_ref(&**value).addr());
                    assert!(value.0.iter().all(|&byte| byte == N as u8));
                }
                drop(boxes);
                assert_eq!(heap.usage(), usage);
                is_aligned(std::ptr::from_ref(heap.alloc(Aligned([1; N]))).addr());
                let slice = heap.alloc_slice_with(3, |_| Aligned([2; N]));
                is_aligned(slice.as_ptr().addr());
            }
            for checked in [false, true] {
                let heap = Heap::builder().checked(checked).build().unwrap();
                try_size::<0>(&heap);
                try_size::<1>(&heap);
                try_size::<100>(&heap);
                try_size::<5000>(&heap);
                heap.check().unwrap();
            }
        }
    )*};
}

aligned!(aligned_to_2 2, aligned_to_16 16, aligned_to_64 64, aligned_to_4096 4096, aligned_to_8192 8192, aligned_to_64k 65536);

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 4))]

    #[test]
    fn slices_and_texts_are_copies(texts in proptest::collection::vec(".{0,300}", 0..60)) {
        let heap = checked();
        let copies: Vec<(&str, &mut [char], &mut [u8])> = texts
            .iter()
            .map(|text| {
                let letters: Vec<char> = text.chars().collect();
                let bytes = heap.try_alloc_slice(text.as_bytes()).unwrap();
                (heap.alloc_str(text), heap.alloc_slice(&letters), bytes)
            })
            .collect();
        for (text, (copy, letters, bytes)) in texts.iter().zip(&copies) {
            prop_assert_eq!(text, copy);
            prop_assert_eq!(text, &letters.iter().collect::<String>());
            prop_assert_eq!(text.as_bytes(), &bytes[..]);
        }
        heap.check().unwrap();
    }

    #[test]
    fn boxes_in_any_order(orders in proptest::collection::vec((any::<u32>(), 0usize..40), 1..200)) {
        let heap = checked();
        let mut boxes = BTreeMap::new();
        for (number, slot) in orders {
            // Each slot holds a box of its own size; a new one drops the old.
            let value = (number, vec![slot; slot]);
            boxes.insert(slot, heap.boxed(value));
            for (slot, value) in &boxes {
                prop_assert!(value.1.len() == *slot && value.1.iter().all(|number| number == slot));
            }
        }
        prop_assert!(heap.usage() >= boxes.len() * 16);
        boxes.clear();
        prop_assert_eq!(heap.usage(), 0);
    }
}

#[test]
fn slices_made_value_by_value() {
    let drops = Cell::new(0);
    let heap = checked();
    let numbers = heap.alloc_slice_with(1000, |index| index as u16);
    assert!(numbers.iter().copied().eq(0..1000));
    // The values may come from the same heap.
    let words = heap.alloc_slice_with(50, |index| heap.alloc_str(&index.to_string()));
    assert!(
        words
            .iter()
            .enumerate()
            .all(|(index, word)| *word == index.to_string())
    );
    assert!(heap.alloc_slice_with(0, |_| Counted(&drops)).is_empty());
    assert_eq!(
        heap.try_alloc_slice_with(3, |_| Counted(&drops))
            .unwrap()
            .len(),
        3
    );
    assert_eq!(heap.alloc_slice_with(1000, |_| ()).len(), 1000);
    // What was made when `fill` unwinds stays in the heap, undropped, like all plain values.
    let unwound = catch_unwind(AssertUnwindSafe(|| {
        heap.alloc_slice_with(3, |index| match index {
            2 => resume_unwind(Box::new(())),
            _ => Counted(&drops),
        });
    }));
    assert!(unwound.is_err());
    heap.check().unwrap();
    drop(heap);
    assert_eq!(drops.get(), 0);
}

#[test]
fn a_refused_text_or_slice_is_an_error() {
    let heap = Heap::builder()
        .limit(Limit::Bytes(256 << 10))
        .build()
        .unwrap();
    let many = vec![1u64; 100_000];
    assert!(matches!(
        heap.try_alloc_slice(&many),
        Err(AllocError::Limit {
            requested: 800_000,
            ..
        })
    ));
    let made = heap.try_alloc_slice_with(100_000, |_| -> u64 { panic!("there is no room for it") });
    assert!(matches!(
        made,
        Err(AllocError::Limit {
            requested: 800_000,
            ..
        })
    ));
    let made = heap.try_alloc_slice_with(usize::MAX / 4, |_| 1u64);
    let (count, size) = (usize::MAX / 4, 8);
    assert_eq!(
        made.unwrap_err(),
        AllocError::Overflow {
            count,
            size,
            offset: 0
        }
    );
    assert!(matches!(
        heap.try_alloc_str(&" ".repeat(300_000)),
        Err(AllocError::Limit {
            requested: 300_000,
            ..
        })
    ));
    assert_eq!(heap.try_alloc_str("short"), Ok("short"));
    assert_eq!(heap.usage(), 8);
}
