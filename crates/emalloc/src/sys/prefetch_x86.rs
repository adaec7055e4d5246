//! [`prefetch`] on x86 processors with SSE.

#[cfg(target_arch = "x86")]
use core::arch::x86::{_MM_HINT_ET0, _mm_prefetch};
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};

/// Has the processor fetch what lies at `address`, soon to be written. Any address may be given.
#[inline(always)]
pub fn prefetch(address: *const u8) {
    // SAFETY: the instruction reads nothing that the program could see, and never faults.
    unsafe { _mm_prefetch::<_MM_HINT_ET0>(address.cast()) }
}
