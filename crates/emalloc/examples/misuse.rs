//! What a program must not do with its blocks, for the tools that find it: one deed per run, named by the argument.
//!
//! `scripts/valgrind.sh` and `scripts/sanitize.sh` run it with the features `valgrind` and `asan`. Alone it only shows
//! that debug mode looks at bytes when a block is freed, and these tools at each access.

use std::alloc::Layout;
use std::hint::black_box;
use std::process::ExitCode;

use emalloc::heap::{Debug, Heap, LeakFormat};

/// Asked for in all deeds: no multiple of what tools count in.
const SIZE: usize = 13;

fn heap() -> Heap {
    heap_with(Debug::new())
}

fn heap_with(debug: Debug) -> Heap {
    let debug = debug.leaks(LeakFormat::Silent);
    let heap = Heap::builder().debug(debug).build();
    heap.expect("there is memory")
}

fn read(at: *const u8) {
    // SAFETY: in `clean` the byte is the program's. Elsewhere it is not, which is the deed; it lies in the heap's memory.
    black_box(unsafe { at.read_volatile() });
}

fn write(at: *mut u8) {
    // SAFETY: as in `read`.
    unsafe { at.write_volatile(1) };
}

/// Uses a heap as one should, in all ways that change whose memory is whose.
fn clean() {
    let mut heap = heap();
    for _request in 0..2 {
        for size in [0, 1, SIZE, 64, 3000, 100_000, 5_000_000] {
            let layout = Layout::array::<u8>(size).expect("it is not that much");
            let block = heap.allocate_zeroed(layout);
            // SAFETY: so many bytes are the block's, and zero.
            let bytes = unsafe { std::slice::from_raw_parts_mut(block.as_ptr(), size) };
            assert!(bytes.iter().all(|&byte| byte == 0));
            bytes.fill(7);
            // SAFETY: it is alive, and is used no more by this address.
            let larger = unsafe { heap.resize(block, size + 50) };
            // SAFETY: as many bytes as were in the smaller one were copied.
            let bytes = unsafe { std::slice::from_raw_parts(larger.as_ptr(), size) };
            assert!(bytes.iter().all(|&byte| byte == 7));
            // SAFETY: as above.
            let smaller = unsafe { heap.resize(larger, size + 40) };
            write(smaller.as_ptr().wrapping_add(size + 39));
            assert_eq!(heap.check_blocks(), 0);
            // One in two is left to the reset.
            if size % 2 == 0 {
                // SAFETY: it is alive, and used no more.
                unsafe { heap.free(smaller) };
            }
        }
        heap.leaks(&mut |leaks| assert_eq!(leaks.total().count, 2));
        // Nothing stays held back; what was freed is handed out again.
        heap.collect();
        write(heap.allocate(SIZE).as_ptr());
        heap.reset();
    }
}

/// A block that grows by little, where it stands as often as not: all of it is the program's each time.
fn grow(fill: Option<u8>) {
    let heap = heap_with(Debug::new().fill(fill));
    let mut size = 100_000;
    let mut block = heap.allocate(size);
    for _ in 0..40 {
        let before = size;
        size += 1000;
        // SAFETY: it is alive, and is used no more by this address.
        block = unsafe { heap.resize(block, size) };
        for at in before..size {
            write(block.as_ptr().wrapping_add(at));
        }
    }
}

fn main() -> ExitCode {
    let deed = std::env::args().nth(1).unwrap_or_default();
    let heap = heap();
    let block = heap.allocate(SIZE);
    let at = block.as_ptr();
    match deed.as_str() {
        "clean" => {
            clean();
            grow(None);
            grow(Some(0xAA));
        }
        "read-after-free" | "write-after-free" => {
            // SAFETY: it is alive. It is used after that: the deed.
            unsafe { heap.free(block) };
            match deed.as_str() {
                "read-after-free" => read(at),
                _ => write(at),
            }
        }
        "overrun" => write(at.wrapping_add(SIZE)),
        "underrun" => read(at.wrapping_sub(1)),
        "after-resize" => {
            // SAFETY: it is alive. The old address is used after that: the deed.
            unsafe { heap.resize(block, 2 * SIZE) };
            read(at);
        }
        // Only valgrind knows what was written.
        "uninitialised" => {
            // SAFETY: the byte is the block's. Nobody has written it: the deed.
            if unsafe { at.read_volatile() } == 1 {
                println!("one");
            }
        }
        _ => {
            eprintln!(
                "usage: misuse clean|read-after-free|write-after-free|overrun|underrun|after-resize|uninitialised"
            );
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}
