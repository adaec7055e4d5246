//! Heaps inside one buffer that the program owns, here a `static`: nothing is asked of the system, and the library needs no
//! `std` for it (`default-features = false`). This example takes `std` in for `println!` alone.
//!
//! `cargo run -p emalloc --example fixed_buffer`

use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering};

use emalloc::heap::{AllocError, Heap, HeapError};
use emalloc::storage::Fixed;

/// Bytes of a segment. Segments are aligned to their size, so a buffer that is not so itself (object formats align a
/// `static` only so far) should have room for one more than it is to hold.
const SEGMENT: usize = 64 << 10;

static mut BUFFER: [MaybeUninit<u8>; 5 * SEGMENT] = [MaybeUninit::uninit(); 5 * SEGMENT];

/// A sensor's readings, a list in the heap.
struct Reading<'h> {
    value: u32,
    before: Option<&'h Reading<'h>>,
}

/// Takes readings until there is no room for more. Answers how many, their sum, and why it ended.
fn fill(heap: &Heap) -> (u32, u64, AllocError) {
    let (mut last, mut count) = (None, 0);
    let error = loop {
        let reading = Reading {
            value: count % 100,
            before: last,
        };
        match heap.try_alloc(reading) {
            Ok(reading) => last = Some(&*reading),
            Err(error) => break error,
        }
        count += 1;
    };
    let mut sum = 0;
    while let Some(reading) = last {
        sum += u64::from(reading.value);
        last = reading.before;
    }
    (count, sum, error)
}

fn run(storage: Fixed) -> Result<(), HeapError> {
    let capacity = storage.capacity();
    let mut heap = Heap::builder()
        .storage(storage)
        .segment_size(SEGMENT)
        .build()?;
    println!(
        "{capacity} bytes; the heap begins with {} of them",
        heap.real_usage()
    );
    for round in 1..=3 {
        let (count, sum, error) = fill(&heap);
        println!("round {round}: {count} readings, together {sum}, then: {error}");
        println!("  {} bytes used, {} held", heap.usage(), heap.real_usage());
        heap.reset();
    }
    Ok(())
}

/// The buffer, for whoever asks first.
fn buffer() -> Option<&'static mut [MaybeUninit<u8>]> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    let buffer = &raw mut BUFFER;
    // SAFETY: this line is passed once, and nothing else names the buffer.
    Some(unsafe { &mut *buffer })
}

fn main() -> Result<(), HeapError> {
    run(Fixed::new(buffer().expect("main runs once")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs() {
        main().unwrap();
        let storage = Fixed::with_capacity(4 * SEGMENT).unwrap();
        let mut heap = Heap::builder()
            .storage(storage)
            .segment_size(SEGMENT)
            .build()
            .unwrap();
        let (count, _, error) = fill(&heap);
        assert!(
            count > 10_000 && matches!(error, AllocError::Storage { .. }),
            "{count} {error}"
        );
        heap.reset();
        assert_eq!(fill(&heap).0, count);
    }
}
