//! Owns [`act`]: one thing of all that can be done with a heap, alone or while the heap calls somebody.

use std::alloc::Layout;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::ptr::{self, NonNull};

use allocator_api2_02::vec::Vec as HeapVec;
use emalloc::Heap;
use emalloc::heap::{Item, Limit, Measure, ObserverNode};

use crate::blocks::{allocate, crowd, disperse, free, keep, mistake, resize};
use crate::callbacks::Watcher;
use crate::random::SCALE;
use crate::world::{AtRest, below, is_within_its_limit, kind, one_in, random, say, unwind, world};

/// So many acts are inside of each other at most.
const DEEPEST: usize = 4;

/// Does one thing.
pub fn act(heap: &Heap) {
    struct Inside;
    impl Drop for Inside {
        fn drop(&mut self) {
            world(|world| world.depth.set(world.depth.get() - 1));
        }
    }
    let depth = world(|world| world.depth.get());
    if depth >= DEEPEST {
        return;
    }
    world(|world| {
        world.depth.set(depth + 1);
        world.acts.set(world.acts.get() + 1);
    });
    let _inside = Inside;
    // Inside of others more of the rare things: there are fewer acts.
    match below(if depth > 0 { 70 } else { 110 }) {
        0..12 => allocate(heap),
        12..20 => free(heap),
        20..28 => resize(heap),
        28..36 => limits(heap),
        36..42 => samples(heap),
        42..48 => looks(heap),
        48..52 => at_rest(heap),
        52..58 => values(heap),
        58..61 => observers(heap),
        61 => mistake(heap),
        // The default storage discards, which Miri cannot.
        62 if !cfg!(miri) => current(heap),
        63..65 => crowd(heap),
        65..67 => disperse(heap),
        _ => {
            for _ in 0..3 {
                if one_in(2) {
                    allocate(heap);
                } else {
                    free(heap);
                }
            }
        }
    }
}

fn limits(heap: &Heap) {
    /// Looks in the end, also if an act unwinds.
    struct Looked<'a>(&'a Heap);
    impl Drop for Looked<'_> {
        fn drop(&mut self) {
            is_within_its_limit(self.0);
        }
    }
    let limit = random(|random| random.limit());
    let what = below(8);
    say(&format!("limits {what}, {limit:?}"));
    match what {
        0 => {
            heap.collect();
        }
        1 => {
            heap.trim();
        }
        2 => {
            is_within_its_limit(heap);
            // Mostly one that is soon met.
            let near = Limit::Bytes(heap.real_usage().saturating_add(below(1_500_000 / SCALE)));
            let limit = if one_in(4) { limit } else { near };
            // May be refused: more is held.
            _ = heap.set_limit(limit);
            is_within_its_limit(heap);
        }
        3 | 4 => heap.set_soft_limit(limit),
        5 => {
            is_within_its_limit(heap);
            heap.with_limit(limit, |heap| {
                let _end = Looked(heap);
                some_acts(heap, 5);
            });
        }
        6 => heap.open_reserve(),
        _ => {
            heap.close_reserve();
        }
    }
}

fn samples(heap: &Heap) {
    let what = below(4);
    say(&format!("samples {what}"));
    match what {
        0 if kind().samples => {
            let sampling = random(|random| random.sampling());
            // May be refused: there is no memory.
            _ = heap.start_sampling(sampling);
        }
        1 => heap.stop_sampling(),
        2 => {
            let shown = Cell::new(0);
            heap.profile(&mut |profile| {
                shown.set(shown.get() + 1);
                assert!(profile.live.bytes >= 0.0 && profile.at.line() < u32::MAX);
                if shown.get() < 3 && one_in(3) {
                    act(heap);
                }
            });
        }
        _ => {
            let mut text = String::new();
            let measure = [Measure::LiveBytes, Measure::AllocatedCount][below(2)];
            heap.write_collapsed(measure, &mut text)
                .expect("a text takes anything");
        }
    }
}

/// What only looks.
fn looks(heap: &Heap) {
    let what = below(6);
    say(&format!("looks {what}"));
    match what {
        0 => heap.check().expect("the heap is whole"),
        1 => assert_eq!(heap.check_blocks(), 0),
        2 => {
            let figures = heap.figures();
            assert!(figures.real_usage >= figures.usage && figures.peak >= figures.usage);
            assert!(figures.real_peak >= figures.real_usage);
            let blocks = world(|world| world.blocks.borrow().iter().map(|block| block.size).sum());
            assert!(
                figures.usage >= blocks,
                "{} for {blocks} bytes",
                figures.usage
            );
        }
        3 => {
            let size = random(|random| random.size());
            heap.has_room_for(size);
            heap.owns(ptr::without_provenance(size));
        }
        4 => heap.reset_peaks(),
        _ => {
            // SAFETY: the heap outlives the view; both are on this thread.
            let view = unsafe { Heap::view(heap.as_raw()) };
            assert_eq!(view.usage(), heap.usage());
            assert_eq!(view.debug_figures().is_some(), kind().debug);
            view.silence_leaks(one_in(2));
        }
    }
}

