//! Whoever is told of a refusal or a wrong pointer is told the file and line of the program that called.
#![cfg(feature = "std")]

#[path = "common/handlers.rs"]
mod handlers;

use std::alloc::Layout;
use std::cell::Cell;
use std::ffi::CStr;
use std::ptr::{NonNull, null_mut};

use emalloc::heap::{Event, Heap, Limit, Observer, Relayed, Site};
use emalloc::interface::HeapBox;
use emalloc::{
    ecalloc, efree, emalloc, erealloc, estrdup, estrndup, mem_block_size, safe_emalloc,
    safe_erealloc, scope,
};
use handlers::{Telling, Told, told};

const LIMIT: usize = 128 << 10;

/// A heap in checked mode with a limit and a handler that unwinds.
fn heap() -> Heap {
    Heap::builder()
        .segment_size(64 << 10)
        .limit(Limit::Bytes(LIMIT))
        .checked(true)
        .handler(Telling)
        .build()
        .unwrap()
}

#[track_caller]
fn is_here(told: Told, line: u32) {
    assert_eq!((told.file.as_str(), told.line), (file!(), line));
}

#[test]
fn refusals_of_memory() {
    let heap = heap();
    let bytes = vec![b'x'; 2 * LIMIT];
    let text = [bytes.clone(), vec![0]].concat();
    let text = CStr::from_bytes_with_nul(&text).unwrap();
    scope(&heap, || {
        let block = emalloc(10);
        is_here(told(|| emalloc(2 * LIMIT)), line!());
        is_here(told(|| safe_emalloc(2, LIMIT, 1)), line!());
        is_here(told(|| ecalloc(2, LIMIT)), line!());
        is_here(told(|| estrdup(text)), line!());
        is_here(told(|| estrndup(&bytes)), line!());
        // SAFETY: null is a new block, and a refused resize leaves a block alone.
        unsafe {
            is_here(told(|| erealloc(block, 2 * LIMIT)), line!());
            is_here(told(|| erealloc(null_mut(), 2 * LIMIT)), line!());
            is_here(told(|| safe_erealloc(block, 2, LIMIT, 0)), line!());
            is_here(told(|| safe_erealloc(null_mut(), 2, LIMIT, 0)), line!());
        }
    });
}

#[test]
fn overflows() {
    const MAX: usize = usize::MAX;
    scope(&heap(), || {
        is_here(told(|| emalloc(MAX)), line!());
        is_here(told(|| safe_emalloc(MAX, 2, 0)), line!());
        is_here(told(|| ecalloc(MAX, 2)), line!());
        is_here(told(|| ecalloc(MAX, 1)), line!());
        let block = emalloc(1);
        // SAFETY: a refused resize leaves a block alone.
        unsafe {
            is_here(told(|| erealloc(block, MAX)), line!());
            is_here(told(|| safe_erealloc(block, MAX, 2, 0)), line!());
            is_here(told(|| safe_erealloc(null_mut(), MAX, 2, 0)), line!());
        }
    });
}

#[test]
fn wrong_pointers() {
    scope(&heap(), || {
        let block = emalloc(10);
        // SAFETY: in checked mode any pointer may be given.
        unsafe {
            efree(block);
            is_here(told(|| efree(block)), line!());
            is_here(told(|| erealloc(block, 5)), line!());
            is_here(told(|| safe_erealloc(block, 5, 1, 0)), line!());
            is_here(told(|| mem_block_size(block)), line!());
        }
    });
}

