//! Debug mode: every bad deed is found and told with the block, who asked for it, who freed it, and what was written.

#[path = "common/reports.rs"]
mod reports;

use std::alloc::Layout;
use std::ptr::{self, NonNull};

use emalloc::heap::{AllocError, Debug, FaultKind, Heap, Limit};
use emalloc::layout::PAGE;
use reports::{SEGMENT, c, heap, reports, told};

/// Sizes of small, large and huge blocks, with and without bytes to spare in the raw block.
const SIZES: [usize; 7] = [0, 1, 24, 100, 3000, 5000, 3 * SEGMENT];

/// Writes over bytes from `offset` on, in front of the block or behind it.
fn write(block: NonNull<u8>, offset: isize, bytes: usize, byte: u8) {
    let at: *mut u8 = ptr::with_exposed_provenance_mut(block.addr().get());
    // SAFETY: the bytes lie in the heap's memory; that they are not the program's is what is tested.
    unsafe { at.offset(offset).write_bytes(byte, bytes) };
}

fn free(heap: &Heap, block: NonNull<u8>, line: u32) {
    // SAFETY: in debug mode any pointer may be given.
    unsafe { heap.free_at(block, c(line)) };
}

#[test]
fn overruns_and_underruns() {
    for size in SIZES {
        let heap = heap(Debug::new());
        let end = size as isize;
        for (offset, bytes, expected) in [
            (end, 1, "overrun 1 false"),
            (end + 2, 3, "overrun 5 false"),
            (-1, 1, "underrun 1 false"),
            (-8, 3, "underrun 8 false"),
        ] {
            let block = heap.allocate_at(size, c(10));
            // The byte that texts end with.
            write(block, offset, bytes, 0);
            free(&heap, block, 20);
            let expected = format!("{expected}; {size} from a.c:10; at a.c:20");
            assert_eq!(reports(), [expected]);
        }
        // Both, found by looking; then the program goes on.
        let block = heap.allocate_at(size, c(11));
        write(block, -4, size + 8, 0);
        assert_eq!(heap.check_blocks(), 2);
        assert_eq!(reports().len(), 2);
        assert_eq!(heap.check_blocks(), 0, "reported once");
        free(&heap, block, 21);
        assert_eq!(reports(), [""; 0]);
        heap.check().unwrap();
    }
}

#[test]
fn what_grows_bit_by_bit_is_not_copied_at_each_step() {
    let heap = heap(Debug::new());
    let (mut block, mut moves) = (heap.allocate_at(100 << 10, c(1)), 0);
    for size in ((100 << 10)..(1 << 20)).step_by(100) {
        // SAFETY: the block is alive, and the old pointer is used no more.
        let grown = unsafe { heap.resize_at(block, size, c(2)) };
        moves += usize::from(grown != block);
        block = grown;
        // SAFETY: it is alive and has so many bytes.
        assert_eq!(unsafe { heap.usable_size(block) }, Ok(size));
    }
    assert!(moves < 40, "{moves}");
    write(block, (1 << 20) - 1, 2, 0);
    free(&heap, block, 3);
    assert!(reports()[0].starts_with("overrun "));
    heap.check().unwrap();
}

#[test]
fn more_than_a_guard() {
    let heap = heap(Debug::new());
    let blocks: Vec<_> = (0..20).map(|line| heap.allocate_at(40, c(line))).collect();
    // Over the next block's record: whoever did it is named, and what is lost.
    write(blocks[5], 40, 60, b'x');
    free(&heap, blocks[6], 30);
    let found = reports();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(
        found[0].starts_with("overrun ") && found[0].ends_with("true; 40 from a.c:5; at a.c:30"),
        "{found:?}"
    );
    assert_eq!(found[1], "record; at a.c:30");
    for block in blocks {
        free(&heap, block, 31);
    }
    assert!(reports().iter().all(|text| text.starts_with("DoubleFree")));
    heap.check().unwrap();
    assert_eq!(heap.check_blocks(), 0);
}

#[test]
fn writes_after_the_free() {
    for size in SIZES.into_iter().filter(|&size| size > 0) {
        let mut heap = heap(Debug::new());
        let hold = |heap: &Heap| {
            let block = heap.allocate_at(size, c(10));
            free(heap, block, 20);
            write(block, size as isize - 1, 1, b'x');
        };
        let expected = format!(
            "written 1 at {}; {size} from a.c:10, freed a.c:20",
            size - 1
        );
        hold(&heap);
        assert_eq!(heap.check_blocks(), 1, "by looking");
        assert!(reports()[0].starts_with(&expected));
        assert_eq!(heap.check_blocks(), 0, "reported once");
        hold(&heap);
        heap.collect();
        assert!(reports()[0].starts_with(&expected), "when it leaves");
        hold(&heap);
        heap.reset();
        assert_eq!(reports().join(""), expected, "at the reset");
        hold(&heap);
        drop(heap);
        assert_eq!(reports(), [expected], "at the end");
    }
}

