//! Sampling: what samples tell is right for blocks of all sizes and all ways in and out; nothing of it is left when
//! it stops, and no figure knows of it.

use std::alloc::Layout;
use std::collections::BTreeMap;
use std::ptr::NonNull;
use std::sync::Arc;

use emalloc::heap::{
    Estimate, Event, Heap, Measure, ObserverNode, Relayed, Sampling, Site, SiteProfile,
};
use emalloc::layout::PAGE;
use emalloc::storage::{Counting, Malloc, StorageError};

const LAYOUT_ERROR: &str = "sizes of the tests are layouts";

/// The place that the tests say blocks of `size` bytes come from.
fn place(size: usize) -> Site<'static> {
    // SAFETY: a constant.
    unsafe { Site::from_c(c"place.c".as_ptr(), size as u32) }
}

/// Enough room for what the tests sample.
fn sampling(every: usize) -> Sampling {
    Sampling::every(every).memory(4 << 20)
}

fn heap(every: usize, checked: bool) -> Heap {
    Heap::builder()
        .checked(checked)
        .sampling(sampling(every))
        .build()
        .unwrap()
}

/// What is known of each place, by line.
fn profiles(heap: &Heap) -> BTreeMap<u32, SiteProfile> {
    let mut profiles = BTreeMap::new();
    let lost = heap.profile(&mut |profile| {
        assert_eq!(profiles.insert(profile.at.line(), *profile), None);
    });
    assert_eq!(lost, 0);
    profiles
}

/// The estimate is within seven times its standard deviation of `count` blocks of `size` bytes.
#[track_caller]
fn assert_near(estimate: Estimate, count: usize, size: usize, every: usize) {
    let likely = -(-(size as f64) / every as f64).exp_m1();
    let spread = 7.0 * (count as f64 * (1.0 - likely) / likely).sqrt() + 1e-6 * count as f64;
    let off = (estimate.count - count as f64).abs();
    assert!(off <= spread, "{estimate:?} for {count} of {size}");
    let bytes = estimate.count * size as f64;
    assert!(
        (estimate.bytes - bytes).abs() <= bytes * 1e-9,
        "{estimate:?}"
    );
}

/// Blocks as rounded by the heap, of all kinds, and how many of each.
const KINDS: [(usize, usize); 8] = [
    (8, 20_000),
    (56, 20_000),
    (512, 4000),
    (3072, 2000),
    (PAGE, 1000),
    (5 * PAGE, 200),
    (40 * PAGE, 20),
    (1 << 20, 8),
];

#[test]
fn estimates_are_right_for_all_sizes() {
    for checked in [false, true] {
        let every = 4000;
        let heap = heap(every, checked);
        let mut blocks = Vec::new();
        for (size, count) in KINDS {
            for _ in 0..count {
                blocks.push((heap.allocate_at(size, place(size)), size));
            }
        }
        // A huge block has what its segment leaves.
        let rounded: BTreeMap<_, _> = blocks
            .iter()
            // SAFETY: alive.
            .map(|block| (block.1, unsafe { heap.usable_size(block.0) }.unwrap()))
            .collect();
        let told = profiles(&heap);
        for (size, count) in KINDS {
            let profile = told[&(size as u32)];
            assert_near(profile.live, count, rounded[&size], every);
            assert_eq!((profile.allocated, profile.left.samples), (profile.live, 0));
        }
        heap.check().unwrap();
        // Every other one freed.
        for (block, _) in blocks.iter().step_by(2) {
            // SAFETY: alive, freed once.
            unsafe { heap.free(*block) };
        }
        heap.check().unwrap();
        for (&line, profile) in &profiles(&heap) {
            let (size, count) = KINDS
                .into_iter()
                .find(|kind| kind.0 == line as usize)
                .unwrap();
            assert_near(profile.live, count / 2, rounded[&size], every);
            assert_eq!(profile.allocated, told[&line].allocated);
        }
        for (block, _) in blocks.iter().skip(1).step_by(2) {
            // SAFETY: alive, freed once.
            unsafe { heap.free(*block) };
        }
        assert_eq!(heap.usage(), 0);
        for profile in profiles(&heap).values() {
            assert_eq!((profile.live.samples, profile.live.bytes), (0, 0.0));
        }
    }
}

