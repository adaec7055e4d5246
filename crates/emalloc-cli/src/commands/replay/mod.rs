//! `emalloc replay`: runs recorded programs. Each file here owns a part of the way: `stack` the storages,
//! `batch` the decoding, `execute` and `contents` the operations, `play` one trace, `failure` what can end
//! it, `report` the answer, `progress` the waiting.

mod batch;
mod contents;
mod execute;
mod failure;
mod play;
mod progress;
mod report;
mod stack;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use emalloc_trace::trace_files;

use crate::args::ReplayArgs;
use crate::exit::Exit;
use failure::Failure;
use play::Outcome;
use progress::Progress;

/// A trace and how its replay went.
struct Replayed {
    file: PathBuf,
    result: Result<Outcome, Failure>,
}

/// Replays all files, and those in folders, and writes the answer.
pub fn run(args: &ReplayArgs, out: &mut dyn Write) -> io::Result<Exit> {
    let mut exit = Exit::Fine;
    let mut replayed = Vec::with_capacity(args.files.len());
    for (file, found) in args.files.iter().flat_map(|named| files(named)) {
        let mut progress = Progress::new(&report::name(&file));
        let result = found.and_then(|()| repeat(args, &file, &mut progress));
        drop(progress);
        if let Err(failure) = &result {
            eprintln!("emalloc: {}: {failure}", file.display());
            exit = exit.max(failure.exit());
        }
        replayed.push(Replayed { file, result });
    }
    if args.json {
        report::json(args, &replayed, out)?;
    } else {
        report::text(args, &replayed, out)?;
    }
    Ok(exit)
}

/// The files that one word of the command line stands for; the word itself, and why, if it stands for none.
fn files(named: &Path) -> Vec<(PathBuf, Result<(), Failure>)> {
    match trace_files(named) {
        Ok(files) => files.into_iter().map(|file| (file, Ok(()))).collect(),
        Err(error) => vec![(named.to_owned(), Err(Failure::Open(error)))],
    }
}

/// What stands for standard input.
const STDIN: &str = "-";

/// Replays a file as often as asked, up to its first failure; standard input once, for it cannot be read again.
fn repeat(args: &ReplayArgs, file: &Path, progress: &mut Progress) -> Result<Outcome, Failure> {
    let mut again = || play::play(args, open(file)?, progress);
    let mut best = again()?;
    let times = if file == Path::new(STDIN) {
        1
    } else {
        args.repeat
    };
    for _ in 1..times {
        best = best.faster(&again()?);
    }
    Ok(best)
}

fn open(file: &Path) -> Result<Box<dyn Read>, Failure> {
    if file == Path::new(STDIN) {
        return Ok(Box::new(io::stdin().lock()));
    }
    Ok(Box::new(File::open(file).map_err(Failure::Open)?))
}
