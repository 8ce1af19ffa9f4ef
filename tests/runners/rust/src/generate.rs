//! Random scripts with their answers recorded: whoever replays them must say the same.

use std::fmt::Write as _;
use std::path::Path;

use crate::line::parse;
use crate::replay::do_line;
use crate::store::Store;
use crate::world::World;

/// Writes `count` random scripts into `folder`, `vector_NNNN.txt`: the same for the same seed.
pub fn write(table: &str, seed: u64, count: u64, folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for number in 0..count {
        let text = script(table, seed, number).map_err(std::io::Error::other)?;
        std::fs::write(folder.join(format!("vector_{number:04}.txt")), text)?;
    }
    Ok(())
}

/// One random script, recorded.
fn script(table: &str, seed: u64, number: u64) -> Result<String, String> {
    let mut author = Author::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number.wrapping_mul(0xd134_2543_de82_ef95));
    let mut text = format!("# DIFF-01: vector {number} of seed {seed}.\n");
    let store = Store::new(table).map_err(|error| error.to_string())?;
    let world = World::new(&store.name, 1);
    let record = |raw: &str, text: &mut String| -> Result<bool, String> {
        let mut good = false;
        for line in parse(raw)? {
            // A label that was never bound, as its creation was refused: such a line is no part of the script.
            let Ok((answer, _)) = do_line(&world, &line) else { continue };
            if names_a_stranger(&answer) {
                continue;
            }
            writeln!(text, "{raw:<44} -> {answer}").map_err(|error| error.to_string())?;
            good = answer.starts_with("ok");
        }
        Ok(good)
    };
    for raw in author.setup() {
        writeln!(text, "{raw}").map_err(|error| error.to_string())?;
        for line in parse(&raw)? {
            do_line(&world, &line)?;
        }
    }
    for _ in 0..author.between(20, 60) {
        let sessions = author.sessions.len();
        let mut good = false;
        for raw in author.line().lines() {
            good = record(raw, &mut text)?;
        }
        if author.sessions.len() > sessions && !good {
            author.refused.extend(author.sessions.pop());
        }
    }
    record("check", &mut text)?;
    for pool in &author.pools {
        record(&format!("audit {pool}"), &mut text)?;
        record(&format!("audit_records {pool}"), &mut text)?;
    }
    for session in author.sessions.iter().chain(&author.refused) {
        record(&format!("events {session}"), &mut text)?;
    }
    record("log", &mut text)?;
    world.over();
    Ok(text)
}

