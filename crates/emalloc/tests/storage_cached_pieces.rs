//! `cached` over a storage whose grants are divisible: pieces are cut, joined, made larger, and none is ever lost or
//! handed out twice.
#![cfg(feature = "std")]

#[path = "common/ledger.rs"]
mod ledger;

use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use emalloc::storage::{Cached, Fixed, Grant, MALLOC, Regions, Storage};
use ledger::Ledger;
use proptest::prelude::*;

const UNIT: usize = 64 << 10;
const PAGE: usize = 4 << 10;
const NEVER: Duration = Duration::MAX;

type Book<S> = Arc<Ledger<S>>;

fn cache<S: Storage + Sync>(inner: S) -> (Cached<Book<S>>, Book<S>) {
    let book = Arc::new(Ledger::new(inner));
    (Cached::new(Arc::clone(&book)).with_interval(NEVER), book)
}

fn fixed(units: usize) -> Fixed {
    Fixed::with_capacity(units * UNIT).unwrap()
}

fn take(storage: &dyn Storage, units: usize) -> Grant {
    storage.allocate(units * UNIT, 4096).unwrap()
}

fn free(storage: &dyn Storage, grant: Grant, units: usize) {
    // SAFETY: callers pass what `take` gave them for as many units.
    unsafe { storage.free(grant.start, units * UNIT, 4096) };
}

fn resize(storage: &dyn Storage, grant: Grant, old: usize, new: usize) -> bool {
    // SAFETY: callers pass what `take` gave them for `old` units.
    unsafe { storage.resize(grant.start, old * UNIT, new * UNIT, 4096) }.is_ok()
}

fn joins_and_cuts<S: Storage + Sync>(inner: S) {
    let (storage, book) = cache(inner);
    let all = take(&storage, 8);
    free(&storage, all, 8);
    // Eight of one, one of eight.
    let grants = [0; 8].map(|_| take(&storage, 1));
    assert_eq!((storage.hits(), storage.cached_bytes()), (8, 0));
    for at in [6, 1, 3, 0, 7, 2, 5, 4] {
        free(&storage, grants[at], 1);
    }
    let again = take(&storage, 8);
    assert_eq!((again.start, storage.hits()), (all.start, 9));
    assert_eq!((book.calls(), book.live()), (1, 8 * UNIT));
    // What is freed is cut for stricter alignments too, and the rests are there for others.
    free(&storage, again, 8);
    let aligned = storage.allocate(2 * UNIT, 4 * UNIT).unwrap();
    assert!(aligned.start.addr().get().is_multiple_of(4 * UNIT));
    assert_eq!(storage.cached_bytes(), 6 * UNIT);
    let rest = take(&storage, 3);
    assert_eq!((book.calls(), storage.cached_bytes()), (1, 3 * UNIT));
    free(&storage, rest, 3);
    // SAFETY: granted above.
    unsafe { storage.free(aligned.start, 2 * UNIT, 4 * UNIT) };
    assert_eq!(storage.trim(), 8 * UNIT);
    assert_eq!(book.live(), 0);
}

#[test]
fn neighbours_are_joined_and_large_pieces_cut() {
    joins_and_cuts(fixed(64));
    joins_and_cuts(Regions::new(MALLOC));
    #[cfg(unix)]
    joins_and_cuts(emalloc::storage::MmapAnon);
}

#[test]
fn parts_as_large_as_they_are_aligned_are_no_segments_that_requests_need() {
    const SEGMENT: usize = 2 << 20;
    let book = Arc::new(Ledger::new(Regions::new(MALLOC)));
    let storage = Cached::new(Arc::clone(&book)).per_request();
    let unit = storage.capabilities().granularity;
    let all = storage.allocate(8 * SEGMENT, SEGMENT).unwrap().start;
    // SAFETY: granted above, and cut and freed in parts, each once.
    unsafe {
        let cut = 8 * SEGMENT - unit;
        storage.resize(all, 8 * SEGMENT, cut, SEGMENT).unwrap();
        storage.resize(all, cut, 7 * SEGMENT, SEGMENT).unwrap();
        for at in 0..7 {
            storage.free(all.add(at * SEGMENT), SEGMENT, SEGMENT);
        }
    }
    assert_eq!(storage.cached_bytes(), 8 * SEGMENT);
    storage.request_ended();
    assert_eq!((storage.cached_bytes(), book.live()), (0, 0));
}

