//! Owns the sum of which the original's safe forms allocate, and its overflow.

use crate::heap::AllocError;

/// `count * size + offset`.
///
/// # Errors
/// [`AllocError::Overflow`] if that is more than an address can count: what the original reports.
///
/// ```
/// use emalloc::interface::sum;
/// assert_eq!(sum(10, 24, 16), Ok(256));
/// let error = sum(usize::MAX, 2, 0).unwrap_err();
/// assert!(error.to_string().starts_with("Possible integer overflow in memory allocation"));
/// ```
#[inline(always)]
pub fn sum(count: usize, size: usize, offset: usize) -> Result<usize, AllocError> {
    let bytes = count
        .checked_mul(size)
        .and_then(|bytes| bytes.checked_add(offset));
    bytes.ok_or(AllocError::Overflow {
        count,
        size,
        offset,
    })
}
