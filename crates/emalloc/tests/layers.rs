//! Guards the house: one direction of dependency between the layers, a head on
//! every file, and files of a size one can read.

use std::fs;
use std::path::{Path, PathBuf};

/// The layers, lowest first. A file may use its own layer and those before it.
const LAYERS: [&str; 5] = ["base", "sys", "storage", "heap", "interface"];

/// Files beside `lib.rs` that belong to no layer: pure arithmetic below all of them.
const BASE: [&str; 2] = ["layout", "size_class"];

/// No file goes beyond this.
const MOST_LINES: usize = 450;

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn library() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    sources(&root, &mut paths);
    let name = |path: &Path| {
        path.strip_prefix(&root)
            .unwrap()
            .to_string_lossy()
            .replace('\\', "/")
    };
    paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .collect()
}

fn rank(module: &str) -> Option<usize> {
    let layer = if BASE.contains(&module) {
        "base"
    } else {
        module
    };
    LAYERS.iter().position(|&name| name == layer)
}

/// The upward uses in a file: `crate::` paths, and what goes above the file's own layer by `super`.
fn upward(name: &str, text: &str) -> Vec<String> {
    let own = name.split(['/', '.']).next().unwrap();
    let own = rank(own).unwrap_or_else(|| panic!("{name} belongs to no layer"));
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let code = code.collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let targets = match rest.strip_prefix('{') {
            Some(group) => group[..group.find('}').unwrap()]
                .split(',')
                .map(str::trim)
                .collect(),
            None => vec![rest],
        };
        for target in targets {
            let end = target
                .find(|c: char| c != '_' && !c.is_alphanumeric())
                .unwrap_or(target.len());
            match rank(&target[..end]) {
                Some(layer) if layer <= own => {}
                _ => found.push(format!("{name} uses crate::{}", &target[..end])),
            }
        }
    }
    // As many `super` as the module is deep lead out of the layer.
    let depth = name.matches('/').count() + 1 - usize::from(name.ends_with("mod.rs"));
    if name.contains('/') && code.contains(&"super::".repeat(depth)) {
        found.push(format!("{name} leaves its layer by super"));
    }
    found
}

#[test]
fn layers_use_only_what_lies_below() {
    let upward: Vec<String> = library()
        .iter()
        .filter(|(name, _)| name != "lib.rs")
        .flat_map(|(name, text)| upward(name, text))
        .collect();
    assert!(upward.is_empty(), "{upward:#?}");
}

#[test]
fn an_upward_use_is_found() {
    assert_eq!(
        upward("sys/unix.rs", "use crate::storage::Storage;").len(),
        1
    );
    assert_eq!(
        upward("storage/malloc.rs", "fn f() { crate::heap::Heap::new(); }").len(),
        1
    );
    assert_eq!(
        upward(
            "heap/small.rs",
            "use crate::{layout::PAGE, interface::scope};"
        )
        .len(),
        1
    );
    assert_eq!(upward("storage/mod.rs", "use super::heap::Heap;").len(), 1);
    assert_eq!(
        upward(
            "storage/conformance/mod.rs",
            "use super::super::heap::Heap;"
        )
        .len(),
        1
    );
    assert_eq!(upward("layout.rs", "use crate::sys;").len(), 1);
    assert!(
        upward(
            "heap/small.rs",
            "use crate::storage::Storage;\nuse super::state::State;"
        )
        .is_empty()
    );
    assert!(upward("storage/malloc.rs", "// crate::heap\nuse crate::sys;").is_empty());
}

#[test]
fn files_have_a_head_and_a_readable_size() {
    for (name, text) in library() {
        assert!(text.starts_with("//!"), "{name} does not say what it owns");
        let lines = text.lines().count();
        assert!(lines <= MOST_LINES, "{name} has {lines} lines");
    }
}
