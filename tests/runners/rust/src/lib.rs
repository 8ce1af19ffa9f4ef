//! Replays the scripts of `tests/conformance` on the core, and writes random ones: see `tests/README.md`.

pub mod answer;
pub mod behavior;
pub mod generate;
pub mod line;
pub mod replay;
pub mod setup;
pub mod store;
pub mod verbs;
pub mod words;
pub mod world;

use std::path::{Path, PathBuf};

/// Every script below a folder (or the one file), in alphabetical order.
pub fn scripts(root: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut todo = vec![root.to_path_buf()];
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                todo.push(entry?.path());
            }
        } else if path.extension().is_some_and(|extension| extension == "txt") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Whether a script belongs to an optional module that means nothing in Rust: here no duration is negative.
pub fn skipped(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "~negative")
}
