//! The header in C11 and C++17, with the compilers that are here.
#![cfg(unix)]

mod common;

use common::{CC, Compiler, folder, run, succeed};
use std::fs;
use std::path::Path;
use std::process::Command;

const CXX: Compiler = Compiler {
    command: "c++",
    standard: "-std=c++17",
};

const CLANG: Compiler = Compiler {
    command: "clang",
    ..CC
};

const CLANGXX: Compiler = Compiler {
    command: "clang++",
    ..CXX
};

/// Those of some compilers that are here.
fn here<const N: usize>(compilers: [Compiler; N]) -> impl Iterator<Item = Compiler> {
    compilers.into_iter().filter(|compiler| {
        let is_here = Command::new(compiler.command)
            .arg("--version")
            .output()
            .is_ok();
        if !is_here {
            eprintln!("there is no {}: not tried", compiler.command);
        }
        is_here
    })
}

#[test]
fn cplusplus() {
    for compiler in here([CXX, CLANGXX]) {
        let output = run(&mut compiler.program(&folder("tests/c/plus.cpp")));
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            "the last one is freed\n"
        );
        assert!(output.status.success());
    }
}

#[test]
fn clang() {
    for compiler in here([CLANG]) {
        succeed(&mut compiler.program(&folder("tests/c/blocks.c")));
    }
}

#[test]
fn the_header_is_complete_by_itself() {
    for compiler in here([CC, CLANG, CXX, CLANGXX]) {
        for (kind, names) in [
            ("all", ""),
            (
                "few",
                "#define EMALLOC_NO_ZEND_NAMES\n#define EMALLOC_NO_SITES\n",
            ),
        ] {
            let text = format!(
                "{names}#include <emalloc.h>\n#include <emalloc.h>\nint main(void) {{ return emalloc_version() == NULL; }}\n"
            );
            let is_c = compiler.standard == CC.standard;
            let name = format!("alone_{kind}.{}", if is_c { "c" } else { "cpp" });
            let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
            fs::write(&path, text).unwrap();
            succeed(&mut compiler.program(&path));
        }
    }
}