#[test]
fn of_those_large_enough_the_smallest_is_cut() {
    let (storage, book) = cache(fixed(64));
    let [first, _, second, _, third, _] = [6, 1, 3, 1, 4, 1].map(|units| take(&storage, units));
    free(&storage, second, 3);
    free(&storage, third, 4);
    free(&storage, first, 6);
    let calls = book.calls();
    assert_eq!(take(&storage, 2).start, second.start);
    assert_eq!(take(&storage, 4).start, third.start);
    assert_eq!(take(&storage, 4).start, first.start);
    assert_eq!((book.calls(), storage.cached_bytes()), (calls, 3 * UNIT));
}

#[test]
fn segments_come_out_of_the_lowest() {
    let (storage, book) = cache(fixed(64));
    let [low, _, high, _] = [6, 1, 2, 1].map(|units| take(&storage, units));
    assert!(low.start < high.start);
    free(&storage, low, 6);
    free(&storage, high, 2);
    let calls = book.calls();
    // As large as it is aligned.
    let segment = storage.allocate(UNIT, UNIT).unwrap().start;
    assert!(low.start <= segment && segment < high.start);
    assert!(take(&storage, 1).start >= high.start);
    assert_eq!(book.calls(), calls);
}

#[test]
fn a_grant_grows_into_what_is_kept_behind_it() {
    let (storage, book) = cache(fixed(64));
    let grants = [2, 3, 1].map(|units| take(&storage, units));
    free(&storage, grants[1], 3);
    let calls = book.calls();
    assert!(resize(&storage, grants[0], 2, 4));
    assert_eq!((book.calls(), storage.cached_bytes()), (calls, UNIT));
    // More than there is: the storage inside cannot do it either, with somebody behind.
    assert!(!resize(&storage, grants[0], 4, 6));
    assert!(resize(&storage, grants[0], 4, 5));
    assert_eq!(storage.cached_bytes(), 0);
    assert_eq!(book.live(), 6 * UNIT);
    // What is cut off is kept, and taken back again.
    assert!(resize(&storage, grants[0], 5, 1));
    assert_eq!((storage.cached_bytes(), book.live()), (4 * UNIT, 6 * UNIT));
    let cut = take(&storage, 4);
    assert_eq!(cut.start.addr().get(), grants[0].start.addr().get() + UNIT);
    free(&storage, cut, 4);
    free(&storage, grants[0], 1);
    free(&storage, grants[2], 1);
    drop(storage);
    assert_eq!((book.live(), book.peak()), (0, 6 * UNIT));
}

#[test]
fn a_smaller_piece_is_made_larger() {
    let (storage, book) = cache(fixed(64));
    let grant = take(&storage, 4);
    free(&storage, grant, 4);
    let larger = take(&storage, 7);
    assert_eq!((larger.start, storage.hits()), (grant.start, 1));
    assert_eq!((book.live(), storage.cached_bytes()), (7 * UNIT, 0));
    free(&storage, larger, 7);
    // Less than a quarter is not worth it.
    let other = take(&storage, 30);
    assert_eq!((storage.hits(), storage.misses()), (1, 2));
    free(&storage, other, 30);
    drop(storage);
    assert_eq!(book.live(), 0);
}

