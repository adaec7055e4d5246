//! Storages behind the C contract, in each of the ways they can be, through the library's public suite.
#![cfg(unix)]

use core::ffi::c_void;
use core::ptr;

use emalloc::storage::Storage;
use emalloc::storage::conformance::{self, ALL_BYTES};
use emalloc::sys;
use emalloc_c::storage::{EmallocSegment, EmallocStorage, EmallocStorageHandlers, open};

/// What the handlers promise of their addresses, where they promise something.
const PROMISED: usize = 1 << 16;

extern "C" fn init(params: *mut c_void) -> *mut EmallocStorage {
    params.cast()
}

extern "C" fn aligned(_: *mut EmallocStorage, size: usize, align: usize) -> *mut EmallocSegment {
    sys::aligned_malloc(size, align).cast()
}

extern "C" fn alloc_promised(storage: *mut EmallocStorage, size: usize) -> *mut EmallocSegment {
    aligned(storage, size, PROMISED)
}

extern "C" fn free(_: *mut EmallocStorage, segment: *mut EmallocSegment) {
    // SAFETY: the contract: `aligned` made it.
    unsafe { sys::aligned_free(segment.cast()) };
}

/// A segment with room in front, so that its address is a multiple of 32 and of nothing more.
extern "C" fn alloc_odd(storage: *mut EmallocStorage, size: usize) -> *mut EmallocSegment {
    let start = aligned(storage, size + 32, 64);
    if start.is_null() {
        start
    } else {
        start.wrapping_byte_add(32)
    }
}

extern "C" fn free_odd(storage: *mut EmallocStorage, segment: *mut EmallocSegment) {
    free(storage, segment.wrapping_byte_sub(32));
}

type Alloc = extern "C" fn(*mut EmallocStorage, usize) -> *mut EmallocSegment;
type Free = extern "C" fn(*mut EmallocStorage, *mut EmallocSegment);

fn moved(
    storage: *mut EmallocStorage,
    segment: *mut EmallocSegment,
    size: usize,
    (alloc, free): (Alloc, Free),
) -> *mut EmallocSegment {
    // SAFETY: the contract: its header says how large it is.
    let old = unsafe { segment.read() }.size;
    let new = alloc(storage, size);
    if !new.is_null() {
        // SAFETY: both are that large, and do not overlap.
        unsafe { ptr::copy_nonoverlapping(segment.cast::<u8>(), new.cast(), old.min(size)) };
        free(storage, segment);
    }
    new
}

extern "C" fn realloc_promised(
    storage: *mut EmallocStorage,
    segment: *mut EmallocSegment,
    size: usize,
) -> *mut EmallocSegment {
    moved(storage, segment, size, (alloc_promised, free))
}

extern "C" fn realloc_odd(
    storage: *mut EmallocStorage,
    segment: *mut EmallocSegment,
    size: usize,
) -> *mut EmallocSegment {
    moved(storage, segment, size, (alloc_odd, free_odd))
}

const ODD: EmallocStorageHandlers = EmallocStorageHandlers {
    name: c"odd".as_ptr(),
    init: Some(init),
    dtor: None,
    compact: None,
    alloc: Some(alloc_odd),
    realloc: Some(realloc_odd),
    free: Some(free_odd),
    alignment: 0,
    alloc_aligned: None,
};

const PROMISING: EmallocStorageHandlers = EmallocStorageHandlers {
    alloc: Some(alloc_promised),
    realloc: Some(realloc_promised),
    free: Some(free),
    alignment: PROMISED,
    ..ODD
};

#[track_caller]
fn passes(handlers: EmallocStorageHandlers) {
    let mut storage = EmallocStorage {
        handlers: ptr::null(),
        data: ptr::null_mut(),
    };
    let params: *mut EmallocStorage = &mut storage;
    // SAFETY: the handlers do what the header says, and live as long as what is opened.
    let report = conformance::run(ALL_BYTES, || unsafe { open(&handlers, params.cast()) });
    assert!(report.passed(), "{report}");
    assert!(report.served > 150, "{report}");
}

#[test]
fn nothing_promised() {
    passes(ODD);
}

#[test]
fn nothing_promised_and_nothing_resized() {
    passes(EmallocStorageHandlers {
        realloc: None,
        ..ODD
    });
}

#[test]
fn some_alignment_promised() {
    passes(PROMISING);
}

#[test]
fn any_alignment_on_request() {
    passes(EmallocStorageHandlers {
        alloc_aligned: Some(aligned),
        ..PROMISING
    });
}

/// Where the header lies for the time of a call may be pointers, or nothing that was ever written: to Miri that is not the same.
#[test]
fn what_a_header_covers_comes_along_as_it_is() {
    // SAFETY: the handlers do what the header says, and live as long as what is opened.
    let storage = unsafe { open(&PROMISING, ptr::dangling_mut()) }.unwrap();
    let (old, new) = (PROMISED, 2 * PROMISED);
    let grant = storage.allocate(old, PROMISED).unwrap();
    let mut number = 7;
    // SAFETY: granted above.
    unsafe { grant.start.cast().write(&raw mut number) };
    // SAFETY: granted above, and used no more where it was.
    let moved = unsafe { storage.move_resize(grant.start, old, new, PROMISED) }.unwrap();
    // SAFETY: so much came along.
    let pointer: *mut i32 = unsafe { moved.start.cast().read() };
    // SAFETY: it leads to the number.
    unsafe { pointer.write(8) };
    // SAFETY: granted with that size and alignment, and used no more.
    unsafe { storage.free(moved.start, new, PROMISED) };
    assert_eq!(number, 8);
}
