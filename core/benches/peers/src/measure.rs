//! CPU nanoseconds, medians of interleaved rounds, random access orders.

use rustix::time::{ClockId, clock_gettime};

/// CPU time of the calling thread, nanoseconds.
pub fn cpu_ns() -> u64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Monotonic time in milliseconds, read coarsely: what each subject reads once per call.
pub fn coarse_ms() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// CPU nanoseconds per step of `run`, which does `steps` of them.
pub fn per_step(steps: usize, run: impl FnOnce()) -> f64 {
    let before = cpu_ns();
    run();
    (cpu_ns() - before) as f64 / steps as f64
}

/// The middle value.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The value below which `part` of the values are.
pub fn percentile(values: &mut [u64], part: f64) -> u64 {
    values.sort_unstable();
    values.get(((values.len() as f64 * part) as usize).min(values.len().saturating_sub(1))).copied().unwrap_or(0)
}

/// A small generator: the orders must be the same in every run.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// How accesses are spread over the sessions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    Uniform,
    Zipf,
}

impl Spread {
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        }
    }
}

/// Which of `sessions` is accessed at each of `steps` steps. Zipf has the exponent 0.99, its ranks spread at random.
pub fn order(spread: Spread, sessions: usize, steps: usize) -> Vec<u32> {
    let mut random = Random::new(7);
    if spread == Spread::Uniform {
        return (0..steps).map(|_| random.below(sessions) as u32).collect();
    }
    let mut sum = 0.0;
    let cumulated: Vec<f64> = (1..=sessions)
        .map(|rank| {
            sum += (rank as f64).powf(-0.99);
            sum
        })
        .collect();
    let mut places: Vec<u32> = (0..sessions as u32).collect();
    for at in (1..sessions).rev() {
        places.swap(at, random.below(at + 1));
    }
    (0..steps)
        .map(|_| {
            let wanted = random.unit() * sum;
            places[cumulated.partition_point(|upto| *upto < wanted).min(sessions - 1)]
        })
        .collect()
}

/// CPU time of all threads of this process, nanoseconds.
pub fn process_ns() -> u64 {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Resident bytes of this process that are no file's.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)).and_then(|kib| kib.parse::<usize>().ok());
    kib.unwrap_or(0) * 1024
}
