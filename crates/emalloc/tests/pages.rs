//! Finding pages: neighbours join, blocks grow and shrink where they stand, the storage is asked only when no run is
//! long enough, and none of it slows down as segments grow in number.

mod common;

use std::alloc::Layout;
use std::collections::BTreeSet;
use std::ptr::NonNull;

use common::model::Model;
use common::probe::{assert_all_returned, on, probe};
use emalloc::heap::{Heap, Limit, PageUse};
use emalloc::layout::PAGE;
use emalloc::storage::Malloc;

const SEGMENT: usize = 64 << 10;

fn heap() -> Heap {
    Heap::builder()
        .storage(Malloc)
        .segment_size(SEGMENT)
        .build()
        .unwrap()
}

fn pages(count: usize) -> Layout {
    Layout::from_size_align(count * PAGE, 8).unwrap()
}

/// Pages of each free run, by address.
fn free_runs(heap: &Heap) -> Vec<usize> {
    let mut runs = Vec::new();
    heap.walk(&mut |item| {
        if let emalloc::heap::Item::Run {
            size,
            holds: PageUse::Free,
            ..
        } = item
        {
            runs.push(size / PAGE);
        }
    });
    runs
}

/// Pages that one segment has for blocks.
fn room(heap: &Heap) -> usize {
    heap.figures().free_pages / PAGE
}

#[test]
fn neighbours_join_in_every_order() {
    let orders = [
        [0, 1, 2],
        [0, 2, 1],
        [1, 0, 2],
        [1, 2, 0],
        [2, 0, 1],
        [2, 1, 0],
    ];
    for order in orders {
        for lengths in [[1, 1, 1], [1, 2, 3], [3, 1, 1], [2, 1, 4]] {
            let mut model = Model::new(heap());
            let whole = room(&model.heap);
            let mut live: Vec<usize> = lengths.to_vec();
            for length in lengths {
                model.allocate(pages(length), false).unwrap();
            }
            let rest = whole - lengths.iter().sum::<usize>();
            for position in order {
                let starts: BTreeSet<_> = model.blocks.iter().map(|block| block.start).collect();
                let number = (0..3)
                    .filter(|other| live[*other] == 0 && *other < position)
                    .count();
                let start = *starts.iter().nth(position - number).unwrap();
                model.free(model.index_of(start), false);
                live[position] = 0;
                model.verify();
                // What is free between the live ones.
                let mut expected = Vec::new();
                let mut run = 0;
                for (length, now) in lengths.iter().zip(&live) {
                    if *now == 0 {
                        run += length;
                    } else if run > 0 {
                        expected.push(std::mem::take(&mut run));
                    }
                }
                expected.push(run + rest);
                assert_eq!(
                    free_runs(&model.heap),
                    expected,
                    "{lengths:?} freed as {order:?}"
                );
            }
        }
    }
}

#[test]
fn grows_into_the_pages_behind() {
    for checked in [false, true] {
        let heap = Heap::builder()
            .storage(Malloc)
            .segment_size(SEGMENT)
            .checked(checked)
            .build()
            .unwrap();
        let mut model = Model::new(heap);
        let whole = room(&model.heap);
        model.allocate(pages(2), false).unwrap();
        let start = model.blocks[0].start;
        for count in [3, 5, whole - 1, whole] {
            model.resize(0, count * PAGE - 5).unwrap();
            assert_eq!(
                (model.blocks[0].start, model.blocks[0].usable),
                (start, count * PAGE)
            );
            assert_eq!(free_runs(&model.heap).iter().sum::<usize>(), whole - count);
            model.verify();
        }
        for count in [whole - 1, 7, 1] {
            model.resize(0, count * PAGE).unwrap();
            assert_eq!(
                (model.blocks[0].start, model.blocks[0].usable),
                (start, count * PAGE)
            );
            assert_eq!(free_runs(&model.heap), [whole - count]);
            model.verify();
        }
        // A block behind is in the way, until it is freed: then its pages are enough, but one more is not.
        model.allocate(pages(3), false).unwrap();
        let behind = model.blocks[1].start;
        model.allocate(pages(1), false).unwrap();
        let index = model.index_of(start);
        model.resize(index, 2 * PAGE).unwrap();
        let moved = model.blocks.last().unwrap().start;
        assert_ne!(moved, start);
        model.free(model.index_of(moved), false);
        model.allocate(pages(1), false).unwrap();
        assert_eq!(
            model.blocks.last().unwrap().start,
            start,
            "the shortest run"
        );
        model.free(model.index_of(behind), false);
        model.resize(model.index_of(start), 4 * PAGE).unwrap();
        assert_eq!(model.blocks.last().unwrap().start, start);
        model.resize(model.index_of(start), 5 * PAGE).unwrap();
        assert_ne!(model.blocks.last().unwrap().start, start);
        model.verify();
        model.verify_walk();
    }
}

