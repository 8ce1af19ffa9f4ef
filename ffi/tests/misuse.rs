//! Every function with every kind of wrong argument, from the header: NULL, stale, foreign and random handles, impossible
//! lengths, text that is no UTF-8, sizes of structs that no version has.

mod common;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use common::{cc, library, project_dir, run, run_within, scratch, torture};

/// Every function: what it returns, its name, its parameters' types.
fn functions() -> Vec<(String, String, Vec<String>)> {
    let header = fs::read_to_string(project_dir().join("include/libsession.h")).expect("the header");
    let flat = header.replace("\n    ", " ");
    flat.lines()
        .filter_map(|line| line.strip_prefix("LSES_API ")?.strip_suffix(");"))
        .map(|line| {
            let (head, parameters) = line.split_once('(').expect("parameters");
            let at = head.rfind([' ', '*']).expect("a type") + 1;
            let parameters = parameters.split(", ").filter(|one| *one != "void").map(|one| {
                let at = one.rfind([' ', '*']).expect("a name") + 1;
                one[..at].trim().to_string()
            });
            (head[..at].trim().to_string(), head[at..].to_string(), parameters.collect())
        })
        .collect()
}

const HANDLES: [&str; 6] =
    ["lses_manager", "lses_request", "lses_config", "lses_clock", "lses_ticket", "lses_completions"];
const SIZED: [&str; 13] = [
    "lses_application",
    "lses_pool",
    "lses_create_options",
    "lses_login_options",
    "lses_feature_options",
    "lses_begin_options",
    "lses_end_options",
    "lses_filter",
    "lses_receipt",
    "lses_progress",
    "lses_close_report",
    "lses_usage",
    "lses_stats",
];

/// A wrong, or now and then right, argument of a type.
fn argument(of: &str) -> String {
    let bare = of.replace("const ", "").replace("struct ", "");
    if let Some(handle) = HANDLES.iter().find(|handle| bare == format!("{handle} *")) {
        return format!("({handle} *)handle(\"{handle}\")");
    }
    if SIZED.iter().any(|sized| bare == format!("{sized} *")) {
        return format!("({bare})sized()");
    }
    match bare.as_str() {
        "lses_event_class *" => "NULL".into(),
        "lses_event *" => "(const lses_event *)an_event()".into(),
        "char *" if of.starts_with("const") => "text()".into(),
        "lses_drop_fn" | "lses_log_fn" | "lses_group_resolver_fn" => "NULL".into(),
        "lses_done_fn" => "done()".into(),
        "size_t" => "length()".into(),
        "void *" => "NULL".into(),
        "lses_subscript *" | "lses_value *" if of.starts_with("const") => format!("({bare})node()"),
        "lses_buf *" => "buffer()".into(),
        "lses_str *" if of.starts_with("const") => "texts()".into(),
        "int32_t" | "lses_status" | "uint32_t" | "int64_t" | "uint64_t" => format!("({bare})number()"),
        _ if bare.ends_with('*') => format!("({bare})place()"),
        _ => panic!("what is a {of}?"),
    }
}

const HEAD: &str = r#"#include <libsession.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static uint64_t state = 1;
static uint64_t next(void) { state ^= state << 13; state ^= state >> 7; state ^= state << 17; return state; }
static void *live[6], *stale[6];
static int kind_of(const char *name) {
  return !strcmp(name, "lses_manager") ? 0 : !strcmp(name, "lses_request") ? 1 : !strcmp(name, "lses_config") ? 2
         : !strcmp(name, "lses_clock") ? 3 : !strcmp(name, "lses_ticket") ? 4 : 5;
}
static void *handle(const char *name) {
  int kind = kind_of(name);
  switch (next() % 8) {
    case 0: return NULL;
    case 1: return stale[kind];
    case 2: return live[(kind + 1) % 6];
    case 3: return (void *)(uintptr_t)next();
    case 4: return (void *)((uintptr_t)live[kind] ^ (uintptr_t)1 << next() % 64);
    case 5: return &state;
    default: return live[kind];
  }
}
/* 64 bytes behind every text, so that a length of at most 64 is a right one. */
static const char *text(void) {
  static char bytes[128];
  switch (next() % 6) {
    case 0: return NULL;
    case 1: memset(bytes, 0xff, 64); break;
    case 2: memset(bytes, 0, 64); break;
    default: for (int i = 0; i < 64; i++) bytes[i] = (char)next();
  }
  return bytes;
}
static size_t length(void) {
  switch (next() % 6) {
    case 0: return 0;
    case 1: return SIZE_MAX;
    case 2: return (size_t)1 << 63;
    default: return next() % 64;
  }
}
static uint64_t number(void) {
  switch (next() % 5) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return (uint64_t)1 << 63;
    default: return next() % 8;
  }
}
/* As many as a list may have: its count is a random one. */
static const lses_str *texts(void) { static lses_str all[10000]; return next() % 4 == 0 ? NULL : all; }
static void *place(void) { static uint64_t room[64]; return next() % 4 == 0 ? NULL : room; }
static void *sized(void) {
  static uint64_t room[8300];
  if (next() % 6 == 0) return NULL;
  memset(room, 0, 1024);
  room[0] = next() % 4 == 0 ? next() : next() % 4 == 0 ? next() % 65536 : next() % 400;
  if (next() % 4 == 0) room[next() % 50 + 1] = next() % 4;
  return room;
}
static void *node(void) {
  static uint64_t room[64 * 5];
  if (next() % 4 == 0) return NULL;
  memset(room, 0, sizeof room);
  for (int i = 0; i < 64; i++) {
    uint32_t kind = (uint32_t)(next() % 9);
    memcpy(&room[i * 5], &kind, 4);
    room[i * 5 + 1] = next();
    room[i * 5 + 2] = next();
    const char *data = text();
    memcpy(&room[i * 5 + 3], &data, 8);
    room[i * 5 + 4] = next() % 64;
  }
  return room;
}
static void *an_event(void) {
  static lses_event event;
  event.size = sizeof event;
  event.handle = next();
  return next() % 4 == 0 ? NULL : &event;
}
static lses_buf *buffer(void) {
  static lses_buf buf;
  lses_buf_free(&buf);
  return next() % 4 == 0 ? NULL : &buf;
}
/* Counted, and what it is given is given back. */
static unsigned long told;
static void tell(void *user_data, lses_status status, const lses_answer *answer) {
  (void)user_data;
  (void)status;
  told++;
  lses_request_free(answer->request);
}
static lses_done_fn done(void) { return next() % 4 == 0 ? NULL : tell; }
static void check(const char *name, lses_status status) {
  if (status < LSES_E_CANCELLED || status > LSES_EXTENDED || status == LSES_E_PANIC || status == LSES_E_INTERNAL) {
    fprintf(stderr, "%s: %d (%s)\n", name, (int)status, lses_last_error_message());
    abort();
  }
}
static void renew(void) {
  lses_config *config = NULL;
  lses_clock *clock = NULL;
  lses_manager *manager = NULL;
  lses_request *request = NULL;
  lses_ticket *ticket = NULL;
  lses_completions *completions = NULL;
  memcpy(stale, live, sizeof stale);
  for (int kind = 0; kind < 1; kind++) lses_manager_close((lses_manager *)live[0], 0, NULL);
  lses_request_free((lses_request *)live[1]);
  lses_manager_free((lses_manager *)live[0]);
  lses_config_free((lses_config *)live[2]);
  lses_clock_free((lses_clock *)live[3]);
  lses_ticket_free((lses_ticket *)live[4]);
  lses_completions_free((lses_completions *)live[5]);
  check("clock", lses_clock_manual(&clock));
  check("config", lses_config_new(&config));
  check("config", lses_config_set_clock(config, clock));
  check("manager", lses_manager_new(config, &manager));
  check("begin", lses_manager_begin_new(manager, NULL, NULL, &request));
  check("ticket", lses_ticket_new(&ticket));
  check("completions", lses_completions_new(&completions));
  live[0] = manager; live[1] = request; live[2] = config; live[3] = clock; live[4] = ticket; live[5] = completions;
}
"#;

