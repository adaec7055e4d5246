//! The functions as PHP calls them. There is one current heap in a process, as in PHP, so the tests take turns.

mod common;

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use common::{answer, told};
use emalloc_php::allocate::*;
use emalloc_php::fallible::*;
use emalloc_php::heaps::*;
use emalloc_php::manager::*;
use emalloc_php::persistent::*;
use emalloc_php::refusal::{
    BEYOND, emalloc_php_set_reporting, zend_alloc_in_memory_limit_error_reporting,
};
use emalloc_php::safe::*;
use emalloc_php::sized::*;
use emalloc_php::{Record, StorageHandlers, StorageRecord};

static TURN: Mutex<()> = Mutex::new(());

/// A request: it begins with an empty heap and must leave one that is sound.
struct Request(#[allow(dead_code)] MutexGuard<'static, ()>);

fn request() -> Request {
    let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    answer(0);
    if zend_mm_get_heap().is_null() {
        start_memory_manager();
    }
    assert_eq!(zend_set_memory_limit(usize::MAX), 0);
    told();
    Request(turn)
}

impl Drop for Request {
    fn drop(&mut self) {
        current().heap().unwrap().check().unwrap();
        // SAFETY: the test is over.
        unsafe { shutdown_memory_manager(true, false) };
        assert_eq!(zend_memory_usage(false), 0);
    }
}

fn current() -> &'static Record {
    // SAFETY: the heap of the process lives as long as that.
    unsafe { &*zend_mm_get_heap() }
}

fn block_size(block: *mut c_void) -> usize {
    // SAFETY: tests ask for live blocks.
    unsafe { _zend_mem_block_size(block) }
}

#[test]
fn a_block_of_each_class_can_be_freed_by_its_class() {
    let _request = request();
    type Pair = (
        usize,
        extern "C" fn() -> *mut c_void,
        unsafe extern "C" fn(*mut c_void),
    );
    let classes: [Pair; 30] = [
        (8, _emalloc_8, _efree_8),
        (16, _emalloc_16, _efree_16),
        (24, _emalloc_24, _efree_24),
        (32, _emalloc_32, _efree_32),
        (40, _emalloc_40, _efree_40),
        (48, _emalloc_48, _efree_48),
        (56, _emalloc_56, _efree_56),
        (64, _emalloc_64, _efree_64),
        (80, _emalloc_80, _efree_80),
        (96, _emalloc_96, _efree_96),
        (112, _emalloc_112, _efree_112),
        (128, _emalloc_128, _efree_128),
        (160, _emalloc_160, _efree_160),
        (192, _emalloc_192, _efree_192),
        (224, _emalloc_224, _efree_224),
        (256, _emalloc_256, _efree_256),
        (320, _emalloc_320, _efree_320),
        (384, _emalloc_384, _efree_384),
        (448, _emalloc_448, _efree_448),
        (512, _emalloc_512, _efree_512),
        (640, _emalloc_640, _efree_640),
        (768, _emalloc_768, _efree_768),
        (896, _emalloc_896, _efree_896),
        (1024, _emalloc_1024, _efree_1024),
        (1280, _emalloc_1280, _efree_1280),
        (1536, _emalloc_1536, _efree_1536),
        (1792, _emalloc_1792, _efree_1792),
        (2048, _emalloc_2048, _efree_2048),
        (2560, _emalloc_2560, _efree_2560),
        (3072, _emalloc_3072, _efree_3072),
    ];
    let mut smaller = 0;
    for (size, allocate, free) in classes {
        assert_eq!(block_size(allocate()), size);
        // PHP knows the size as a constant here and does not there: any size of the class may meet.
        for asked in smaller + 1..=size {
            let block = _emalloc(asked);
            assert!(block_size(block) >= asked);
            // SAFETY: the block is alive and of that class.
            unsafe { free(block) };
        }
        // SAFETY: the heap is whole.
        current().heap().unwrap().check().unwrap();
        smaller = size;
    }
}