#[test]
fn modes_may_come_and_go() {
    let every = 500;
    let heap = heap(every, false);
    let observer = |_: &Heap, _: &Event<'_>| ();
    let node = ObserverNode::new(&observer);
    let mut blocks = Vec::new();
    for round in 0..10 {
        if round == 3 {
            // SAFETY: node and observer live until it is removed.
            unsafe { heap.add_observer(&node) };
        }
        if round == 7 {
            assert!(heap.remove_observer(&node));
        }
        blocks.extend((0..2000).map(|_| heap.allocate_at(64, place(64))));
        heap.walk(&mut |_| ());
        for block in blocks.drain(..1000) {
            // SAFETY: alive, of that layout.
            unsafe { heap.free_sized(block, Layout::new::<[u64; 8]>()) };
        }
        assert_near(profiles(&heap)[&64].live, blocks.len(), 64, every);
        heap.check().unwrap();
    }
}

#[test]
fn blocks_freed_with_their_size_are_forgotten() {
    let heap = heap(100, false);
    for (size, _) in KINDS {
        let layout = Layout::from_size_align(size, 8).expect(LAYOUT_ERROR);
        let blocks: Vec<_> = (0..100).map(|_| heap.allocate_layout(layout)).collect();
        for block in blocks {
            // SAFETY: alive, of that layout.
            unsafe { heap.free_sized(block, layout) };
        }
    }
    assert_eq!(heap.usage(), 0);
    assert!(
        profiles(&heap)
            .values()
            .all(|profile| profile.live.samples == 0)
    );
    heap.check().unwrap();
}

#[test]
fn a_block_that_is_resized_counts_with_its_new_size() {
    let every = 1000;
    let heap = heap(every, false);
    let mut blocks = Vec::new();
    for _ in 0..300 {
        let mut block = heap.allocate_at(16, place(16));
        // Moved from class to class, then to pages, which grow in place or not; huge in the end.
        for size in [
            24,
            200,
            3000,
            PAGE,
            3 * PAGE,
            20 * PAGE,
            600 << 10,
            700 << 10,
        ] {
            // SAFETY: alive.
            block = unsafe { heap.resize_at(block, size, place(16)) };
        }
        blocks.push(block);
    }
    heap.check().unwrap();
    let profile = profiles(&heap)[&16];
    // So large that each is sampled, and for itself.
    assert_eq!(profile.live.samples, 300);
    assert_eq!(profile.live.bytes.round() as usize, heap.usage());
    for &block in &blocks {
        // SAFETY: alive.
        let block = unsafe { heap.resize_at(block, 40, place(16)) };
        // SAFETY: alive.
        unsafe { heap.free(block) };
    }
    assert_eq!((heap.usage(), profiles(&heap)[&16].live.samples), (0, 0));
}

#[test]
fn what_a_reset_finds_alive_was_left() {
    let every = 2000;
    let mut heap = heap(every, false);
    for _ in 0..50 {
        for _ in 0..1000 {
            let block = heap.allocate_at(64, place(64));
            heap.allocate_at(100, place(100));
            // SAFETY: alive.
            unsafe { heap.free(block) };
        }
        heap.reset();
        heap.check().unwrap();
    }
    let told = profiles(&heap);
    assert_eq!((told[&64].left.samples, told[&64].live.samples), (0, 0));
    assert_near(told[&64].allocated, 50_000, 64, every);
    assert_eq!(told[&100].live.samples, 0);
    assert_near(told[&100].left, 50_000, 104, every);
}

