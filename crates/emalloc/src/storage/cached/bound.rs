//! How much `cached` may keep: a bound on what is granted and kept together, which rises with what is granted and
//! falls with time; and a lower one for the time between requests. Used by `cached` only.

use crate::layout::LARGE_PAGE;

/// Intervals of silence after which nothing is left of what was needed lately.
const MOST_TIMES: u64 = 128;

/// A mean this near to what a request needed is that.
const NEAR: usize = LARGE_PAGE / 16;

/// What is granted, and how much of that is filled, as far as heaps have told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) granted: usize,
    pub(super) filled: usize,
}

/// Where less than this part of what is granted is free, it counts as filled: what is kept would be cut at the end of each request
/// for little.
const LITTLE: usize = 8;

impl Held {
    const NOTHING: Self = Self::all(0);

    /// Of `granted` bytes `unfilled` are free.
    pub(super) const fn new(granted: usize, unfilled: usize) -> Self {
        if unfilled < granted / LITTLE {
            return Self::all(granted);
        }
        Self {
            granted,
            filled: granted.saturating_sub(unfilled),
        }
    }

    /// All of it is.
    const fn all(granted: usize) -> Self {
        Self {
            granted,
            filled: granted,
        }
    }
}

/// The bound.
#[derive(Debug)]
pub(super) struct Bound {
    /// What is granted and kept may be this much together: the most that was filled.
    bytes: usize,
    /// The most that was filled since the bound last fell.
    high: usize,
    /// When it last fell for the time that had passed, in milliseconds.
    fell: u64,
    /// The most that was granted in segments since a request ended last.
    segments: usize,
    /// The mean of what requests needed of those.
    mean: usize,
    /// Whether nothing was granted since a request ended last.
    ended: bool,
    /// The most that was granted at once lately, and the most that was filled. They fall with time only, and more slowly: nothing is
    /// kept for them.
    lately: Held,
    /// The most that was granted since they last fell.
    granted: usize,
    /// How much of what is kept was brought in anew lately, to have large pages.
    renewed: usize,
}

impl Bound {
    pub(super) const fn new() -> Self {
        Self {
            bytes: 0,
            high: 0,
            fell: 0,
            segments: 0,
            mean: 0,
            ended: false,
            lately: Held::NOTHING,
            granted: 0,
            renewed: 0,
        }
    }

    /// What may be kept beside `granted` bytes.
    pub(super) const fn room(&self, granted: usize) -> usize {
        let bytes = if self.ended && self.mean < self.bytes {
            self.mean
        } else {
            self.bytes
        };
        bytes.saturating_sub(granted)
    }

    /// Takes note of how much is granted in segments.
    pub(super) fn see_segments(&mut self, segments: usize) {
        self.segments = self.segments.max(segments);
    }

    /// A request has begun.
    pub(super) const fn begin(&mut self) {
        self.ended = false;
    }

    /// Takes note of how much is granted and filled.
    pub(super) fn see(&mut self, now: Held) {
        self.high = self.high.max(now.filled);
        self.granted = self.granted.max(now.granted);
        self.lately.granted = self.lately.granted.max(now.granted);
        self.lately.filled = self.lately.filled.max(now.filled);
        self.bytes = self.bytes.max(now.filled);
    }

    /// Falls by half of the excess for each `interval` that has passed until `now`.
    pub(super) fn pass_time(&mut self, now: u64, interval: u64, held: Held) {
        let times = now.saturating_sub(self.fell) / interval.max(1);
        if times == 0 {
            return;
        }
        self.see(held);
        for _ in 0..times.min(MOST_TIMES) {
            self.lately.granted -= (self.lately.granted - self.granted) / 8;
            self.lately.filled -= (self.lately.filled - self.high) / 8;
            self.renewed -= self.renewed / 64;
        }
        // In the first interval the most that was granted counts; all others were silent.
        self.bytes = self.high + (self.bytes - self.high) / 2;
        let silent = u32::try_from(times - 1)
            .ok()
            .and_then(|times| (self.bytes - held.filled).checked_shr(times))
            .unwrap_or(0);
        self.bytes = held.filled + silent;

        self.high = held.filled;
        self.granted = held.granted;
        self.fell = now;
    }

    /// A request has ended: until something is granted again, the bound is the mean of what requests needed in segments, as
    /// the original keeps it in its chunks. Huge blocks do not count.
    pub(super) fn end_request(&mut self, segments: usize) {
        self.see_segments(segments);
        let mean = self.mean.midpoint(self.segments);
        self.mean = if mean.abs_diff(self.segments) < NEAR {
            self.segments
        } else {
            mean
        };
        self.segments = segments;
        self.ended = true;
    }

    /// Whether the end of a request that needed all segments that are granted changes nothing.
    pub(super) fn is_at_rest(&self, segments: usize) -> bool {
        [self.mean, self.segments.max(segments)] == [segments; 2]
    }

    /// Such a request has ended, and `segments` bytes are granted in segments that the next one needs in any case.
    pub(super) const fn rest(&mut self, segments: usize) {
        self.segments = segments;
    }

    /// Leaves room for nothing until more is granted than now.
    pub(super) const fn close(&mut self) {
        self.bytes = 0;
        self.high = 0;
        self.granted = 0;
        self.lately = Held::NOTHING;
        self.renewed = 0;
    }

    /// Whether a large page more than that was granted at once lately, and as much filled: then large pages, for memory that is
    /// granted anyway, add nothing to the peak. What is granted last is not filled as a rule.
    pub(super) const fn is_usual(&self, held: Held) -> bool {
        held.granted.saturating_add(LARGE_PAGE) <= self.lately.granted
            && held.filled <= self.lately.filled
    }

