//! The system's malloc with every block noted: what `USE_ZEND_ALLOC=0 USE_TRACKED_ALLOC=1` makes of a process.

mod common;

use std::env;
use std::ptr;

use common::{answer, told};
use emalloc_php::allocate::*;
use emalloc_php::fallible::*;
use emalloc_php::heaps::zend_mm_get_heap;
use emalloc_php::manager::*;

#[test]
fn blocks_are_accounted_for() {
    // SAFETY: nothing else in this process reads or writes the environment meanwhile.
    unsafe { env::set_var("USE_ZEND_ALLOC", "0") };
    // SAFETY: as above.
    unsafe { env::set_var("USE_TRACKED_ALLOC", "1") };
    answer(0);
    start_memory_manager();
    assert!(!is_zend_mm());
    let block = _emalloc(1000);
    assert!(is_zend_ptr(block.cast()));
    assert_eq!(
        (zend_memory_usage(false), zend_memory_usage(true)),
        (1000, 1000)
    );
    // SAFETY: the block is alive; the old pointer is used no more.
    let block = unsafe { _erealloc(block, 3000) };
    assert_eq!(zend_memory_usage(false), 3000);

    // The limit counts what was asked for.
    assert_eq!(zend_set_memory_limit(2000), -1);
    assert_eq!(zend_set_memory_limit(4000), 0);
    assert!(_emalloc(1001).is_null());
    let text = "Allowed memory size of 4000 bytes exhausted (tried to allocate 1001 bytes)";
    assert_eq!(told(), [(1, text.to_owned())]);
    // SAFETY: a refused resize leaves the block as it was.
    assert!(unsafe { _erealloc(block, 4001) }.is_null());
    told();

    // The third allocation from now is treated as if it were too much.
    zend_mm_set_max_allocs(3);
    assert!(!_emalloc(1).is_null() && !_emalloc(1).is_null());
    assert!(!zend_mm_max_allocs_hit());
    assert!(_emalloc(1).is_null());
    assert!(zend_mm_max_allocs_hit());
    assert!(!_emalloc(1).is_null());

    // SAFETY: the block is alive and used no more.
    unsafe { _efree(block) };
    assert_eq!(zend_memory_usage(false), 3);
    assert_eq!(zend_memory_peak_usage(false), 3003);
    zend_memory_reset_peak_usage();
    assert_eq!(zend_memory_peak_usage(false), 3);
    // SAFETY: nothing is used any more.
    unsafe { shutdown_memory_manager(true, false) };
    assert_eq!(zend_memory_usage(false), 0);
    assert!(!is_zend_ptr(ptr::null()));
    // SAFETY: nor is the heap.
    unsafe { shutdown_memory_manager(true, true) };
    assert!(zend_mm_get_heap().is_null());
}
