//! What `process` runs in a second process: ignored tests, which behave as the environment of that process says.
// They are `const`; with the form that `thread_local` takes on Windows clippy does not see it.
#![allow(clippy::missing_const_for_thread_local)]

use std::cell::Cell;
use std::env;
use std::ffi::CStr;
use std::ptr::null_mut;
use std::sync::Once;
use std::thread;

use emalloc::heap::Heap;
use emalloc::storage::{Counting, MALLOC, Malloc, registry};
use emalloc::{
    ecalloc, efree, emalloc, erealloc, erealloc_recoverable, estrndup, mem_block_size,
    safe_emalloc, safe_erealloc, scope, with_current,
};

/// This file, as the compiler names it to whoever is told of a place.
pub const FILE: &str = file!();

/// A storage of the program's own, which the settings find by its name.
fn counted() -> &'static Counting<Malloc> {
    static COUNTED: Counting<Malloc> = Counting::new(MALLOC);
    static REGISTERED: Once = Once::new();
    let entry = &registry::Entry {
        name: "counted",
        about: "malloc, counted",
        open: &|| Ok(registry::AnyStorage::Own(&COUNTED)),
    };
    REGISTERED.call_once(|| registry::register(entry).unwrap());
    &COUNTED
}

#[test]
#[ignore = "run by the others"]
fn uses_a_block() {
    let block = emalloc(100);
    // SAFETY: alive.
    assert_eq!(unsafe { mem_block_size(block) }, 104);
}

#[test]
#[ignore = "run by the others"]
fn has_a_heap_with_512k() {
    let name = env::var("ZEND_MM_MEM_TYPE").unwrap();
    with_current(|heap| {
        let heap = heap.unwrap();
        assert_eq!(
            (heap.segment_size(), heap.storage_name()),
            (512 << 10, name.as_str())
        );
    });
}

pub const BEYOND_THE_LIMIT: u32 = line!() + 5;

#[test]
#[ignore = "run by the others"]
fn goes_beyond_the_limit() {
    emalloc(2 << 20);
}

pub const OVERFLOW: u32 = line!() + 5;

#[test]
#[ignore = "run by the others"]
fn overflows() {
    safe_emalloc(usize::MAX, 2, 1);
}

pub const SECOND_FREE: u32 = line!() + 10;

#[test]
#[ignore = "run by the others"]
fn frees_twice() {
    let (first, second) = (emalloc(40), emalloc(40));
    // SAFETY: in checked mode any pointer may be given.
    unsafe {
        efree(first);
        efree(second);
        efree(first);
    }
}

#[test]
#[ignore = "run by the others"]
fn has_no_heap() {
    with_current(|heap| assert!(heap.is_none()));
    // SAFETY: blocks are alive as long as they are used, and as large as is read and written.
    unsafe {
        let block = emalloc(100);
        block.write_bytes(7, 100);
        assert_eq!(mem_block_size(block), 0);
        let block = erealloc(block, 1 << 20);
        assert_eq!((block.read(), block.add(99).read()), (7, 7));
        // Size 0 keeps a block, so that null means one thing only.
        let block = erealloc_recoverable(block, 0);
        assert!(!block.is_null());
        let block = safe_erealloc(erealloc(block, 0), 10, 10, 4);
        efree(block);
        efree(null_mut());
        let block = erealloc_recoverable(null_mut(), 10);
        assert!(erealloc_recoverable(block, usize::MAX / 2 + 1).is_null());
        efree(block);
        let zeroed = ecalloc(1000, 8);
        assert!(
            std::slice::from_raw_parts(zeroed, 8000)
                .iter()
                .all(|&byte| byte == 0)
        );
        efree(zeroed);
        let text = estrndup(b"text");
        assert_eq!(CStr::from_ptr(text), c"text");
        efree(text.cast());
    }
    // A heap that the program brings is one.
    let heap = Heap::new().unwrap();
    scope(&heap, || {
        let block = emalloc(100);
        // SAFETY: alive.
        assert_eq!(unsafe { mem_block_size(block) }, 104);
    });
    assert_eq!(heap.usage(), 104);
    with_current(|heap| assert!(heap.is_none()));
}

#[test]
#[ignore = "run by the others"]
fn counts_the_heaps_of_threads() {
    let live = || counted().counts().live_grants;
    assert_eq!(live(), 0);
    // Threads that need no heap get none.
    thread::spawn(|| ()).join().unwrap();
    assert_eq!(counted().counts().allocated, 0);
    for threads in 1..4 {
        let work = move || {
            emalloc(100);
            emalloc(300_000);
            live()
        };
        let running: Vec<_> = (0..threads).map(|_| thread::spawn(work)).collect();
        for thread in running {
            assert!(thread.join().unwrap() >= 2);
        }
        assert_eq!((live(), counted().counts().live_bytes), (0, 0));
    }
    // A thread that panics ends like any other.
    let panics = thread::spawn(|| {
        emalloc(100);
        std::panic::resume_unwind(Box::new(()));
    });
    assert!(panics.join().is_err());
    assert_eq!(live(), 0);
}

/// Uses the functions when it is dropped.
struct Late(Cell<usize>);

impl Drop for Late {
    fn drop(&mut self) {
        for size in [0, 100, 5000, 300_000] {
            let block = emalloc(size);
            // SAFETY: alive and that large; then given up for the answer, which is alive and freed once.
            unsafe {
                block.write_bytes(1, size);
                efree(erealloc(block, size * 2));
            }
        }
        let heap = Heap::new().unwrap();
        scope(&heap, || emalloc(self.0.get()));
        assert_eq!(heap.usage(), 4096);
    }
}

thread_local! {
    static LATE: Late = const { Late(Cell::new(0)) };
    static LATER: Late = const { Late(Cell::new(0)) };
}

fn leave_destructors() {
    for late in [&LATE, &LATER] {
        late.with(|late| late.0.set(4096));
    }
}

#[test]
#[ignore = "run by the others"]
fn uses_blocks_in_destructors() {
    let live = || counted().counts().live_grants;
    for own_heap_first in [true, false] {
        let before = live();
        thread::spawn(move || {
            if own_heap_first {
                emalloc(10);
            }
            // Destructors run in the reverse order of first use, on most systems at least; either must do.
            leave_destructors();
            emalloc(10);
        })
        .join()
        .unwrap();
        // An abort in a destructor would have ended the process. A heap made so late stays.
        assert!(live() <= before + 1, "{} grants", live() - before);
    }
}

#[test]
#[ignore = "run by the others"]
fn leaves_a_destructor_and_uses_a_block() {
    leave_destructors();
    emalloc(1);
}
