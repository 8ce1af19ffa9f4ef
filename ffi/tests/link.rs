//! What the libraries export, name and need, and what `make install` puts where.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use common::{cc, compiled, crate_dir, cxx, has, library, project_dir, run, scratch};

/// `ffi/symbols.txt`: a name and the version since which it is there, one a line, sorted.
fn listed() -> BTreeSet<String> {
    let text = fs::read_to_string(crate_dir().join("symbols.txt")).expect("symbols.txt");
    let names: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(names.is_sorted(), "symbols.txt is not sorted");
    names
        .iter()
        .map(|line| {
            let (name, since) = line.split_once(' ').expect("a name and a version");
            assert!(since.split('.').count() == 3, "{line}");
            name.to_string()
        })
        .collect()
}

fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(project_dir().join("include/libsession.h")).expect("the header");
    header
        .lines()
        .filter(|line| line.starts_with("LSES_API"))
        .map(|line| {
            let (head, _) = line.split_once('(').expect("a function");
            head.rsplit([' ', '*']).next().expect("a name").to_string()
        })
        .collect()
}

fn exported(file: &Path, arguments: &[&str]) -> BTreeSet<String> {
    let ran = run(Command::new("nm").args(arguments).arg(file)).ok();
    ran.stdout.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_string).collect()
}

#[test]
fn symbols_are_listed_declared_and_exported_all_three() {
    let library = library();
    if std::env::var_os("BLESS").is_some() {
        let old = fs::read_to_string(crate_dir().join("symbols.txt")).unwrap_or_default();
        let mut text = String::new();
        for name in declared() {
            let known = old.lines().find(|line| line.split(' ').next() == Some(&*name));
            text += &known.map_or(format!("{name} {}", env!("CARGO_PKG_VERSION")), str::to_string);
            text.push('\n');
        }
        fs::write(crate_dir().join("symbols.txt"), text).expect("symbols.txt");
    }
    assert_eq!(declared(), listed(), "the header and symbols.txt");
    let shared = exported(&library.join("libsession.so"), &["-D", "--defined-only"]);
    assert_eq!(shared, listed(), "the shared library and symbols.txt");
    let all = exported(&library.join("libsession.a"), &["--defined-only", "--extern-only", "--quiet"]);
    let ours: BTreeSet<String> = all.into_iter().filter(|name| name.starts_with("lses")).collect();
    assert_eq!(ours, listed(), "the static library and symbols.txt");
}

#[test]
fn the_shared_library_has_its_soname_stays_loaded_and_needs_little() {
    let ran = run(Command::new("readelf").args(["-d", "-W"]).arg(library().join("libsession.so"))).ok();
    assert!(ran.stdout.contains("Library soname: [libsession.so.0]"), "{}", ran.stdout);
    assert!(ran.stdout.contains("NODELETE"), "{}", ran.stdout);
    for line in ran.stdout.lines().filter(|line| line.contains("(NEEDED)")) {
        let expected = ["libc.so", "libgcc_s.so", "ld-linux", "libm.so", "libpthread.so", "libdl.so"];
        assert!(expected.iter().any(|name| line.contains(name)), "needs too much: {line}");
    }
}

/// The link line of a static program, as the Makefile has it.
fn libs_private() -> Vec<String> {
    let makefile = fs::read_to_string(crate_dir().join("Makefile")).expect("Makefile");
    let line = makefile.lines().find_map(|line| line.strip_prefix("LIBS_PRIVATE := ")).expect("LIBS_PRIVATE");
    line.split(' ').map(str::to_string).collect()
}

#[test]
fn the_static_link_line_is_what_rustc_says() {
    // `cargo rustc -- --print` would build anew; a crate without content needs the same as ours, which needs only std.
    let dir = scratch("native-static-libs");
    fs::write(dir.join("empty.rs"), "").expect("a file");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(&dir).args(["--crate-type=staticlib", "--print=native-static-libs", "empty.rs"]);
    let ran = run(&mut rustc).ok();
    let said = ran.stderr.lines().find_map(|line| line.split_once("native-static-libs: ")).expect("a line").1;
    let said: BTreeSet<&str> = said.split(' ').collect();
    let ours = libs_private();
    assert_eq!(ours.iter().map(String::as_str).collect::<BTreeSet<_>>(), said);
}

#[test]
fn two_rust_archives_fit_into_one_program() {
    let dir = scratch("two-archives");
    fs::write(
        dir.join("other.rs"),
        "#[unsafe(no_mangle)] pub extern \"C\" fn other_number() -> i32 { \
         std::panic::catch_unwind(|| \"42\".parse().unwrap()).unwrap_or(0) }",
    )
    .expect("a file");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(&dir).args(["--edition=2024", "--crate-type=staticlib", "--crate-name=other", "other.rs"]);
    run(&mut rustc).ok();
    fs::write(
        dir.join("main.c"),
        "#include <libsession.h>\nint other_number(void);\n\
         int main(void) { return lses_check_abi() && other_number() == 42 ? 0 : 1; }",
    )
    .expect("a file");
    let mut compiler = cc();
    compiler.current_dir(&dir).arg("-I").arg(project_dir().join("include")).args(["main.c", "-o", "main"]);
    compiler.arg(library().join("libsession.a")).arg("libother.a").args(libs_private());
    run(&mut compiler).ok();
    run(&mut Command::new(dir.join("main"))).ok();
}

fn make(goal: &str, prefix: &Path, destdir: &str) {
    let mut make = Command::new("make");
    make.arg("-C").arg(crate_dir()).arg(goal).arg(format!("PREFIX={}", prefix.display()));
    make.arg(format!("DESTDIR={destdir}")).arg(format!("BUILT={}", library().display()));
    run(&mut make).ok();
}

