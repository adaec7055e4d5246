//! Owns [`run`]: a walk, which follows from its seed: a store, and one heap after another on it, or many at once.

use emalloc::Heap;
use emalloc::heap::{Debug, LeakFormat, Retain};

use crate::acts::act;
use crate::blocks::free;
use crate::callbacks::Busy;
use crate::random::SCALE;
use crate::shared;
use crate::stores::{Shared, Store};
use crate::world::{
    self, Kind, begin, below, forget, guarded, is_within_its_limit, one_in, random, say, world,
};

/// Walks.
pub fn run(seed: u64) {
    if seed % 8 == 7 {
        return shared::run(seed);
    }
    begin(seed, seed);
    let store = random(|random| Store::new(random, false));
    for _ in 0..1 + below(4) {
        store.refuse_one_in(if one_in(2) { 0 } else { 2 + below(30) });
        life(&store.top, 400 / SCALE);
    }
}

/// A heap on that store, from its beginning to its end, with less than `end` steps in between.
pub fn life(store: &Shared, end: usize) {
    forget();
    let debug = one_in(4);
    world(|world| {
        world.kind.set(Kind {
            checked: debug || one_in(3),
            debug,
            unwinds: one_in(2),
            samples: one_in(2),
        });
    });
    let large = one_in(4);
    random(|random| random.prefer_large(large));
    let Some(mut heap) = heap(store) else { return };
    world(|world| world.held.set(0));
    say(&format!(
        "a heap on {}, {:?}",
        heap.storage_name(),
        world::kind()
    ));
    // Looking at a large heap ends for a while what it does otherwise.
    let seldom = [3, 6, 60][below(3)];
    for _ in 0..below(end) {
        world(|world| {
            world.step.set(world.step.get() + 1);
            world.depth.set(0);
        });
        match below(160) {
            0 | 1 => reset(&mut heap),
            2 => heap = over_an_address(heap),
            _ => guarded(|| act(&heap)),
        }
        if one_in(seldom) {
            heap.check().expect("the heap is whole");
        }
        is_within_its_limit(&heap);
    }
    let blocks = world(|world| world.blocks.borrow().clone());
    blocks.iter().for_each(|block| block.verify(block.size));
    if one_in(2) {
        while world(|world| !world.blocks.borrow().is_empty()) {
            guarded(|| free(&heap));
        }
        heap.check().expect("the heap is whole");
    }
    say("the heap's end");
    if one_in(3) {
        elsewhere(heap);
    } else {
        guarded(|| drop(heap));
    }
}

/// A heap with any settings; none if it was refused.
fn heap(store: &Shared) -> Option<Heap> {
    let kind = world::kind();
    let mut builder = Heap::builder()
        .storage(store.clone())
        .handler(Busy)
        .segment_size(1 << (16 + below(6 / SCALE)))
        .checked(kind.checked)
        .keep_buffer(one_in(2))
        .keep_filled(one_in(2))
        .reserve(if one_in(2) { 8192 } else { below(20_000) })
        .large_from(if one_in(2) { 8 << 20 } else { below(2_000_000) });
    if one_in(2) {
        builder = builder.retain(Retain::Bytes(below(4_000_000)));
    }
    if one_in(3) {
        builder = builder.compact(below(1_000_000));
    }
    if one_in(4) {
        builder = builder.limit(random(|random| random.limit()));
    }
    if one_in(8) {
        builder = builder.soft_limit(random(|random| random.limit()));
    }
    if one_in(4) {
        builder = builder.sampling(random(|random| random.sampling()));
    }
    if kind.debug {
        builder = builder.debug(debug());
    }
    builder.build().ok()
}

/// Any settings of debug mode.
fn debug() -> Debug {
    let mut debug = Debug::new()
        .guards([0, 1, 16, 100, 4096][below(5)])
        .guard_pages(one_in(4) && !cfg!(miri))
        .check_every([0, 1, 50][below(3)])
        .quarantine(below(300_000))
        .quarantine_blocks(below(200))
        .leaks(LeakFormat::Silent);
    if one_in(3) {
        debug = debug.fill(None);
    }
    if one_in(3) {
        debug = debug.free_fill(None);
    }
    debug
}

/// The end of a request.
fn reset(heap: &mut Heap) {
    say("reset");
    let mut done = false;
    guarded(|| {
        if one_in(2) {
            heap.reset();
        } else {
            heap.reset_silently();
        }
        done = true;
    });
    // If the handler has unwound, nothing has happened.
    if done {
        forget();
        assert_eq!(heap.usage(), 0);
    }
}

fn over_an_address(heap: Heap) -> Heap {
    say("into_raw");
    let raw = heap.into_raw();
    // SAFETY: it is alive, and nobody else has it.
    unsafe { Heap::from_raw(raw) }
}

/// The heap ends on another thread.
fn elsewhere(heap: Heap) {
    let (seed, kind) = (world(|world| world.seed.get()), world::kind());
    let chance = random(|random| random.next());
    std::thread::scope(|scope| {
        scope.spawn(move || {
            begin(seed, chance);
            world(|world| world.kind.set(kind));
            guarded(|| drop(heap));
        });
    });
}
