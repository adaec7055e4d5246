//! `emalloc completions`, `emalloc man`, and the help.

use crate::support::{command, emalloc};

#[test]
fn completions_for_each_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let answer = emalloc(&["completions", shell]).ended_with(0);
        assert!(answer.stdout.contains("segment-size"), "{shell}");
    }
    emalloc(&["completions", "nosuch"]).ended_with(2);
}

#[test]
fn the_manual_page_has_every_command() {
    let answer = emalloc(&["man"]).ended_with(0);
    for command in ["REPLAY", "STORAGES", "EXPLAIN", "COMPLETIONS", "MAN"] {
        let title = format!("\n.SH \"EMALLOC {command}\"\n");
        assert!(answer.stdout.contains(&title), "{command}");
    }
}

#[test]
fn the_help_of_every_command_names_exit_codes_or_shows_an_example() {
    for command in ["replay", "storages", "explain", "completions", "man"] {
        let answer = emalloc(&[command, "--help"]).ended_with(0);
        let help = answer.stdout;
        assert!(help.contains("Example"), "{command}");
        let answers = ["replay", "storages", "explain"].contains(&command);
        assert!(!answers || help.contains("Exit codes:"), "{command}");
    }
    let answer = emalloc(&["--version"]).ended_with(0);
    assert_eq!(
        answer.stdout,
        concat!("emalloc ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_be_written_is_an_error() {
    for words in [
        &["--help"][..],
        &["--version"],
        &["man"],
        &["explain", "1"],
        &["storages", "--no-test", "--json"],
    ] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let output = command().args(words).stdout(full.unwrap()).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.starts_with("emalloc: standard output: "), "{said}");
        assert_eq!(output.status.code(), Some(3), "{words:?}");
    }
}
