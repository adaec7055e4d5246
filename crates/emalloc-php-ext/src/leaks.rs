//! Owns the lists by line of script, and the report of blocks that a request left, in the original's words.

use std::format;
use std::string::String;
use std::vec::Vec;

use hashbrown::HashMap;

use crate::host::Text;
use crate::own::own;
use crate::stacks::Line;
use crate::watch::{Book, Sum, Sums, watch};

/// Which of a stack's sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    Allocated,
    Live,
    Peak,
}

impl By {
    /// As it is called in PHP.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "allocated" => Some(Self::Allocated),
            "live" => Some(Self::Live),
            "peak" => Some(Self::Peak),
            _ => None,
        }
    }

    pub fn of(self, sums: &Sums) -> Sum {
        match self {
            Self::Allocated => sums.allocated,
            Self::Live => sums.live,
            Self::Peak => sums.peak,
        }
    }
}

/// The lines that asked for memory, those of most bytes first.
pub fn lines(book: &Book, by: By) -> Vec<(Line, Sum)> {
    let stacks = book.sums.iter().enumerate();
    gather(book, stacks.map(|(stack, sums)| (stack, by.of(sums))))
}

/// The lines whose blocks are alive, of samples from `since` on.
pub fn lines_since(book: &Book, since: u64) -> Vec<(Line, Sum)> {
    let samples = book.live.iter().map(|(_, sample)| sample);
    let recent = samples.filter(|sample| sample.serial >= since);
    gather(
        book,
        recent.map(|sample| (sample.stack as usize, book.sum_of(sample))),
    )
}

fn gather(book: &Book, sums: impl Iterator<Item = (usize, Sum)>) -> Vec<(Line, Sum)> {
    let mut by_stack: HashMap<usize, Sum> = HashMap::new();
    for (stack, sum) in sums {
        by_stack.entry(stack).or_default().add(sum);
    }
    let mut lines: HashMap<Line, Sum> = HashMap::new();
    for (stack, sum) in by_stack {
        lines.entry(book.stacks.line(stack)).or_default().add(sum);
    }
    // Less than half a block is what rounding leaves of none.
    let mut sorted: Vec<_> = lines
        .into_iter()
        .filter(|(_, sum)| sum.blocks >= 0.5)
        .collect();
    sorted
        .sort_by(|(a, left), (b, right)| right.bytes.total_cmp(&left.bytes).then_with(|| a.cmp(b)));
    sorted
}

/// Says which blocks the request that ended has left.
pub fn report() {
    let Some(text) = watch().read(text).flatten() else {
        return;
    };
    // SAFETY: it is the glue's function, and the text is there meanwhile.
    unsafe { (own().host().say)(Text::new(&text)) };
}

fn text(book: &Book) -> Option<String> {
    if book.live.len() == 0 {
        return None;
    }
    // As there: the first block of a line, and how many more.
    let mut lines: HashMap<Line, Vec<(u64, usize, usize)>> = HashMap::new();
    for (address, sample) in book.live.iter() {
        let blocks = lines
            .entry(book.stacks.line(sample.stack as usize))
            .or_default();
        blocks.push((sample.serial, address, sample.size));
    }
    let mut lines: Vec<_> = lines.into_iter().collect();
    for (_, blocks) in &mut lines {
        blocks.sort_unstable();
    }
    lines.sort_by_key(|(_, blocks)| blocks[0]);
    let mut text = format!("Script:  '{}'\n", own().script.borrow());
    for (line, blocks) in &lines {
        let (_, address, size) = blocks[0];
        text += &format!(
            "{}({}) :  Freeing 0x{address:X} ({size} bytes), asked for by {}\n",
            line.file, line.line, line.function
        );
        let repeated = blocks.len() - 1;
        if repeated > 0 {
            let times = if repeated == 1 { "time" } else { "times" };
            text += &format!("Last leak repeated {repeated} {times}\n");
        }
    }
    text += &format!("=== Total {} memory leaks detected ===\n", book.live.len());
    Some(text)
}
