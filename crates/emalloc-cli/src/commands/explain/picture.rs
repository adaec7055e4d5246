//! The pictures of `explain`: a run cut into blocks, a segment with a large block in it. A line is 64 characters.

use std::io::{self, Write};

use emalloc::heap::{Explained, explain};
use emalloc::layout::PAGE;

/// Characters in a line.
const COLUMNS: usize = 64;

/// Blocks below this are drawn in characters of 8 bytes, others with a line for each page.
const SMALL: usize = 2 * PAGE / COLUMNS;

/// Draws a run of `run` bytes in blocks of `block_size`, each for a request of `bytes`.
pub fn run(bytes: usize, block_size: usize, run: usize, out: &mut dyn Write) -> io::Result<()> {
    let (cell, shown) = if block_size < SMALL {
        (8, 8 * COLUMNS)
    } else {
        (PAGE / COLUMNS, run)
    };
    let whole_blocks = run / block_size * block_size;
    let character = |at: usize| {
        let (number, offset) = (at / block_size, at % block_size);
        match number {
            _ if at >= whole_blocks => '.',
            _ if offset >= bytes => '-',
            _ => char::from(b'a' + (number % 26) as u8),
        }
    };
    let cells: Vec<char> = (0..shown).step_by(cell).map(character).collect();
    write_rows(&cells, COLUMNS, out)?;
    let extent = match shown < run {
        true => format!(", the first {shown} of the run's"),
        false => String::new(),
    };
    let mut legend = format!("a character is {cell} bytes{extent}; a, b, ... the blocks");
    for (character, meaning) in [('-', "not asked for"), ('.', "left over")] {
        if cells.contains(&character) {
            legend += &format!(", {character} {meaning}");
        }
    }
    writeln!(out, "  ({legend})")
}

/// Draws a segment whose first free pages hold a block of `pages`.
pub fn segment(pages: usize, segment_size: usize, out: &mut dyn Write) -> io::Result<()> {
    let all = segment_size / PAGE;
    let header = all - longest_run(segment_size);
    // In a segment of more than a few lines a character is several pages; one that is partly used counts as used.
    let cell = (all / COLUMNS / 4).max(1);
    let columns = COLUMNS.min(all / cell);
    let character = |at: usize| match at {
        _ if at < header => 'H',
        _ if at < header + pages => '#',
        _ => '.',
    };
    let cells: Vec<char> = (0..all).step_by(cell).map(character).collect();
    write_rows(&cells, columns, out)?;
    let unit = match cell {
        1 => "a page".to_owned(),
        _ => format!("{cell} pages"),
    };
    writeln!(
        out,
        "  (a character is {unit}; H header, # the block, . free)"
    )
}

fn write_rows(cells: &[char], columns: usize, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out)?;
    for row in cells.chunks(columns) {
        writeln!(out, "  {}", row.iter().collect::<String>())?;
    }
    Ok(())
}

/// The most pages a large block can have.
fn longest_run(segment_size: usize) -> usize {
    let is_large =
        |&pages: &usize| matches!(explain(pages * PAGE, segment_size), Explained::Large { .. });
    (1..segment_size / PAGE).rev().find(is_large).unwrap_or(0)
}
