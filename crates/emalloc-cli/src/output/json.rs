//! What every JSON answer begins with: the version of its keys, and the command.

use std::io::{self, Write};

use serde::Serialize;

/// The version of all JSON answers. Keys may be added without a new one.
pub const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Answer<'a, T> {
    schema_version: u32,
    command: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

/// Writes `body`, a struct, as the answer of `command`.
pub fn write(out: &mut dyn Write, command: &str, body: &impl Serialize) -> io::Result<()> {
    let answer = Answer {
        schema_version: SCHEMA_VERSION,
        command,
        body,
    };
    serde_json::to_writer_pretty(&mut *out, &answer)?;
    writeln!(out)
}
