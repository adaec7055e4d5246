//! Compiles C and C++ programs against the library that cargo has just built, and runs them.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, OnceLock};

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

pub fn run(command: &mut Command) -> Output {
    command
        // Cargo's names a folder where an older library may lie.
        .env_remove("LD_LIBRARY_PATH")
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
    /// A command that runs a program, compiled once from a source with warnings as errors and linked with the shared
    /// library; its environment says nothing to that.
    pub fn program(self, source: &Path) -> Command {
        static COMPILED: Mutex<BTreeMap<PathBuf, Arc<OnceLock<()>>>> = Mutex::new(BTreeMap::new());
        let name = source.file_stem().unwrap().to_str().unwrap();
        let program =
            Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", self.command));
        let once = COMPILED
            .lock()
            .unwrap()
            .entry(program.clone())
            .or_default()
            .clone();
        once.get_or_init(|| self.compile(source, &program));
        let mut command = Command::new(program);
        for (variable, _) in env::vars_os() {
            let known = variable.to_string_lossy();
            let prefixes = ["EMALLOC_", "ZEND_", "USE_ZEND_"];
            if prefixes.iter().any(|prefix| known.starts_with(prefix)) {
                command.env_remove(&variable);
            }
        }
        command
    }

    fn compile(self, source: &Path, program: &Path) {
        let built = built();
        succeed(
            Command::new(self.command)
                .arg(self.standard)
                .args(WARNINGS)
                // Files are named without their folder, in tests as on other machines.
                .arg(format!(
                    "-fmacro-prefix-map={}/=",
                    source.parent().unwrap().display()
                ))
                .args(["-g", "-pthread", "-I"])
                .arg(folder("include"))
                .arg(source)
                .arg("-L")
                .arg(&built)
                .arg("-lemalloc_c")
                .arg(format!("-Wl,-rpath,{}", built.display()))
                .arg("-o")
                .arg(program),
        );
    }
}
