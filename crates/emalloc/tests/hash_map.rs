//! hashbrown's maps and sets in a heap, against std's as a model.
#![cfg(feature = "allocator-api2-02")]

#[path = "common/strict.rs"]
mod strict;

use std::collections::{HashMap, HashSet};

use emalloc::heap::{Heap, Limit};
use proptest::prelude::*;
use strict::{Strict, checked};

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert(u32, u64),
    Remove(u32),
    Retain(u32),
    Shrink,
    Reserve(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = 0u32..3000;
    let step = prop_oneof![
        600 => (key.clone(), any::<u64>()).prop_map(|(key, value)| Step::Insert(key, value)),
        300 => key.prop_map(Step::Remove),
        1 => (2u32..10).prop_map(Step::Retain),
        2 => Just(Step::Shrink),
        1 => (0usize..20_000).prop_map(Step::Reserve),
    ];
    proptest::collection::vec(step, 3000..6000)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases / 20))]

    #[test]
    fn thousands_of_inserts_and_removes(steps in steps()) {
        let heap = checked();
        let mut ours = hashbrown::HashMap::new_in(heap.here());
        let mut model = HashMap::new();
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(key, value) => {
                    prop_assert_eq!(ours.insert(key, value), model.insert(key, value));
                }
                Step::Remove(key) => prop_assert_eq!(ours.remove(&key), model.remove(&key)),
                Step::Retain(factor) => {
                    ours.retain(|key, _| key % factor != 0);
                    model.retain(|key, _| key % factor != 0);
                }
                Step::Shrink => ours.shrink_to_fit(),
                Step::Reserve(count) => ours.try_reserve(count).unwrap(),
            }
            prop_assert_eq!(ours.len(), model.len());
            if number % 1000 == 0 {
                heap.check().unwrap();
                prop_assert!(model.iter().all(|(key, value)| ours.get(key) == Some(value)));
            }
        }
        prop_assert!(model.iter().all(|(key, value)| ours.get(key) == Some(value)));
        prop_assert_eq!(ours.iter().count(), model.len());
        drop(ours);
        prop_assert_eq!(heap.usage(), 0);
    }

    #[test]
    fn keys_and_values_that_lie_in_the_heap_too(words in proptest::collection::vec("[a-f]{0,4}", 0..2000)) {
        use allocator_api2_02::vec::Vec as HeapVec;
        let heap = checked();
        let mut places = hashbrown::HashMap::new_in(&heap);
        let mut model: HashMap<&str, Vec<usize>> = HashMap::new();
        for (place, word) in words.iter().enumerate() {
            let list = places.entry(heap.alloc_str(word)).or_insert_with(|| HeapVec::new_in(heap.here()));
            list.push(place);
            model.entry(word).or_default().push(place);
        }
        prop_assert_eq!(places.len(), model.len());
        for (word, list) in &model {
            prop_assert_eq!(&places[word][..], &list[..]);
        }
        heap.check().unwrap();
    }
}

#[test]
fn sets() {
    let heap = checked();
    let mut ours = hashbrown::HashSet::new_in(heap.here());
    let words = ["one", "two", "three", "two", "one"];
    ours.extend(words);
    let model: HashSet<&str> = words.into_iter().collect();
    assert!(ours.len() == model.len() && model.iter().all(|word| ours.contains(word)));
}

#[test]
fn a_map_at_the_limit_answers_an_error_and_stays_whole() {
    let limit = Limit::Bytes(1 << 20);
    let heap = Heap::builder()
        .limit(limit)
        .checked(true)
        .handler(Strict)
        .build()
        .unwrap();
    let mut map = hashbrown::HashMap::new_in(heap.here());
    let mut count = 0u64;
    let refused = loop {
        if let Err(refused) = map.try_reserve(1) {
            break refused;
        }
        map.insert(count, count);
        count += 1;
    };
    assert!(
        matches!(refused, hashbrown::TryReserveError::AllocError { .. }),
        "{refused:?}"
    );
    assert!(count > 1000);
    assert!((0..count).all(|key| map[&key] == key));
    heap.check().unwrap();
    drop(map);
    assert_eq!(heap.usage(), 0);
}
