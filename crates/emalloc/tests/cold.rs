//! Large heaps, whose runs of small blocks are hot or cold: blocks come back by the run they lie in, whatever the order
//! in which they were freed, and nothing is lost or handed out twice.

mod common;
#[path = "common/handlers.rs"]
mod handlers;

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;

use common::model::Model;
use emalloc::heap::{Builder, FaultKind, Heap, Limit, Sampling};

use emalloc::layout::PAGE;
use emalloc::storage::Malloc;
use handlers::{Telling, What, told};

const SEGMENT: usize = 64 << 10;

fn builder() -> Builder<Malloc> {
    Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .large_from(2 * SEGMENT)
}

fn heap() -> Heap {
    builder().build().unwrap()
}

/// Numbers without a pattern.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % most
    }

    fn shuffle<T>(&mut self, all: &mut [T]) {
        for last in (1..all.len()).rev() {
            all.swap(last, self.below(last + 1));
        }
    }
}

fn free(heap: &Heap, block: NonNull<u8>) {
    // SAFETY: a block of this heap that nobody uses any more.
    unsafe { heap.free(block) };
}

fn pages(blocks: &[NonNull<u8>]) -> usize {
    let pages = blocks.iter().map(|block| block.addr().get() / PAGE);
    pages.collect::<BTreeSet<_>>().len()
}

#[test]
fn blocks_freed_in_no_order_are_handed_out_page_by_page() {
    let heap = heap();
    let mut blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    let usage = heap.usage();
    Numbers(1).shuffle(&mut blocks);
    for &block in &blocks {
        free(&heap, block);
    }
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
    let again: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    assert_eq!(heap.usage(), usage);
    let distinct: BTreeSet<_> = again.iter().collect();
    assert_eq!(distinct.len(), again.len());
    // 64 blocks make a page. Where lists led all over the heap, 256 blocks would be in some 150 of its 313 pages.
    for some in again.chunks(256) {
        assert!(pages(some) <= 20, "{}", pages(some));
    }
    heap.check().unwrap();
}

#[test]
fn a_heap_finds_the_runs_that_are_free_before_it_grows() {
    let heap = heap();
    let mut blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    Numbers(2).shuffle(&mut blocks);
    let held = heap.real_usage();
    for &block in &blocks {
        free(&heap, block);
    }
    // Another class has all of it but what is hot or in the nursery.
    for _ in 0..9_000 {
        heap.allocate(128);
    }
    assert!(heap.real_usage() <= held);
    heap.check().unwrap();
}

/// An eighth of blocks: if none stayed free, nothing would ever be in the runs that are cold.
const FEW: usize = 2_500;

/// Blocks of which any one was freed and allocated anew, 200,000 times, while `unused` of 20,000 places stayed free. (No look at
/// the heap: runs are cold after it.)
fn churned(heap: &Heap, numbers: &mut Numbers, unused: usize) -> Vec<NonNull<u8>> {
    let mut blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    if unused > FEW {
        numbers.shuffle(&mut blocks);
    }
    for block in blocks.drain(..unused) {
        free(heap, block);
    }
    for _ in 0..200_000 {
        let place = numbers.below(blocks.len());
        free(heap, blocks[place]);
        blocks[place] = heap.allocate(64);
    }
    blocks
}

/// How many of 800 blocks that are freed at random, eight at a time, are those allocated next.
fn back_at_once(unused: usize) -> usize {
    let heap = heap();
    let mut numbers = Numbers(5);
    let mut blocks = churned(&heap, &mut numbers, unused);
    let usage = heap.usage();
    let mut at_once = 0;
    for _ in 0..100 {
        let freed: BTreeSet<_> = (0..8)
            .map(|_| blocks.swap_remove(numbers.below(blocks.len())))
            .collect();
        freed.iter().for_each(|&block| free(&heap, block));
        let again: Vec<_> = (0..8).map(|_| heap.allocate(64)).collect();
        at_once += again.iter().filter(|block| freed.contains(block)).count();
        blocks.extend(again);
    }
    assert_eq!(heap.usage(), usage);
    heap.check().unwrap();
    at_once
}

#[test]
fn where_blocks_die_at_random_they_come_back_at_once() {
    let at_once = back_at_once(FEW);
    // Where no more runs became hot it was 43.
    assert!(at_once >= 700, "{at_once}");
}

#[test]
fn where_most_of_a_heap_is_free_and_blocks_die_at_random_they_come_back_at_once_too() {
    let at_once = back_at_once(12_000);
    // Where runs that came back nearly free made no more of them hot it was 102.
    assert!(at_once >= 400, "{at_once}");
}

