//! Owns [`Usage`]: how many bytes are in blocks, the most there ever were, and
//! when a sample is due. Counted by everyone who makes or frees blocks.
//!
//! Allocating subtracts from one number and freeing adds to another, so neither
//! waits for what the other wrote last, and one test of a carry says when
//! somebody has to look: no sooner than the peak may be passed or a sample is due.

use core::cell::Cell;
use core::hint;

/// Bytes in blocks, as rounded to classes, pages and grants: `top - countdown - freed`, exact at all times.
#[repr(C)]
pub(super) struct Usage {
    /// Bytes that may be allocated, whatever is freed meanwhile, before anything has to be looked at.
    countdown: Cell<usize>,
    /// What was freed since that was last done, and by how much the usage was below the top then, beyond the countdown.
    freed: Cell<usize>,
    /// The peak; while samples are taken, the level up to which it is followed, and [`BIAS`].
    top: Cell<usize>,
    sampled: Sampled,
}

/// What is known besides while samples are taken.
struct Sampled {
    on: Cell<bool>,
    /// Bytes that may be allocated after the countdown until a sample is due.
    beyond: Cell<usize>,
    /// Whether one is due: of the block that was counted last.
    due: Cell<bool>,
    /// The peak and `freed`, when they were last looked at.
    peak: Cell<usize>,
    freed: Cell<usize>,
}

/// In `top` and `freed` while samples are taken. So large that `freed` and a negative countdown have a carry and
/// are negative all the same, which leads to [`Usage::turn_slow`].
const BIAS: usize = 3 << (usize::BITS - 2);

/// Whether there can be blocks of more bytes than the bias has room for.
const NARROW: bool = usize::BITS < 64;

/// While samples are taken, a growing heap looks every so many bytes only.
pub(super) const STRIDE: usize = 16 << 10;

/// Farther off than anything that will ever be allocated.
const NEVER: usize = usize::MAX / 2;

impl Usage {
    pub const fn new() -> Self {
        Self {
            countdown: Cell::new(0),
            freed: Cell::new(0),
            top: Cell::new(0),
            sampled: Sampled {
                on: Cell::new(false),
                beyond: Cell::new(NEVER),
                due: Cell::new(false),
                peak: Cell::new(0),
                freed: Cell::new(0),
            },
        }
    }

    /// Bytes in blocks.
    #[inline(always)]
    pub fn now(&self) -> usize {
        let below = self.countdown.get().wrapping_add(self.freed.get());
        self.top.get().wrapping_sub(below)
    }

    /// The most bytes that were in blocks since the peak was set: exactly, but while samples are taken it may be
    /// up to [`STRIDE`] more.
    pub fn peak(&self) -> usize {
        if !self.sampled.on.get() {
            return self.top.get();
        }
        // Nothing was looked at since, but before all that was freed there cannot have been more than now and that.
        let freed = self.freed.get().wrapping_sub(self.sampled.freed.get());
        let level = self.top.get().wrapping_sub(BIAS);
        let now = self.now();
        self.sampled.peak.get().max(level.min(now + freed)).max(now)
    }

    /// Sets the peak, to the usage at least.
    pub fn set_peak(&self, peak: usize) {
        let (now, until) = (self.now(), self.until_sample());
        self.set(now, peak.max(now), until);
    }

    /// Forgets all blocks, and the peak.
    pub fn clear(&self) {
        let until = self.until_sample();
        self.set(0, 0, until);
    }

    /// Counts `bytes` more.
    #[inline(always)]
    pub fn add(&self, bytes: usize) {
        if self.count(bytes) && self.turn() {
            self.turn_slow();
        }
    }

    /// Counts `bytes` more. Says whether [`turn`](Self::turn) must be called at once.
    #[inline(always)]
    #[must_use]
    pub fn count(&self, bytes: usize) -> bool {
        let (left, passed) = self.countdown.get().overflowing_sub(bytes);
        self.countdown.set(left);
        passed
    }

    /// Counts `bytes` less.
    #[inline(always)]
    pub fn sub(&self, bytes: usize) {
        self.freed.set(self.freed.get().wrapping_add(bytes));
    }

    /// Looks at everything, now that the countdown has become negative. Says whether `turn_slow` is to do that.
    #[inline(always)]
    #[must_use]
    pub fn turn(&self) -> bool {
        hint::cold_path();
        if NARROW && self.sampled.on.get() {
            return true;
        }
        // Volatile, so that the number is read again: kept at hand, it costs the usual path two instructions.
        // SAFETY: it is a field of ours.
        let over = unsafe { self.countdown.as_ptr().read_volatile() };
        let (below, is_below) = self.freed.get().overflowing_add(over);
        if is_below {
            if below > NEVER {
                return true;
            }
            self.countdown.set(below);
        } else {
            // While a program grows this is so for each allocation: a few instructions, so no call.
            self.top.set(self.top.get().wrapping_sub(below));
            self.countdown.set(0);
        }
        self.freed.set(0);
        false
    }

    /// Looks at everything while samples are taken. From then on one may be due.
    #[cold]
    #[inline(never)]
    pub fn turn_slow(&self) {
        let (now, peak) = (self.now(), self.peak());
        // The countdown is negative, and what is beyond it may be less than that.
        let (mut until, is_left) = self
            .sampled
            .beyond
            .get()
            .overflowing_add(self.countdown.get());
        if !is_left && self.sampled.on.get() {
            self.sampled.due.set(true);
            until = NEVER;
        }
        self.set(now, peak, until);
    }

    /// Sets everything: the usage, the peak, and in how many bytes a sample is due.
    fn set(&self, now: usize, peak: usize, until: usize) {
        let (level, until, bias) = if self.sampled.on.get() {
            (peak.max(now + STRIDE), until, BIAS)
        } else {
            (peak, NEVER, 0)
        };
        let countdown = (level - now).min(until);
        let freed = (level - now - countdown).wrapping_add(bias);
        self.countdown.set(countdown);
        self.freed.set(freed);
        self.top.set(level.wrapping_add(bias));
        self.sampled.beyond.set(until - countdown);
        self.sampled.peak.set(peak);
        self.sampled.freed.set(freed);
    }

    /// Bytes that may be allocated until a sample is due.
    fn until_sample(&self) -> usize {
        self.countdown
            .get()
            .saturating_add(self.sampled.beyond.get())
    }

    /// Has a sample be due in `until` bytes, or none any more.
    pub fn sample_in(&self, until: Option<usize>) {
        let (now, peak) = (self.now(), self.peak());
        self.sampled.on.set(until.is_some());
        self.sampled.due.set(false);
        self.set(now, peak, until.unwrap_or(NEVER));
    }

    /// Whether a sample is due, of the block that was counted last.
    #[inline(always)]
    pub fn is_sample_due(&self) -> bool {
        self.sampled.due.get()
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
}
