//! The table of one machine: many processes, one directory.

#[allow(dead_code, unused_imports)]
mod books;
mod directory;
#[allow(dead_code)]
mod layout;
#[allow(dead_code)]
mod map;
#[cfg(target_os = "linux")]
mod network;
#[allow(dead_code)]
mod processes;
#[cfg(test)]
mod testing;
#[allow(dead_code)]
mod word;
