//! Owns [`Usage`]: how many bytes are in blocks, the most there ever were, and
//! when a sample is due. Counted by everyone who makes or frees blocks.
//!
//! Allocating takes from one number and freeing from another, so neither waits
//! for what the other wrote last. While blocks are only allocated nobody looks
//! at the peak: it is where the usage was before something is freed, so freeing
//! compares the two numbers. The carry of the first says that a sample is due.

use core::cell::Cell;
use core::hint;

/// Bytes in blocks, as rounded to classes, pages and grants: `peak + at_peak - countdown`, exact at all times.
/// (Of 64 bits everywhere: with fewer, what was allocated altogether does not fit.)
#[repr(C)]
pub(super) struct Usage {
    /// Bytes that may be allocated, whatever is freed meanwhile, before a sample is due; [`NEVER`] in a new heap.
    countdown: Cell<u64>,
    /// What the countdown is when the usage is at the peak. It may be negative; it is more than the countdown while the usage is
    /// above the peak, which is to be raised before anything is freed.
    at_peak: Cell<u64>,
    /// The peak, but for what is above it.
    peak: Cell<usize>,
    /// Whether a sample is due: of the block that was counted last.
    due: Cell<bool>,
}

/// More than will ever be allocated, and so far from negative numbers that there is room above it for a usage.
const NEVER: u64 = u64::MAX / 4;

impl Usage {
    pub const fn new() -> Self {
        Self {
            countdown: Cell::new(NEVER),
            at_peak: Cell::new(NEVER),
            peak: Cell::new(0),
            due: Cell::new(false),
        }
    }

    /// Bytes in blocks.
    #[inline(always)]
    pub fn now(&self) -> usize {
        self.peak.get().wrapping_sub(self.below() as usize)
    }

    /// The most bytes that were in blocks since the peak was set.
    #[inline]
    pub fn peak(&self) -> usize {
        self.peak.get().max(self.now())
    }

    /// Sets the peak, to the usage at least.
    pub fn set_peak(&self, peak: usize) {
        let now = self.now();
        let peak = peak.max(now);
        self.peak.set(peak);
        self.set_below((peak - now) as u64);
    }

    /// Forgets all blocks, and the peak.
    pub fn clear(&self) {
        self.peak.set(0);
        self.set_below(0);
    }

    /// How many bytes the usage is below the peak; negative above it.
    #[inline(always)]
    fn below(&self) -> u64 {
        self.countdown.get().wrapping_sub(self.at_peak.get())
    }

    fn set_below(&self, below: u64) {
        self.at_peak.set(self.countdown.get().wrapping_sub(below));
    }

    /// Counts `bytes` more.
    #[inline(always)]
    pub fn add(&self, bytes: usize) {
        if self.count(bytes) {
            self.turn();
        }
    }

    /// Counts `bytes` more. Says whether [`turn`](Self::turn) must be called at once.
    #[inline(always)]
    #[must_use]
    pub fn count(&self, bytes: usize) -> bool {
        let (left, passed) = self.countdown.get().overflowing_sub(bytes as u64);
        self.countdown.set(left);
        passed
    }

    /// Whether the usage is above the peak as it is noted.
    #[inline(always)]
    pub fn is_above(&self) -> bool {
        self.countdown.get().cast_signed() < self.at_peak.get().cast_signed()
    }

    /// Counts `bytes` less.
    #[inline(always)]
    pub fn sub(&self, bytes: usize) {
        self.sub_read(&bytes);
    }

    /// As [`sub`](Self::sub), of bytes that are read where they are needed: processors add what lies in memory.
    #[inline(always)]
    pub fn sub_read(&self, bytes: &usize) {
        let mut at_peak = self.at_peak.get();
        if self.is_above() {
            hint::cold_path();
            // Volatile, so that the number is read again: kept at hand, it costs the usual path two instructions.
            // SAFETY: it is a field of ours.
            let countdown = unsafe { self.countdown.as_ptr().read_volatile() };
            let above = at_peak.wrapping_sub(countdown);
            self.peak.set(self.peak.get().wrapping_add(above as usize));
            at_peak = countdown;
        }
        self.at_peak.set(at_peak.wrapping_sub(*bytes as u64));
    }

    /// Notes that a sample is due: the countdown has become negative.
    #[cold]
    #[inline(never)]
    pub fn turn(&self) {
        self.due.set(true);
        self.count_down(NEVER);
    }

    /// Has a sample be due in `until` bytes, or none any more.
    pub fn sample_in(&self, until: Option<usize>) {
        self.due.set(false);
        self.count_down(until.map_or(NEVER, |until| (until as u64).min(NEVER)));
    }

    fn count_down(&self, until: u64) {
        let below = self.below();
        self.countdown.set(until);
        self.set_below(below);
    }

    /// Whether a sample is due, of the block that was counted last.
    #[inline(always)]
    pub fn is_sample_due(&self) -> bool {
        self.due.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fall_due_after_a_block_of_more_than_a_quarter_of_all_addresses() {
        // Of those that 32 bits have.
        const MUCH: usize = 3 << 29;
        let usage = Usage::new();
        usage.sample_in(Some(1000));
        usage.add(MUCH);
        assert!(usage.is_sample_due());
        assert_eq!((usage.now(), usage.peak()), (MUCH, MUCH));
        usage.sub(MUCH);
        usage.sample_in(Some(1000));
        assert!(!usage.is_sample_due());
        usage.add(600);
        usage.sub(600);
        usage.add(600);
        assert!(usage.is_sample_due());
        assert_eq!((usage.now(), usage.peak()), (600, MUCH));
        usage.sample_in(None);
        usage.add(MUCH);
        assert_eq!((usage.now(), usage.peak()), (MUCH + 600, MUCH + 600));
    }

    #[test]
    fn the_peak_is_raised_by_what_was_in_blocks_before_something_was_freed() {
        let usage = Usage::new();
        usage.add(100);
        usage.add(50);
        assert_eq!((usage.now(), usage.peak()), (150, 150));
        usage.sub(100);
        assert_eq!((usage.now(), usage.peak()), (50, 150));
        usage.add(60);
        usage.sub(110);
        assert_eq!((usage.now(), usage.peak()), (0, 150));
        usage.add(151);
        usage.set_peak(150);
        assert_eq!((usage.now(), usage.peak()), (151, 151));
        usage.sub(151);
        usage.set_peak(10);
        assert_eq!((usage.now(), usage.peak()), (0, 10));
        usage.add(11);
        usage.clear();
        assert_eq!((usage.now(), usage.peak()), (0, 0));
    }
}
