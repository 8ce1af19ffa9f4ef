//! The C programs of `tests/c`: each asserts what it says and exits with 0.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{has, program, run_within, torture};

#[track_caller]
fn passes(source: &str) {
    let program = program(source);
    let limit = Duration::from_secs(if torture() { 1200 } else { 120 });
    run_within(&mut Command::new(&program), limit).ok();
    if has("valgrind") && !torture() {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--leak-check=full", "--errors-for-leak-kinds=definite"]);
        valgrind.arg("--fair-sched=yes").arg(&program).env("LSES_SLOW", "1");
        run_within(&mut valgrind, Duration::from_secs(240)).ok();
    } else if !torture() {
        eprintln!("{source}: not run under valgrind, which is not there");
    }
}

#[test]
fn everything_once() {
    passes("smoke.c");
}
