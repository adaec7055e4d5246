//! Compiles C and C++ programs against the library that cargo has just built, and runs them.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// What a header for others must bear.
const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

/// A compiler, by its command and the language it is told.
#[derive(Clone, Copy)]
pub struct Compiler {
    pub command: &'static str,
    pub standard: &'static str,
}

pub const CC: Compiler = Compiler {
    command: "cc",
    standard: "-std=c11",
};

pub fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Where the library's files lie.
pub fn built() -> PathBuf {
    let test = env::current_exe().unwrap();
    test.parent().unwrap().to_owned()
}

/// Whether a program can be run at all.
pub fn has(command: &str) -> bool {
    Command::new(command).arg("--version").output().is_ok()
}

pub fn run(command: &mut Command) -> Output {
    command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs a command that must succeed, and answers what it wrote.
pub fn succeed(command: &mut Command) -> String {
    let output = run(command);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{text}\n{error}",
        output.status
    );
    text
}

impl Compiler {
    /// Compiles a source with warnings as errors, and links it with the shared library.
    pub fn compile(self, source: &Path) -> PathBuf {
        let built = built();
        let search = format!("-Wl,-rpath,{}", built.display());
        self.link(
            source,
            "shared",
            &[
                "-L".as_ref(),
                built.as_os_str(),
                "-lemalloc_c".as_ref(),
                search.as_ref(),
            ],
        )
    }

    /// The same with other arguments for the linker.
    pub fn link(self, source: &Path, kind: &str, arguments: &[&OsStr]) -> PathBuf {
        let name = source.file_stem().unwrap().to_str().unwrap();
        let program =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}-{kind}", self.command));
        succeed(
            Command::new(self.command)
                .arg(self.standard)
                .args(WARNINGS)
                .args(["-g", "-pthread", "-I"])
                .arg(folder("include"))
                .arg(source)
                .args(arguments)
                .arg("-o")
                .arg(&program),
        );
        program
    }
}
