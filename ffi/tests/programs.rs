//! The programs of `tests/c`: each asserts what it says and exits with 0, by itself and under valgrind.

mod common;

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use common::{crate_dir, cxx, has, library, program, project_dir, run_within, scratch, torture};

/// Runs a program, then, in the short version, under valgrind.
#[track_caller]
fn passes(program: &PathBuf, arguments: &[&str]) {
    let limit = Duration::from_secs(if torture() { 3600 } else { 120 });
    run_within(Command::new(program).args(arguments), limit).ok();
    if torture() {
        return;
    }
    if !has("valgrind") {
        eprintln!("{}: not run under valgrind, which is not there", program.display());
        return;
    }
    let mut valgrind = Command::new("valgrind");
    valgrind.args([
        "--quiet",
        "--error-exitcode=99",
        "--leak-check=full",
        "--errors-for-leak-kinds=definite",
        "--show-leak-kinds=definite",
    ]);
    valgrind.args(["--fair-sched=yes", "--trace-children=no"]).arg(program).args(arguments).env("LSES_SLOW", "1");
    run_within(&mut valgrind, Duration::from_secs(300)).ok();
}

fn killed_by_abort(program: &PathBuf, arguments: &[&str]) -> String {
    use std::os::unix::process::ExitStatusExt;
    let ran = run_within(Command::new(program).args(arguments), Duration::from_secs(20));
    assert_eq!(ran.status.signal(), Some(libc::SIGABRT), "{}\n{}", ran.status, ran.stderr);
    ran.stderr
}

#[test]
fn everything_once() {
    passes(&program("smoke.c"), &[]);
}

#[test]
fn what_every_function_promises() {
    passes(&program("contract.c"), &[]);
}

#[test]
fn groups_are_told_by_a_function_of_the_host() {
    passes(&program("groups.c"), &[]);
}

#[test]
fn the_rows_of_the_reliability_scenarios() {
    passes(&program("reliability.c"), &[]);
}

#[test]
fn an_event_loop_waits_for_units_and_locks_by_a_descriptor() {
    let program = program("completions.c");
    passes(&program, &[]);
    let folder = scratch("completions-store");
    let store = format!("file:{}", folder.join("store").display());
    run_within(Command::new(&program).arg(store), Duration::from_secs(if torture() { 3600 } else { 120 })).ok();
    std::fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn ends_and_logouts_that_do_not_block_are_told_once() {
    passes(&program("ends.c"), &[]);
}

#[test]
fn managers_and_completions_are_freed_in_any_order() {
    let program = program("orders.c");
    passes(&program, &[]);
    let folder = scratch("orders-store");
    let store = format!("file:{}", folder.join("store").display());
    passes(&program, &[&store]);
    std::fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn forks_and_signals_do_no_harm() {
    let program = program("process.c");
    run_within(&mut Command::new(&program), Duration::from_secs(90)).ok();
}

#[test]
fn a_prefork_server_shares_one_directory() {
    let program = program("shared.c");
    let folder = scratch("shared");
    let limit = Duration::from_secs(if torture() { 3600 } else { 120 });
    run_within(Command::new(&program).arg(folder.join("store")), limit).ok();
    std::fs::remove_dir_all(&folder).expect("a folder");
}

#[test]
fn the_process_can_end_in_every_way_with_a_manager_open() {
    let program = program("process.c");
    for how in ["return", "exit", "quick"] {
        let ran = run_within(Command::new(&program).args(["ends", how]), Duration::from_secs(20)).ok();
        assert_eq!(ran.stdout, "on_end\n".repeat(3), "{how}");
    }
    let ran = run_within(Command::new(&program).args(["ends", "inside"]), Duration::from_secs(20)).ok();
    assert_eq!(ran.stdout, "exit\n");
}

#[test]
fn what_leaves_a_callback_by_force_is_named_or_survived() {
    let program = program("process.c");
    run_within(Command::new(&program).arg("jumps"), Duration::from_secs(20)).ok();
    let said = killed_by_abort(&program, &["thread"]);
    assert!(said.contains("on_end of event class watch was left"), "{said}");
}

/// Compiles a C++ program of several files.
fn cpp(mut compiler: Command, name: &str, arguments: &[&str]) -> PathBuf {
    let out = scratch(name).join(name);
    compiler.args(["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-pedantic", "-D_GNU_SOURCE", "-I"]);
    compiler.arg(project_dir().join("include")).current_dir(crate_dir().join("tests/c"));
    compiler.args(arguments).arg("-o").arg(&out).arg(format!("-Wl,-rpath,{}", library().display()));
    compiler.arg("-L").arg(library()).args(["-lsession", "-lpthread"]);
    run_within(&mut compiler, Duration::from_secs(120)).ok();
    out
}

const EXCEPTIONS: [&str; 2] = ["exceptions.cpp", "exceptions_more.cpp"];
const PLAIN: [&str; 3] = ["-fno-exceptions", "-fno-rtti", "plain.cpp"];

#[test]
fn the_cpp_header_contains_exceptions_and_a_raw_one_is_named() {
    let program = cpp(cxx(), "exceptions", &[&["-std=c++17"], &EXCEPTIONS[..]].concat());
    passes(&program, &[]);
    let said = killed_by_abort(&program, &["raw"]);
    assert!(said.contains("on_end of event class watch was left"), "{said}");
}

#[test]
fn calls_of_the_cpp_header_that_do_not_block_tell_callables_loops_and_futures() {
    let program = program("async.cpp");
    passes(&program, &[]);
    let ran = run_within(&mut Command::new(program), Duration::from_secs(120)).ok();
    let said: Vec<&str> = ran.stderr.lines().collect();
    let threw = "libsession: the callback of an asynchronous call threw";
    assert_eq!(said, [format!("{threw}: written"), format!("{threw} an exception that is no std::exception")]);
}

#[test]
fn the_cpp_header_works_without_exceptions() {
    let program = cpp(cxx(), "plain", &[&["-std=c++17"], &PLAIN[..]].concat());
    run_within(&mut Command::new(program), Duration::from_secs(20)).ok();
}

#[test]
fn the_cpp_header_works_with_either_compiler_and_the_next_standard() {
    for (compiler, dialect) in [("g++", "-std=c++20"), ("clang++", "-std=c++17"), ("clang++", "-std=c++20")] {
        if !has(compiler) {
            eprintln!("{compiler} is not there: it was not tried");
            continue;
        }
        for (name, sources) in [("async", &["async.cpp"][..]), ("exceptions", &EXCEPTIONS), ("plain", &PLAIN)] {
            let name = format!("{name}-{compiler}{dialect}");
            let program = cpp(Command::new(compiler), &name, &[&[dialect], sources].concat());
            run_within(Command::new(program).env("LSES_SLOW", "1"), Duration::from_secs(120)).ok();
        }
    }
}

#[test]
fn a_hundred_times_loaded_and_two_copies_at_once() {
    let program = program("dynamic.c");
    let copy = scratch("dynamic-copy").join("libsession-copy.so");
    std::fs::copy(library().join("libsession.so"), &copy).expect("a copy");
    let mut command = Command::new(program);
    command.arg(library().join("libsession.so")).arg(copy);
    run_within(&mut command, Duration::from_secs(120)).ok();
}
