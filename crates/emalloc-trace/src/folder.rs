//! Owns which files of a folder are traces.

use std::io;
use std::path::{Path, PathBuf};

/// The files that a path stands for: those of a folder whose names end in `.emtr` or `.zst`, by name; anything else stands
/// for itself, whether it is there or not.
///
/// # Errors
/// The folder cannot be read, or there is no such file in it.
pub fn trace_files(path: impl AsRef<Path>) -> io::Result<Vec<PathBuf>> {
    let path = path.as_ref();
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in path.read_dir()? {
        let file = entry?.path();
        let is_trace = file
            .extension()
            .is_some_and(|end| end == "emtr" || end == "zst");
        if is_trace && !file.is_dir() {
            files.push(file);
        }
    }
    if files.is_empty() {
        let said = "a folder without files that end in .emtr or .zst";
        return Err(io::Error::new(io::ErrorKind::NotFound, said));
    }
    files.sort_unstable();
    Ok(files)
}