#[test]
fn runs_that_are_free_are_found_where_blocks_died_at_random_before() {
    let heap = heap();
    let mut blocks = churned(&heap, &mut Numbers(6), FEW);
    let held = heap.real_usage();
    Numbers(7).shuffle(&mut blocks);
    blocks.iter().for_each(|&block| free(&heap, block));
    for _ in 0..9_000 {
        heap.allocate(128);
    }
    assert!(heap.real_usage() <= held);
    heap.check().unwrap();
}

#[test]
fn churn_in_a_large_heap_keeps_every_block_whole() {
    for seed in 0..4 {
        let sampled = seed % 2 == 1;
        let heap = match sampled {
            true => Heap::builder().sampling(Sampling::every(2000)),
            false => Heap::builder(),
        };
        let heap = heap
            .segment_size(SEGMENT)
            .large_from(3 * SEGMENT)
            .build()
            .unwrap();
        let mut model = Model::new(heap);
        let mut numbers = Numbers(seed);
        let size = |numbers: &mut Numbers| match numbers.below(20) {
            0 => numbers.below(20_000),
            1..4 => numbers.below(3072),
            _ => 8 + 8 * numbers.below(6),
        };
        for round in 0..24 {
            // It grows and shrinks; most blocks die young, others in no order.
            for _ in 0..1500 {
                let layout = Layout::from_size_align(size(&mut numbers), 8).unwrap();
                let index = model.allocate(layout, false).unwrap();
                match numbers.below(8) {
                    0..4 => model.free(index, numbers.below(2) == 0),
                    4 => {
                        let other = numbers.below(model.blocks.len());
                        model.resize(other, size(&mut numbers)).unwrap();
                    }
                    _ => {}
                }
            }
            if round % 4 == 3 {
                // In no order, or those first that were allocated first.
                let in_order = numbers.below(2) == 0;
                for last in (model.blocks.len() / 10..model.blocks.len()).rev() {
                    let index = if in_order {
                        last
                    } else {
                        numbers.below(last + 1)
                    };
                    model.free(index, numbers.below(2) == 0);
                }
            }
            match round % 6 {
                1 => drop(model.heap.collect()),
                2 => model.heap.check().unwrap(),
                3 => model.verify_walk(),
                4 => {
                    let figures = model.heap.figures();
                    let small = |block: &&common::model::Block| block.usable <= 3072;
                    let live: usize = figures.classes.iter().map(|class| class.live).sum();
                    assert_eq!(live, model.blocks.iter().filter(small).count());
                }
                _ => {}
            }
            if round == 11 {
                model.reset();
            }
        }
        model.heap.check().unwrap();
    }
}

#[test]
fn a_limit_is_met_with_what_cold_runs_hold() {
    let heap = heap();
    let blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    heap.set_limit(Limit::Bytes(heap.real_usage())).unwrap();
    for &block in &blocks {
        free(&heap, block);
    }
    let block = heap.try_allocate(10 * PAGE).unwrap();
    free(&heap, block);
    heap.check().unwrap();
}

#[test]
fn a_block_freed_twice_in_a_row_in_a_cold_run_is_reported() {
    let heap = heap();
    let blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    for sized in [false, true] {
        let block = blocks[5000 + usize::from(sized)];
        let layout = Layout::from_size_align(64, 8).unwrap();
        // SAFETY: alive, then a fault that is reported, since nothing was freed in that run in between.
        let [first, second] = [(); 2].map(|()| unsafe {
            match sized {
                true => heap.try_free_sized(block, layout),
                false => heap.try_free(block),
            }
        });
        assert!(first.is_ok());
        let fault = second.unwrap_err();
        assert_eq!(fault.kind, FaultKind::DoubleFree { block_size: 64 });
    }
    heap.check().unwrap();
}

/// Blocks of three classes, as they come when they are freed as they were allocated: run by run.
fn built(heap: &Heap) -> Vec<NonNull<u8>> {
    let size = |number: usize| [64, 40, 320][number % 3];
    (0..15_000)
        .map(|number| heap.allocate(size(number)))
        .collect()
}

#[test]
fn a_heap_in_which_runs_are_freed_one_after_the_other_is_sound_at_any_time() {
    for pause in [1, 37, 500] {
        let heap = heap();
        let blocks = built(&heap);
        let mut usage = heap.usage();
        for (number, &block) in blocks.iter().enumerate() {
            // SAFETY: alive.
            usage -= unsafe { heap.usable_size(block) }.unwrap();
            free(&heap, block);
            // (What is allocated meanwhile comes out of the runs that are being freed.)
            if number % 11 == 0 {
                usage += 64;
                heap.allocate(64);
            }
            assert_eq!(heap.usage(), usage);
            if number % (977 * pause) == 0 {
                let live = heap.figures().classes.iter().map(|class| class.live).sum();
                let small = blocks.len() - number - 1 + number / 11 + 1;
                assert_eq!((live, heap.check()), (small, Ok(())));
            }
        }
        heap.check().unwrap();
    }
}

