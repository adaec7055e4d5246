//! Owns what a walk does with single blocks: it asks for them, gives them back, makes them larger and smaller, in all
//! forms there are, and looks at the bytes in them.

use std::alloc::Layout;
use std::mem;
use std::ptr::{self, NonNull};

use emalloc::Heap;
use emalloc::heap::{AllocError, FaultKind, Site};

use crate::random::SCALE;
use crate::spans::other_than;
use crate::world::{self, Block, below, is_at_rest, kind, one_in, random, say};

/// Writes to a block that was had, and keeps it.
pub fn keep(heap: &Heap, start: NonNull<u8>, layout: Layout, zeroed: bool) {
    let (size, align) = (layout.size(), layout.align());
    assert!(
        start.addr().get().is_multiple_of(align),
        "{start:?}, {align}"
    );
    let mark = below(256) as u8;
    let block = Block {
        start,
        size,
        align,
        mark,
    };
    if zeroed {
        // SAFETY: so many bytes are the block's, and were written by the heap.
        let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), size) };
        assert_eq!(other_than(0, bytes), None, "{block:?} is not zero");
    }
    if one_in(4) {
        // SAFETY: the block is alive.
        let usable = unsafe { heap.usable_size(start) }.expect("it is alive");
        assert!(usable >= size, "{usable} bytes for {block:?}");
        assert!(heap.owns(start.as_ptr()));
    }
    block.write();
    world::put(block);
}

fn plain(size: usize) -> Option<Layout> {
    Layout::from_size_align(size, 1).ok()
}

/// Asks for a block.
pub fn allocate(heap: &Heap) {
    let (size, align) = random(|random| (random.size(), random.align()));
    // Plain forms ask the handler until it gives up.
    let some = below(20_000);
    let small = below(600);
    let form = below(16);
    say(&format!(
        "allocate, form {form}: {size}, {align}, or {some} or {small}"
    ));
    let at = Site::here();
    let layout = Layout::from_size_align(size, align).ok();
    let modest = Layout::from_size_align(some, 1 << below(13)).ok();
    let (layout, had, zeroed) = match form {
        0 | 1 => (plain(size), heap.try_allocate(size).ok(), false),
        2 => (
            layout,
            layout.and_then(|layout| heap.try_allocate_layout(layout).ok()),
            false,
        ),
        3 => (
            layout,
            layout.and_then(|layout| heap.try_allocate_zeroed(layout).ok()),
            true,
        ),
        4 => (
            layout,
            layout.and_then(|layout| heap.try_allocate_layout_at(layout, at).ok()),
            false,
        ),
        5 => (
            layout,
            layout.and_then(|layout| heap.try_allocate_zeroed_at(layout, at).ok()),
            true,
        ),
        6 => (plain(some), Some(heap.allocate(some)), false),
        7 => (
            modest,
            modest.map(|layout| heap.allocate_layout(layout)),
            false,
        ),
        8 => (
            modest,
            modest.map(|layout| heap.allocate_zeroed(layout)),
            true,
        ),
        9 => (plain(some), Some(heap.allocate_at(some, at)), false),
        10 => (
            plain(some),
            NonNull::new(heap.allocate_or(some, at, ptr::null_mut)),
            false,
        ),
        11 => (
            plain(some),
            NonNull::new(heap.allocate_spare(some, at)),
            false,
        ),
        12 => {
            let bytes = heap.try_alloc_slice_with(small, |_| 0u8);
            (
                plain(small),
                bytes.ok().map(|bytes| NonNull::from(bytes).cast()),
                true,
            )
        }
        _ => {
            let layout = Layout::from_size_align(small, 1 << below(10)).ok();
            (
                layout,
                layout.and_then(|layout| heap.try_allocate_layout(layout).ok()),
                false,
            )
        }
    };
    if let (Some(layout), Some(start)) = (layout, had) {
        keep(heap, start, layout, zeroed);
    }
}

/// Asks for many blocks of one size. With those of a few such crowds, runs of one class are many.
pub fn crowd(heap: &Heap) {
    let size = below(if one_in(4) { 3200 } else { 300 });
    // In debug mode all blocks may be looked at each time; inside of other acts, acts are inside of this one.
    let is_slow = kind().debug || world::world(|world| world.depth.get()) > 1;
    let count = below(if is_slow { 30 } else { 400 } / SCALE);
    say(&format!("crowd, {count} of {size}"));
    for _ in 0..count {
        let Ok(start) = heap.try_allocate(size) else {
            return;
        };
        let layout = Layout::from_size_align(size, 1).expect("it is small");
        keep(heap, start, layout, false);
    }
}

/// Gives many blocks back: one after the other, or in no order.
pub fn disperse(heap: &Heap) {
    let in_order = one_in(2);
    for _ in 0..below(world::count()) {
        let taken = if in_order {
            world::take_last()
        } else {
            world::take()
        };
        let Some(block) = taken else { return };
        free_block(heap, block);
    }
}

/// Gives a block back.
pub fn free(heap: &Heap) {
    if let Some(block) = world::take() {
        free_block(heap, block);
    }
}