#[test]
fn a_last_run_does_not_grow_beyond_its_segment() {
    let probe = probe(Malloc);
    let heap = on(&probe, SEGMENT).build().unwrap();
    let mut model = Model::new(heap);
    let whole = room(&model.heap);
    model.allocate(pages(whole), false).unwrap();
    // The next segment may well lie right behind.
    for _ in 0..4 {
        model.allocate(pages(1), false).unwrap();
        let most = pages(room(&model.heap)).size();
        model
            .allocate(Layout::from_size_align(most, 8).unwrap(), false)
            .unwrap();
    }
    for index in (0..model.blocks.len()).rev() {
        let pages = model.blocks[index].usable / PAGE;
        model.resize(index, (pages + 1) * PAGE).unwrap();
        model.verify();
    }
    drop(model);
    assert_all_returned(&probe);
}

#[test]
fn a_shrunk_block_gives_its_tail_to_its_neighbour() {
    let mut model = Model::new(heap());
    let whole = room(&model.heap);
    for count in [5, 2, 1] {
        model.allocate(pages(count), false).unwrap();
    }
    model.free(1, false);
    assert_eq!(free_runs(&model.heap), [2, whole - 8]);
    model.resize(0, 3 * PAGE).unwrap();
    assert_eq!(free_runs(&model.heap), [4, whole - 8]);
    model.verify();
}

#[test]
fn runs_that_fit_are_used_before_longer_ones() {
    let mut model = Model::new(heap());
    let whole = room(&model.heap);
    let lengths = [2, 1, 3, 1, 1, 1];
    for count in lengths {
        model.allocate(pages(count), false).unwrap();
    }
    let starts: Vec<_> = model.blocks.iter().map(|block| block.start).collect();
    for start in [starts[0], starts[2], starts[4]] {
        model.free(model.index_of(start), false);
    }
    let rest = whole - lengths.iter().sum::<usize>();
    assert_eq!(free_runs(&model.heap), [2, 3, 1, rest]);
    for (count, start) in [(1, starts[4]), (3, starts[2]), (2, starts[0])] {
        model.allocate(pages(count), false).unwrap();
        assert_eq!(model.blocks.last().unwrap().start, start);
    }
    assert_eq!(free_runs(&model.heap), [rest]);
}

#[test]
fn aligned_runs_leave_what_lies_before_them_free() {
    let mut model = Model::new(heap());
    let whole = room(&model.heap);
    model
        .allocate(Layout::from_size_align(PAGE, 4 * PAGE).unwrap(), false)
        .unwrap();
    let at = model.blocks[0].start.addr().get() % SEGMENT / PAGE;
    let first = SEGMENT / PAGE - whole;
    let expected: Vec<_> = [at - first, SEGMENT / PAGE - at - 1]
        .into_iter()
        .filter(|&count| count > 0)
        .collect();
    assert_eq!(free_runs(&model.heap), expected);
    model.verify();
    model.free(0, false);
    assert_eq!(free_runs(&model.heap), [whole]);
}

#[test]
fn as_long_as_they_fit_aligned_blocks_lie_in_segments() {
    let is_huge = |count: usize, align: usize| {
        let mut model = Model::new(heap());
        let layout = Layout::from_size_align(count * PAGE, align).unwrap();
        model.allocate(layout, false).unwrap();
        model.verify();
        model.heap.figures().huge_blocks == 1
    };
    let longest = (1..).find(|count| is_huge(*count, 8)).unwrap() - 1;
    assert_eq!(longest, SEGMENT / PAGE - 1);
    for step in [1, 2, 4, 8] {
        // The run is found with room to align it.
        let most = longest - (step - 1);
        assert!(!is_huge(most, step * PAGE), "{most} pages at {step}");
        assert!(
            is_huge(most + 1, step * PAGE),
            "{} pages at {step}",
            most + 1
        );
    }
    assert!(is_huge(1, SEGMENT) && is_huge(1, 4 * SEGMENT));
}

#[test]
fn collecting_finds_every_empty_run_of_small_blocks() {
    // Pages, by letter: an empty run of small blocks, a free page, a large block; one letter each.
    for pattern in [
        "efe", "efel", "fefe", "eefe", "lefel", "efefe", "efle", "feef", "eflfe", "efefel",
    ] {
        let heap = heap();
        let mut free = Vec::new();
        let mut gaps = Vec::new();
        let mut sizes = [8, 16, 32, 64].into_iter().cycle();
        let mut empty = 0;
        for letter in pattern.chars() {
            match letter {
                'e' => {
                    // A class of its own gets a run of its own, or several blocks that fill one.
                    let size = sizes.next().unwrap();
                    let count = PAGE / size;
                    free.extend((0..count).map(|_| heap.allocate(size)));
                    empty += 1;
                }
                'f' => gaps.push(heap.allocate(PAGE)),
                _ => drop(heap.allocate_layout(pages(1)).addr()),
            }
        }
        heap.allocate(PAGE);
        for block in gaps.into_iter().chain(free) {
            // SAFETY: allocated above, freed once.
            unsafe { heap.free(block) };
        }
        let collected = heap.collect();
        assert_eq!(collected.pages, empty * PAGE, "{pattern}");
        heap.check().unwrap();
        assert_eq!(heap.collect().pages, 0);
    }
}

