//! [`prefetch`] on processors for which nobody has written it.

/// Nothing: the processor fetches when it must.
#[inline(always)]
pub fn prefetch(_address: *const u8) {}