fn free_block(heap: &Heap, block: Block) {
    say(&format!("free {block:?}"));
    block.verify(block.size);
    if is_at_rest() {
        // SAFETY: the block is alive.
        let answer = unsafe { heap.try_free(block.start) };
        assert_eq!(
            answer.expect_err("the heap is at rest").kind,
            FaultKind::Walking
        );
        world::put(block);
        return;
    }
    let layout = Layout::from_size_align(block.size, block.align).expect("it was one before");
    world::world(|world| {
        let mut freed = world.freed.borrow_mut();
        if freed.len() < 50 {
            freed.push(block.start);
        }
    });
    let acts = world::world(|world| world.acts.get());
    let (start, at) = (block.start, Site::here());
    match below(8) {
        // SAFETY: the block is alive, and used no more.
        0 => unsafe { heap.free(start) },
        // SAFETY: as above; it was asked for with this layout.
        1 => unsafe { heap.free_sized(start, layout) },
        // SAFETY: as above.
        2 => unsafe { heap.try_free(start) }.expect("it is alive"),
        // SAFETY: as above.
        3 => unsafe { heap.try_free_sized(start, layout) }.expect("it is alive"),
        // SAFETY: as above.
        4 => unsafe { heap.free_at(start, at) },
        // SAFETY: as above.
        5 => unsafe { heap.try_free_sized_at(start, layout, at) }.expect("it is alive"),
        6 => {
            // SAFETY: as above; where it is not done, nothing is done.
            let slow = || unsafe { heap.free(start) };
            // SAFETY: as above.
            unsafe { heap.free_sized_or(start, layout, slow) };
        }
        // SAFETY: as above.
        _ => unsafe { heap.free_sized_at(start, layout, at) },
    }
    // Unless somebody who was told of it has asked for another block meanwhile.
    let alone = acts == world::world(|world| world.acts.get());
    if alone && kind().checked && one_in(3) {
        // SAFETY: the heap checks what it is given.
        let again = unsafe { heap.try_free(start) };
        assert!(again.is_err(), "freed twice: {block:?}");
    }
}

/// Makes a block larger or smaller, or asks for another alignment.
pub fn resize(heap: &Heap) {
    // Most are small.
    let taken = if one_in(2) {
        world::take()
    } else {
        world::take_large()
    };
    let Some(block) = taken else { return };
    let other = random(|random| (random.size(), random.align()));
    let by = below(5000);
    let size = match below(3) {
        0 => block.size.saturating_add(by),
        // A part of it, or half as much again.
        1 => block.size / 2 + below(block.size.min(2_000_000)),
        _ => other.0,
    };
    let align = if one_in(4) { other.1 } else { block.align };
    say(&format!("resize {block:?} to {size}, {align}"));
    /// Keeps the block if what the heap calls unwinds.
    struct Keep(Block);
    impl Drop for Keep {
        fn drop(&mut self) {
            world::put(self.0);
        }
    }
    let keep = Keep(block);
    let start = block.start;
    let answer = if align == 1 && size < 100_000 && one_in(4) && !is_at_rest() {
        // SAFETY: the block is alive, and used no more where it was.
        Ok(unsafe { heap.resize(start, size) })
    } else if align == 1 && one_in(2) {
        // SAFETY: as above, if the answer is no error.
        unsafe { heap.try_resize(start, size) }
    } else {
        // SAFETY: as above.
        unsafe { heap.try_resize_aligned(start, size, align) }
    };
    mem::forget(keep);
    match answer {
        Ok(start) => {
            assert!(
                start.addr().get().is_multiple_of(align),
                "{start:?}, {align}"
            );
            Block { start, ..block }.verify(block.size.min(size));
            let now = Block {
                start,
                size,
                align,
                ..block
            };
            now.write();
            world::put(now);
        }
        Err(AllocError::BadPointer(fault)) => panic!("{fault:?}, {block:?}"),
        Err(_) => {
            block.verify(block.size);
            world::put(block);
        }
    }
}

/// Gives the heap a pointer that is no block of it. Only where it checks them.
pub fn mistake(heap: &Heap) {
    let at_top = world::world(|world| world.depth.get()) == 1;
    if !kind().checked || !at_top || is_at_rest() {
        return;
    }
    let wrong = match below(4) {
        // What unwinds may have left blocks that nobody knows.
        0 if !kind().unwinds => {
            let which = below(50);
            world::world(|world| world.freed.borrow().get(which).copied())
        }
        1 => world::look()
            .filter(|block| block.size > 1)
            .and_then(|block| {
                NonNull::new(block.start.as_ptr().wrapping_add(1 + below(block.size - 1)))
            }),
        2 => world::look()
            .and_then(|block| NonNull::new(block.start.as_ptr().wrapping_sub(1 + below(7)))),
        _ => NonNull::new(ptr::without_provenance_mut(below(usize::MAX))),
    };
    let is_block = |start| {
        world::world(|world| {
            world
                .blocks
                .borrow()
                .iter()
                .any(|block| block.start == start)
        })
    };
    let Some(wrong) = wrong.filter(|&start| !is_block(start)) else {
        return;
    };
    say(&format!("mistake {wrong:?}"));
    match below(3) {
        // SAFETY: the heap checks what it is given.
        0 => assert!(unsafe { heap.try_free(wrong) }.is_err(), "{wrong:?}"),
        1 => {
            // SAFETY: as above.
            let answer = unsafe { heap.try_resize(wrong, 100) };
            assert!(
                matches!(answer, Err(AllocError::BadPointer(_))),
                "{wrong:?}"
            );
        }
        // SAFETY: as above.
        _ => assert!(unsafe { heap.usable_size(wrong) }.is_err(), "{wrong:?}"),
    }
}
