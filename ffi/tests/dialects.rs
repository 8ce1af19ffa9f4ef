//! The headers in every dialect of C and C++ that compilers here know, alone, twice, and among hostile macros; and the
//! layout of every struct.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use common::{cc, crate_dir, has, project_dir, run, scratch};

const STRICT: [&str; 6] = ["-Wall", "-Wextra", "-Wpedantic", "-Wundef", "-Werror", "-fsyntax-only"];
const NOISE: &str = "#define min(a, b) ((a) < (b) ? (a) : (b))\n#define max(a, b) ((a) > (b) ? (a) : (b))\n\
                     #define small char\n#define interface struct\n#define near\n#define far\n";

fn compiles(compiler: &str, dialect: &str, extra: &[&str], name: &str, text: &str) {
    let source = scratch(&format!("dialect-{compiler}-{dialect}-{}", extra.len())).join(name);
    fs::write(&source, text).expect("a file");
    let mut command = Command::new(compiler);
    command.arg(format!("-std={dialect}")).args(STRICT).args(extra).arg("-I").arg(project_dir().join("include"));
    run(command.arg(source)).ok();
}

#[test]
fn the_header_is_clean_in_every_dialect() {
    let c = format!(
        "{NOISE}#include <libsession.h>\n#include <libsession.h>\nint one(void);\nint one(void) {{ return LSES_OK; }}\n"
    );
    for compiler in ["gcc", "clang"] {
        if !has(compiler) {
            eprintln!("{compiler} is not there: its dialects were not tried");
            continue;
        }
        for dialect in ["c99", "c11", "c17", "c2x"] {
            compiles(compiler, dialect, &["-Wc++-compat"], "one.c", &c);
        }
    }
    let cpp = format!("{NOISE}#include <libsession.h>\n#include <libsession.h>\n");
    let hpp = "#include <libsession.hpp>\n#include <libsession.h>\n#include <libsession.hpp>\n";
    for compiler in ["g++", "clang++"] {
        if !has(compiler) {
            eprintln!("{compiler} is not there: its dialects were not tried");
            continue;
        }
        for dialect in ["c++11", "c++14", "c++17", "c++20", "c++2b"] {
            compiles(compiler, dialect, &[], "one.cpp", &cpp);
        }
        for dialect in ["c++17", "c++20", "c++2b"] {
            compiles(compiler, dialect, &[], "two.cpp", hpp);
            compiles(compiler, dialect, &["-fno-exceptions", "-fno-rtti"], "three.cpp", hpp);
        }
        for part in fs::read_dir(project_dir().join("include/libsession")).expect("the parts of libsession.hpp") {
            let part = part.expect("a part").file_name();
            let alone = format!("#include <libsession/{}>\n", part.to_str().expect("a name"));
            compiles(compiler, "c++17", &[], "part.cpp", &alone);
        }
    }
}

/// Every public struct with the names of its fields, from the header.
fn structs() -> Vec<(String, Vec<String>)> {
    let header = fs::read_to_string(project_dir().join("include/libsession.h")).expect("the header");
    let mut found = Vec::new();
    for part in header.split("typedef struct ").skip(1) {
        let Some((head, body)) = part.split_once(" {\n") else { continue };
        if head.contains(['\n', ';']) {
            continue;
        }
        let body = body.split_once(&format!("}} {head};")).expect("its end").0;
        let fields = body.lines().filter_map(|line| line.trim().strip_suffix(';')).map(|line| {
            let name = line.split('[').next().expect("a name");
            name.rsplit([' ', '*']).next().expect("a name").to_string()
        });
        found.push((head.to_string(), fields.collect()));
    }
    found
}

#[test]
fn no_struct_changes_its_layout_or_has_padding() {
    let mut source = String::from("#include <libsession.h>\n#include <stdio.h>\nint main(void) {\n");
    for (name, fields) in structs() {
        let print = |out: &mut String, what: &str, value: &str| {
            writeln!(out, "  printf(\"%s %u\\n\", \"{what}\", (unsigned)({value}));").expect("a string");
        };
        print(&mut source, &format!("{name} size"), &format!("sizeof({name})"));
        let mut sizes = Vec::new();
        for field in &fields {
            print(&mut source, &format!("{name}.{field} at"), &format!("offsetof({name}, {field})"));
            sizes.push(format!("sizeof((({name} *)0)->{field})"));
        }
        writeln!(source, "  if (sizeof({name}) != {}) printf(\"{name} has padding\\n\");", sizes.join(" + "))
            .expect("a string");
    }
    source += "  return 0;\n}\n";
    let dir = scratch("layout");
    fs::write(dir.join("layout.c"), source).expect("a file");
    run(cc().current_dir(&dir).arg("-I").arg(project_dir().join("include")).args(["layout.c", "-o", "layout"])).ok();
    let layout = run(&mut Command::new(dir.join("layout"))).ok().stdout;
    assert!(!layout.contains("padding"), "{layout}");
    let golden = crate_dir().join("tests/layout.txt");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&golden, &layout).expect("layout.txt");
    }
    assert_eq!(
        fs::read_to_string(golden).expect("layout.txt"),
        layout,
        "an old program would break: move the ABI number"
    );
}
