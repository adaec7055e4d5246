//! What a heap tells in numbers, and what is told of a request before it is made.

use std::sync::Arc;

use emalloc::heap::{Explained, Figures, Heap, Limit, explain};
use emalloc::layout::{MAX_SEGMENT, MIN_SEGMENT, PAGE};
use emalloc::size_class::{CLASSES, SMALL_MAX, size_of_class};
use emalloc::storage::{Counting, Malloc};

const SEGMENT: usize = 64 << 10;

fn heap() -> (Arc<Counting<Malloc>>, Heap) {
    let counting = Arc::new(Counting::new(Malloc));
    let heap = Heap::builder()
        .storage(Arc::clone(&counting))
        .segment_size(SEGMENT)
        .build()
        .unwrap();
    (counting, heap)
}

#[test]
fn everything_in_numbers() {
    let (_, heap) = heap();
    let empty = heap.figures();
    assert_eq!(
        (empty.version, empty.size as usize),
        (1, size_of::<Figures>())
    );
    assert_eq!(
        (empty.usage, empty.real_usage, empty.segment_size),
        (0, SEGMENT, SEGMENT)
    );
    assert_eq!(
        (
            empty.segments,
            empty.huge_blocks,
            empty.cached,
            empty.free_small
        ),
        (1, 0, 0, 0)
    );
    assert_eq!(
        (empty.longest_free_run, empty.fragmentation),
        (empty.free_pages, 1.0)
    );

    let blocks: Vec<_> = (0..10).map(|_| heap.allocate(1000)).collect();
    let large = heap.allocate(3 * PAGE);
    heap.allocate(PAGE);
    let huge = heap.allocate(100_000);
    for block in &blocks[..3] {
        // SAFETY: allocated above, freed once.
        unsafe { heap.free(*block) };
    }
    // SAFETY: allocated above.
    let (huge_size, ()) = unsafe { (heap.usable_size(huge).unwrap(), heap.free(large)) };
    let figures = heap.figures();
    let usage = 7 * 1024 + PAGE + huge_size;
    assert_eq!(
        (figures.usage, figures.peak),
        (usage, usage + 3 * 1024 + 3 * PAGE)
    );
    assert_eq!((figures.segments, figures.huge_blocks), (1, 1));
    assert_eq!(figures.real_usage, heap.real_usage());
    // Three runs of four blocks.
    let class = figures
        .classes
        .iter()
        .find(|class| class.block_size == 1024)
        .unwrap();
    assert_eq!((class.runs, class.blocks, class.live), (3, 12, 7));
    assert_eq!(
        figures
            .classes
            .iter()
            .map(|class| class.blocks)
            .sum::<usize>(),
        12
    );
    assert_eq!(figures.free_small, 5 * 1024);
    assert_eq!(empty.free_pages - figures.free_pages, 4 * PAGE);
    assert_eq!(figures.longest_free_run, figures.free_pages - 3 * PAGE);
    let unused = (figures.real_usage - usage) as f64;
    assert!((figures.fragmentation - unused / figures.real_usage as f64).abs() < 1e-9);
    for (number, class) in figures.classes.iter().enumerate() {
        assert_eq!(class.block_size, size_of_class(number));
    }
}

#[test]
fn empty_segments_are_cached() {
    let (_, heap) = heap();
    let mut blocks = Vec::new();
    while heap.figures().segments < 2 {
        blocks.push(heap.allocate(10 * PAGE));
    }
    assert_eq!(heap.figures().cached, 0);
    // SAFETY: allocated above, freed once.
    unsafe { heap.free(blocks.pop().unwrap()) };
    assert_eq!(heap.figures().cached, SEGMENT);
}

#[test]
fn the_longest_run_is_what_is_served_without_the_storage() {
    let (counting, heap) = heap();
    for size in [100, 3 * PAGE, 2 * PAGE] {
        heap.allocate(size);
        let before = counting.counts();
        let longest = heap.figures().longest_free_run;
        let block = heap.allocate(longest);
        assert_eq!(counting.counts(), before);
        // SAFETY: just allocated.
        unsafe { heap.free(block) };
        let block = heap.allocate(longest + 1);
        assert_eq!(counting.counts().allocated, before.allocated + 1);
        // SAFETY: just allocated.
        unsafe { heap.free(block) };
        heap.trim();
    }
}

#[test]
fn a_request_is_served_as_explained() {
    for near_a_limit in [false, true] {
        served_as_explained(near_a_limit);
    }
    for segment in [MIN_SEGMENT, 2 << 20, MAX_SEGMENT] {
        assert_eq!(explain(usize::MAX, segment), Explained::TooLarge);
        assert_eq!(explain(isize::MAX as usize, segment), Explained::TooLarge);
    }
    // Sizes of segments that no heap has.
    for (segment, next) in [
        (0, MIN_SEGMENT),
        (PAGE, MIN_SEGMENT),
        (3 * SEGMENT, 4 * SEGMENT),
        (usize::MAX, MAX_SEGMENT),
    ] {
        for size in [100, 5000, 200 << 10, MAX_SEGMENT] {
            assert_eq!(explain(size, segment), explain(size, next), "{segment}");
        }
    }
}

/// Near a limit a grant has no byte to spare, else an eighth.
fn served_as_explained(near_a_limit: bool) {
    let sizes = (0..=SMALL_MAX + 1)
        .step_by(7)
        .chain([0, 1, 8, SMALL_MAX, SMALL_MAX + 1])
        .chain((1..40).flat_map(|pages| [pages * PAGE - 1, pages * PAGE, pages * PAGE + 1]));
    let (counting, heap) = heap();
    if near_a_limit {
        heap.set_soft_limit(Limit::Bytes(1));
    }
    for size in sizes {
        let before = counting.counts().live_bytes;
        let block = heap.allocate(size);
        let granted = counting.counts().live_bytes - before;
        // SAFETY: just allocated.
        let usable = unsafe { heap.usable_size(block) }.unwrap();
        let explained = explain(size, SEGMENT);
        let is_huge = matches!(explained, Explained::Huge { .. });
        assert_eq!(heap.figures().huge_blocks, usize::from(is_huge), "{size}");
        match explained {
            Explained::Small {
                class,
                block_size,
                run_pages,
                blocks_per_run,
                run_waste,
            } => {
                assert_eq!((block_size, size_of_class(class)), (usable, usable));
                assert_eq!(run_pages * PAGE, blocks_per_run * block_size + run_waste);
                assert!(run_waste < block_size && class < CLASSES);
                let runs = heap.figures().classes[class];
                assert_eq!(runs.blocks, runs.runs * blocks_per_run);
            }
            Explained::Large { pages, size } => {
                assert_eq!((pages * PAGE, size), (usable, usable));
                assert!(granted == 0 || granted == SEGMENT);
            }
            Explained::Huge { header, size } => {
                assert_eq!(size - header, usable);
                let most = if near_a_limit { size } else { size + size / 8 };
                assert!((size..=most).contains(&granted), "{granted} for {size}");
            }
            other => panic!("{size}: {other:?}"),
        }
        // SAFETY: just allocated.
        unsafe { heap.free(block) };
        heap.collect();
    }
}
