//! How a test starts its own program once more, to see how a process ends.

use std::env;
use std::process::Command;

/// This program, behind whatever cargo was told to run programs of this kind with: an emulator of another
/// processor runs it, but the system does not.
pub fn this_binary() -> Command {
    let this = env::current_exe().unwrap();
    let runner = env::vars().find(|(name, _)| {
        let words: Vec<&str> = name.split('_').collect();
        let ours = |word: &str| words.contains(&word.to_uppercase().as_str());
        name.starts_with("CARGO_TARGET_")
            && name.ends_with("_RUNNER")
            && !cfg!(windows)
            && ours(env::consts::ARCH)
            && ours(env::consts::OS)
    });
    let Some((_, runner)) = runner else {
        return Command::new(this);
    };
    let mut words = runner.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words).arg(this);
    command
}