#[test]
fn what_is_installed_can_be_used_and_uninstalled() {
    let dir = scratch("install");
    let prefix = dir.join("usr");
    make("install", &prefix, "");
    let hello = project_dir().join("examples/hello/hello.c");
    let expected = fs::read_to_string(project_dir().join("examples/hello/expected.txt")).expect("expected.txt");
    let libdir = prefix.join("lib");

    let pkg_config = |arguments: &[&str]| {
        let mut command = Command::new("pkg-config");
        command.args(arguments).arg("libsession").env("PKG_CONFIG_PATH", libdir.join("pkgconfig"));
        run(&mut command).ok().stdout.split_whitespace().map(str::to_string).collect::<Vec<_>>()
    };
    if has("pkg-config") {
        assert_eq!(pkg_config(&["--modversion"]), [env!("CARGO_PKG_VERSION")]);
        let shared = dir.join("shared");
        run(cc().arg(&hello).args(pkg_config(&["--cflags", "--libs"])).arg("-o").arg(&shared)).ok();
        let ran = run(Command::new(&shared).env("LD_LIBRARY_PATH", &libdir)).ok();
        assert_eq!(ran.stdout, expected);
        let needs = run(Command::new("ldd").arg(&shared).env("LD_LIBRARY_PATH", &libdir)).ok().stdout;
        assert!(needs.contains("libsession.so.0 => "), "{needs}");

        let cpp = dir.join("cpp");
        let mut compiler = cxx();
        compiler.arg("-std=c++17").arg(hello.with_extension("cpp")).args(pkg_config(&["--cflags", "--libs"]));
        run(compiler.arg("-o").arg(&cpp)).ok();
        assert_eq!(run(Command::new(&cpp).env("LD_LIBRARY_PATH", &libdir)).ok().stdout, expected);

        let fixed = dir.join("static");
        let mut compiler = cc();
        compiler
            .arg(&hello)
            .args(pkg_config(&["--cflags"]))
            .arg("-o")
            .arg(&fixed)
            .arg(format!("-L{}", libdir.display()));
        compiler.args(["-Wl,-Bstatic", "-lsession", "-Wl,-Bdynamic"]).args(libs_private());
        run(&mut compiler).ok();
        assert_eq!(run(&mut Command::new(&fixed)).ok().stdout, expected);
        let needs = run(Command::new("ldd").arg(&fixed)).ok().stdout;
        assert!(!needs.contains("libsession"), "{needs}");

        // Wholly static: libgcc_eh in place of libgcc_s.
        let whole = dir.join("whole");
        let mut compiler = cc();
        compiler.arg("-static").arg(&hello).args(pkg_config(&["--cflags"])).arg("-o").arg(&whole);
        compiler.arg(libdir.join("libsession.a"));
        compiler.args(libs_private().iter().map(|lib| if lib == "-lgcc_s" { "-lgcc_eh" } else { lib }));
        run(&mut compiler).ok();
        assert_eq!(run(&mut Command::new(&whole)).ok().stdout, expected);
    } else {
        eprintln!("pkg-config is not there: its file was not tried");
    }

    if has("cmake") {
        let project = dir.join("cmake");
        fs::create_dir_all(&project).expect("a folder");
        fs::write(
            project.join("CMakeLists.txt"),
            format!(
                "cmake_minimum_required(VERSION 3.13)\nproject(hello C)\nfind_package(libsession {} REQUIRED)\n\
                 add_executable(shared {hello})\ntarget_link_libraries(shared libsession::libsession)\n\
                 add_executable(fixed {hello})\ntarget_link_libraries(fixed libsession::static)\n",
                env!("CARGO_PKG_VERSION"),
                hello = hello.display()
            ),
        )
        .expect("a file");
        let mut configure = Command::new("cmake");
        configure.current_dir(&project).args(["-S", ".", "-B", "build"]);
        run(configure.arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()))).ok();
        run(Command::new("cmake").current_dir(&project).args(["--build", "build"])).ok();
        for name in ["shared", "fixed"] {
            assert_eq!(run(&mut Command::new(project.join("build").join(name))).ok().stdout, expected, "{name}");
        }
    } else {
        eprintln!("cmake is not there: its files were not tried");
    }

    make("uninstall", &prefix, "");
    let left = run(Command::new("find").arg(&prefix).args(["!", "-type", "d"])).ok().stdout;
    assert_eq!(left, "", "uninstall leaves files");

    let root = dir.join("root");
    make("install", Path::new("/opt/session"), &root.display().to_string());
    assert!(root.join("opt/session/lib/libsession.so.0").exists());
    let pc = fs::read_to_string(root.join("opt/session/lib/pkgconfig/libsession.pc")).expect("the .pc");
    assert!(pc.contains("prefix=/opt/session\n"), "{pc}");
}

#[test]
fn hello_says_in_c_and_cpp_what_it_says_everywhere() {
    let dir = scratch("hello");
    let expected = fs::read_to_string(project_dir().join("examples/hello/expected.txt")).expect("expected.txt");
    for name in ["hello.c", "hello.cpp"] {
        let source = project_dir().join("examples/hello").join(name);
        let program = compiled(&source, &dir.join(name.replace('.', "-")), library());
        assert_eq!(run(&mut Command::new(program)).ok().stdout, expected, "{name}");
    }
}

#[test]
fn the_forum_gets_its_33_units_back_within_a_second() {
    let dir = scratch("forum");
    let program = compiled(&project_dir().join("examples/forum/forum.c"), &dir.join("forum"), library());
    let ran = run(&mut Command::new(program)).ok();
    assert!(ran.stdout.contains("33 of 33 units are free"), "{}", ran.stdout);
}