#[test]
fn a_block_freed_twice_in_a_row_is_reported_wherever_runs_are_opened_and_closed() {
    let heap = heap();
    for (number, block) in built(&heap).into_iter().enumerate() {
        // SAFETY: alive, then a fault that is reported, since nothing was freed in between.
        let [first, second] = [(); 2].map(|()| unsafe { heap.try_free(block) });
        assert!(first.is_ok());
        assert!(
            matches!(second.unwrap_err().kind, FaultKind::DoubleFree { .. }),
            "{number}"
        );
    }
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
}

#[test]
fn a_block_freed_alone_in_a_run_that_was_opened_for_it_is_handed_out_again() {
    let heap = heap();
    let blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
    // Cold runs of a page each.
    let begins = |block: &NonNull<u8>| block.addr().get().is_multiple_of(PAGE);
    let first = 5000 + blocks[5000..].iter().position(begins).unwrap();
    let run = |number: usize| &blocks[first + number * PAGE / 64..][..PAGE / 64];
    // The first one was worth opening, which is known when the second one is: so the third is opened with its first block.
    for number in [0, 1] {
        run(number).iter().for_each(|&block| free(&heap, block));
    }
    let alone = [2, 3, 4].map(|number| run(number)[0]);
    // (Not checked in between: after that no run is cold for a while.)
    alone.iter().for_each(|&block| free(&heap, block));
    let mut missing = BTreeSet::from(alone);
    for _ in 0..10 * PAGE / 64 {
        missing.remove(&heap.allocate(64));
    }
    assert!(missing.is_empty(), "{missing:?}");
    heap.check().unwrap();
}

#[test]
fn a_handler_is_told_of_a_block_freed_twice_in_a_row_in_any_run() {
    let heap = builder().handler(Telling).build().unwrap();
    for (number, block) in built(&heap).into_iter().enumerate() {
        free(&heap, block);
        // Telling costs the most.
        if number % 7 == 0 {
            let told = told(|| free(&heap, block));
            let is_it = |what: &What| matches!(what, What::Fault(fault) if matches!(fault.kind, FaultKind::DoubleFree { .. }));
            assert!(is_it(&told.what), "{number}: {told:?}");
        }
    }
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
}

#[test]
fn a_broken_link_is_found_on_whichever_list_a_block_is() {
    let heap = heap();
    let mut blocks = built(&heap);
    // The last ones are hot; then runs are opened and closed, and each class is left with one that is open.
    blocks.rotate_right(300);
    blocks.truncate(9_000);
    blocks.iter().for_each(|&block| free(&heap, block));
    for block in blocks.iter().step_by(7).chain(blocks.last()) {
        let link = block.cast::<usize>();
        // SAFETY: a free block's first word, which nobody else looks at but the heap; it is as it was afterwards.
        let sound = unsafe { link.replace(block.addr().get() + 4) };
        assert!(heap.check().is_err());
        // SAFETY: as above.
        unsafe { link.write(sound) };
    }
    heap.check().unwrap();
}

#[test]
fn runs_freed_one_after_the_other_are_found_before_the_heap_grows() {
    let heap = heap();
    let blocks = built(&heap);
    let held = heap.real_usage();
    blocks.iter().for_each(|&block| free(&heap, block));
    // But for what is hot, all of it is found.
    (0..held / 1024 * 2 / 3).for_each(|_| _ = heap.allocate(1024));
    assert!(heap.real_usage() <= held);
    heap.check().unwrap();
}

#[test]
fn a_heap_is_small_again_after_a_reset() {
    let mut heap = heap();
    for round in 0..3 {
        let blocks: Vec<_> = (0..20_000).map(|_| heap.allocate(64)).collect();
        for &block in blocks.iter().rev().take(10_000) {
            free(&heap, block);
        }
        heap.check().unwrap();
        heap.reset();
        heap.check().unwrap();
        // What was freed last comes first in a small heap.
        let few = [heap.allocate(64), heap.allocate(64), heap.allocate(64)];
        free(&heap, few[0]);
        free(&heap, few[2]);
        assert_eq!(
            [heap.allocate(64), heap.allocate(64)],
            [few[2], few[0]],
            "{round}"
        );
    }
}
