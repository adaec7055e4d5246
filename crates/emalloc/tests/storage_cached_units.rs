//! `cached` over a storage whose unit is larger than a page: what is cut out of pieces are whole units, wherever they begin.

use std::ptr::NonNull;

use emalloc::storage::{
    Cached, Capabilities, Grant, MALLOC, Malloc, Regions, Storage, StorageError, forward_storage,
};

const UNIT: usize = 64 << 10;
const PAGE: usize = 4 << 10;

/// In units of 64K, at no multiples of that unless somebody asks for it.
struct Shifted(Regions<Malloc>);

// SAFETY: all memory is the storage's inside, whose grants may be cut at pages.
unsafe impl Storage for Shifted {
    forward_storage!(|self| self.0; name, resize, trim);

    fn capabilities(&self) -> Capabilities {
        let mut can = self.0.capabilities();
        can.granularity = UNIT;
        can
    }

    fn allocate(&self, size: usize, align: usize) -> Result<Grant, StorageError> {
        if align >= UNIT {
            return self.0.allocate(size, align);
        }
        let whole = self.0.allocate(size + 2 * PAGE, UNIT)?;
        // SAFETY: inside the grant, of which the first and the last page are nobody's.
        unsafe {
            self.0.free(whole.start, PAGE, PAGE);
            self.0.free(whole.start.add(PAGE + size), PAGE, PAGE);
            let start = whole.start.add(PAGE);
            Ok(Grant { start, ..whole })
        }
    }

    unsafe fn free(&self, start: NonNull<u8>, size: usize, align: usize) {
        assert!(size.is_multiple_of(UNIT), "{size:#x}");
        // SAFETY: the caller's promise.
        unsafe { self.0.free(start, size, align) };
    }
}

#[test]
fn a_piece_is_cut_in_whole_units_wherever_it_begins() {
    let storage = Cached::new(Shifted(Regions::new(MALLOC)));
    let all = storage.allocate(8 * UNIT, PAGE).unwrap();
    // SAFETY: granted above.
    unsafe { storage.free(all.start, 8 * UNIT, PAGE) };
    let aligned = storage.allocate(2 * UNIT, 2 * UNIT).unwrap();
    // The rests, which `Shifted` looks at.
    assert_eq!(storage.trim(), 6 * UNIT);
    // SAFETY: granted above.
    unsafe { storage.free(aligned.start, 2 * UNIT, 2 * UNIT) };
}