#[test]
fn blocks_keep_what_is_in_them() {
    let _request = request();
    // SAFETY: blocks are used within their sizes and while they are alive.
    unsafe {
        let block = _erealloc(ptr::null_mut(), 10).cast::<u8>();
        block.write_bytes(7, 10);
        let block = _erealloc2(block.cast(), 5 << 20, 10).cast::<u8>();
        assert_eq!(std::slice::from_raw_parts(block, 10), [7; 10]);
        assert!(is_zend_ptr(block.add(4 << 20)));
        let block = _safe_erealloc(block.cast(), 3, 4, 5);
        assert_eq!(block_size(block), 24);
        _efree(block);
        _efree(ptr::null_mut());
        let zeros = _ecalloc(1000, 5).cast::<u8>();
        assert_eq!(std::slice::from_raw_parts(zeros, 5000), [0; 5000]);
        let copy = _estrdup(c"text".as_ptr());
        assert_eq!(CStr::from_ptr(copy), c"text");
        assert_eq!(CStr::from_ptr(_estrndup(copy, 2)), c"te");
        let persistent = zend_strndup(copy, 3);
        assert_eq!(CStr::from_ptr(persistent), c"tex");
        assert!(!is_zend_ptr(persistent.cast()));
        libc::free(__zend_realloc(persistent.cast(), 100));
        assert_eq!(_zend_mem_block_size(ptr::null_mut()), 0);
    }
}

#[test]
fn figures_and_the_limit() {
    let _request = request();
    assert_eq!(
        (zend_memory_usage(false), zend_memory_usage(true)),
        (0, 2 << 20)
    );
    let block = _emalloc(30 << 20);
    let used = zend_memory_usage(false);
    assert!((30 << 20..=(30 << 20) + 8192).contains(&used));
    // Below what is held: no. The old one stays.
    assert_eq!(zend_set_memory_limit(10 << 20), -1);
    // SAFETY: the block is alive and used no more.
    unsafe { _efree_huge(block, 30 << 20) };
    assert_eq!(zend_set_memory_limit(10 << 20), 0);
    assert!(zend_memory_peak_usage(false) >= 30 << 20);
    assert!(zend_memory_peak_usage(true) >= 30 << 20);
    zend_memory_reset_peak_usage();
    assert_eq!(zend_memory_peak_usage(false), 0);
    assert_eq!(zend_memory_peak_usage(true), 2 << 20);

    assert!(_emalloc(30 << 20).is_null());
    let text = "Allowed memory size of 10485760 bytes exhausted (tried to allocate 31457280 bytes)";
    assert_eq!(told(), [(1, text.to_owned())]);
    // While that is reported, no limit is enforced.
    emalloc_php_set_reporting(true);
    assert!(zend_alloc_in_memory_limit_error_reporting());
    let block = _emalloc(30 << 20);
    assert!(!block.is_null() && told().is_empty());
    emalloc_php_set_reporting(false);
    assert!(!zend_alloc_in_memory_limit_error_reporting());
    assert!(_emalloc(5 << 20).is_null());
    assert_eq!(told().len(), 1);
    // SAFETY: the block is alive, and used no more after this.
    let refused = unsafe { _erealloc(block, 50 << 20) };
    assert!(refused.is_null());
    assert_eq!(told().len(), 1);
    // SAFETY: a refused resize left it as it was.
    unsafe { _efree(block) };
}

#[test]
fn beyond_the_limit_up_to_the_hard_one() {
    let _request = request();
    assert_eq!(zend_set_memory_limit(10 << 20), 0);
    answer(BEYOND);
    let block = _emalloc(15 << 20);
    assert!(!block.is_null());
    assert!(_emalloc(15 << 20).is_null());
    let told = told();
    assert_eq!(
        told.iter().map(|told| told.0).collect::<Vec<_>>(),
        [1, 1, 2]
    );
    assert_eq!(
        told[2].1,
        "Hard memory limit of 20971520 bytes exhausted (tried to allocate 15728640 bytes)"
    );
    // More is held than the limit: the percentage stays.
    assert_eq!(zend_set_memory_hard_limit_percent(300), -1);
    // SAFETY: the block is alive and used no more.
    unsafe { _efree(block) };
    assert_eq!(zend_set_memory_hard_limit_percent(99), -1);
    assert_eq!(zend_set_memory_hard_limit_percent(400), 0);
    assert!(!_emalloc(35 << 20).is_null());
    assert!(_emalloc(5 << 20).is_null());
    // SAFETY: nothing is used any more.
    unsafe { shutdown_memory_manager(true, false) };
    assert_eq!(zend_set_memory_hard_limit_percent(-1), 0);
}

