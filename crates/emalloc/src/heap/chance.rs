//! Owns the arithmetic of sampling: the random gaps between samples, and how
//! likely a block was to be hit. Pure, without the standard library's functions.
//! Used by `samples`.

use core::cell::Cell;
use core::f64::consts::LN_2;

/// A source of random numbers, good enough for choosing blocks. (SplitMix64)
pub(super) struct Chance(Cell<u64>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Cell::new(seed))
    }

    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.set(state);
        let mixed = (state ^ state >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// Bytes to the next sample, if there is one in `every` on average wherever one begins to count: the gaps are
    /// distributed exponentially.
    pub fn gap(&self, every: usize) -> usize {
        /// How many even steps there are from 0 to 1.
        const STEPS: f64 = (1u64 << 53) as f64;
        let uniform = ((self.next() >> 11) + 1) as f64 / STEPS;
        let gap = -ln(uniform) * every as f64;
        // At most 37 times the mean.
        (gap as usize).min(usize::MAX / 4)
    }
}

/// How likely at least one sample was to fall into `bytes` bytes.
pub(super) fn likelihood(bytes: usize, every: usize) -> f64 {
    // 1 - e^-x, by its series near 0, to which x is halved: 1 - e^-2x is p * (2 - p).
    let mut x = bytes as f64 / every as f64;
    let mut halvings = 0;
    while x > 0.125 && halvings < 12 {
        x /= 2.0;
        halvings += 1;
    }
    if x > 0.125 {
        return 1.0;
    }
    // (Multiplied, for dividing takes longer.)
    const THIRD: f64 = 1.0 / 3.0;
    let mut p = x * (1.0 - x / 2.0 * (1.0 - x * THIRD * (1.0 - x / 4.0 * (1.0 - x * 0.2))));
    for _ in 0..halvings {
        p *= 2.0 - p;
    }
    p
}

/// The natural logarithm of a positive normal number.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52) as i64 - 1023;
    let mantissa = f64::from_bits(bits & (u64::MAX >> 12) | 1023 << 52);
    // ln m = 2 artanh z, by its series; z is at most a third.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let mut sum = 0.0;
    for odd in [15.0, 13.0, 11.0, 9.0, 7.0, 5.0, 3.0, 1.0] {
        sum = sum * square + 1.0 / odd;
    }
    exponent as f64 * LN_2 + 2.0 * z * sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    #[cfg_attr(miri, ignore = "only arithmetic, and much of it")]
    fn logarithms_and_likelihoods_are_right() {
        for step in 1..2000 {
            let x = f64::from(step) / 2000.0;
            assert!((ln(x) - x.ln()).abs() < 1e-7, "{x}");
        }
        assert_eq!(ln(1.0), 0.0);
        for bytes in (0..40).map(|shift| 1usize << shift.min(usize::BITS - 2)) {
            let (found, exact) = (
                likelihood(bytes, 1 << 19),
                -(-(bytes as f64) / 524288.0).exp_m1(),
            );
            assert!(
                (found / exact - 1.0).abs() < 1e-4,
                "{bytes}: {found} and not {exact}"
            );
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "a hundred thousand logarithms, and no pointer")]
    fn gaps_are_exponential() {
        let chance = Chance::new(7);
        let gaps: Vec<_> = (0..100_000).map(|_| chance.gap(1000) as f64).collect();
        let mean = gaps.iter().sum::<f64>() / 100_000.0;
        let square = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / 100_000.0;
        assert!((mean - 1000.0).abs() < 15.0, "{mean}");
        assert!((square.sqrt() - 1000.0).abs() < 25.0, "{}", square.sqrt());
        let longer = gaps.iter().filter(|&&gap| gap > 1000.0).count() as f64 / 100_000.0;
        assert!((longer - (-1.0f64).exp()).abs() < 0.01, "{longer}");
    }
}
