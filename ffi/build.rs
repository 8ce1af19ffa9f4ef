//! Gives the shared library its SONAME, from the number of the C ABI, and keeps it loaded once it is loaded.

use std::env;
use std::fs;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/version.rs");
    let source = fs::read_to_string("src/version.rs").expect("src/version.rs");
    let line = source.lines().find(|line| line.contains("const LSES_ABI_VERSION")).expect("LSES_ABI_VERSION");
    let abi = line.split_once('=').expect("a value").1.trim().trim_end_matches(';');
    let os = env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    match os.as_str() {
        "linux" | "freebsd" | "netbsd" | "openbsd" | "android" => {
            println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,libsession.so.{abi}");
            println!("cargo:rustc-cdylib-link-arg=-Wl,-z,nodelete");
        }
        "macos" => println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libsession.{abi}.dylib"),
        _ => {}
    }
}
