//! `cached` when there are more pieces than its table has places: the coldest go, and what was freed last is at hand.
#![cfg(feature = "std")]

#[path = "common/ledger.rs"]
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use emalloc::storage::{Cached, MALLOC, Regions, Storage};
use ledger::Ledger;

const UNIT: usize = 64 << 10;

/// Places of the table.
const MOST: usize = 128;

#[test]
fn the_coldest_go_and_the_last_one_is_at_hand() {
    let book = Arc::new(Ledger::new(Regions::new(MALLOC)));
    let storage = Cached::new(Arc::clone(&book)).with_interval(Duration::MAX);
    let grants: Vec<_> = (0..2 * MOST + 40)
        .map(|_| storage.allocate(UNIT, 4096).unwrap().start)
        .collect();
    let all = book.live();
    // No two of these are neighbours.
    for &start in grants.iter().step_by(2) {
        // SAFETY: granted above, used no more.
        unsafe { storage.free(start, UNIT, 4096) };
    }
    assert_eq!(storage.cached_bytes(), MOST * UNIT);
    assert_eq!(book.live(), all - 20 * UNIT);
    let (hits, last) = (storage.hits(), grants[2 * MOST + 38]);
    for _ in 0..3 {
        let again = storage.allocate(UNIT, 4096).unwrap();
        assert_eq!(again.start, last);
        // SAFETY: just granted.
        unsafe { storage.free(again.start, UNIT, 4096) };
    }
    assert_eq!((storage.hits(), book.live()), (hits + 3, all - 20 * UNIT));
    for &start in grants.iter().skip(1).step_by(2) {
        // SAFETY: granted above, used no more.
        unsafe { storage.free(start, UNIT, 4096) };
    }
    storage.trim();
    assert_eq!(book.live(), 0);
}

#[test]
fn nothing_is_cut_out_of_the_middle_when_there_is_no_place_for_what_is_left() {
    let book = Arc::new(Ledger::new(Regions::new(MALLOC)));
    let storage = Cached::new(Arc::clone(&book)).with_interval(Duration::MAX);
    let take = |units| storage.allocate(units * UNIT, 2 * UNIT).unwrap().start;
    let free = |start, units| {
        // SAFETY: granted by `take`, or a part of that; used no more.
        unsafe { storage.free(start, units * UNIT, 2 * UNIT) };
    };
    let grants: Vec<_> = (0..MOST).map(|_| take(4)).collect();
    for &start in &grants {
        // SAFETY: inside the grant.
        free(unsafe { start.add(UNIT) }, 3);
    }
    assert_eq!(storage.cached_bytes(), 3 * MOST * UNIT);
    // In each piece it would be the second unit of three.
    let hits = storage.hits();
    let first = take(1);
    assert_eq!(storage.hits(), hits);
    // With places for what is left it is.
    free(take(3), 3);
    let second = take(1);
    assert!(storage.hits() > hits);
    for start in grants.into_iter().chain([first, second]) {
        free(start, 1);
    }
    storage.trim();
    assert_eq!(book.live(), 0);
}
