//! Medians, quartiles, and the mark.

use serde::Serialize;

/// Net times below this, in nanoseconds, count as this: what is left is noise.
pub const FLOOR: f64 = 0.5;

/// No trace counts for more than this ratio.
pub const CAP: f64 = 10.0;

/// What the rounds of one allocator came to.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Lower quartile.
    pub q1: f64,
    /// Median.
    #[serde(skip)]
    pub median: f64,
    /// Upper quartile.
    pub q3: f64,
}

impl Spread {
    /// Of at least one value.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * (values.len() - 1) as f64;
            let (low, high) = (place.floor() as usize, place.ceil() as usize);
            values[low] + (values[high] - values[low]) * place.fract()
        };
        Self {
            q1: at(0.25),
            median: at(0.5),
            q3: at(0.75),
        }
    }
}

/// The geometric mean; `None` of nothing.
pub fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_lie_between_values() {
        let spread = Spread::of(vec![4.0, 1.0, 3.0, 2.0]);
        assert_eq!((spread.q1, spread.median, spread.q3), (1.75, 2.5, 3.25));
        let spread = Spread::of(vec![7.0]);
        assert_eq!((spread.q1, spread.median, spread.q3), (7.0, 7.0, 7.0));
    }

    #[test]
    fn the_mean_of_a_ratio_and_its_inverse_is_one() {
        let mean = geometric_mean(&[4.0, 0.25]).unwrap();
        assert!((mean - 1.0).abs() < 1e-12);
        assert_eq!(geometric_mean(&[]), None);
    }
}
