//! Numbers of things, for people.

/// `1 session`, `2 sessions`.
pub(crate) fn counted(count: impl Into<u64>, one: &str) -> String {
    match count.into() {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    }
}

/// `once`, `2 times`.
pub(crate) fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_told_as_one() {
        assert_eq!([0_u64, 1, 2].map(|count| counted(count, "unit")), ["0 units", "1 unit", "2 units"]);
        assert_eq!([0, 1, 2].map(times), ["0 times", "once", "2 times"]);
    }
}