/// Walks over the heap, and uses it meanwhile.
fn at_rest(heap: &Heap) {
    if one_in(3) {
        say("leaks");
        heap.leaks(&mut |leaks| {
            let _at_rest = AtRest::begin();
            let before = leaks.total();
            let mut text = String::new();
            leaks.write_text(&mut text).expect("a text takes anything");
            leaks.write_json(&mut text).expect("a text takes anything");
            if one_in(3) {
                act(heap);
            }
            assert_eq!(leaks.total(), before);
        });
        return;
    }
    say("walk");
    let before = world(|world| world.blocks.borrow().clone());
    let mut found = BTreeMap::new();
    let shown = Cell::new(0);
    heap.walk(&mut |item| {
        let _at_rest = AtRest::begin();
        if let Item::Block { address, size } = item {
            assert!(found.insert(address, size).is_none(), "{address:#x} twice");
        }
        shown.set(shown.get() + 1);
        if shown.get() < 5 && one_in(4) {
            act(heap);
        }
        if kind().unwinds && one_in(500) {
            unwind();
        }
    });
    // A heap that is at rest already shows nothing; in debug mode there is more around blocks.
    if shown.get() > 0 && !kind().debug {
        for block in before {
            let size = found.get(&block.start.addr().get());
            assert!(
                size.is_some_and(|&size| size >= block.size),
                "{block:?}: {size:?}"
            );
        }
    }
}

/// Values and containers in the heap.
fn values(heap: &Heap) {
    let what = below(4);
    say(&format!("values {what}"));
    match what {
        0 => {
            let text = vec![7u8; below(100)];
            if let Ok(boxed) = heap.try_boxed(text) {
                some_acts(heap, 2);
                assert!(boxed.iter().all(|&byte| byte == 7));
            }
        }
        1 => {
            let fill = |number| {
                if one_in(8) {
                    act(heap);
                }
                number
            };
            if let Ok(numbers) = heap.try_alloc_slice_with(below(40), fill) {
                assert!(numbers.iter().enumerate().all(|(at, &number)| at == number));
                let layout = Layout::for_value(numbers);
                keep(heap, NonNull::from(numbers).cast(), layout, false);
            }
        }
        2 => {
            let text = [7; 100];
            let text = &text[..below(100)];
            if let Ok(bytes) = heap.try_alloc_slice(text) {
                act(heap);
                assert_eq!(bytes, text);
                let layout = Layout::for_value(bytes);
                keep(heap, NonNull::from(bytes).cast(), layout, false);
            }
        }
        _ => {
            let mut numbers = HeapVec::new_in(heap.here());
            for number in 0..below(600) {
                if numbers.try_reserve(1).is_err() {
                    break;
                }
                numbers.push(number);
                if one_in(60) {
                    act(heap);
                }
            }
            assert!(numbers.iter().enumerate().all(|(at, &number)| at == number));
        }
    }
}

fn observers(heap: &Heap) {
    say("observe");
    if one_in(2) {
        heap.observe(&Watcher, || some_acts(heap, 8));
        return;
    }
    /// Takes a node away, also if an act unwinds. (The node is not in here: no `&mut` may lead to it meanwhile.)
    struct Added<'a>(&'a Heap, &'a ObserverNode);
    impl Drop for Added<'_> {
        fn drop(&mut self) {
            self.0.remove_observer(self.1);
        }
    }
    let node = ObserverNode::new(&Watcher);
    let added = Added(heap, &node);
    // SAFETY: the node and its observer live until it is taken away.
    unsafe { heap.add_observer(added.1) };
    some_acts(heap, 8);
}

/// The thread's current heap.
fn current(heap: &Heap) {
    say("scope");
    emalloc::scope(heap, || act(heap));
    let Ok(other) = Heap::builder().segment_size(64 << 10).build() else {
        return;
    };
    emalloc::scope(&other, || {
        let block = emalloc::emalloc(below(5000));
        act(heap);
        // SAFETY: it is alive, and used no more where it was.
        let block = unsafe { emalloc::erealloc(block, below(90_000)) };
        // SAFETY: it is alive, and used no more.
        unsafe { emalloc::efree(block) };
    });
}

fn some_acts(heap: &Heap, end: usize) {
    for _ in 0..below(end) {
        act(heap);
    }
}
