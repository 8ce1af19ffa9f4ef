//! Redis on this machine: what most would take to share sessions. Debian's redis-server, started here, on loopback.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::{Client, Connection, Script};

use super::BYTES;
use crate::peers::IDLE_MS;

/// Look up, check, move the deadline, take the data: one script, one round trip. The index of deadlines holds a lower
/// bound and is written when that lags by 5 %.
const TOUCH: &str = "
local s = redis.call('HMGET', KEYS[1], 'i', 'a', 'z', 't')
if not s[1] then return {0} end
local at = redis.call('TIME')
local now = at[1] * 1000 + math.floor(at[2] / 1000)
if tonumber(s[1]) <= now or tonumber(s[2]) <= now then return {1} end
local i = math.min(now + s[4], tonumber(s[2]))
redis.call('HSET', KEYS[1], 'i', i)
if i - s[3] > s[4] / 20 then
  redis.call('HSET', KEYS[1], 'z', i)
  redis.call('ZADD', KEYS[3], i, KEYS[1])
end
return {2, redis.call('HGETALL', KEYS[2])}";

/// A server on a free port, without persistence; gone with this.
pub struct Server {
    process: Child,
    pub port: u16,
}

impl Server {
    /// `None` if there is none, said in one line.
    pub fn start(dir: &Path) -> Option<Self> {
        if !installed() {
            eprintln!("redis-server: LEFT OUT, it is not installed (apt-get install redis-server)");
            return None;
        }
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
        let port = free.port().to_string();
        let mut command = Command::new("redis-server");
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir"]).arg(dir);
        let process = command.stdout(Stdio::null()).spawn().expect("redis-server starts");
        let server = Self { process, port: free.port() };
        let until = Instant::now() + Duration::from_secs(10);
        while client(server.port).get_connection().is_err() {
            assert!(Instant::now() < until, "redis-server does not answer on port {port}");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(server)
    }

    pub fn fill(&self, sessions: usize) {
        let mut connection = client(self.port).get_connection().expect("a connection");
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("a clock").as_millis() as u64;
        let data = [7u8; BYTES];
        for from in (0..sessions).step_by(1000) {
            let mut pipe = redis::pipe();
            for number in from..(from + 1000).min(sessions) {
                let key = format!("s:{}", name(number));
                pipe.cmd("HSET").arg(&key).arg("i").arg(now + IDLE_MS).arg("a").arg(now + 86_400_000);
                pipe.arg("z").arg(now + IDLE_MS).arg("t").arg(IDLE_MS).arg("v").arg(1).ignore();
                pipe.cmd("HSET").arg(format!("d:{}", name(number))).arg("data").arg(&data[..]).ignore();
                pipe.cmd("ZADD").arg("dl").arg(now + IDLE_MS).arg(&key).ignore();
                pipe.cmd("SET").arg(format!("k:{}", name(number))).arg(&data[..]).arg("PX").arg(IDLE_MS).ignore();
            }
            pipe.query::<()>(&mut connection).expect("the sessions are made");
        }
    }

    /// CPU nanoseconds of the server so far.
    pub fn cpu_ns(&self) -> u64 {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.process.id())).expect("the server's threads");
        let of = |path: std::path::PathBuf| {
            let text = std::fs::read_to_string(path.join("schedstat")).unwrap_or_default();
            text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0)
        };
        tasks.filter_map(Result::ok).map(|task| of(task.path())).sum()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stopped = self.process.kill().and_then(|()| self.process.wait());
        if let Err(error) = stopped {
            eprintln!("redis-server on port {} was not stopped: {error}", self.port);
        }
    }
}

fn installed() -> bool {
    let mut command = Command::new("redis-server");
    command.arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn client(port: u16) -> Client {
    Client::open(format!("redis://127.0.0.1:{port}/")).expect("an address")
}

/// A session's name: as long as a token.
fn name(number: usize) -> String {
    format!("{number:040x}")
}

/// A connection of one caller.
pub struct Caller {
    connection: Connection,
    script: Script,
}

impl Caller {
    pub fn new(port: u16) -> Self {
        Self { connection: client(port).get_connection().expect("a connection"), script: Script::new(TOUCH) }
    }

    /// Touch and data by the script.
    pub fn touch(&mut self, number: usize) {
        let name = name(number);
        let mut call = self.script.prepare_invoke();
        call.key(format!("s:{name}")).key(format!("d:{name}")).key("dl");
        let (outcome, data): (i64, Vec<Vec<u8>>) = call.invoke(&mut self.connection).expect("an answer");
        assert!(outcome == 2 && data[1].len() == BYTES, "the session is live");
    }

    /// Touch and data by one command: no deadline but the key's, no index, no events.
    pub fn get_and_expire(&mut self, number: usize) {
        let mut command = redis::cmd("GETEX");
        command.arg(format!("k:{}", name(number))).arg("PX").arg(IDLE_MS);
        let data: Vec<u8> = command.query(&mut self.connection).expect("an answer");
        assert_eq!(data.len(), BYTES, "the session is live");
    }
}
