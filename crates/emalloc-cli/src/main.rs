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
    let cli = Cli::parse();
    let mut out = io::stdout().lock();
    let done = match &cli.command {
        Command::Replay(args) => commands::replay::run(args, &mut out),
        Command::Storages(args) => commands::storages::run(args, &mut out),
        Command::Explain(args) => commands::explain::run(args, &mut out),
        Command::Completions { shell } => commands::shell::completions(*shell, &mut out),
        Command::Man => commands::shell::man(&mut out),
    };
    let exit = done.and_then(|exit| out.flush().map(|()| exit));
    match exit {
        Ok(exit) => exit.into(),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Exit::Fine.into(),
        Err(error) => {
            eprintln!("emalloc: standard output: {error}");
            Exit::Unreadable.into()
        }
    }
}