#[test]
fn nothing_is_left_when_it_stops() {
    let counting = Arc::new(Counting::new(Malloc));
    let heap = Heap::builder()
        .storage(Arc::clone(&counting))
        .build()
        .unwrap();
    assert_eq!(heap.sampling(), None);
    let held = counting.counts().live_bytes;
    let mut blocks: Vec<NonNull<u8>> = Vec::new();
    for round in 0..3 {
        heap.start_sampling(Sampling::every(100 + round)).unwrap();
        assert_eq!(heap.sampling(), Some(Sampling::every(100 + round)));
        blocks.extend((0..500).map(|number| heap.allocate(number % 200)));
        heap.check().unwrap();
    }
    let real = heap.real_usage();
    heap.stop_sampling();
    assert_eq!(heap.sampling(), None);
    assert_eq!(heap.profile(&mut |_| panic!("nothing is known")), 0);
    heap.check().unwrap();
    assert_eq!(
        (counting.counts().live_bytes - held, heap.real_usage()),
        (real - held, real)
    );
    for (number, block) in blocks.into_iter().enumerate() {
        let layout = Layout::from_size_align(number % 500 % 200, 8).expect(LAYOUT_ERROR);
        // SAFETY: alive, of that layout.
        unsafe { heap.free_sized(block, layout) };
    }
    assert_eq!(heap.usage(), 0);
    heap.check().unwrap();
    // A heap that ends while it takes samples gives all back, too.
    heap.start_sampling(Sampling::default()).unwrap();
    drop(heap);
    assert_eq!(counting.counts().live_bytes, 0);
}

#[test]
fn a_table_that_is_full_says_so() {
    let heap = Heap::new().unwrap();
    let tiny = Sampling::every(10).memory(8 << 10);
    heap.start_sampling(tiny).unwrap();
    for number in 0..3000 {
        heap.allocate_at(40, place(number));
    }
    let mut live = 0;
    let lost = heap.profile(&mut |profile| live += profile.live.samples);
    assert!(
        lost > 2000 && live > 50 && lost + live <= 3000,
        "{lost} lost, {live} known"
    );
    heap.check().unwrap();
    let none = Sampling::every(10).memory(1);
    #[cfg(target_pointer_width = "64")]
    assert!(heap.start_sampling(none).is_ok());
    heap.stop_sampling();
    assert!(matches!(
        heap.start_sampling(Sampling::default().memory(usize::MAX / 2)),
        Err(StorageError::Exhausted { .. })
    ));
    assert_eq!(heap.sampling(), None);
}

#[test]
fn the_peak_stays_exact() {
    let heap = heap(3000, false);
    let exact = Heap::new().unwrap();
    let mut blocks = Vec::new();
    for step in 0..20_000usize {
        let size = step * 7919 % 300;
        blocks.push((heap.allocate(size), exact.allocate(size)));
        if step % 3 == 0 {
            let (one, other) = blocks.swap_remove(step * 31 % blocks.len());
            // SAFETY: alive.
            unsafe { heap.free(one) };
            // SAFETY: alive.
            unsafe { exact.free(other) };
        }
        assert_eq!(heap.usage(), exact.usage());
        assert_eq!(heap.peak(), exact.peak());
    }
}

