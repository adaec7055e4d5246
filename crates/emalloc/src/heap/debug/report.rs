//! Owns [`Report`]: what debug mode has found, in data and in the original's text.

use core::fmt;

use crate::heap::fault::FaultKind;
use crate::heap::site::Site;

/// Bytes that are not what was written there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Change {
    /// Where the first of them lies.
    pub address: usize,
    /// How many there are.
    pub bytes: usize,
    pub(super) reach: (usize, usize),
    pub(super) from_the_start: bool,
    pub(super) to_the_end: bool,
    pub(super) found: [u8; 8],
    pub(super) expected: [u8; 8],
    pub(super) shown: usize,
}

impl Change {
    /// What is there now, from `address` on: up to eight bytes.
    pub fn found(&self) -> &[u8] {
        &self.found[..self.shown]
    }

    /// What had to be there.
    pub fn expected(&self) -> &[u8] {
        &self.expected[..self.shown]
    }
}

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// Somebody wrote behind the block.
    Overrun {
        /// Up to so many bytes behind its end.
        over: usize,
        /// Whether all of the guard is gone: it may have been more.
        at_least: bool,
        /// What was changed.
        change: Change,
    },
    /// Somebody wrote in front of the block.
    Underrun {
        /// From so many bytes before its beginning on.
        under: usize,
        /// Whether all of the guard is gone: it may have been more.
        at_least: bool,
        /// What was changed.
        change: Change,
    },
    /// Somebody wrote into the block after it had been freed.
    WriteAfterFree {
        /// The first changed byte, from the block's beginning.
        offset: usize,
        /// What was changed.
        change: Change,
    },
    /// Somebody wrote over what the heap knows of the block: its size and who asked for it are lost.
    RecordOverwritten,
    /// A pointer given back was wrong: a double free, another heap's block, a wrong size and so on.
    Pointer(FaultKind),
}

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BlockInfo<'a> {
    /// Its first byte.
    pub address: usize,
    /// What was asked for, in bytes.
    pub size: usize,
    /// Who asked.
    pub allocated: Site<'a>,
    /// Who freed it, if it is held back.
    pub freed: Option<Site<'a>>,
}

/// Something that debug mode has found.
///
/// It displays as the original's block status, several lines.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Report<'a> {
    /// What is wrong.
    pub finding: Finding,
    /// The address in question: the pointer given back, or the block.
    pub address: usize,
    /// The block there, if there is one.
    pub block: Option<BlockInfo<'a>>,
    /// The call in which it was found; `None` when a heap is reset or dropped.
    pub at: Option<Site<'a>>,
    /// The program's name ([`Debug::script`](super::Debug::script)).
    pub script: &'a str,
}

/// The line that begins the original's reports.
pub(super) fn head(f: &mut dyn fmt::Write, script: &str) -> fmt::Result {
    const DAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    if let Some(now) = crate::sys::local_time() {
        let day = DAYS.get(now.weekday).unwrap_or(&"?");
        let month = MONTHS.get(now.month).unwrap_or(&"?");
        let (hour, minute, second) = (now.hour, now.minute, now.second);
        write!(
            f,
            "[{day} {month} {:>2} {hour:02}:{minute:02}:{second:02} {}]  ",
            now.day, now.year
        )?;
    }
    writeln!(f, "Script:  '{script}'")
}

/// `file(line)`, as the original writes places.
pub(super) struct Place<'a>(pub Site<'a>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", File(self.0), self.0.line())
    }
}

/// The file alone; what is not UTF-8 is shown as U+FFFD.
pub(super) struct File<'a>(pub Site<'a>);

impl fmt::Display for File<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_unknown() {
            return f.write_str("unknown");
        }
        for chunk in self.0.file_bytes().utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{FFFD}")?;
            }
        }
        Ok(())
    }
}

/// `file:line`, as the original writes where a block was allocated.
struct Line<'a>(Site<'a>);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", File(self.0), self.0.line())?;
        match self.0.origin() {
            Some(origin) => write!(f, " (relayed from {}:{})", File(origin), origin.line()),
            None => Ok(()),
        }
    }
}

/// Bytes in the order in which they lie in memory.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02X}"))
    }
}

const DASHES: &str = "---------------------------------------";

fn overflown(
    f: &mut fmt::Formatter<'_>,
    change: &Change,
    bytes: usize,
    at_least: bool,
) -> fmt::Result {
    let (found, expected) = (Hex(change.found()), Hex(change.expected()));
    writeln!(f, "Overflown (magic={found} instead of {expected})")?;
    if at_least {
        writeln!(f, "          \tAt least {bytes} bytes overflown")
    } else {
        writeln!(f, "          \t{bytes} byte(s) overflown")
    }
}

impl Report<'_> {
    fn beginning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Beginning:  \t")?;
        match (self.finding, &self.block) {
            (Finding::RecordOverwritten, _) => {
                writeln!(
                    f,
                    "Unknown (the record in front of the block was overwritten)"
                )
            }
            (_, Some(block)) => {
                let (at, size) = (Line(block.allocated), block.size);
                match block.freed {
                    Some(freed) => {
                        let freed = Line(freed);
                        writeln!(
                            f,
                            "Freed (allocated on {at}, {size} bytes, freed on {freed})"
                        )
                    }
                    None => writeln!(f, "OK (allocated on {at}, {size} bytes)"),
                }
            }
            _ => writeln!(f, "Unknown"),
        }
    }

    fn finding(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.finding {
            Finding::Overrun {
                over,
                at_least,
                change,
            } => {
                f.write_str("    Start:\tOK\n      End:\t")?;
                overflown(f, &change, over, at_least)
            }
            Finding::Underrun {
                under,
                at_least,
                change,
            } => {
                f.write_str("    Start:\t")?;
                overflown(f, &change, under, at_least)?;
                f.write_str("      End:\tOK\n")
            }
            Finding::WriteAfterFree { offset, change } => {
                let (found, expected) = (Hex(change.found()), Hex(change.expected()));
                writeln!(
                    f,
                    "  Content:\tWritten after the free ({found} instead of {expected})\n          \t{} byte(s) from offset {offset} on",
                    change.bytes
                )
            }
            Finding::RecordOverwritten => Ok(()),
            Finding::Pointer(kind) => writeln!(f, "  Pointer:\t{kind}"),
        }
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        head(f, self.script)?;
        writeln!(f, "{DASHES}")?;
        let address = self.block.map_or(self.address, |block| match self.finding {
            Finding::Pointer(_) => self.address,
            _ => block.address,
        });
        match self.at {
            Some(at) => {
                writeln!(f, "{} : Block {address:#010x} status:", Place(at))?;
                if let Some(origin) = at.origin() {
                    let place = Place(origin);
                    writeln!(f, "{place} : Actual location (location was relayed)")?;
                }
            }
            None => writeln!(f, "Block {address:#010x} status:")?,
        }
        self.beginning(f)?;
        self.finding(f)?;
        f.write_str(DASHES)
    }
}