#[test]
fn wrong_pointers() {
    let heap = heap(Debug::new());
    let other = reports::heap(Debug::new());
    let block = heap.allocate_at(40, c(10));
    let local = 0u64;
    for (pointer, expected) in [
        (other.allocate(40), "Foreign; at a.c:30"),
        (NonNull::from(&local).cast(), "Foreign; at a.c:30"),
        (
            // SAFETY: inside the block.
            unsafe { block.add(8) },
            "Misaligned { block_size: 40, offset: 8 }; 40 from a.c:10; at a.c:30",
        ),
    ] {
        free(&heap, pointer, 30);
        assert_eq!(reports(), [expected]);
    }
    // SAFETY: in debug mode any pointer may be given.
    unsafe {
        let layout = Layout::from_size_align(30, 8).unwrap();
        heap.free_sized_at(block, layout, c(31));
        let wrong = "WrongSize { named: 30, block_size: 40 }; 40 from a.c:10; at a.c:31";
        assert_eq!(reports(), [wrong]);
        free(&heap, block, 32);
        assert_eq!(reports(), [""; 0]);
        let twice = "DoubleFree { block_size: 40 }; 40 from a.c:10, freed a.c:32; at a.c:33";
        free(&heap, block, 33);
        assert_eq!(reports(), [twice]);
        assert_eq!(
            heap.resize_at(block, 50, c(33)),
            block,
            "answered as it was"
        );
        assert_eq!(reports(), [twice]);
        // Whoever wants errors is told by them alone.
        let fault = heap.try_free(block).unwrap_err();
        assert_eq!(fault.kind, FaultKind::DoubleFree { block_size: 40 });
        assert!(matches!(
            heap.try_resize(block, 5),
            Err(AllocError::BadPointer(_))
        ));
        assert!(heap.usable_size(block).is_err());
        assert_eq!(reports(), [""; 0]);
    }
    // It is held back no more.
    heap.collect();
    free(&heap, block, 34);
    let text = &reports()[0];
    assert!(
        text.starts_with("DoubleFree") || text.starts_with("NotABlock"),
        "{text}"
    );
    heap.check().unwrap();
}

#[test]
fn the_text_is_the_originals() {
    let heap = heap(Debug::new().script("x.php"));
    let block = heap.allocate_at(40, c(10));
    write(block, 40, 1, 0);
    free(&heap, block, 20);
    free(&heap, block, 21);
    let texts = told().texts;
    let address = format!("{:#010x}", block.addr());
    for (text, golden) in texts.iter().zip([
        include_str!("golden/overrun.txt"),
        include_str!("golden/double_free.txt"),
    ]) {
        let (date, text) = text.split_once("  ").unwrap();
        assert_eq!((date.len(), &date[..1], &date[25..]), (26, "[", "]"));
        let text = text.replace(&address, "ADDRESS");
        // The guard depends on where the block lies.
        let magic = text.find("instead of 0x").map(|at| at + 13);
        let text = match magic {
            Some(at) => format!("{}…{}", &text[..at], &text[at + 16..]),
            None => text,
        };
        let magic = text.find("magic=0x00").map(|at| at + 10);
        let text = match magic {
            Some(at) => format!("{}…{}", &text[..at], &text[at + 14..]),
            None => text,
        };
        assert_eq!(text + "\n", golden);
    }
}

#[test]
fn guards_that_are_too_large_are_refused_when_the_heap_is_made() {
    let made = |bytes| Heap::builder().debug(Debug::new().guards(bytes)).build();
    for guards in [PAGE + 1, usize::MAX / 2, usize::MAX] {
        let error = made(guards).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("guards of {guards} bytes are too large, 4096 is the most")
        );
    }
    let heap = heap(Debug::new().guards(Debug::MAX_GUARDS));
    let block = heap.try_allocate(100).unwrap();
    // The byte that is the guard's last one.
    write(block, 99 + PAGE as isize, 1, 0);
    assert_eq!(heap.check_blocks(), 1);
    free(&heap, block, 1);
}

#[test]
fn blocks_are_what_they_are_without() {
    let guards = |size: usize| heap(Debug::new().guards(size));
    let heaps = [guards(16), guards(0)];
    let sizes = SIZES.into_iter().chain([16, 64, 4096, 3 * 4096]);
    for (size, heap) in sizes.flat_map(|size| heaps.iter().map(move |heap| (size, heap))) {
        let block = heap.allocate(size);
        let promised = match size {
            0 => 8,
            _ => (1 << size.trailing_zeros()).clamp(8, PAGE),
        };
        assert_eq!(block.addr().get() % promised, 0, "{size}");
        for align in [1, 16, 4096, 1 << 20] {
            let layout = Layout::from_size_align(size, align).unwrap();
            let aligned = heap.allocate_zeroed(layout);
            assert_eq!(aligned.addr().get() % align, 0);
            // SAFETY: alive, and freed with what it was asked for with.
            unsafe {
                assert_eq!(heap.usable_size(aligned), Ok(size));
                let content = std::slice::from_raw_parts(aligned.as_ptr(), size);
                assert!(content.iter().all(|&byte| byte == 0));
                heap.free_sized(aligned, layout);
            }
        }
        // SAFETY: alive; so much was written.
        unsafe {
            block.write_bytes(7, size);
            let larger = heap.resize(block, size + 100);
            let content = std::slice::from_raw_parts(larger.as_ptr(), size + 100);
            assert!(content[..size].iter().all(|&byte| byte == 7));
            assert!(content[size..].iter().all(|&byte| byte == 0xAA));
            let smaller = heap.resize(larger, size / 3);
            assert_eq!(heap.usable_size(smaller), Ok(size / 3));
            heap.free(smaller);
        }
    }
    for heap in heaps {
        assert_eq!(heap.check_blocks(), 0);
        heap.check().unwrap();
        heap.collect();
        assert_eq!(heap.usage(), 0, "nothing is held back any more");
    }
    assert_eq!(reports(), [""; 0]);
}

