//! The store that a script runs on.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

/// A store of one script; its directory goes with it.
pub struct Store {
    /// As `Config` takes it.
    pub name: String,
    directory: Option<PathBuf>,
}

impl Store {
    /// `memory` and the like as they are; `file` is a new directory, made for this script and removed after it.
    pub fn new(table: &str) -> std::io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        if table != "file" {
            return Ok(Self { name: table.into(), directory: None });
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("libsession-script-{}-{number}", std::process::id()));
        std::fs::create_dir(&directory)?;
        Ok(Self { name: format!("file:{}/store", directory.display()), directory: Some(directory) })
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory
            && let Err(error) = std::fs::remove_dir_all(directory)
        {
            eprintln!("{}: {error}", directory.display());
        }
    }
}
