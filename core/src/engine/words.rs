//! Words for people: lines, times, and names as they can be shown.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::clock::Millis;
use crate::session::Client;

/// A line of a text: whatever is in the value, it stays one.
pub(super) fn line(text: &mut String, name: &str, value: &str) {
    // Writing to a string can't fail.
    let _ = writeln!(text, "{name:<17}{}", shown(value));
}

/// A text with what would break a line, hide or turn letters around as escapes.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    let hides = |char: char| {
        char.is_control() || matches!(char, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(hides) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if hides(char) { safe.extend(char.escape_default()) } else { safe.push(char) }
    }
    Cow::Owned(safe)
}

/// A time as people say it, cut to its two largest units; below a minute it is exact.
pub(super) fn span(ms: Millis) -> String {
    const UNITS: [(&str, Millis); 4] = [("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000)];
    match ms {
        0..1000 => return format!("{ms} ms"),
        1000..60_000 if ms.is_multiple_of(1000) => return format!("{} s", ms / 1000),
        1000..60_000 => {
            let exact = format!("{}.{:03}", ms / 1000, ms % 1000);
            return format!("{} s", exact.trim_end_matches('0'));
        }
        _ => {}
    }
    let first = UNITS.iter().position(|(_, unit)| ms >= *unit).unwrap_or(0);
    let (name, unit) = UNITS[first];
    let mut text = format!("{} {name}", ms / unit);
    if let Some((name, part)) = UNITS.get(first + 1)
        && ms % unit >= *part
    {
        let _ = write!(text, " {} {name}", ms % unit / part);
    }
    text
}

/// Where a client is and what it is, if that is known.
pub(super) fn client_line(client: &Client) -> Option<String> {
    match (&client.address, &client.user_agent) {
        (None, None) => None,
        (Some(address), None) => Some(address.clone()),
        (None, Some(agent)) => Some(format!("with {agent}")),
        (Some(address), Some(agent)) => Some(format!("{address}, with {agent}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_as_people_say_it() {
        for (ms, told) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1000, "1 s"),
            (59_500, "59.5 s"),
            (59_999, "59.999 s"),
            (60_000, "1 min"),
            (60_999, "1 min"),
            (899_000, "14 min 59 s"),
            (3_600_000, "1 h"),
            (86_399_912, "23 h 59 min"),
            (86_400_000, "1 d"),
            (3 * 86_400_000 + 3_600_000 + 59_000, "3 d 1 h"),
            (86_400_000 + 60_000, "1 d"),
        ] {
            assert_eq!(span(ms), told);
        }
    }

    #[test]
    fn what_would_forge_a_line_is_escaped() {
        let mut text = String::new();
        line(&mut text, "user", "eve\nunits            0\r\u{1b}[2K\u{202e}\u{2028}ä");
        assert_eq!(text, "user             eve\\nunits            0\\r\\u{1b}[2K\\u{202e}\\u{2028}ä\n");
    }
}
