//! Every link in the documents that leads to a place in this repository leads there: the file exists, and the heading.
#![cfg(feature = "std")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The documents at the root and in `docs`, as deep as they lie.
fn documents() -> Vec<PathBuf> {
    let mut folders = vec![root().join("docs")];
    let mut found = Vec::new();
    let mut look = |folder: &Path, deeper: &mut dyn FnMut(PathBuf)| {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "md") {
                found.push(path);
            } else if path.is_dir() {
                deeper(path);
            }
        }
    };
    look(&root(), &mut |_| ());
    while let Some(folder) = folders.pop() {
        look(&folder, &mut |path| folders.push(path));
    }
    found
}

/// The lines outside of blocks of code.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_code = false;
    text.lines().filter(move |line| {
        let fence = line.starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

/// What a heading is called in a link.
fn anchor(heading: &str) -> String {
    let kept = |letter: &char| letter.is_alphanumeric() || [' ', '-', '_'].contains(letter);
    let text: String = heading.trim().to_lowercase().chars().filter(kept).collect();
    text.replace(' ', "-")
}

fn has_heading(document: &Path, name: &str) -> bool {
    let text = fs::read_to_string(document).unwrap();
    prose(&text)
        .filter(|line| line.starts_with('#'))
        .any(|line| anchor(line.trim_start_matches('#')) == name)
}

#[test]
fn links_lead_somewhere() {
    let mut lost = Vec::new();
    let mut links = 0;
    for document in documents() {
        let text = fs::read_to_string(&document).unwrap();
        for line in prose(&text) {
            let targets = line.split("](").skip(1);
            for target in targets.filter_map(|rest| rest.split(')').next()) {
                if target.starts_with("http") {
                    continue;
                }
                links += 1;
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let place = match file {
                    "" => document.clone(),
                    file => document.parent().unwrap().join(file),
                };
                if !place.exists() || !heading.is_empty() && !has_heading(&place, heading) {
                    lost.push(format!("{}: {target}", document.display()));
                }
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
    assert!(links > 50, "{links}");
}
