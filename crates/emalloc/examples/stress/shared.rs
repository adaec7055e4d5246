//! Owns walks of some threads at once, which share a store: each has heaps on it, and uses it directly as well.

use std::ptr::NonNull;

use emalloc::storage::Storage;

use crate::random::SCALE;
use crate::spans::other_than;
use crate::stores::{Shared, Store};
use crate::walk::life;
use crate::world::{begin, below, one_in, random, say};

/// A grant that is a thread's own, with the same byte everywhere.
struct Own {
    start: NonNull<u8>,
    size: usize,
    align: usize,
    byte: u8,
}

impl Own {
    fn new(start: NonNull<u8>, size: usize, align: usize) -> Self {
        assert!(
            start.addr().get().is_multiple_of(align),
            "{start:?}, {align}"
        );
        let byte = below(256) as u8;
        // SAFETY: the grant is that large, and this thread's.
        unsafe { start.write_bytes(byte, size) };
        Self {
            start,
            size,
            align,
            byte,
        }
    }

    /// The first `size` bytes are as they were, wherever they are now.
    fn verify(&self, start: NonNull<u8>, size: usize) {
        // SAFETY: so many bytes are this thread's, and were written.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), size) };
        assert_eq!(other_than(self.byte, bytes), None, "{start:?}, {size}");
    }
}

/// A word in each page of a grant, which only its owner knows.
fn words(start: NonNull<u8>, size: usize) -> impl Iterator<Item = NonNull<u64>> {
    let pages = (0..size).step_by(4096);
    // SAFETY: the grant is that large.
    pages.map(move |at| unsafe { start.add(at) }.cast())
}

/// Does nothing but take grants of few sizes and give them back, as fast as can be: so that threads meet.
fn hurry(store: &Shared) {
    let unit = store.capabilities().granularity.max(4096);
    let mut own: Vec<(NonNull<u8>, usize, u64)> = Vec::new();
    let give_back = |(start, size, word): (NonNull<u8>, usize, u64)| {
        for place in words(start, size) {
            // SAFETY: this thread's grant, in which a word was written there.
            assert_eq!(unsafe { place.read() }, word, "{start:?}, {size}");
        }
        // SAFETY: this thread's grant, used no more.
        unsafe { store.free(start, size, size) };
    };
    for _ in 0..4000 / SCALE {
        if own.len() > 6 || one_in(2) {
            if !own.is_empty() {
                give_back(own.swap_remove(below(own.len())));
            }
            continue;
        }
        let size = unit.next_power_of_two() << below(4);
        if let Ok(grant) = store.allocate(size, size) {
            let word = random(|random| random.next());
            for place in words(grant.start, size) {
                // SAFETY: this thread's grant; nobody else knows it.
                unsafe { place.write(word) };
            }
            own.push((grant.start, size, word));
        }
    }
    own.into_iter().for_each(give_back);
}

/// Walks with some threads.
pub fn run(seed: u64) {
    begin(seed, seed);
    let store = random(|random| Store::new(random, true));
    if one_in(2) {
        store.refuse_one_in(3 + below(30));
    }
    let (threads, hurries) = (2 + below(3), one_in(2));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (top, chance) = (store.top.clone(), random(|random| random.next()));
            scope.spawn(move || {
                begin(seed, chance);
                let mut own = Vec::new();
                if hurries {
                    hurry(&top);
                }
                for _ in 0..4 {
                    life(&top, 100 / SCALE);
                    directly(&top, &mut own);
                }
                for Own {
                    start, size, align, ..
                } in own
                {
                    // SAFETY: this thread's grant, used no more.
                    unsafe { top.free(start, size, align) };
                }
            });
        }
    });
    store.top.trim();
}

/// Uses the store as heaps do, but by itself.
fn directly(store: &Shared, own: &mut Vec<Own>) {
    let unit = store.capabilities().granularity.max(4096);
    for _ in 0..below(20) {
        let (what, size) = (below(7), unit * (1 + below(60)));
        say(&format!("directly {what}, {size}"));
        let which = below(own.len());
        match what {
            0 | 1 => {
                let square = one_in(2);
                let size = if square {
                    size.next_power_of_two().max(65536)
                } else {
                    size
                };
                let align = if square { size } else { 1 << below(17) };
                if let Ok(grant) = store.allocate(size, align) {
                    if grant.zeroed {
                        // SAFETY: the grant is that large, and says that it was written.
                        let bytes =
                            unsafe { std::slice::from_raw_parts(grant.start.as_ptr(), size) };
                        assert_eq!(other_than(0, bytes), None);
                    }
                    own.push(Own::new(grant.start, size, align));
                }
            }
            2 if which < own.len() => {
                let old = own.swap_remove(which);
                old.verify(old.start, old.size);
                // SAFETY: this thread's grant, used no more.
                unsafe { store.free(old.start, old.size, old.align) };
            }
            3 if which < own.len() => {
                let old = own.swap_remove(which);
                // SAFETY: this thread's grant.
                let done = unsafe { store.resize(old.start, old.size, size, old.align) };
                let now = if done.is_ok() { size } else { old.size };
                old.verify(old.start, now.min(old.size));
                own.push(Own::new(old.start, now, old.align));
            }
            4 if which < own.len() && size > own[which].size => {
                let old = own.swap_remove(which);
                // SAFETY: this thread's grant, used no more where it was.
                let grown = unsafe { store.grow(old.start, old.size, size, old.align) };
                let (start, now) = grown.map_or((old.start, old.size), |start| (start, size));
                old.verify(start, old.size);
                own.push(Own::new(start, now, old.align));
            }
            5 if which < own.len() => {
                let old = own.swap_remove(which);
                // SAFETY: this thread's grant, used no more where it was.
                let moved = unsafe { store.move_resize(old.start, old.size, size, old.align) };
                let (start, now) = moved.map_or((old.start, old.size), |grant| (grant.start, size));
                old.verify(start, now.min(old.size));
                own.push(Own::new(start, now, old.align));
            }
            _ => {
                store.is_usual(unit, unit);
                if one_in(3) {
                    store.request_ended();
                }
                if one_in(10) {
                    store.trim();
                }
            }
        }
    }
}
