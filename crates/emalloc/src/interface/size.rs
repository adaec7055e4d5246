//! Owns the reading of sizes as people write them.

use core::fmt;

/// A text that is no size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ParseSizeError;

impl fmt::Display for ParseSizeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "expected a whole number of bytes below 2^{}, with K, M, G or T behind it if need be (64K, 64KiB)",
            usize::BITS
        )
    }
}

impl core::error::Error for ParseSizeError {}

/// Reads a size in bytes: a whole number, with `K`, `M`, `G` or `T` (also `KB`, `KiB`, either case) for powers of 1024.
///
/// # Errors
/// Anything else, and what does not fit a `usize`.
///
/// ```
/// use emalloc::interface::parse_size;
/// assert_eq!(parse_size("256K"), Ok(262_144));
/// assert_eq!(parse_size("64 MiB"), Ok(64 << 20));
/// assert!(parse_size("12 apples").is_err());
/// ```
pub fn parse_size(text: &str) -> Result<usize, ParseSizeError> {
    let text = text.trim();
    let digits = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: usize = number.parse().map_err(|_| ParseSizeError)?;
    let shift = ["", "k", "m", "g", "t"].iter().position(|prefix| {
        let unit = unit.trim_start();
        let rest = unit
            .get(..prefix.len())
            .filter(|start| start.eq_ignore_ascii_case(prefix))
            .map(|_| &unit[prefix.len()..]);
        rest.is_some_and(|rest| {
            rest.is_empty()
                || rest.eq_ignore_ascii_case("b")
                || !prefix.is_empty() && rest.eq_ignore_ascii_case("ib")
        })
    });
    let factor = 1usize
        .checked_shl(10 * shift.ok_or(ParseSizeError)? as u32)
        .ok_or(ParseSizeError)?;
    number.checked_mul(factor).ok_or(ParseSizeError)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1", 1),
            ("64K", 65536),
            ("64k", 65536),
            ("64KB", 65536),
            ("3MiB", 3 << 20),
            (" 1 g ", 1 << 30),
            ("7b", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in [
            "",
            "K",
            "-1",
            "1.5G",
            "1KK",
            "1iB",
            "99999999999999999999",
            "18446744073709551615K",
            "0x10",
            "1 2",
        ] {
            assert_eq!(parse_size(text), Err(ParseSizeError), "{text}");
        }
    }
}