/// Grows a grant of `old` units. Answers where it begins then.
fn grow(storage: &dyn Storage, grant: Grant, old: usize, new: usize) -> NonNull<u8> {
    // SAFETY: callers pass what `take` gave them for `old` units.
    unsafe { storage.grow(grant.start, old * UNIT, new * UNIT, 4096) }.unwrap()
}

/// A cache with pieces of so many units kept, between them grants of one unit, and a grant of two units with free memory behind it.
struct WithKept<S: Storage + Sync> {
    storage: Cached<Book<S>>,
    book: Book<S>,
    kept: Vec<Grant>,
    between: Vec<Grant>,
    grant: Grant,
}

fn with_kept<S: Storage + Sync>(inner: S, pieces: &[usize]) -> WithKept<S> {
    let (storage, book) = cache(inner);
    let (kept, between): (Vec<_>, Vec<_>) = pieces
        .iter()
        .map(|&units| (take(&storage, units), take(&storage, 1)))
        .unzip();
    let grant = take(&storage, 2);
    for (&grant, &units) in kept.iter().zip(pieces) {
        free(&storage, grant, units);
    }
    // SAFETY: alive.
    unsafe { grant.start.write_bytes(7, 2 * UNIT) };
    WithKept {
        storage,
        book,
        kept,
        between,
        grant,
    }
}

fn grows_into_what_is_kept<S: Storage + Sync>(inner: impl Fn() -> S) {
    // To how many units it grows, and into which piece; the smallest that is four times as large, else the largest.
    for (pieces, units, into) in [
        (&[3_usize, 12, 16, 11][..], 3, Some(1)),
        (&[11, 13, 12, 20], 3, Some(2)),
        (&[6, 10, 8], 3, Some(1)),
        // By half: then it is enough that it fits.
        (&[3], 3, Some(0)),
        (&[5, 7], 6, Some(1)),
        (&[2], 3, None),
    ] {
        let WithKept {
            storage,
            book,
            kept,
            between,
            grant,
        } = with_kept(inner(), pieces);
        let (before, live) = (storage.cached_bytes(), book.live());
        let grown = grow(&storage, grant, 2, units);
        match into {
            Some(place) => {
                assert_eq!(grown, kept[place].start, "{pieces:?}");
                assert_eq!(book.live(), live);
                assert_eq!(storage.cached_bytes(), before - (units - 2) * UNIT);
            }
            None => assert_eq!(grown, grant.start, "{pieces:?}"),
        }
        for at in [0, UNIT, 2 * UNIT - 1] {
            // SAFETY: alive, and so much was written.
            assert_eq!(unsafe { grown.add(at).read() }, 7);
        }
        // To the storage it was one grant that grew: not both of them were ever needed.
        assert!(book.peak() <= live + UNIT * usize::from(into.is_none()));
        let grant = Grant {
            start: grown,
            zeroed: false,
        };
        free(&storage, grant, units);
        assert_eq!(storage.cached_bytes(), before + 2 * UNIT);
        between.into_iter().for_each(|wall| free(&storage, wall, 1));
    }
}

#[test]
fn a_grant_that_grows_is_copied_to_what_is_kept() {
    grows_into_what_is_kept(|| fixed(128));
    grows_into_what_is_kept(|| Regions::new(MALLOC));
}

#[test]
fn growing_by_little_is_worth_a_copy_if_there_is_room_to_grow_on() {
    // Six units of it go when the grant is made larger where it is.
    for (piece, is_copied) in [(20, true), (19, false)] {
        let WithKept {
            storage,
            kept,
            grant,
            ..
        } = with_kept(fixed(128), &[piece]);
        assert!(resize(&storage, grant, 2, 8));
        let grown = grow(&storage, grant, 8, 9);
        let expected = if is_copied {
            kept[0].start
        } else {
            grant.start
        };
        assert_eq!(grown, expected, "{piece}");
    }
}