#[test]
fn wrong_arguments_are_errors_and_never_memory() {
    let functions = functions();
    assert!(functions.len() > 100, "the header has other lines now");
    let mut source = String::from(HEAD);
    let mut nulls = String::from("static void nulls(void) {\n");
    let mut count = 0;
    source += "static void call(unsigned which) {\n  switch (which) {\n";
    for (returns, name, parameters) in &functions {
        let status = returns == "lses_status" && name != "lses_last_error_code";
        let zeros: Vec<String> = parameters.iter().map(|of| format!("({of})0")).collect();
        let zeros = zeros.join(", ");
        if name.ends_with("_name") || name == "lses_status_message" {
            writeln!(nulls, "  if ({name}({zeros}) == NULL) abort();").expect("a string");
        } else if status && name != "lses_set_log" {
            writeln!(nulls, "  if ({name}({zeros}) >= 0) {{ fprintf(stderr, \"{name}\\n\"); abort(); }}")
                .expect("a string");
        } else {
            writeln!(nulls, "  (void){name}({zeros});").expect("a string");
        }
        // What would wait in real time, or end what the others need.
        let waits = [
            "lses_manager_drain",
            "lses_manager_dispatch",
            "lses_manager_free",
            "lses_manager_close",
            "lses_request_free",
            "lses_config_free",
            "lses_clock_free",
            "lses_manager_new",
            "lses_manager_clone",
            "lses_config_clone",
            "lses_config_new",
            "lses_clock_manual",
            "lses_manager_begin",
            "lses_manager_begin_new",
            "lses_set_log",
            "lses_request_lock",
            "lses_completions_free",
            "lses_completions_new",
            "lses_clock_set_settle",
            "lses_manager_stall_reaper",
            "lses_buf_free",
            "lses_manager_list",
        ];
        if status && !waits.contains(&name.as_str()) {
            let arguments: Vec<String> = parameters.iter().map(|of| argument(of)).collect();
            writeln!(source, "    case {count}: check(\"{name}\", {name}({})); break;", arguments.join(", "))
                .expect("a string");
            count += 1;
        }
    }
    nulls += "}\n";
    write!(
        source,
        "  }}\n}}\n{nulls}int main(int argc, char **argv) {{\n  nulls();\n  unsigned long calls = strtoul(argv[argc - 1], NULL, 10);\n  \
         for (unsigned long i = 0; i < calls; i++) {{\n    if (i % 1000 == 0) renew();\n    call((unsigned)(next() % {count}));\n  }}\n  \
         lses_manager_close((lses_manager *)live[0], 1000, NULL);\n  puts(\"misuse: ok\");\n  return 0;\n}}\n"
    )
    .expect("a string");
    let dir = scratch("misuse");
    fs::write(dir.join("misuse.c"), source).expect("a file");
    let mut compiler = cc();
    compiler
        .current_dir(&dir)
        .args(["-g", "-w", "-I"])
        .arg(project_dir().join("include"))
        .args(["misuse.c", "-o", "misuse"]);
    compiler.arg(format!("-Wl,-rpath,{}", library().display())).arg("-L").arg(library()).arg("-lsession");
    run(&mut compiler).ok();
    let calls = if torture() { "1000000" } else { "30000" };
    run_within(Command::new(dir.join("misuse")).arg(calls), Duration::from_secs(600)).ok();
}
