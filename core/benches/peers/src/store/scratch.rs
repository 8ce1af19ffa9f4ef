//! Directories for stores: beside the binary, on its disk, where a sync is one.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

static MADE: AtomicU32 = AtomicU32::new(0);

/// A directory that is removed with this.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        let binary = std::env::current_exe().expect("the binary has a path");
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let path = binary.with_file_name(format!("bench-store-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap_or_else(|error| panic!("{} can't be made: {error}", path.display()));
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The path of something in it.
    pub fn at(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("a path of UTF-8").to_owned()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{} is left over: {error}", self.0.display());
        }
    }
}
