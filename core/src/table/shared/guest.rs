//! Opening a store by what it says itself of its configuration, for who looks and ends and serves nobody.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;

use super::SharedTable;
use super::books::{self, Books};
use super::directory::failed;
use super::layout::PARTICIPANTS;
use super::map::Map;
use super::processes::Processes;
use crate::config::Pool;
use crate::error::{Error, ErrorKind, Result};

/// What a store says of how its processes are configured.
pub(crate) struct Found {
    /// As it was given by who opened it last with a configuration: [`SharedOptions::kept`](super::SharedOptions::kept).
    pub kept: String,
    /// The pools, with the definitions that are in force.
    pub pools: Vec<Pool>,
}

/// Who else has a store open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    Nobody,
    /// Those only that serve nobody.
    Guests,
    /// Some that serve.
    Servers,
}

/// Who has the store open.
pub(super) fn company(processes: &Processes, map: Option<&Map>) -> Company {
    let mut company = Company::Nobody;
    for number in (1..=PARTICIPANTS as u32).filter(|number| processes.alive(*number)) {
        let guest = map.is_some_and(|map| map.head().participants[number as usize - 1].guest.load(Relaxed) == 1);
        if !guest {
            return Company::Servers;
        }
        company = Company::Guests;
    }
    company
}

/// Refuses a directory without a store, and one of another user: a file made for it would be closed to who serves.
pub(super) fn check_there(dir: &Path) -> Result<()> {
    let file = dir.join(books::FILE);
    let found = match std::fs::metadata(&file) {
        Ok(found) if found.is_file() && found.len() > 0 => found,
        // Nothing is in it yet but what is in the log.
        Ok(found) if found.is_file() && dir.join(format!("{}-wal", books::FILE)).exists() => found,
        Err(error) if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(failed(&file, "it can't be looked at", &error));
        }
        _ => {
            return Err(Error::invalid(format!(
                "there is no store in {}: name the directory that the processes have which serve",
                dir.display()
            )));
        }
    };
    let me = rustix::process::geteuid().as_raw();
    if found.uid() != me {
        return Err(Error::invalid(format!(
            "the store {} belongs to uid {}, and this process runs as uid {me}: run it as that user (sudo -u '#{}' …)",
            dir.display(),
            found.uid(),
            found.uid()
        )));
    }
    Ok(())
}

/// Its configuration is another one than was found.
pub(super) fn changed(dir: &Path) -> Error {
    Error::new(
        ErrorKind::Unavailable,
        format!(
            "the configuration of the store {} is not what it keeps for administrators: it was changed a moment ago, then \
             try again; or its processes have another version of libsession, then use that one",
            dir.display()
        ),
    )
}

impl SharedTable {
    /// What the store in a directory says of its configuration. Makes and changes nothing.
    ///
    /// # Errors
    /// `invalid`: there is none, or it belongs to another user. `unavailable`: it is of another version.
    pub fn found(dir: &Path) -> Result<Found> {
        check_there(dir)?;
        let processes = Processes::open(dir)?;
        // Nobody opens it meanwhile with another configuration.
        let setup = processes.setup(super::open::SETUP)?;
        let books = Books::open_as_they_are(dir)?;
        let found = books.read(|pages| {
            let kept = pages.meta(books::KEPT)?.and_then(|bytes| String::from_utf8(bytes).ok());
            let Some(kept) = kept else { return Ok(None) };
            let mut pools = Vec::new();
            for (number, name) in (0..).zip(pages.names()?.pools) {
                let Some(row) = pages.definition(number)? else { return Ok(None) };
                pools.push(Pool::from_books(&name, &row.definition)?);
            }
            Ok(Some(Found { kept, pools }))
        });
        books.close(false);
        drop(setup);
        found?.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                format!(
                    "the store {} does not say how it is configured: it was made by an earlier version of libsession; it \
                     says so once a process of this version opened it with its configuration while nobody had it open",
                    dir.display()
                ),
            )
        })
    }
}
