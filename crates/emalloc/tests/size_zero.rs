//! A request of no bytes is a request like any other, in checked mode too.

use emalloc::heap::Heap;

#[test]
fn a_freed_block_of_no_bytes_can_be_had_and_freed_again_in_checked_mode() {
    let heap = Heap::builder().checked(true).build().unwrap();
    for _ in 0..3 {
        let block = heap.try_allocate(0).unwrap();
        assert_eq!(heap.usage(), 8);
        heap.check().unwrap();
        // SAFETY: the block is alive and used no more.
        unsafe { heap.try_free(block) }.unwrap();
        assert_eq!(heap.usage(), 0);
        heap.check().unwrap();
    }
}