#[test]
fn what_is_kept_right_behind_is_taken_without_a_copy() {
    let (storage, book) = cache(fixed(128));
    let [far, between, near, behind] = [40, 1, 2, 3].map(|units| take(&storage, units));
    free(&storage, far, 40);
    free(&storage, behind, 3);
    let calls = book.calls();
    assert_eq!(grow(&storage, near, 2, 5), near.start);
    assert_eq!((book.calls(), storage.cached_bytes()), (calls, 40 * UNIT));
    free(&storage, between, 1);
}

#[test]
#[cfg(target_os = "linux")]
fn what_grows_and_moves_takes_what_is_kept() {
    use emalloc::storage::MmapAnon;
    let (storage, book) = cache(MmapAnon);
    // Parts of one grant: what is kept must not lie right behind what grows.
    let grant = take(&storage, 11);
    let [between, warm] = [2, 3].map(|units| Grant {
        // SAFETY: inside the grant.
        start: unsafe { grant.start.add(units * UNIT) },
        zeroed: false,
    });
    free(&storage, warm, 8);
    // SAFETY: alive.
    unsafe { grant.start.write_bytes(7, 2 * UNIT) };
    let calls = book.calls();
    // By so much it does not grow where it is: what is kept would have to go for what has no pages yet.
    assert!(!resize(&storage, grant, 2, 5));
    assert_eq!((book.calls(), storage.cached_bytes()), (calls, 8 * UNIT));
    // SAFETY: the grant above.
    let moved = unsafe { storage.move_resize(grant.start, 2 * UNIT, 5 * UNIT, 4096) }.unwrap();
    assert!(!moved.zeroed);
    for at in [0, UNIT, 2 * UNIT - 1] {
        // SAFETY: alive.
        assert_eq!(unsafe { moved.start.add(at).read() }, 7);
    }
    assert_eq!((book.calls(), storage.cached_bytes()), (calls, 5 * UNIT));
    // To the storage it was one grant that grew: not both of them were ever needed.
    free(&storage, moved, 5);
    assert_eq!(
        (storage.cached_bytes(), book.peak()),
        (10 * UNIT, 11 * UNIT)
    );
    free(&storage, between, 1);

    // A storage that cannot move must not seem to.
    let (storage, _) = cache(fixed(64));
    let [warm, grant] = [8, 2].map(|units| take(&storage, units));
    free(&storage, warm, 8);
    // SAFETY: the grant above.
    unsafe { storage.move_resize(grant.start, 2 * UNIT, 5 * UNIT, 4096) }.unwrap_err();
}

#[test]
fn what_goes_back_is_cut_where_the_storage_can_have_it() {
    #[cfg(unix)]
    let inner = emalloc::storage::MmapAnon;
    #[cfg(not(unix))]
    let inner = Regions::new(MALLOC);
    // The book fails on anything else than whole pages.
    let book = Arc::new(Ledger::new(inner));
    let storage = Cached::new(Arc::clone(&book)).with_limit(3 * UNIT + 100);
    let grant = storage.allocate(8 * UNIT, 64).unwrap();
    // SAFETY: granted above.
    unsafe { storage.free(grant.start, 8 * UNIT, 64) };
    assert_eq!(storage.cached_bytes(), 3 * UNIT);
    drop(storage);
    assert_eq!(book.live(), 0);
}

#[test]
fn a_full_table_loses_nothing() {
    const PIECES: usize = 1200;
    let (storage, book) = cache(fixed(2 * PIECES * PAGE / UNIT + 1));
    let grants: Vec<_> = (0..2 * PIECES)
        .map(|_| storage.allocate(PAGE, 64).unwrap())
        .collect();
    let give = |grant: &Grant| {
        // SAFETY: granted above, each is freed once.
        unsafe { storage.free(grant.start, PAGE, 64) };
    };
    // No two of these lie side by side.
    grants.iter().step_by(2).for_each(give);
    let kept = storage.cached_bytes();
    assert!((64..1024).contains(&(kept / PAGE)) && kept.is_multiple_of(PAGE));
    assert_eq!(book.live(), PIECES * PAGE + kept);
    // A cut of any of these would need a place for its rest; there is one, for the piece leaves its own.
    let part = storage.allocate(PAGE - 64, 64).unwrap();
    assert_eq!(
        (storage.hits(), storage.cached_bytes()),
        (1, kept - PAGE + 64)
    );
    // SAFETY: granted above; too small to be kept.
    unsafe { storage.free(part.start, PAGE - 64, 64) };
    assert_eq!(storage.cached_bytes(), kept - PAGE + 64);
    grants.iter().skip(1).step_by(2).for_each(give);
    drop(storage);
    assert_eq!(book.live(), 0);
}