    /// Whether `size` bytes of what is held may be brought in anew, in large pages where they had others. They are
    /// counted as brought in then: all that was granted at once lately, once, and again a 64th of it with each interval. Which memory
    /// has large pages already nobody knows, and so it costs little not to know.
    pub(super) fn renew(&mut self, held: Held, size: usize) -> bool {
        let renewed = self.renewed.saturating_add(size);
        let may = self.is_usual(held) && renewed <= self.lately.granted;
        if may {
            self.renewed = renewed;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_of_the_excess_goes_in_each_interval() {
        let mut bound = Bound::new();
        bound.pass_time(1000, 10, Held::all(0));
        bound.see(Held::all(96));
        bound.see(Held::all(32));
        assert_eq!((bound.room(0), bound.room(32), bound.room(97)), (96, 64, 0));
        // The interval in which all was needed takes nothing, and none has passed after 9 milliseconds.
        bound.pass_time(1010, 10, Held::all(32));
        assert_eq!(bound.room(0), 96);
        bound.pass_time(1019, 10, Held::all(32));
        assert_eq!(bound.room(0), 96);
        bound.pass_time(1020, 10, Held::all(32));
        assert_eq!(bound.room(0), 64);
        // Two at once.
        bound.pass_time(1040, 10, Held::all(32));
        assert_eq!(bound.room(0), 40);
        bound.pass_time(u64::MAX, 10, Held::all(32));
        assert_eq!(bound.room(0), 32);
        // A clock that goes back is no time that passes.
        bound.see(Held::all(50));
        bound.pass_time(0, 10, Held::all(0));
        assert_eq!(bound.room(0), 50);
    }

    #[test]
    fn a_silence_counts_though_much_was_needed_before_it() {
        let mut bound = Bound::new();
        bound.pass_time(1000, 10, Held::all(0));
        bound.see(Held::all(96));
        bound.pass_time(1045, 10, Held::all(32));
        assert_eq!(bound.room(0), 32 + 64 / 8);
    }

    #[test]
    fn what_was_granted_lately_is_forgotten_slowly_and_by_no_request() {
        let mut bound = Bound::new();
        bound.pass_time(1000, 10, Held::all(0));
        bound.see(Held::all(160 + LARGE_PAGE));
        bound.end_request(0);
        bound.end_request(0);
        assert!(bound.is_usual(Held::all(160)) && !bound.is_usual(Held::all(161)));
        bound.pass_time(1010, 10, Held::all(0));
        // An eighth of what is above the most that was granted since, for each interval.
        bound.see(Held::all(80 + LARGE_PAGE));
        bound.pass_time(1020, 10, Held::all(0));
        assert!(bound.is_usual(Held::all(150)) && !bound.is_usual(Held::all(151)));
        bound.pass_time(1019 + 10 * 128, 10, Held::all(0));
        assert!(!bound.is_usual(Held::all(80)));
    }

    #[test]
    fn what_was_granted_lately_is_brought_in_anew_once_and_then_by_little() {
        let mut bound = Bound::new();
        bound.pass_time(1000, 10, Held::all(0));
        bound.see(Held::all(64 * LARGE_PAGE));
        let mut renew = |now| {
            bound.pass_time(now, 10, Held::all(63 * LARGE_PAGE));
            let size = LARGE_PAGE;
            assert!(!bound.renew(Held::all(64 * size), size));
            (0..100)
                .filter(|_| bound.renew(Held::all(63 * size), size))
                .count()
        };
        assert_eq!((renew(1009), renew(1009)), (64, 0));
        assert_eq!((renew(1010), renew(1019)), (1, 0));
        bound.close();
        assert!(!bound.renew(Held::all(0), 0));
    }

    #[test]
    fn what_is_kept_from_request_to_request_is_the_mean() {
        const PAGES: usize = 64 * LARGE_PAGE;
        let mut bound = Bound::new();
        let room = |bound: &Bound, granted| bound.room(granted) / LARGE_PAGE;
        bound.see(Held::all(2 * PAGES));
        let mut end = |segments, left| {
            bound.begin();
            bound.see_segments(segments);
            // Nothing else counts but what was granted at once.
            assert_eq!(room(&bound, 0), 128);
            bound.end_request(left);
            room(&bound, 0)
        };
        for expected in [32, 48, 56, 60, 62, 63, 63, 63, 63, 63] {
            assert_eq!(end(PAGES, 0), expected);
        }
        // Near enough.
        assert_eq!(end(PAGES, 0), 64);
        assert_eq!(end(0, PAGES / 2), 48);
        assert_eq!(end(0, PAGES / 2), 40);
        assert_eq!(room(&bound, PAGES / 2), 8);
        bound.close();
        assert_eq!((bound.room(0), bound.is_usual(Held::all(1))), (0, false));
        bound.pass_time(99, 10, Held::all(0));
        bound.see(Held::all(7));
        assert_eq!(bound.room(0), 7);
    }

    #[test]
    fn what_was_not_filled_is_neither_kept_nor_usual() {
        let mut bound = Bound::new();
        bound.pass_time(1000, 10, Held::NOTHING);
        let held = |granted, filled| Held {
            granted: granted * LARGE_PAGE,
            filled: filled * LARGE_PAGE,
        };
        bound.see(held(9, 6));
        assert_eq!(bound.room(0), 6 * LARGE_PAGE);
        assert!(bound.is_usual(held(8, 6)));
        assert!(!bound.is_usual(held(9, 6)) && !bound.is_usual(held(8, 7)));
        bound.pass_time(1010, 10, held(8, 2));
        assert_eq!(bound.room(0), 6 * LARGE_PAGE);
        // Half of what is beyond what is filled.
        bound.pass_time(1020, 10, held(8, 2));
        assert_eq!(bound.room(0), 4 * LARGE_PAGE);
    }
}
