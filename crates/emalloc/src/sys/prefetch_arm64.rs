//! [`prefetch`] on 64-bit ARM processors.

/// Has the processor fetch what lies at `address`, soon to be written. Any address may be given.
#[inline(always)]
pub fn prefetch(address: *const u8) {
    // SAFETY: the instruction reads nothing that the program could see, and never faults.
    unsafe {
        core::arch::asm!(
            "prfm pstl1keep, [{address}]",
            address = in(reg) address,
            options(nostack, preserves_flags, readonly),
        );
    }
}
