//! The `emalloc` command: parses the command line, runs one command, ends with its exit code.
//!
//! Answers go to standard output, talk to standard error. A reader that goes away is no error.

mod args;
mod commands;
mod exit;
mod output;

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Command};
use exit::Exit;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return ended(said.print().map(|()| usage(&said))).into(),
    };
    let mut out = io::stdout().lock();
    let done = match &cli.command {
        Command::Replay(args) => commands::replay::run(args, &mut out),
        Command::Storages(args) => commands::storages::run(args, &mut out),
        Command::Explain(args) => commands::explain::run(args, &mut out),
        Command::Completions { shell } => commands::shell::completions(*shell, &mut out),
        Command::Man => commands::shell::man(&mut out),
    };
    ended(done.and_then(|exit| out.flush().map(|()| exit))).into()
}

/// How it ends with a command line that is wrong, or that asks for help.
fn usage(said: &clap::Error) -> Exit {
    match said.use_stderr() {
        true => Exit::Usage,
        false => Exit::Fine,
    }
}

/// How it ends when all is written, or could not be.
fn ended(written: io::Result<Exit>) -> Exit {
    written.unwrap_or_else(|error| match error.kind() {
        ErrorKind::BrokenPipe => Exit::Fine,
        _ => {
            eprintln!("emalloc: standard output: {error}");
            Exit::Unreadable
        }
    })
}
