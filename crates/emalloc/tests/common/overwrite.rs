//! Writing over the memory of a heap, and putting back what was there.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::ptr;

/// A pointer to what lies at `address`, whose provenance is exposed.
pub fn at<T>(address: usize) -> *mut T {
    ptr::with_exposed_provenance_mut(address)
}

/// Writes over what lies at `address`, looks at the heap, and puts back what was there.
pub fn with_bytes<R>(address: usize, bytes: &[u8], look: impl FnOnce() -> R) -> R {
    let place: *mut u8 = at(address);
    let mut before = vec![0; bytes.len()];
    // SAFETY: callers name memory of a heap's segments, and as many bytes as are there.
    unsafe {
        place.copy_to_nonoverlapping(before.as_mut_ptr(), bytes.len());
        place.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
    }
    let result = look();
    // SAFETY: as above.
    unsafe { place.copy_from_nonoverlapping(before.as_ptr(), bytes.len()) };
    result
}

/// As [`with_bytes`], with one word.
pub fn with_word<R>(address: usize, word: usize, look: impl FnOnce() -> R) -> R {
    with_bytes(address, &word.to_ne_bytes(), look)
}

/// What lies at `address`.
pub fn bytes(address: usize, count: usize) -> Vec<u8> {
    let place: *const u8 = at(address);
    // SAFETY: callers name memory of a heap's segments.
    (0..count)
        .map(|offset| unsafe { place.add(offset).read() })
        .collect()
}