#[test]
fn threads_at_once_never_share_a_byte_and_lose_nothing() {
    let book = Arc::new(Ledger::new(fixed(400)));
    let storage = Cached::new(Arc::clone(&book)).with_interval(Duration::from_millis(1));
    std::thread::scope(|scope| {
        for thread in 1..=4_usize {
            let storage = &storage;
            scope.spawn(move || {
                let mut last = None;
                for round in 0..2000 {
                    let units = 1 + round * thread % 5;
                    let grant = take(storage, units);
                    mark(grant.start.as_ptr(), units * UNIT, thread * 10_000 + round);
                    if let Some((grant, mut units, seed)) = last.replace((grant, units, round)) {
                        let grant: Grant = grant;
                        let seed = thread * 10_000 + seed;
                        assert!(is_marked(grant.start.as_ptr(), units * UNIT, seed));
                        if units > 2 && resize(storage, grant, units, units - 2) {
                            units -= 2;
                            assert!(is_marked(grant.start.as_ptr(), units * UNIT, seed));
                        }
                        if resize(storage, grant, units, units + 1) {
                            units += 1;
                        }
                        free(storage, grant, units);
                    }
                    if round % 500 == 499 {
                        storage.trim();
                    }
                }
                if let Some((grant, units, _)) = last {
                    free(storage, grant, units);
                }
            });
        }
    });
    assert_eq!(book.live(), storage.cached_bytes());
    storage.trim();
    assert_eq!((book.live(), storage.cached_bytes()), (0, 0));
}

/// Writes a number into the beginning and the end of each page.
fn mark(start: *mut u8, size: usize, seed: usize) {
    for at in (0..size).step_by(PAGE) {
        for at in [at, at + PAGE - 8] {
            // SAFETY: callers pass live grants.
            unsafe {
                start
                    .add(at)
                    .cast::<u64>()
                    .write_unaligned((seed ^ at) as u64)
            };
        }
    }
}

fn is_marked(start: *mut u8, size: usize, seed: usize) -> bool {
    (0..size).step_by(PAGE).all(|at| {
        [at, at + PAGE - 8].into_iter().all(|at| {
            // SAFETY: callers pass live grants that `mark` has written.
            let word = unsafe { start.add(at).cast::<u64>().read_unaligned() };
            word == (seed ^ at) as u64
        })
    })
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Allocate { pages: usize, align: usize },
    Free(usize),
    Resize(usize, usize),
    Move(usize, usize),
    Grow(usize, usize),
    RequestEnded,
    Trim,
}

fn step() -> impl Strategy<Value = Step> {
    let pages = || prop_oneof![1..8_usize, 1..80_usize];
    let align = prop_oneof![Just(64_usize), Just(PAGE), Just(16 * PAGE)];
    prop_oneof![
        6 => (pages(), align).prop_map(|(pages, align)| Step::Allocate { pages, align }),
        5 => any::<usize>().prop_map(Step::Free),
        4 => (any::<usize>(), pages()).prop_map(|(which, pages)| Step::Resize(which, pages)),
        3 => (any::<usize>(), pages()).prop_map(|(which, pages)| Step::Move(which, pages)),
        3 => (any::<usize>(), pages()).prop_map(|(which, pages)| Step::Grow(which, pages)),
        1 => Just(Step::RequestEnded),
        1 => Just(Step::Trim),
    ]
}

