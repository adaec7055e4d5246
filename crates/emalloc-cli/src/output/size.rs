//! Sizes and counts as we print them, for people. (They are read by `emalloc::interface::parse_size`.)

/// Units, and by how many bits they exceed a byte.
const UNITS: [(&str, u32); 4] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)];

/// Three digits and a unit: `1000 B`, `1.21 MiB`, `64 KiB`.
pub fn display(bytes: usize) -> String {
    let fitting = UNITS
        .into_iter()
        .find(|&(_, shift)| bytes as u64 >> shift > 0);
    let Some((unit, shift)) = fitting else {
        return format!("{bytes} B");
    };
    let value = bytes as f64 / (1u64 << shift) as f64;
    let decimals = match value {
        v if v.fract() == 0.0 => 0,
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.decimals$} {unit}")
}

/// A count with its thousands set apart: `4,760,806`.
pub fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1025, "1.00 KiB"),
            (256 << 10, "256 KiB"),
            (10_239, "10.0 KiB"),
            (1_268_000, "1.21 MiB"),
            (67_195_639, "64.1 MiB"),
            ((1 << 20) - 1, "1024 KiB"),
        ];
        for (bytes, text) in cases {
            assert_eq!(display(bytes), text);
        }
        assert_eq!(
            [grouped(0), grouped(999), grouped(1000), grouped(4_760_806)],
            ["0", "999", "1,000", "4,760,806"]
        );
    }
}
