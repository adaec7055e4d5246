//! Observers: told of everything after the fact, any number of them, and nothing else is different because of them.

#[path = "common/itself.rs"]
mod itself;

use std::alloc::Layout;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::{self, NonNull};

use emalloc::heap::{Event, Heap, Observer, ObserverNode, Site};

const SEGMENT: usize = 64 << 10;
const HUGE: usize = 3 * SEGMENT;

fn heap(checked: bool) -> Heap {
    let builder = Heap::builder().segment_size(SEGMENT);
    builder.checked(checked).build().unwrap()
}

/// Writes down what it is told.
#[derive(Default)]
struct Log(RefCell<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        self.0.take()
    }
}

impl Observer for Log {
    fn told(&self, _heap: &Heap, event: &Event<'_>) {
        let here = |at: &Site<'_>| {
            assert_eq!(at.file(), file!());
            at.line()
        };
        let text = match event {
            Event::Allocated {
                size, usable, at, ..
            } => format!("{}: {size} in {usable}", here(at)),
            Event::Freed { usable, at, .. } => format!("{}: free {usable}", here(at)),
            Event::Resized {
                old,
                old_usable,
                block,
                size,
                usable,
                at,
            } => format!(
                "{}: {old_usable} to {size} in {usable}{}",
                here(at),
                if old == block { ", in place" } else { "" }
            ),
            Event::Reset => "reset".into(),
            Event::Collected(collected) => format!("collected {}", collected.pages),
            other => panic!("{other:?}"),
        };
        self.0.borrow_mut().push(text);
    }
}

#[test]
fn everything_is_told_with_its_line() {
    for checked in [false, true] {
        let heap = heap(checked);
        let log = Log::default();
        let l = line!();
        let layout = Layout::from_size_align(100, 64).unwrap();
        heap.observe(&log, || {
            let small = heap.allocate(100); // 3
            let aligned = heap.try_allocate_layout(layout).unwrap(); // 4
            let huge = heap.allocate_zeroed(Layout::array::<u8>(HUGE).unwrap()); // 5
            let large = heap.allocate(5000); // 6
            // SAFETY: alive, and used no more.
            unsafe {
                let small = heap.resize(small, 200); // 9
                let small = heap.try_resize(small, 210).unwrap(); // 10
                heap.free(small); // 11
                heap.try_free_sized(aligned, layout).unwrap(); // 12
                heap.free(large); // 13
                let huge_size = heap.usable_size(huge).unwrap();
                assert_eq!(huge_size, HUGE);
                heap.free(huge); // 16
            }
            assert!(heap.collect().pages > 0);
        });
        let told: Vec<String> = log.take();
        let expected = [
            (3, "100 in 104"),
            (4, "100 in 128"),
            (5, "196608 in 196608"),
            (6, "5000 in 8192"),
            (9, "104 to 200 in 224"),
            (10, "224 to 210 in 224, in place"),
            (11, "free 224"),
            (12, "free 128"),
            (13, "free 8192"),
            (16, "free 196608"),
        ];
        let expected = expected.map(|(line, text)| format!("{}: {text}", l + line));
        assert_eq!(told[..10], expected);
        assert!(told[10].starts_with("collected "), "{told:?}");
        assert_eq!(told.len(), 11);
        // Nobody is told any more, and refused requests never were.
        heap.allocate(10);
        assert!(log.take().is_empty());
    }
}

#[test]
fn several_come_and_go_while_they_are_told() {
    let heap = heap(false);
    let (first, second) = (Log::default(), Log::default());
    let second_node = ObserverNode::new(&second);
    let own: Cell<*const ObserverNode> = Cell::new(std::ptr::null());
    // Told first, it takes itself and the second one out when it has seen enough.
    let leaving = |heap: &Heap, event: &Event<'_>| {
        if matches!(event, Event::Allocated { size: 99, .. }) {
            assert!(heap.remove_observer(own.get()) && heap.remove_observer(&second_node));
        }
    };
    let leaving_node = ObserverNode::new(&leaving);
    own.set(&leaving_node);
    heap.observe(&first, || {
        // SAFETY: both are taken out before they go.
        unsafe {
            heap.add_observer(&second_node);
            heap.add_observer(&leaving_node);
        }
        heap.allocate(10);
        heap.allocate(99);
        heap.allocate(20);
    });
    assert_eq!((first.take().len(), second.take().len()), (3, 1));
    assert!(!heap.remove_observer(&leaving_node));
}

#[test]
fn an_observer_may_use_the_heap_and_unwind() {
    let heap = heap(false);
    let count = Cell::new(0);
    let using = |heap: &Heap, _: &Event<'_>| {
        count.set(count.get() + 1);
        let block = heap.allocate(40);
        // SAFETY: just allocated.
        unsafe { heap.free(heap.resize(block, 400)) };
        heap.check().unwrap();
    };
    heap.observe(&using, || heap.allocate(10));
    assert_eq!(count.get(), 1, "of its own doing it is not told");
    let unwinding = |_: &Heap, _: &Event<'_>| resume_unwind(Box::new(()));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        heap.observe(&unwinding, || heap.allocate(10))
    }));
    assert!(caught.is_err());
    heap.observe(&using, || heap.allocate(10));
    assert_eq!(count.get(), 2);
    heap.check().unwrap();
}