#[derive(Clone, Copy)]
struct Live {
    start: *mut u8,
    size: usize,
    align: usize,
    seed: usize,
}

/// Does the steps, and sees after each that contents are whole, the counts agree and the bound is kept.
fn follow<S: Storage + Sync>(inner: S, steps: &[Step], per_request: bool) {
    let (mut storage, book) = cache(inner);
    if per_request {
        storage = storage.per_request();
    }
    let mut live: Vec<Live> = Vec::new();
    let mut most = 0;
    for (seed, &step) in steps.iter().enumerate() {
        let which = |any: usize| any.checked_rem(live.len());
        match step {
            Step::Allocate { pages, align } => {
                let size = pages * PAGE;
                if let Ok(grant) = storage.allocate(size, align) {
                    assert!(grant.start.addr().get().is_multiple_of(align));
                    let start = grant.start.as_ptr();
                    if grant.zeroed {
                        // SAFETY: alive.
                        assert_eq!(unsafe { start.read() }, 0);
                    }
                    mark(start, size, seed);
                    live.push(Live {
                        start,
                        size,
                        align,
                        seed,
                    });
                }
            }
            Step::Free(any) => {
                if let Some(which) = which(any) {
                    let Live {
                        start, size, align, ..
                    } = live.swap_remove(which);
                    // SAFETY: alive until now.
                    unsafe { storage.free(non_null(start), size, align) };
                }
            }
            Step::Resize(any, pages) | Step::Move(any, pages) | Step::Grow(any, pages) => {
                if let Some(which) = which(any) {
                    let grant = &mut live[which];
                    let (start, old, mut new) = (non_null(grant.start), grant.size, pages * PAGE);
                    if matches!(step, Step::Grow(..)) {
                        new += old;
                    }
                    // SAFETY: alive; what is cut off is used no more, nor is the old place after a move.
                    let answer = unsafe {
                        match step {
                            Step::Grow(..) => storage.grow(start, old, new, grant.align),
                            Step::Move(..) => storage
                                .move_resize(start, old, new, grant.align)
                                .map(|grant| grant.start),
                            _ => storage.resize(start, old, new, grant.align).map(|()| start),
                        }
                    };
                    if let Ok(start) = answer {
                        assert!(start.addr().get().is_multiple_of(grant.align));
                        grant.start = start.as_ptr();
                        grant.size = new;
                        assert!(is_marked(grant.start, old.min(new), grant.seed));
                        mark(grant.start, new, grant.seed);
                    }
                }
            }
            Step::RequestEnded => storage.request_ended(),
            Step::Trim => {
                storage.trim();
                assert_eq!(storage.cached_bytes(), 0);
            }
        }
        let granted: usize = live.iter().map(|grant| grant.size).sum();
        most = most.max(granted);
        assert_eq!(book.live(), granted + storage.cached_bytes(), "{step:?}");
        assert!(book.peak() <= most, "{step:?}: {} of {most}", book.peak());
        for grant in &live {
            assert!(is_marked(grant.start, grant.size, grant.seed), "{step:?}");
        }
    }
    for Live {
        start, size, align, ..
    } in live
    {
        // SAFETY: alive until now.
        unsafe { storage.free(non_null(start), size, align) };
    }
    drop(storage);
    assert_eq!(book.live(), 0);
}

fn non_null(start: *mut u8) -> NonNull<u8> {
    NonNull::new(start).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_steps(steps in prop::collection::vec(step(), 1..120), per_request in any::<bool>()) {
        follow(fixed(32), &steps, per_request);
        follow(Regions::new(MALLOC), &steps, per_request);
        #[cfg(unix)]
        follow(emalloc::storage::MmapAnon, &steps, per_request);
    }
}
