//! What the tests share: where things are, building the library once, compiling and running programs.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The folder of this crate.
pub fn crate_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the project.
pub fn project_dir() -> PathBuf {
    crate_dir().parent().expect("a parent").to_path_buf()
}

/// A folder of this test run, made empty.
pub fn scratch(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&dir));
    std::fs::create_dir_all(&dir).expect("a folder");
    dir
}

/// Builds the shared and the static library with this test's profile, once, and returns the folder they are in. The
/// shared one is also there under its SONAME.
pub fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--lib", "--manifest-path"]).arg(crate_dir().join("Cargo.toml"));
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        assert!(build.status().expect("cargo").success(), "the library could not be built");
        // CARGO_TARGET_TMPDIR is <target>/tmp.
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a parent").to_path_buf();
        let dir = target.join(if cfg!(debug_assertions) { "debug" } else { "release" });
        let link = dir.join("libsession.so.0");
        if !link.exists() {
            // Another test program may have been faster.
            drop(std::os::unix::fs::symlink("libsession.so", &link));
        }
        assert!(link.exists(), "no {}", link.display());
        dir
    })
}

/// What a program that ran left behind.
pub struct Ran {
    pub status: std::process::ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Asserts that it exited with 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.status.success(), "{}\n--- stdout\n{}\n--- stderr\n{}", self.status, self.stdout, self.stderr);
        self
    }
}

/// Runs a command to its end, at most `limit`.
#[track_caller]
pub fn run_within(command: &mut Command, limit: Duration) -> Ran {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let id = child.id().to_string();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let began = Instant::now();
    let watchdog = std::thread::spawn(move || {
        if ended.recv_timeout(limit).is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout) {
            drop(Command::new("kill").args(["-ABRT", &id]).status());
        }
    });
    let output = child.wait_with_output().expect("its output");
    drop(done);
    watchdog.join().expect("the watchdog");
    let ran = Ran::of(output);
    assert!(began.elapsed() < limit, "{command:?} hung\n--- stdout\n{}\n--- stderr\n{}", ran.stdout, ran.stderr);
    ran
}

/// As [`run_within`] two minutes.
#[track_caller]
pub fn run(command: &mut Command) -> Ran {
    run_within(command, Duration::from_secs(120))
}

/// Whether a tool is there.
pub fn has(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// The C compiler.
pub fn cc() -> Command {
    Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
}

/// The C++ compiler.
pub fn cxx() -> Command {
    Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()))
}

/// Compiles a program of `tests/c` against the shared library and returns where it is.
#[track_caller]
pub fn program(source: &str) -> PathBuf {
    let dir = library();
    let path = crate_dir().join("tests/c").join(source);
    compiled(&path, &scratch(&source.replace(['/', '.'], "-")).join("program"), dir)
}

/// Compiles any C or C++ program against the shared library.
#[track_caller]
pub fn compiled(source: &Path, program: &Path, library: &Path) -> PathBuf {
    let cpp = source.extension().is_some_and(|extension| extension == "cpp");
    let mut compiler = if cpp { cxx() } else { cc() };
    compiler.arg(if cpp { "-std=c++17" } else { "-std=c11" });
    compiler
        .args(["-g", "-O1", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE", "-I"])
        .arg(project_dir().join("include"));
    compiler.arg(source).arg("-o").arg(program).arg("-L").arg(library).args(["-lsession", "-lpthread", "-ldl"]);
    compiler.arg(format!("-Wl,-rpath,{}", library.display()));
    run(&mut compiler).ok();
    program.to_path_buf()
}

/// Whether the long versions are asked for.
pub fn torture() -> bool {
    std::env::var_os("LSES_TORTURE").is_some_and(|value| value == "1")
}