#[test]
fn a_collected_run_may_be_of_several_pages_and_half_carved() {
    let heap = heap();
    let whole = room(&heap);
    // The class of 3072 bytes has runs of three pages, of which only some blocks are carved.
    let blocks = [heap.allocate(3072), heap.allocate(2560), heap.allocate(100)];
    for block in blocks {
        // SAFETY: just allocated.
        unsafe { heap.free(block) };
    }
    let free = room(&heap);
    assert_eq!(heap.collect().pages, (whole - free) * PAGE);
    assert_eq!(free_runs(&heap), [whole]);
    heap.check().unwrap();
    // With one block in use the run stays.
    heap.allocate(3072);
    assert_eq!(heap.collect().pages, 0);
    heap.check().unwrap();
}

#[test]
fn a_block_at_a_segments_border_does_not_cost_a_segment_each_time() {
    let probe = probe(Malloc);
    let heap = on(&probe, SEGMENT).build().unwrap();
    while heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
    // SAFETY: just allocated.
    unsafe { heap.free(heap.allocate(PAGE)) };
    let before = probe.counts();
    for _ in 0..100 {
        // SAFETY: just allocated.
        unsafe { heap.free(heap.allocate(PAGE)) };
    }
    assert_eq!(probe.counts(), before);
    // A second empty one is not kept.
    let blocks: Vec<_> = (0..3 * SEGMENT / PAGE)
        .map(|_| heap.allocate(PAGE))
        .collect();
    for block in blocks {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(block) };
    }
    assert_eq!(
        (heap.figures().segments, heap.figures().cached),
        (2, SEGMENT)
    );
}

#[test]
fn a_run_is_found_before_a_refusal_wherever_it_is() {
    // Many runs share a list, and only the one entered first is long enough.
    let segment = 1 << 20;
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(segment)
        .reserve(0)
        .build()
        .unwrap();
    let long = heap.allocate(79 * PAGE);
    let mut short: Vec<NonNull<u8>> = Vec::new();
    heap.allocate(PAGE);
    for _ in 0..40 {
        let block = heap.allocate(65 * PAGE);
        short.push(block);
        // So that it has no free neighbour later.
        let behind = block.addr().get() + 65 * PAGE;
        while !behind.is_multiple_of(segment) && heap.allocate(PAGE).addr().get() != behind {}
    }
    while heap.figures().free_pages > 0 {
        heap.allocate(PAGE);
    }
    // SAFETY: allocated above, each freed once.
    unsafe {
        heap.free(long);
        short.iter().for_each(|block| heap.free(*block));
    }
    // SAFETY: just allocated.
    unsafe { heap.free(heap.allocate(100)) };
    let free_small = heap.figures().free_small;
    heap.set_limit(Limit::Bytes(heap.real_usage())).unwrap();
    assert_eq!(heap.try_allocate(79 * PAGE), Ok(long));
    assert_eq!(
        heap.figures().free_small,
        free_small,
        "nothing had to be collected"
    );
    assert!(heap.try_allocate(66 * PAGE).is_err());
    heap.check().unwrap();
}

#[test]
fn a_list_that_grows_page_by_page_is_not_driven_through_the_segments() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(2 << 20)
        .build()
        .unwrap();
    let mut list = heap.allocate(PAGE);
    for count in 2..=500 {
        // SAFETY: the list is alive, and the old pointer is used no more.
        list = unsafe { heap.resize(list, count * PAGE) };
        // Something small between two steps, as a compiler has it.
        heap.allocate(2500);
    }
    // Where each of these is put behind the list, it moves ten times, leaves a hole each time and 31 MB are held.
    assert!(
        heap.real_usage() <= 2 * heap.usage(),
        "{} held for {}",
        heap.real_usage(),
        heap.usage()
    );
}

#[test]
fn a_text_that_grows_out_of_its_place_goes_where_it_can_grow_on() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(2 << 20)
        .build()
        .unwrap();
    // Blocks of a page keep the others apart.
    let first = heap.allocate(4 * PAGE);
    heap.allocate(PAGE);
    let hole = heap.allocate(8 * PAGE);
    heap.allocate(PAGE);
    let second = heap.allocate(4 * PAGE);
    heap.allocate(PAGE);
    // SAFETY: allocated above and freed once.
    unsafe { heap.free(hole) };
    let grow = |text, count| {
        // SAFETY: the text is alive, and the old pointer is used no more.
        let grown = unsafe { heap.resize(text, count * PAGE) };
        heap.check().unwrap();
        grown
    };
    let moved = grow(first, 8);
    assert_ne!(moved, hole, "it fits, but just so");
    // What is needed between two steps does not come in its way.
    heap.allocate(4 * PAGE);
    assert_eq!(grow(moved, 12), moved);

    // Where nothing has room to spare, a place that just fits is better than a new segment.
    heap.allocate(heap.figures().longest_free_run - 9 * PAGE);
    assert_eq!(grow(second, 8), hole);
    assert_eq!(heap.figures().segments, 1);
}
