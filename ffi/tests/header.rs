//! `include/libsession.h` is what the crate says. `BLESS=1` rewrites it.

mod common;

use std::fmt::Write as _;
use std::fs;

use common::{crate_dir, project_dir};

/// The header's functions begin a new section where a module of the crate begins.
const SECTIONS: [(&str, &str); 14] = [
    ("version", "Version"),
    ("status", "Status"),
    ("bytes", "Buffers"),
    ("names", "Words"),
    ("log", "Log"),
    ("clock", "Clock, for tests"),
    ("config", "Configuration"),
    ("license", "License pools"),
    ("manager", "Manager"),
    ("stats", "Counters and health"),
    ("event", "Event classes"),
    ("request", "Request"),
    ("queue", "Waiting for license units"),
    ("completions", "Calls that do not block"),
];

fn generated() -> String {
    let lib = fs::read_to_string(crate_dir().join("src/lib.rs")).expect("lib.rs");
    let modules: Vec<&str> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let text = fs::read_to_string(crate_dir().join("cbindgen.toml")).expect("cbindgen.toml");
    let version: Vec<u32> =
        env!("CARGO_PKG_VERSION").split('.').map(|number| number.parse().expect("a number")).collect();
    let text = text
        .replace("@MAJOR@", &version[0].to_string())
        .replace("@MINOR@", &version[1].to_string())
        .replace("@PATCH@", &version[2].to_string())
        .replace("@NUMBER@", &(version[0] << 16 | version[1] << 8 | version[2]).to_string())
        .replace("@VERSION@", env!("CARGO_PKG_VERSION"));
    let toml = std::env::temp_dir().join(format!("libsession-cbindgen-{}.toml", std::process::id()));
    fs::write(&toml, text).expect("a temporary file");
    let config = cbindgen::Config::from_file(&toml).expect("cbindgen.toml");
    fs::remove_file(&toml).expect("a temporary file");
    let mut builder = cbindgen::Builder::new().with_config(config);
    let mut firsts = Vec::new();
    for module in modules {
        let path = crate_dir().join("src").join(format!("{module}.rs"));
        let source = fs::read_to_string(&path).expect("a module");
        let first = source.lines().find_map(|line| {
            let (_, rest) = line.split_once("extern \"C\" fn ")?;
            rest.split_once('(').map(|(name, _)| name.to_string())
        });
        if let Some(section) = SECTIONS.iter().find(|section| section.0 == module) {
            firsts.push((first.expect("a function"), section.1));
        }
        builder = builder.with_src(path);
    }
    let mut bytes = Vec::new();
    builder.generate().expect("a header").write(&mut bytes);
    let mut header = String::from_utf8(bytes).expect("UTF-8").replace("\nLSES_API\n", "\nLSES_API ");
    for (first, title) in firsts {
        banner(&mut header, &first, title);
    }
    finish(&header)
}

/// Puts a banner in front of the comment of a function's declaration.
fn banner(header: &mut String, function: &str, title: &str) {
    let called = format!("{function}(");
    let declaration = header.match_indices(&called).map(|found| found.0).find(|at| {
        let line = header[..*at].rfind('\n').map_or(0, |at| at + 1);
        header[line..].starts_with("LSES_API")
    });
    let declaration = declaration.unwrap_or_else(|| panic!("{function} is not declared"));
    let comment = header[..declaration].rfind("\n/**").expect("a comment") + 1;
    header.insert_str(comment, &format!("/* === Section: {title} === */\n\n"));
}

/// cbindgen closes `extern "C"` in front of the trailer, whose functions belong inside.
fn finish(header: &str) -> String {
    let closing = "#ifdef __cplusplus\n}  // extern \"C\"\n#endif  // __cplusplus\n";
    assert_eq!(header.matches(closing).count(), 1, "cbindgen closes extern \"C\" in another way now");
    let mut out = String::new();
    for line in header.replace(closing, "").lines() {
        let line = line.trim_end();
        writeln!(out, "{}", if line.starts_with("LSES_API") { wrapped(line) } else { line.to_string() })
            .expect("a string");
    }
    // A negative constant is an expression: it needs parentheses.
    let mut result = String::new();
    for line in out.lines() {
        match line.split_once(" -") {
            Some((name, number)) if line.starts_with("#define LSES_") => writeln!(result, "{name} (-{number})"),
            _ => writeln!(result, "{line}"),
        }
        .expect("a string");
    }
    // The guard, too, is closed in front of the trailer: what is included twice would be defined twice.
    let guard = "#endif  /* LIBSESSION_H */\n";
    assert_eq!(result.matches(guard).count(), 1, "cbindgen closes the include guard in another way now");
    result = result.replace(guard, "") + "\n#endif /* LIBSESSION_H */\n";
    while result.contains("\n\n\n") {
        result = result.replace("\n\n\n", "\n\n");
    }
    result
}

/// A declaration of at most 110 columns a line, broken between its arguments.
fn wrapped(line: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for argument in line.split_inclusive(", ") {
        if column > 0 && column + argument.trim_end().len() > 110 {
            out.truncate(out.trim_end().len());
            out.push_str("\n    ");
            column = 4;
        }
        out.push_str(argument);
        column += argument.len();
    }
    out
}

#[test]
fn the_header_is_current() {
    let path = project_dir().join("include/libsession.h");
    let header = generated();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &header).expect("include/libsession.h");
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    for (number, (present, wanted)) in present.lines().zip(header.lines()).enumerate() {
        assert_eq!(present, wanted, "line {} is not current; BLESS=1 rewrites the header", number + 1);
    }
    assert!(present == header, "include/libsession.h is not current; BLESS=1 rewrites it");
}
