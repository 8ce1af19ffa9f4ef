//! Where sessions are kept, as a configuration names it.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// The longest path of a store in bytes: the system's longest path less the names of the files in it.
pub const MAX_STORE_PATH: usize = 4000;

/// What a table on disk syncs before a call returns. Ends, logouts and rotations always are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The rest is synced every 50 ms: a crash of the process loses nothing, one of the machine the last 50 ms.
    #[default]
    Relaxed,
    /// Creations and changes are synced too: neither crash loses anything that returned.
    Durable,
}

impl Durability {
    /// The durability's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relaxed => "relaxed",
            Self::Durable => "durable",
        }
    }

    /// The durability with this name.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            "relaxed" => Ok(Self::Relaxed),
            "durable" => Ok(Self::Durable),
            _ => Err(Error::invalid(format!("there is no durability '{name}'; they are relaxed and durable"))),
        }
    }
}

/// Where sessions are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// In this process.
    Memory,
    /// In this directory, for all processes of the machine.
    File(PathBuf),
    /// In this process, for several managers, with what tests want to go wrong.
    #[cfg(test)]
    Test(String),
}

impl Store {
    /// What a configuration's text names.
    pub fn parse(text: &str) -> Result<Self> {
        if text == "memory" {
            return Ok(Self::Memory);
        }
        #[cfg(test)]
        if let Some(name) = text.strip_prefix("test:") {
            return Ok(Self::Test(name.to_owned()));
        }
        if let Some(path) = text.strip_prefix("file:") {
            return directory(path).map(Self::File);
        }
        if text.starts_with("redis:") || text.starts_with("rediss:") {
            return Err(Error::invalid(format!(
                "store '{}' is not in this version; its stores are: memory, file:PATH",
                short(text)
            )));
        }
        Err(Error::invalid(format!(
            "store '{}' is not known; the stores of this version are: memory, file:PATH",
            short(text)
        )))
    }
}

fn directory(path: &str) -> Result<PathBuf> {
    if path.is_empty() {
        return Err(Error::invalid("store 'file:' names no directory: write file:PATH"));
    }
    if path.contains('\0') {
        return Err(Error::invalid(format!("store 'file:{}' has a NUL in its path", short(path).replace('\0', "\\0"))));
    }
    let bound = |bytes: usize| -> Result<()> {
        if bytes > MAX_STORE_PATH {
            return Err(Error::invalid(format!(
                "the path of the store has {bytes} bytes, over the bound of {MAX_STORE_PATH}"
            )));
        }
        Ok(())
    };
    bound(path.len())?;
    // Absolute from here on: a process that changes its directory, or forks, stays with this store.
    let whole = std::path::absolute(Path::new(path)).map_err(|error| {
        Error::invalid(format!("store 'file:{}' is not below a working directory: {error}", short(path)))
    })?;
    bound(whole.as_os_str().len())?;
    Ok(whole)
}

/// The text for an error message; what is between `//` and `@` (a password) is left out.
fn short(text: &str) -> String {
    let hidden = match (text.find("//"), text.rfind('@')) {
        (Some(from), Some(to)) if from < to => format!("{}…{}", &text[..from + 2], &text[to..]),
        _ => text.to_owned(),
    };
    match hidden.char_indices().nth(128) {
        Some((end, _)) => format!("{}…", &hidden[..end]),
        None => hidden,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        let error = Store::parse(text).expect_err(text);
        assert_eq!(error.kind(), crate::ErrorKind::Invalid, "{text}");
        error.message().to_owned()
    }

    #[test]
    fn a_store_is_memory_or_a_directory() {
        assert_eq!(Store::parse("memory"), Ok(Store::Memory));
        assert_eq!(Store::parse("file:/var/lib/a b"), Ok(Store::File("/var/lib/a b".into())));
        let here = std::env::current_dir().expect("a working directory");
        assert_eq!(Store::parse("file:a/b"), Ok(Store::File(here.join("a/b"))));
    }

    #[test]
    fn what_is_no_store_is_refused_with_what_there_is() {
        assert!(refused("").contains("memory, file:PATH"));
        assert!(refused("granite").contains("'granite' is not known"));
        assert!(refused("Memory").contains("memory, file:PATH"));
        assert!(refused("file:").contains("names no directory"));
        assert!(refused("file:a\0b").contains("NUL"));
        assert!(refused(&format!("file:/{}", "a".repeat(MAX_STORE_PATH))).contains("4001 bytes"));
        assert!(refused("redis://localhost").contains("not in this version"));
        assert!(refused(&"ü".repeat(5000)).len() < 500);
    }

    #[test]
    fn an_error_shows_no_password() {
        let message = refused("redis://:secret@host/0");
        assert!(!message.contains("secret") && message.contains("@host"), "{message}");
    }

    #[test]
    fn a_durability_has_a_name() {
        for durability in [Durability::Relaxed, Durability::Durable] {
            assert_eq!(Durability::from_name(durability.name()), Ok(durability));
        }
        assert!(Durability::from_name("eventual").is_err());
    }
}