#[test]
fn forms_that_may_fail_say_so_to_the_hook_only() {
    let _request = request();
    assert_eq!(zend_set_memory_limit(4 << 20), 0);
    assert!(_femalloc(8 << 20).is_null());
    assert!(_fecalloc(8, 1 << 20).is_null());
    assert!(_safe_femalloc(8, 1 << 20, 0).is_null());
    // SAFETY: null allocates.
    assert!(unsafe { _ferealloc(ptr::null_mut(), 8 << 20) }.is_null());
    assert!(!zend_mm_is_fallible());
    assert!(!_femalloc(100).is_null());
    zend_mm_set_fallible(true);
    assert!(zend_mm_is_fallible());
    zend_mm_set_fallible(false);
}

#[test]
fn sizes_that_no_address_counts() {
    let _request = request();
    assert!(_safe_emalloc(usize::MAX, 2, 3).is_null());
    assert!(_safe_malloc(usize::MAX, 2, 3).is_null());
    assert!(_ecalloc(usize::MAX, 2).is_null());
    // SAFETY: no byte of it is read.
    assert!(unsafe { _estrndup(c"".as_ptr(), usize::MAX) }.is_null());
    assert!(_emalloc(usize::MAX - 5).is_null());
    assert!(_emalloc(usize::MAX - 4096).is_null());
    let max = usize::MAX;
    let sum = format!("Possible integer overflow in memory allocation ({max} * 2 + 3)");
    let expected = [
        (4, sum.clone()),
        (4, sum),
        (
            4,
            format!("Possible integer overflow in memory allocation ({max} * 2 + 0)"),
        ),
        (
            4,
            format!("Possible integer overflow in memory allocation (1 * {max} + 1)"),
        ),
        (
            4,
            format!(
                "Possible integer overflow in memory allocation ({} + 4096)",
                max - 5
            ),
        ),
        (
            1,
            format!(
                "Allowed memory size of {} bytes exhausted (tried to allocate {} bytes)",
                isize::MAX,
                max - 4096
            ),
        ),
    ];
    assert_eq!(told(), expected);
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn counting_malloc(size: usize) -> *mut c_void {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: the heap is alive.
    unsafe { _zend_mm_alloc(zend_mm_get_heap(), size) }
}

unsafe extern "C" fn counting_free(block: *mut c_void) {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: PHP's promise.
    unsafe { _zend_mm_free(zend_mm_get_heap(), block) }
}

unsafe extern "C" fn counting_realloc(block: *mut c_void, size: usize) -> *mut c_void {
    CALLS.fetch_add(1, Ordering::Relaxed);
    // SAFETY: PHP's promise.
    unsafe { _zend_mm_realloc(zend_mm_get_heap(), block, size) }
}

#[test]
fn handlers_that_stand_around_the_heap() {
    let _request = request();
    let heap = zend_mm_get_heap();
    assert!(is_zend_mm());
    // SAFETY: the heap is alive, the handlers take blocks of any time, and blocks are used while they are alive.
    unsafe {
        let before = _emalloc(100);
        zend_mm_set_custom_handlers(
            heap,
            Some(counting_malloc),
            Some(counting_free),
            Some(counting_realloc),
        );
        assert!(!is_zend_mm() && zend_mm_is_custom_heap(heap));
        let (mut malloc, mut free, mut realloc) = (None, None, None);
        zend_mm_get_custom_handlers(heap, &raw mut malloc, &raw mut free, &raw mut realloc);
        assert!(malloc.is_some() && free.is_some() && realloc.is_some());
        let block = _erealloc(_emalloc_56(), 100);
        _efree(before);
        _efree_112(block);
        assert_eq!(CALLS.load(Ordering::Relaxed), 4);
        assert_eq!(_zend_mem_block_size(block), 0);
        assert_eq!(zend_mm_gc(heap), 0);
        assert!(!is_zend_ptr(heap.cast()));
        // Not even the end of a request.
        let kept = _emalloc(50);
        shutdown_memory_manager(true, false);
        assert_eq!(_zend_mm_block_size(heap, kept), 56);
        zend_mm_set_custom_handlers(heap, None, None, None);
        zend_mm_get_custom_handlers(heap, &raw mut malloc, &raw mut free, &raw mut realloc);
        assert!(malloc.is_none() && free.is_none() && realloc.is_none());
        _efree(kept);
    }
    assert_eq!(CALLS.load(Ordering::Relaxed), 5);
    assert!(is_zend_mm());
}

/// What the storage below was given, and what it gives back: bytes out, by its own count.
#[repr(C)]
struct Out(*const AtomicUsize);

unsafe extern "C" fn chunk_alloc(
    storage: *mut StorageRecord,
    size: usize,
    align: usize,
) -> *mut c_void {
    // SAFETY: the data is a copy of what the test gave.
    unsafe { &*(*(*storage).data.cast::<Out>()).0 }.fetch_add(size, Ordering::Relaxed);
    // SAFETY: a power of two and a size that is a multiple of it.
    unsafe { libc::aligned_alloc(align, size.next_multiple_of(align)) }
}

unsafe extern "C" fn chunk_free(storage: *mut StorageRecord, chunk: *mut c_void, size: usize) {
    // SAFETY: as above.
    unsafe { &*(*(*storage).data.cast::<Out>()).0 }.fetch_sub(size, Ordering::Relaxed);
    // SAFETY: allocated there.
    unsafe { libc::free(chunk) };
}

#[test]
fn a_heap_on_a_custom_storage() {
    let _request = request();
    let out = AtomicUsize::new(0);
    let mut data = Out(&out);
    let handlers = StorageHandlers {
        chunk_alloc: Some(chunk_alloc),
        chunk_free: Some(chunk_free),
        chunk_truncate: None,
        chunk_extend: None,
    };
    // SAFETY: the functions keep their contract; the heap is used while it is alive.
    unsafe {
        let heap = zend_mm_startup_ex(
            &raw const handlers,
            (&raw mut data).cast(),
            size_of::<Out>(),
        );
        assert_eq!(out.load(Ordering::Relaxed), 2 << 20);
        let storage = zend_mm_get_storage(heap);
        assert!(!ptr::eq((*storage).data.cast(), &raw const data));
        assert!(zend_mm_get_storage(zend_mm_get_heap()).is_null());
        let before = zend_mm_set_heap(heap);
        let block = _emalloc(5 << 20);
        assert!(out.load(Ordering::Relaxed) > 7 << 20);
        let block = _erealloc(block, 9 << 20);
        assert_eq!(_zend_mm_block_size(heap, block) >> 20, 9);
        for _ in 0..1000 {
            _emalloc_3072();
        }
        assert_eq!(zend_mm_set_heap(before), heap);
        zend_mm_shutdown(heap, false, true);
        assert!(out.load(Ordering::Relaxed) < 7 << 20);
        zend_mm_shutdown(heap, true, true);
        assert_eq!(out.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_heap_beside_the_current_one() {
    let _request = request();
    let heap = zend_mm_startup();
    // SAFETY: the heap is used while it is alive.
    unsafe {
        let block = _zend_mm_alloc(heap, 100);
        let block = _zend_mm_realloc2(heap, block, 5000, 100);
        assert_eq!(_zend_mm_block_size(heap, block), 8192);
        _zend_mm_free(heap, block);
        assert_eq!(zend_mm_gc(heap) % 4096, 0);
        zend_mm_shutdown(heap, true, true);
    }
    assert_eq!(zend_memory_usage(false), 0);
}
