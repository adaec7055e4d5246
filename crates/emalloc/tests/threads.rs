//! Heaps and threads: a heap may be sent, any number live side by side over shared storages, and any thread may
//! end one.

mod common;

use std::alloc::Layout;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier};
use std::thread;

use common::model::Model;
use common::probe::assert_all_returned;
use emalloc::heap::{AllocError, Heap, HeapError, Retain};
use emalloc::storage::{Budget, Cached, Counting, Limit, Malloc, Storage};

const SEGMENT: usize = 64 << 10;
const THREADS: u32 = 8;

/// A cache over a budget, for heaps on many threads.
type Shared = Arc<Cached<Budget<Counting<Malloc>>>>;

fn shared(limit: Limit) -> Shared {
    Arc::new(Cached::new(Budget::new(Counting::new(Malloc), limit)).with_limit(4 << 20))
}

fn heap(storage: &Shared, checked: bool) -> Result<Heap, HeapError> {
    Heap::builder()
        .storage(Arc::clone(storage))
        .segment_size(SEGMENT)
        .checked(checked)
        .retain(Retain::Bytes(2 * SEGMENT))
        .build()
}

/// All heaps are gone, and have given back all they had.
fn assert_returned(storage: Shared) {
    let cached = Arc::into_inner(storage).expect("no heap has kept its storage");
    assert_eq!(cached.inner().held(), cached.cached_bytes());
    cached.trim();
    assert_eq!(cached.inner().held(), 0);
    assert_all_returned(cached.inner().inner());
}

#[test]
fn a_heap_and_its_blocks_go_from_thread_to_thread() {
    let storage = shared(Limit::Unlimited);
    let mut heap = heap(&storage, true).unwrap();
    let mut blocks: Vec<(usize, usize)> = Vec::new();
    for round in 0..20 {
        (heap, blocks) = thread::spawn(move || {
            for (at, size) in blocks.drain(..) {
                let block = NonNull::new(std::ptr::with_exposed_provenance_mut::<u8>(at)).unwrap();
                // SAFETY: alive, written by the thread before, freed once.
                unsafe {
                    assert_eq!(block.read(), round as u8);
                    assert_eq!(block.add(size - 1).read(), round as u8);
                    heap.free(block);
                }
            }
            assert_eq!(heap.usage(), 0);
            for size in [1, 100, 3000, 20_000, 300_000] {
                let block = heap.allocate(size);
                // SAFETY: just allocated.
                unsafe { block.write_bytes(round as u8 + 1, size) };
                blocks.push((block.as_ptr().expose_provenance(), size));
            }
            heap.check().unwrap();
            (heap, blocks)
        })
        .join()
        .unwrap();
    }
    drop(heap);
    assert_returned(storage);
}

/// A request on a heap of its own, checked by a model. Says how often it was refused.
fn request(heap: Heap, mut random: u32) -> (Heap, usize) {
    let mut next = || {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        random as usize >> 8
    };
    let mut refused = 0;
    let mut model = Model::new(heap);
    for _ in 0..60 {
        let size = next() % [50, 50, 500, 5000, 150_000][next() % 5];
        let answer = match next() % 3 {
            0 if !model.blocks.is_empty() => {
                model.free(next() % model.blocks.len(), next() % 2 == 0);
                Ok(())
            }
            1 if !model.blocks.is_empty() => model.resize(next() % model.blocks.len(), size),
            _ => {
                let layout = Layout::from_size_align(size, 1 << (next() % 14)).unwrap();
                model.allocate(layout, next() % 4 == 0).map(|_| ())
            }
        };
        match answer {
            Ok(()) => {}
            Err(AllocError::Storage { .. }) => refused += 1,
            Err(error) => panic!("{error}"),
        }
    }
    model.verify();
    model.verify_walk();
    model.reset();
    (model.heap, refused)
}

#[test]
fn many_heaps_on_many_threads_share_a_cache_and_a_budget() {
    let storage = shared(Limit::Bytes(1 << 20));
    let refused = AtomicUsize::new(0);
    let begin = Barrier::new(THREADS as usize);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (storage, refused, begin) = (&storage, &refused, &begin);
            scope.spawn(move || {
                begin.wait();
                for round in 0..25 {
                    // Two at a time, side by side in the cache's memory.
                    let heaps = [false, true].map(|checked| heap(storage, checked));
                    for heap in heaps {
                        let Ok(heap) = heap else {
                            refused.fetch_add(1, Ordering::Relaxed);
                            continue;
                        };
                        let (heap, first) = request(heap, thread * 1000 + round);
                        let (_, second) = request(heap, thread * 1000 + round + 500);
                        refused.fetch_add(first + second, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let held = storage.inner().peak();
    assert!(held <= 1 << 20, "{held} bytes were held");
    assert!(storage.hits() > 0 && refused.into_inner() > 0);
    assert_returned(storage);
}

#[test]
fn another_thread_than_the_creator_ends_it() {
    let storage = shared(Limit::Unlimited);
    let (send, receive) = channel::<(Heap, usize)>();
    let ending = thread::spawn(move || {
        let mut ended = 0;
        for (heap, usage) in receive {
            heap.check().unwrap();
            assert_eq!(heap.usage(), usage);
            drop(heap);
            ended += 1;
        }
        ended
    });
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (storage, send) = (&storage, send.clone());
            scope.spawn(move || {
                for round in 0..50 {
                    let heap = heap(storage, round % 2 == 0).unwrap();
                    for size in 0..100 {
                        heap.allocate(size * (thread as usize + 1) * 10);
                    }
                    let usage = heap.usage();
                    send.send((heap, usage)).unwrap();
                }
            });
        }
    });
    drop(send);
    assert_eq!(ending.join().unwrap(), THREADS * 50);
    assert_returned(storage);
}

#[test]
fn ten_thousand_heaps_come_and_go() {
    let storage = shared(Limit::Unlimited);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for round in 0..2500 {
                    let heap = heap(&storage, false).unwrap();
                    let block = heap.allocate(round);
                    // SAFETY: just allocated.
                    unsafe { block.write_bytes(1, round) };
                }
            });
        }
    });
    let (hits, misses) = (storage.hits(), storage.misses());
    assert_eq!(hits + misses, 10_000);
    // How many is luck: a thread that finds another one in the cache goes past it.
    assert!(hits > 0);
    assert_returned(storage);
}
