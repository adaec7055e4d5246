//! What is left over when a heap is reset or dropped: grouped by line, in the original's text byte by byte, as JSON, to
//! a callback, or to nobody.

#[path = "common/reports.rs"]
mod reports;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr::NonNull;
use std::sync::Arc;

use emalloc::heap::{AllocError, Debug, Handler, Heap, LeakFormat, Leaks, Relayed, Site};
use emalloc::storage::{Cached, Malloc, Storage};
use reports::{c, heap, told};

/// Leaks of three lines; the addresses of the first of each.
fn leak(heap: &Heap) -> [NonNull<u8>; 3] {
    let relayed = Relayed {
        at: c(30),
        // SAFETY: a C string that stays.
        origin: unsafe { Site::from_c(c"b \"q\".c".as_ptr(), 7) },
    };
    let thrice = [100, 100, 200].map(|size| heap.allocate_at(size, c(20)));
    let once = heap.allocate_at(0, c(10));
    let twice = [5000, 300_000].map(|size| heap.allocate_at(size, Site::from(&relayed)));
    // SAFETY: alive, and used no more.
    unsafe { heap.free(heap.allocate_at(100, c(20))) };
    [
        once,
        thrice.into_iter().min().unwrap(),
        twice.into_iter().min().unwrap(),
    ]
}

/// The text with its dates checked and taken out, and addresses named.
fn named(text: &str, addresses: [NonNull<u8>; 3]) -> String {
    let lines = text.lines().map(|line| match line.split_once("]  Script") {
        Some((date, rest)) => {
            // As in "[Thu Nov 26 06:35:36 2026".
            assert_eq!((date.len(), date.starts_with('[')), (25, true), "{date}");
            format!("[DATE]  Script{rest}")
        }
        None => line.to_owned(),
    });
    let mut text: String = lines.map(|line| line + "\n").collect();
    for (number, address) in addresses.into_iter().enumerate() {
        let number = number + 1;
        text = text.replace(
            &format!("0x{:08X}", address.addr()),
            &format!("ADDRESS{number}"),
        );
        text = text.replace(
            &format!("{:#x}", address.addr()),
            &format!("ADDRESS{number}"),
        );
    }
    text
}

#[test]
fn the_text_is_the_originals_and_json_says_the_same() {
    let mut heap = heap(Debug::new().script("x.php"));
    let addresses = leak(&heap);
    heap.reset();
    let at_reset = told();
    assert_eq!(
        at_reset.leaks,
        ["a.c:10 1 0", "a.c:20 3 400", "a.c:30 2 305000"]
    );
    let text = named(&at_reset.leak_text, addresses);
    // Which of the two of line 30 comes first depends on where the storage put them.
    let first = if text.contains("(5000 bytes)") {
        "5000"
    } else {
        "300000"
    };
    let golden = include_str!("golden/leaks.txt").replace("FIRST", first);
    assert_eq!(text, golden);
    let json = named(&at_reset.leak_json, addresses);
    let golden = include_str!("golden/leaks.jsonl").replace("FIRST", first);
    assert_eq!(json, golden);
    assert!(at_reset.reports.is_empty());

    let addresses = leak(&heap);
    drop(heap);
    let at_drop = told();
    assert_eq!(at_drop.leaks, at_reset.leaks);
    assert_eq!(
        named(&at_drop.leak_text, addresses).lines().count(),
        text.lines().count()
    );
}

#[test]
fn nobody_is_told_of_nothing_or_when_the_caller_says_so() {
    let mut heap = heap(Debug::new());
    // SAFETY: alive, and used no more.
    unsafe { heap.free(heap.allocate(10)) };
    heap.reset();
    leak(&heap);
    heap.reset_silently();
    assert_eq!(heap.usage(), 0);
    assert!(told().leaks.is_empty());
    leak(&heap);
    heap.reset();
    assert_eq!(told().leaks.len(), 3, "silent once only");
    heap.silence_leaks(true);
    leak(&heap);
    heap.reset();
    leak(&heap);
    drop(heap);
    assert!(told().leaks.is_empty());
}

#[test]
fn they_can_be_looked_at_while_the_heap_lives() {
    let heap = heap(Debug::new().leaks(LeakFormat::Silent));
    let [once, ..] = leak(&heap);
    let shown = Cell::new(0);
    for _ in 0..2 {
        heap.leaks(&mut |leaks| {
            let total = leaks.total();
            assert_eq!((total.count, total.bytes), (6, 305_400));
            assert!(matches!(heap.try_allocate(10), Err(AllocError::Walking)));
            // SAFETY: in debug mode any pointer may be given.
            assert!(unsafe { heap.try_free(once) }.is_err());
            shown.set(shown.get() + 1);
        });
    }
    assert_eq!(shown.get(), 2);
    // They are whole and can be freed.
    // SAFETY: alive, and used no more.
    unsafe { heap.free(once) };
    heap.leaks(&mut |leaks| assert_eq!(leaks.total().count, 5));
    assert_eq!(heap.check_blocks(), 0);
    heap.silence_leaks(true);
}

#[test]
fn thousands_in_any_order() {
    let heap = heap(Debug::new());
    for number in 0..20_000u32 {
        let line = number.wrapping_mul(2_654_435_761) % 101;
        heap.allocate_at(number as usize % 50, c(line));
    }
    drop(heap);
    let leaks = told().leaks;
    assert_eq!(leaks.len(), 101);
    let lines: Vec<u32> = leaks
        .iter()
        .map(|text| text[4..].split(' ').next().unwrap().parse().unwrap())
        .collect();
    assert!(lines.is_sorted());
}

#[cfg(feature = "allocator-api2-02")]
#[test]
fn a_container_leaks_from_the_line_that_made_it() {
    let heap = heap(Debug::new());
    let mut numbers = allocator_api2_02::vec::Vec::new_in(heap.here());
    let line = line!() - 1;
    numbers.push(1);
    std::mem::forget(numbers);
    drop(heap);
    assert_eq!(told().leaks, [format!("{}:{line} 1 16", file!())]);
}

#[test]
fn a_handler_that_unwinds_when_it_is_told_of_leaks_leaves_no_shut_pages() {
    struct Unwinding;
    impl Handler for Unwinding {
        fn leaks(&self, _heap: &Heap, _leaks: &Leaks<'_>) {
            resume_unwind(Box::new(()));
        }
    }
    let storage = Arc::new(Cached::new(Malloc));
    let heap = Heap::builder()
        .storage(Arc::clone(&storage))
        .handler(Unwinding)
        .debug(Debug::new().guard_pages(true))
        .build()
        .unwrap();
    for _ in 0..10 {
        heap.allocate(10);
    }
    let segment = heap.segment_size();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(heap))).is_err());
    let next = storage.allocate(segment, segment).unwrap();
    assert_eq!(storage.hits(), 1, "the memory that the heap had");
    // SAFETY: just granted.
    unsafe { next.start.write_bytes(1, segment) };
    // SAFETY: as above.
    unsafe { storage.free(next.start, segment, segment) };
}
