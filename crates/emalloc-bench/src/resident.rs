//! What the system says about the resident memory of this process.

use std::fs;

use anyhow::{Context, Result};

/// The zero point of a measurement.
pub struct Baseline(i64);

impl Baseline {
    /// Makes the zero point of what is resident now. All pages of programs and libraries are made resident first, so that
    /// code that runs for the first time is not taken for memory that was allocated; what `malloc` keeps is given back.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn take() -> Result<Self> {
        populate_files()?;
        // SAFETY: it may be called at any time.
        unsafe { libc::malloc_trim(0) };
        // 5 sets the peak to what is resident now.
        fs::write("/proc/self/clear_refs", "5")?;
        Ok(Self(status("VmRSS:")?))
    }

    /// Bytes resident at most since then, beyond what was then.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn peak(&self) -> Result<i64> {
        Ok(status("VmHWM:")? - self.0)
    }

    /// Bytes resident beyond what was then.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn now(&self) -> Result<i64> {
        Ok(status("VmRSS:")? - self.0)
    }
}

/// A line of `/proc/self/status`, in bytes.
fn status(name: &str) -> Result<i64> {
    let text = fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: i64 = kilobytes.context("no such line in status")?.parse()?;
    Ok(kilobytes << 10)
}

fn populate_files() -> Result<()> {
    let maps = fs::read_to_string("/proc/self/maps")?;
    for line in maps.lines() {
        // As in: 7f00-7f10 r-xp 00000000 fe:00 1234  /usr/lib/libc.so.6
        let mut words = line.split_whitespace();
        let (range, access) = (words.next(), words.next());
        let is_file = words.nth(3).is_some_and(|name| name.starts_with('/'));
        let readable = access.is_some_and(|access| access.starts_with('r'));
        let range = range.and_then(|range| range.split_once('-'));
        let (Some((start, end)), true, true) = (range, is_file, readable) else {
            continue;
        };
        let start = usize::from_str_radix(start, 16)?;
        let end = usize::from_str_radix(end, 16)?;
        // SAFETY: this only brings pages in, which any access could. A refusal (of an old kernel, or at the end of a file)
        // leaves them as they were.
        unsafe {
            libc::madvise(
                std::ptr::without_provenance_mut(start),
                end - start,
                libc::MADV_POPULATE_READ,
            )
        };
    }
    Ok(())
}
