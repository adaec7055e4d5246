//! Owns the summary of a request, as `emalloc.report` writes it, and the writing of files.

use std::format;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::string::{String, ToString};

use crate::config::STDERR;
use crate::host::Text;
use crate::leaks::{By, lines};
use crate::own::own;
use crate::watch::{Book, watch};

/// Lines that each list shows.
const SHOWN: usize = 10;

/// The figures of a request that end it.
pub struct Request<'a> {
    pub script: &'a str,
    pub peak: usize,
    pub real_peak: usize,
    pub limit: usize,
}

/// What a request needed, and which lines of its scripts.
pub fn text(request: &Request) -> String {
    let (blocks, bytes) = watch().counted();
    let limit = match i64::try_from(request.limit) {
        Ok(_) => size(request.limit as f64),
        Err(_) => "none".to_string(),
    };
    let mut text = format!(
        "emalloc: {}\n  peak {}, {} with what the heap keeps; memory_limit {limit}\n",
        request.script,
        size(request.peak as f64),
        size(request.real_peak as f64),
    );
    let lists = watch().read(|book| {
        let mut lists = format!(
            "  {} in {blocks} blocks; {}\n",
            size(bytes as f64),
            match book.every {
                1 => "every one was noted".to_string(),
                every => format!("{} samples, one every {}", book.serial, size(every as f64)),
            }
        );
        lists += &list(book, By::Peak, "at the peak");
        lists += &list(book, By::Allocated, "allocated in all");
        lists += &list(book, By::Live, "still in use at the end of the script");
        lists
    });
    text += &lists.unwrap_or_default();
    text
}

fn list(book: &Book, by: By, title: &str) -> String {
    let lines = lines(book, by);
    if lines.is_empty() {
        return String::new();
    }
    let mut text = format!("  {title}:\n");
    for (line, sum) in lines.iter().take(SHOWN) {
        text += &format!(
            "  {:>10} {:>9} blocks  {line}\n",
            size(sum.bytes),
            sum.blocks.round(),
        );
    }
    if lines.len() > SHOWN {
        text += &format!("  and {} lines more\n", lines.len() - SHOWN);
    }
    text
}

/// Bytes as people read them.
fn size(bytes: f64) -> String {
    match bytes {
        bytes if bytes < 1024.0 => format!("{bytes:.0} B"),
        bytes if bytes < 1024.0 * 1024.0 => format!("{:.1} KiB", bytes / 1024.0),
        bytes => format!("{:.1} MiB", bytes / (1024.0 * 1024.0)),
    }
}

/// Writes to a file, or to standard error if that is its name; `%p` in it is the process's number. `append`: after
/// what is there.
pub fn write(path: &str, content: &[u8], append: bool) -> io::Result<()> {
    if path == STDERR {
        let text = String::from_utf8_lossy(content);
        // SAFETY: it is the glue's function, and the text is there meanwhile.
        unsafe { (own().host().say)(Text::new(&text)) };
        return Ok(());
    }
    let path = path.replace("%p", &std::process::id().to_string());
    let mut options = OpenOptions::new();
    options.create(true).write(true);
    let mut file = if append {
        options.append(true).open(path)?
    } else {
        options.truncate(true).open(path)?
    };
    file.write_all(content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_people_read_them() {
        assert_eq!(size(1023.0), "1023 B");
        assert_eq!(size(1536.0), "1.5 KiB");
        assert_eq!(size((3 << 20) as f64), "3.0 MiB");
    }
}
