//! Owns [`Store`]: a storage at the bottom and odd stacks of wrappers on it, for one heap after another or many at once.

use std::sync::Arc;
use std::time::Duration;

use emalloc::storage::{Budget, Cached, Counting, Failing, Fixed, Limit, Malloc, Regions, Storage};

use crate::arena::Arena;
use crate::random::Random;

/// What heaps take; any number of them may share it.
pub type Shared = Arc<dyn Storage + Sync>;

/// A stack of storages.
pub struct Store {
    arena: Option<Arc<Arena>>,
    pub top: Shared,
}

impl Store {
    /// Any stack; what caches keep may go as time passes, or stays.
    pub fn new(random: &mut Random, in_time: bool) -> Self {
        let mut arena = None;
        let mut top: Box<dyn Storage + Sync> = match random.below(12) {
            0 => fixed(random.below(8_000_000)),
            // What it can do depends on what else was done with it; and it discards, which Miri cannot.
            1 if in_time && !cfg!(miri) => Box::new(Malloc),
            _ => {
                let new = Arc::new(Arena::new(random.next()));
                arena = Some(Arc::clone(&new));
                Box::new(new)
            }
        };
        for _ in 0..[0, 1, 1, 1, 2, 2, 3][random.below(7)] {
            top = wrapped(top, random, in_time);
        }
        Self {
            arena,
            top: Arc::from(top),
        }
    }

    /// From now on one call in `n` is refused at the bottom, if that can be told to; 0: none.
    pub fn refuse_one_in(&self, n: usize) {
        if let Some(arena) = &self.arena {
            arena.refuse_one_in(n);
        }
    }
}

/// A buffer of so many bytes, or if that is too few to be one, of more.
fn fixed(bytes: usize) -> Box<dyn Storage + Sync> {
    Box::new(Fixed::with_capacity(bytes.max(100_000)).expect("there is memory"))
}

fn wrapped(
    inner: Box<dyn Storage + Sync>,
    random: &mut Random,
    in_time: bool,
) -> Box<dyn Storage + Sync> {
    match random.below(9) {
        0..5 => {
            let mut cached = Cached::new(inner);
            if random.one_in(3) {
                cached = cached.with_limit(random.below(3_000_000));
            }
            // A walk of one thread must not depend on the time it takes.
            let soon = in_time && random.one_in(2);
            let interval = if soon { Duration::ZERO } else { Duration::MAX };
            cached = cached.with_interval(interval);
            Box::new(if random.one_in(2) {
                cached.per_request()
            } else {
                cached
            })
        }
        5 => Box::new(Budget::new(inner, Limit::Bytes(random.below(10_000_000)))),
        6 => Box::new(Counting::new(inner)),
        7 => {
            let failing = Failing::new(inner);
            failing.fail_at(random.below(60));
            Box::new(failing)
        }
        _ => Box::new(Regions::new(inner)),
    }
}