/// Whether an account names a session that has no label, as its creation was refused: the next time it has another id.
fn names_a_stranger(answer: &str) -> bool {
    let ids = answer.split(r#""session_id":""#).skip(1).filter_map(|rest| rest.split('"').next());
    ids.into_iter().any(|id| id.len() == 22 && id.chars().any(|letter| letter != 'A'))
}

/// Invents lines; knows the labels it gave.
struct Author {
    state: u64,
    sessions: Vec<String>,
    refused: Vec<String>,
    made: usize,
    requests: Vec<String>,
    tokens: Vec<String>,
    pools: Vec<String>,
}

impl Author {
    fn new(seed: u64) -> Self {
        Self {
            state: seed | 1,
            sessions: vec![],
            refused: vec![],
            made: 0,
            requests: vec![],
            tokens: vec![],
            pools: vec![],
        }
    }

    fn random(&mut self) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// At least `low`, less than `high`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.random() % (high - low)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.between(0, many) == 0
    }

    fn pick<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.between(0, words.len() as u64) as usize]
    }

    fn label(&mut self, labels: &[String]) -> Option<String> {
        if labels.is_empty() {
            return None;
        }
        // Rather the newer ones: those are live.
        let last = labels.len() as u64;
        let low = if self.one_in(4) { 0 } else { last.saturating_sub(4) };
        labels.get(self.between(low, last) as usize).cloned()
    }

    fn setup(&mut self) -> Vec<String> {
        let mut lines = vec!["config workers=1 decider_workers=1 breaker_failures=1000".to_string()];
        if self.one_in(4) {
            lines.push("config profile=iris".into());
        }
        if self.one_in(4) {
            lines.push(format!("config max_sessions={}", self.between(2, 8)));
        }
        if self.one_in(3) {
            lines.push(format!("config rotation_grace_ms={}", self.pick(&["0", "500", "2000"])));
        }
        if !self.one_in(3) {
            let rule = self.pick(&["session", "user", "staircase", "iris", "hard"]);
            let capacity = self.between(1, 6);
            let mut pool = format!("pool main capacity={capacity} unit_rule={rule} max_connections=2");
            if self.one_in(3) {
                pool += " max_sessions_per_holder=2";
            }
            if self.one_in(3) {
                let _ = write!(pool, " at_session_limit={}", self.pick(&["evict_oldest", "evict_longest_idle"]));
            }
            if self.one_in(2) {
                pool += " queue=2";
            }
            if self.one_in(4) {
                pool += " trade_failure=refuse";
            }
            for policy in [
                " linger_ms=4000",
                " linger_ms=4000 reclaim=false",
                " lazy_linger_ms=900",
                " min_hold_ms=3000 anonymous_min_hold_ms=500",
                " lazy_min_hold_ms=1700",
                " overdraft=2 overdraft_time_ms=6000",
                " overdraft=50%",
                " evict=any",
                " evict=anonymous",
                " evict_idle_ms=1500",
                " reserve=1:ann",
                " reserve_soft=1:group:cad",
                " break_glass=1 administrators=bob",
                " exclude=group:cad",
                " low=2 recovered=3",
                " anonymous_per_client=1",
            ] {
                let name = policy.split('=').next().unwrap_or(policy);
                let apart = policy.contains("reserve") || policy.contains("break_glass");
                let fits = match name {
                    // What is set apart, and what is to be available again, is within the capacity.
                    _ if apart => capacity > 1 && !pool.contains("reserve") && !pool.contains("break_glass"),
                    " low" => capacity > 2,
                    _ => !pool.contains(name),
                };
                if fits && self.one_in(6) {
                    pool += policy;
                }
            }
            lines.push(pool);
            self.pools.push("main".into());
        }
        if self.one_in(2) {
            let rule = self.pick(&["session", "user", "staircase", "iris", "hard"]);
            let policy = self.pick(&[
                "",
                " linger_ms=3000",
                " min_hold_ms=2000 anonymous_min_hold_ms=700 lazy_min_hold_ms=300",
                " anonymous_cap=1",
                " evict=any",
            ]);
            let capacity = self.between(1, 8);
            lines.push(format!("pool cad capacity={capacity} unit_rule={rule} max_connections=2{policy}"));
            self.pools.push("cad".into());
        }
        let licensed = self.pools.iter().any(|pool| pool == "main");
        for (name, classes) in [("shop", "one,two"), ("bank", "two"), ("free", "")] {
            let idle = self.pick(&["0", "1000", "5000", "20000"]);
            let absolute = self.pick(&["0", "7000", "60000"]);
            let lock = self.pick(&["exclusive", "shared", "none"]);
            let extensions = self.between(0, 3);
            let policy = self.pick(&["keep", "adopt", "min", "max"]);
            let mut line =
                format!("application {name} idle_timeout_ms={idle} absolute_timeout_ms={absolute} lock={lock}");
            let _ = write!(line, " max_extensions={extensions} timeout_on_application_change={policy}");
            if !classes.is_empty() {
                let _ = write!(line, " event_classes={classes}");
            }
            if self.one_in(3) {
                let _ = write!(line, " anonymous_idle_timeout_ms={}", self.pick(&["500", "3000"]));
            }
            let until = self.pick(&["login", "second_request", "first_write"]);
            let _ = write!(line, " lazy_until={until}");
            if licensed {
                line += " pool=main";
                if self.one_in(4) {
                    line += " license_class=lazy";
                }
            } else if !self.pools.is_empty() {
                line += " license_class=none";
            }
            lines.push(line);
        }
        for name in ["one", "two"] {
            let mut line = format!("class {name}");
            for (kind, behaviors) in CALLBACKS {
                if !self.one_in(3) {
                    let _ = write!(line, " {kind}={}", self.pick(behaviors));
                }
            }
            lines.push(line);
        }
        lines
    }

    fn line(&mut self) -> String {
        match self.between(0, 113) {
            0..15 => self.create(),
            15..27 => self.begin(),
            27..50 => self.on_request(),
            50..56 => self.on_session("touch"),
            56..60 => self.on_session("peek"),
            60..75 => format!("advance {}", self.pick(&["1", "500", "1000", "2500", "5000", "10000"])),
            75..80 => self.end(),
            80..83 => self.on_session("events"),
            83..86 => self.timeout(),
            86..88 => {
                let Some(session) = self.label(&self.sessions.clone()) else { return "check".into() };
                let token = format!("t{}", self.tokens.len());
                self.tokens.push(token.clone());
                format!("token {token} {session}")
            }
            88..90 => {
                let filter = self.pick(&["", " user=ann", " app=shop", " state=new", " immortal=true"]);
                format!("list{filter}")
            }
            90..92 => "sessions".into(),
            92..94 if !self.pools.is_empty() => {
                "usage main in_use free reserved reserved_soft break_glass high_water denials denials_by_reason evicted holders lingering release_ms".into()
            }
            94..95 => format!("suspend {}", self.pick(&["1", "1500", "30000"])),
            95..96 => "set_wall 1000000000000".into(),
            // Not `end_where`: the order of its commits is the table's.
            96..97 => format!("timeout_where app={} idle_ms=3000", self.pick(&["shop", "bank", "free"])),
            110..113 if self.pools.iter().any(|pool| pool == "main") => {
                self.pick(&["resolver ann=cad bob=", "resolver ann=cad bob=!down", "resolver", "asked", "asked"]).into()
            }
            97..98 => "stats live peak created refused in_flight".into(),
            100..107 if self.pools.iter().any(|pool| pool == "main") => self.wait(),
            107..110 if self.pools.iter().any(|pool| pool == "main") => {
                format!("accounts main after={} limit={}", self.between(0, 40), self.between(1, 6))
            }
            _ => "log".into(),
        }
    }

    fn create(&mut self) -> String {
        let session = format!("s{}", self.made);
        self.made += 1;
        self.sessions.push(session.clone());
        let application = self.pick(&["shop", "bank", "free"]);
        let mut options = format!(" app={application}");
        if self.one_in(5) {
            options += r#" data={"k":1,"l":[1,{"m":null}]}"#;
        }
        if self.one_in(6) {
            let _ = write!(options, " license={}", self.pick(&["none", "named", "anonymous", "lazy", "lazy"]));
        }
        if self.one_in(4) {
            let _ = write!(options, " address={}", self.pick(&["10.0.0.1", "2001:db8::1", "2001:db8::2"]));
        }
        if self.one_in(6) {
            let _ = write!(options, " user_agent={}", self.pick(&["Firefox", "Googlebot"]));
        }
        if self.one_in(2) {
            return format!("create {session}{options}");
        }
        let request = format!("r{}", self.requests.len());
        self.requests.push(request.clone());
        format!("begin_new {request} {session}{options}")
    }

    /// A creation that waits if there is no unit, is looked at and cancelled: what it might be served by comes later, so that
    /// all say the same.
    fn wait(&mut self) -> String {
        let (made, priority) = (self.made, self.pick(&["", " priority=3"]));
        let create = self.create();
        let wait = format!("{create} wait_ms=60000 ticket=w{made}{priority}");
        format!("start w{made} {wait}\nqueue main\nposition w{made}\ncancel w{made}\njoin w{made}")
    }

    fn begin(&mut self) -> String {
        let tokens = self.tokens.clone();
        let session = if self.one_in(6) { self.label(&tokens) } else { self.label(&self.sessions.clone()) };
        let Some(session) = session else { return self.create() };
        let request = format!("r{}", self.requests.len());
        self.requests.push(request.clone());
        let mut line = format!("begin {request} {session} lock_timeout_ms=0");
        if self.one_in(3) {
            let _ = write!(line, " lock={}", self.pick(&["exclusive", "shared", "none"]));
        }
        if self.one_in(4) {
            let _ = write!(line, " touch={}", self.pick(&["keepalive", "none"]));
        }
        if self.one_in(5) {
            let _ = write!(line, " app={}", self.pick(&["shop", "bank", "free"]));
        }
        line
    }

    fn on_request(&mut self) -> String {
        let Some(request) = self.label(&self.requests.clone()) else { return self.begin() };
        let path = self.pick(&["k", "l", r#"["k",1]"#, r#"["k","a"]"#, r#"["l",2,"x"]"#]).to_string();
        let features = if self.pools.is_empty() { 0 } else { 12 };
        match self.between(0, 30 + features) {
            0..5 => format!("finish {request}"),
            5..9 => {
                let value = self.pick(&["1", "-7", "1.5", "null", "true", r#""tea""#, "[]", "{}", r#"[1,{"a":"b"}]"#]);
                format!("set {request} {path} {value}")
            }
            9..12 => format!("get {request} {path}"),
            12 => format!("get_versioned {request} {path}"),
            13 => format!("kill {request} {path}"),
            14 => format!("entries {request} []"),
            15 => format!("cas {request} k {} {}", self.pick(&["none", "1"]), self.pick(&["1", "2", "none"])),
            16 => format!("save {request}"),
            17 => format!("discard {request}"),
            18 => format!("unlock {request}{}", self.pick(&["", " save"])),
            19 => format!("lock {request} {} timeout_ms=0", self.pick(&["exclusive", "shared", "none"])),
            20 => format!("rotate {request}"),
            21..25 => {
                let groups = self.pick(&["", "", " groups=cad"]);
                format!("login {request} {}{groups}", self.pick(&["ann", "bob"]))
            }
            25 => format!("logout {request}{}", self.pick(&["", " force"])),
            26 => format!("request_end {request}"),
            27 => format!("class_{} {request} {}", self.pick(&["add", "remove"]), self.pick(&["one", "two"])),
            28 => format!("classes {request}"),
            30..42 => self.feature(&request),
            _ => format!("info {request} state application user holder idle_timeout in_flight"),
        }
    }

    fn feature(&mut self, request: &str) -> String {
        let pools = self.pools.clone();
        let Some(pool) = self.label(&pools) else { return format!("features {request}") };
        match self.between(0, 6) {
            0..3 => {
                let groups = self.pick(&["", "", " groups=cad"]);
                format!("take {request} {pool} count={}{groups}", self.pick(&["1", "1", "2", "3"]))
            }
            3..5 => format!("give_back {request} {pool} count={}", self.pick(&["1", "2", "9"])),
            _ => format!("features {request}"),
        }
    }

    fn on_session(&mut self, verb: &str) -> String {
        match self.label(&self.sessions.clone()) {
            Some(session) => format!("{verb} {session}"),
            None => self.create(),
        }
    }

    fn end(&mut self) -> String {
        let line = self.on_session("end");
        if !line.starts_with("end") {
            return line;
        }
        let level = self.pick(&["request", "force", "kill"]);
        let reason = self.pick(&["ended", "revoked", "evicted"]);
        format!("{line} level={level} reason={reason}")
    }

    fn timeout(&mut self) -> String {
        let line = self.on_session("timeout");
        if !line.starts_with("timeout") {
            return line;
        }
        match self.one_in(3) {
            true => format!("{line} absolute_ms={}", self.pick(&["3000", "10000", "90000"])),
            false => format!("{line} idle_ms={}", self.pick(&["0", "700", "4000"])),
        }
    }
}

const CALLBACKS: &[(&str, &[&str])] = &[
    ("on_start", &["ok", "ok", "ok|deny|ok", "ok|throw|ok", r#"set:k:"draft""#, "license:none|ok"]),
    ("on_expiring", &["ok", "extend:1000", "extend:100000", "throw", "see:remaining"]),
    // Of several sessions' retries that fall due at once none is the first: they must not count calls.
    ("on_timeout", &["ok", "throw", "see:thread"]),
    ("on_end", &["ok", "throw", "see:level+see:user+see:data", "do:explain,@,state", "keep"]),
    ("on_application_change", &["ok", "deny|ok", "see:old_application"]),
    ("on_login", &["ok", "deny|ok", "throw|ok", "see:old_user+see:user"]),
    ("on_logout", &["ok", "deny|ok", "throw"]),
    // Not `on_end_request`, and no throw here: between notifications and deciders of one session there is no order.
    ("on_start_request", &["ok", "see:thread"]),
    ("on_license_denied", &["ok", "see:in_use"]),
];