#[test]
fn a_heap_at_hand() {
    let heap = heap();
    let large = Layout::array::<u8>(2 * LIMIT).unwrap();
    is_here(told(|| heap.allocate(2 * LIMIT)), line!());
    is_here(told(|| heap.allocate_layout(large)), line!());
    is_here(told(|| heap.allocate_zeroed(large)), line!());
    is_here(told(|| heap.alloc([0u8; 2 * LIMIT])), line!());
    is_here(told(|| heap.alloc_slice(&vec![0u8; 2 * LIMIT])), line!());
    is_here(told(|| heap.alloc_str(&" ".repeat(2 * LIMIT))), line!());
    is_here(told(|| heap.alloc_slice_with(2 * LIMIT, |_| 0u8)), line!());
    is_here(told(|| heap.alloc_slice_with(usize::MAX, |_| 0u8)), line!());
    is_here(told(|| heap.boxed([0u8; 2 * LIMIT])), line!());
    let block = heap.allocate(10);
    let wrong: NonNull<u8> = NonNull::from(&large).cast();
    // SAFETY: a refused resize leaves a block alone; in checked mode any pointer may be given.
    unsafe {
        is_here(told(|| heap.resize(block, 2 * LIMIT)), line!());
        is_here(told(|| heap.free(wrong)), line!());
        is_here(told(|| heap.free_sized(wrong, large)), line!());
        is_here(told(|| heap.resize(wrong, 1)), line!());
    }
}

#[test]
fn the_place_that_a_handle_carries() {
    let heap = heap();
    let (here, line) = (heap.here(), line!());
    let copy = here;
    assert_eq!(
        (copy.location().file(), copy.location().line()),
        (file!(), line)
    );
    assert!(std::ptr::eq(copy.heap(), &heap));
}

#[cfg(feature = "allocator-api2-02")]
#[test]
fn a_container_with_a_wrong_pointer() {
    use allocator_api2_02::alloc::Allocator;
    let heap = heap();
    let layout = Layout::new::<u64>();
    let (here, line) = (heap.here(), line!());
    let block = here.allocate(layout).unwrap().cast::<u8>();
    let larger = Layout::new::<[u64; 1000]>();
    // SAFETY: in checked mode any pointer may be given.
    unsafe {
        here.deallocate(block, layout);
        is_here(told(|| here.deallocate(block, layout)), line);
        is_here(told(|| here.grow(block, layout, larger)), line);
        is_here(told(|| here.shrink(block, larger, layout)), line);
    }
}

#[test]
fn a_place_that_another_language_names() {
    let heap = heap();
    // SAFETY: C strings that stay; the second is not UTF-8.
    let (at, origin) = unsafe {
        (
            Site::from_c(c"helper.c".as_ptr(), 12),
            Site::from_c(c"caf\xe9.c".as_ptr(), 34),
        )
    };
    let relayed = Relayed { at, origin };
    let named = |told: Told| (told.file, told.line);
    let expected = (String::from("helper.c"), 12);
    for at in [at, Site::from(&relayed)] {
        assert_eq!(named(told(|| heap.allocate_at(2 * LIMIT, at))), expected);
        let block = heap.allocate_at(10, at);
        // SAFETY: a refused resize leaves a block alone; in checked mode any pointer may be given.
        unsafe {
            assert_eq!(
                named(told(|| heap.resize_at(block, 2 * LIMIT, at))),
                expected
            );
            heap.free_at(block, at);
            assert_eq!(named(told(|| heap.free_at(block, at))), expected);
        }
    }
    let site = Site::from(&relayed);
    assert_eq!(site.origin(), Some(origin));
    assert!(site.is_same_line(&at) && site != at);
    assert_eq!(origin.file_bytes(), b"caf\xe9.c");
    assert_eq!(
        (origin.file(), origin.to_string().as_str()),
        ("caf", "caf\u{fffd}.c:34")
    );
    // SAFETY: null is nobody's file.
    let unknown = unsafe { Site::from_c(std::ptr::null(), 0) };
    assert_eq!((unknown.file(), unknown.line()), ("", 0));
}

/// Notes the line of what is freed.
#[derive(Default)]
struct LastFreed(Cell<u32>);

impl Observer for LastFreed {
    fn told(&self, _: &Heap, event: &Event<'_>) {
        if let Event::Freed { at, .. } = event {
            assert_eq!(at.file(), file!());
            self.0.set(at.line());
        }
    }
}

#[test]
fn a_box_that_gives_up_its_value_is_freed_there() {
    let heap = heap();
    let freed = LastFreed::default();
    heap.observe(&freed, || {
        let boxed = heap.boxed(5);
        assert_eq!((HeapBox::into_inner(boxed), freed.0.get()), (5, line!()));
    });
}