/// A container that heard of the unwinding and not of the move would use the old block once more.
#[test]
fn an_observer_that_unwinds_when_a_block_is_gone_ends_the_process() {
    const WORD: &str = "EMALLOC_TEST_UNWINDING";
    if let Ok(word) = std::env::var(WORD) {
        let heap = heap(false);
        let block = heap.allocate(40);
        let unwinding = |_: &Heap, _: &Event<'_>| resume_unwind(Box::new(()));
        let caught = catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: alive, and used no more.
            heap.observe(&unwinding, || unsafe {
                match word.as_str() {
                    "free" => heap.free(block),
                    _ => drop(heap.resize(block, 400)),
                }
            });
        }));
        println!("went on: {caught:?}");
        return;
    }
    let this = "an_observer_that_unwinds_when_a_block_is_gone_ends_the_process";
    for word in ["free", "resize"] {
        let mut command = itself::this_binary();
        let output = command
            .args(["--exact", this, "--nocapture"])
            .env(WORD, word)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("an observer unwinds"), "{said}");
        assert!(!output.status.success(), "{word}");
        let went_on = String::from_utf8_lossy(&output.stdout).contains("went on");
        assert!(!went_on, "{word}");
    }
}

/// Some thousand operations that depend on nothing but `seed`.
fn work(heap: &Heap, mut seed: u32) -> Vec<NonNull<u8>> {
    let mut blocks: Vec<NonNull<u8>> = Vec::new();
    for _ in 0..3000 {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (what, number) = (seed >> 30, (seed >> 8) as usize);
        let size = match number % 50 {
            0 => number % HUGE,
            1..5 => number % 20_000,
            _ => number % 600,
        };
        let index = number % blocks.len().max(1);
        // SAFETY: all are alive, and forgotten here when they are freed or moved.
        unsafe {
            match what {
                0 if !blocks.is_empty() => heap.free(blocks.swap_remove(index)),
                1 if !blocks.is_empty() => blocks[index] = heap.resize(blocks[index], size),
                _ => blocks.extend(heap.try_allocate(size)),
            }
        }
    }
    blocks
}

#[test]
fn the_figures_are_the_same_with_and_without() {
    let without = heap(false);
    work(&without, 1);
    work(&without, 2);
    let with = heap(false);
    let live = Cell::new(0);
    let balance = |heap: &Heap, event: &Event<'_>| {
        let change = match *event {
            Event::Allocated { usable, .. } => usable as isize,
            Event::Freed { usable, .. } => -(usable as isize),
            Event::Resized {
                old_usable, usable, ..
            } => usable as isize - old_usable as isize,
            _ => 0,
        };
        live.set(live.get() + change);
        assert_eq!(heap.usage() as isize, live.get());
    };
    // In the middle of its life the heap is observed no more, then again.
    with.observe(&balance, || work(&with, 1));
    work(&with, 2);
    assert_eq!(with.figures(), without.figures());
    with.check().unwrap();
}

#[test]
fn a_reset_is_told_to_those_who_stay() {
    let mut heap = heap(false);
    let log = Log::default();
    let node = ObserverNode::new(&log);
    // SAFETY: node and log live as long as the heap.
    unsafe { heap.add_observer(&node) };
    heap.allocate(10);
    heap.reset();
    assert_eq!(heap.usage(), 0);
    let line = line!() - 3;
    assert_eq!(log.take(), [format!("{line}: 10 in 16"), "reset".into()]);
    heap.remove_observer(&node);
}

#[test]
fn what_is_no_node_on_the_list_is_not_taken_out() {
    let (heap, log) = (heap(false), Log::default());
    let nodes = [(); 2].map(|()| ObserverNode::new(&log));
    let is_there = || [ptr::null(), &nodes[0], &nodes[1]].map(|node| heap.remove_observer(node));
    assert_eq!(is_there(), [false; 3]);
    // SAFETY: node and log live as long as the heap.
    unsafe { heap.add_observer(&nodes[0]) };
    assert_eq!(is_there(), [false, true, false]);
    assert_eq!(is_there(), [false; 3]);
}

#[cfg(feature = "allocator-api2-02")]
#[test]
fn containers_are_told_by_the_line_that_made_them() {
    use allocator_api2_02::vec::Vec;
    let heap = heap(false);
    let log = Log::default();
    let mut numbers: Vec<u64, _> = Vec::new_in(heap.here());
    let line = line!() - 1;
    heap.observe(&log, || numbers.extend(0..10));
    drop(numbers);
    let told = log.take();
    assert!(!told.is_empty());
    let prefix = format!("{line}: ");
    assert!(
        told.iter().all(|text| text.starts_with(&prefix)),
        "{told:?}"
    );
}