#[test]
fn collapsed_stacks() {
    let heap = heap(1, false);
    let relayed = Relayed {
        at: place(1),
        origin: place(2),
    };
    let blocks: Vec<_> = (0..3)
        .map(|_| heap.allocate_at(3072, Site::from(&relayed)))
        .collect();
    heap.allocate_at(PAGE, place(7));
    // SAFETY: alive.
    unsafe { heap.free(blocks[0]) };
    let written = |measure| {
        let mut text = String::new();
        heap.write_collapsed(measure, &mut text).unwrap();
        let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let relayed = |number: usize| format!("place.c:2;place.c:1 {number}");
    let plain = |number: usize| format!("place.c:7 {number}");
    assert_eq!(written(Measure::LiveBytes), [relayed(6144), plain(4096)]);
    assert_eq!(written(Measure::LiveCount), [relayed(2), plain(1)]);
    assert_eq!(
        written(Measure::AllocatedBytes),
        [relayed(9216), plain(4096)]
    );
    assert_eq!(written(Measure::AllocatedCount), [relayed(3), plain(1)]);
    assert_eq!(written(Measure::LeftBytes), [""; 0]);
}

#[test]
fn whoever_is_shown_the_places_may_end_the_sampling() {
    for again in [false, true] {
        let heap = heap(100, false);
        for line in 1..=20 {
            for _ in 0..20 {
                heap.allocate_at(100, place(line));
            }
        }
        assert!(profiles(&heap).len() > 10);
        let mut shown = 0;
        let lost = heap.profile(&mut |_| {
            shown += 1;
            match again {
                true => heap.start_sampling(sampling(100)).unwrap(),
                false => heap.stop_sampling(),
            }
        });
        assert_eq!((shown, lost), (1, 0));
        heap.check().unwrap();
    }
}

#[test]
fn a_block_that_an_observer_gets_where_the_resized_one_was_is_another_sample() {
    let heap = Heap::builder()
        .storage(Malloc)
        .segment_size(64 << 10)
        .sampling(sampling(1))
        .build()
        .unwrap();
    let others: Vec<_> = (0..200).map(|_| heap.allocate(3000)).collect();
    let block = heap.allocate_at(40, place(1));
    let taken = std::cell::Cell::new(None);
    let taking = |heap: &Heap, event: &Event<'_>| {
        if let Event::Resized { old, .. } = event {
            taken.set(Some(heap.allocate_at(40, place(2))));
            assert_eq!(taken.get(), Some(*old));
        }
    };
    // SAFETY: alive.
    let resized = heap.observe(&taking, || unsafe { heap.resize_at(block, 2500, place(3)) });
    let live = |heap: &Heap| profiles(heap)[&2].live.bytes;
    assert_eq!(live(&heap), 40.0);
    for block in others.into_iter().chain([resized]).chain(taken.get()) {
        // SAFETY: alive.
        unsafe { heap.free(block) };
    }
    assert_eq!(live(&heap), 0.0);
    // A sample that was left over would be looked for in a segment that is gone.
    heap.trim();
    heap.stop_sampling();
    heap.check().unwrap();
}

#[test]
fn a_sampled_large_block_is_found_among_others_until_it_is_freed() {
    for keep_buffer in [false, true] {
        let heap = Heap::builder()
            .segment_size(256 << 10)
            .keep_buffer(keep_buffer)
            .build()
            .unwrap();
        let plain = heap.allocate_at(3 * PAGE, place(1));
        heap.start_sampling(sampling(1)).unwrap();
        // Each is sampled from here on.
        let block = heap.allocate_at(3 * PAGE, place(3));
        let behind = heap.allocate_at(PAGE, place(4));
        for size in [3 * PAGE - 100, 2 * PAGE, 3 * PAGE] {
            // SAFETY: alive, and its pages are free for it.
            assert_eq!(unsafe { heap.resize_at(block, size, place(3)) }, block);
            heap.check().unwrap();
            assert_eq!(
                profiles(&heap)[&3].live.bytes.round() as usize,
                size.next_multiple_of(PAGE)
            );
        }
        assert_eq!(
            // SAFETY: alive.
            unsafe { heap.usable_size(block) },
            Ok(3 * PAGE)
        );
        // SAFETY: alive; one of them is not sampled.
        unsafe {
            heap.free(plain);
            heap.free(block);
        }
        heap.check().unwrap();
        assert_eq!(profiles(&heap)[&3].live.samples, 0);
        // SAFETY: alive, with so many bytes.
        unsafe { heap.free_sized(behind, Layout::from_size_align(PAGE, 8).unwrap()) };
        assert_eq!((profiles(&heap)[&4].live.samples, heap.usage()), (0, 0));
        // What was sampled before is like any other afterwards.
        let block = heap.allocate_at(3 * PAGE, place(3));
        heap.stop_sampling();
        heap.check().unwrap();
        heap.start_sampling(sampling(usize::MAX / 8)).unwrap();
        // SAFETY: alive.
        unsafe { heap.free(block) };
        assert_eq!(heap.usage(), 0);
    }
}