#[test]
fn what_is_held_back_is_bounded_and_no_reason_to_refuse() {
    let debug = Debug::new().quarantine(20_000).quarantine_blocks(10);
    let heap = heap(debug);
    let figures = || heap.debug_figures().unwrap();
    for size in [10; 20].into_iter().chain([8000; 5]) {
        free(&heap, heap.allocate(size), 1);
        assert!(figures().held_blocks <= 10 && figures().held_bytes <= 20_000);
    }
    assert!(figures().held_blocks > 0);

    let heap = Heap::builder()
        .segment_size(SEGMENT)
        .limit(Limit::Bytes(4 * SEGMENT))
        .debug(Debug::new().quarantine(1 << 30))
        .build()
        .unwrap();
    for _ in 0..100 {
        let block = heap.try_allocate(SEGMENT / 2).unwrap();
        assert!(heap.real_usage() <= 4 * SEGMENT);
        free(&heap, block, 1);
    }
    // A single one goes, too.
    heap.collect();
    let blocks = [(); 2].map(|()| heap.try_allocate(SEGMENT).unwrap());
    assert!(heap.try_allocate(SEGMENT).is_err());
    free(&heap, blocks[0], 1);
    assert_eq!(heap.debug_figures().unwrap().held_blocks, 1);
    free(&heap, heap.try_allocate(SEGMENT).unwrap(), 1);
    let refused = heap.try_allocate(1 << 20).unwrap_err();
    assert!(matches!(refused, AllocError::Limit { requested, .. } if requested == 1 << 20));
    let refused = heap.try_allocate(usize::MAX - 10).unwrap_err();
    assert!(matches!(refused, AllocError::TooLarge { size, .. } if size == usize::MAX - 10));
}

#[test]
fn fills_and_checks_can_be_set() {
    let heap = heap(
        Debug::new()
            .fill(Some(1))
            .free_fill(Some(2))
            .guards(0)
            .check_every(3),
    );
    let block = heap.allocate(100);
    // SAFETY: alive, and filled.
    unsafe { assert_eq!(block.cast::<[u8; 100]>().read(), [1; 100]) };
    free(&heap, block, 1);
    let held: *const u8 = ptr::with_exposed_provenance(block.addr().get());
    // SAFETY: the heap's memory, which is filled.
    unsafe { assert_eq!(held.cast::<[u8; 100]>().read(), [2; 100]) };
    write(block, 0, 1, 0);
    assert_eq!(reports(), [""; 0]);
    heap.allocate(10);
    assert_eq!(reports().len(), 1, "at the third operation");
}

#[test]
fn a_walk_shows_the_programs_blocks() {
    let heap = heap(Debug::new());
    let blocks: Vec<_> = SIZES.map(|size| (heap.allocate(size), size)).to_vec();
    free(&heap, heap.allocate(77), 1);
    let mut met = Vec::new();
    heap.walk(&mut |item| {
        if let emalloc::heap::Item::Block { address, size } = item {
            met.push((address, size));
        }
    });
    met.sort();
    let mut expected: Vec<_> = blocks
        .iter()
        .map(|&(block, size)| (block.addr().get(), size))
        .collect();
    expected.sort();
    assert_eq!(met, expected);
}

#[test]
fn as_much_is_held_back_as_was_said() {
    // Blocks, and bytes of five that are freed.
    let held = |debug| {
        let heap = heap(debug);
        for block in [0; 5].map(|_| heap.allocate(100)) {
            free(&heap, block, 1);
        }
        heap.check().unwrap();
        let figures = heap.debug_figures().unwrap();
        (figures.held_blocks, figures.held_bytes)
    };
    let (count, bytes) = held(Debug::new());
    assert_eq!(count, 5);
    let each = bytes / 5;
    for blocks in 0..6 {
        let expected = (blocks.min(5), blocks.min(5) * each);
        assert_eq!(held(Debug::new().quarantine_blocks(blocks)), expected);
        let bytes = blocks * each;
        assert_eq!(held(Debug::new().quarantine(bytes)), expected);
        assert_eq!(held(Debug::new().quarantine(bytes + each - 1)), expected);
    }
}
