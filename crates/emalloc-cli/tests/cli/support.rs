//! Running the command, and making traces for it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use emalloc_trace::{Header, Hints, Record};
use serde_json::Value;

/// The traces that are part of the project.
pub const COMMITTED: [&str; 4] = ["bench", "micro_bench", "phpparser", "twig"];

/// What the command answered.
pub struct Answer {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Answer {
    /// Its standard output, as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Fails, with everything it said, unless it ended with `code`.
    #[track_caller]
    pub fn ended_with(self, code: i32) -> Self {
        let Self { stdout, stderr, .. } = &self;
        assert_eq!(self.code, code, "stdout: {stdout}\nstderr: {stderr}");
        self
    }
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().expect("it was ended by a signal"),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

/// The command, with nothing to read.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_emalloc"));
    command.stdin(Stdio::null());
    command
}

/// Runs the command with these words.
pub fn emalloc(words: &[&str]) -> Answer {
    command().args(words).output().expect("it starts").into()
}

/// Runs the command with these words and this on its standard input.
pub fn emalloc_reading(words: &[&str], input: &[u8]) -> Answer {
    let mut child = command()
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    // It may end before it has read everything.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    child.wait_with_output().expect("it ends").into()
}

/// The path of a committed trace.
pub fn committed(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../traces");
    path.join(format!("{name}.emtr.zst"))
        .to_str()
        .expect("UTF-8")
        .to_owned()
}

/// A file of this test run.
pub fn file(name: &str, bytes: &[u8]) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::write(&path, bytes).expect("the file can be written");
    path.to_str().expect("UTF-8").to_owned()
}

/// A trace with a true header but for what is given; the records may be any.
pub fn trace(header: Header, records: &[Record]) -> Vec<u8> {
    let ops = records.iter().filter(|record| record.is_op()).count();
    let ends = records
        .iter()
        .filter(|record| matches!(record, Record::RequestEnd { .. }))
        .count();
    let header = Header {
        ops: ops as u64,
        requests: ends as u64,
        ..header
    };
    let mut bytes = header.encode().to_vec();
    for record in records {
        record.encode(&mut bytes);
    }
    bytes
}

pub fn begin(number: u32) -> Record {
    Record::RequestBegin { number }
}

pub fn end(number: u32, live_blocks: u32, live_bytes: u64) -> Record {
    Record::RequestEnd {
        number,
        live_blocks,
        live_bytes,
    }
}

pub fn alloc(slot: u32, size: u64) -> Record {
    let hints = Hints::EMPTY;
    Record::Alloc { slot, size, hints }
}

pub fn free(slot: u32) -> Record {
    let hints = Hints::EMPTY;
    Record::Free { slot, hints }
}

pub fn realloc(slot: u32, size: u64) -> Record {
    let hints = Hints::EMPTY;
    Record::Realloc { slot, size, hints }
}
