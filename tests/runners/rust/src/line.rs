//! A line of a script: words, and what is expected of the answer.

use libsession_core::data::{Value, from_json};

/// One line, to be done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// The verb and its words.
    pub words: Vec<String>,
    /// What is expected.
    pub expect: Option<Expect>,
}

/// What is expected of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expect {
    /// The answer, `BEGIN ...`, or `*`.
    pub text: String,
    /// A part of the error's message.
    pub message: Option<String>,
}

/// Reads a line of a script: nothing for a comment, several for `times`.
pub fn parse(raw: &str) -> Result<Vec<Line>, String> {
    if let Some(rest) = raw.trim_start().strip_prefix("times ") {
        let (count, rest) = rest.trim_start().split_once(' ').ok_or("times wants a number and a line")?;
        let count: usize = count.parse().map_err(|_| "times wants a number")?;
        let mut lines = Vec::with_capacity(count);
        for number in 1..=count {
            lines.extend(parse(&rest.replace('%', &number.to_string()))?);
        }
        return Ok(lines);
    }
    let mut words = words(raw)?;
    if words.is_empty() {
        return Ok(Vec::new());
    }
    let expect = match words.iter().position(|word| word == "->") {
        None => None,
        Some(at) => {
            let mut expected = words.split_off(at);
            expected.remove(0);
            let message = match expected.as_slice() {
                [.., colon, text] if colon == ":" && text.starts_with('"') => Some(text_of(text)?),
                _ => None,
            };
            if message.is_some() {
                expected.truncate(expected.len() - 2);
            }
            Some(Expect { text: expected.join(" "), message })
        }
    };
    if words.is_empty() {
        return Err("an expectation without a verb".into());
    }
    Ok(vec![Line { words: words.iter().map(|word| expand(word)).collect(), expect }])
}

/// Splits at blanks that are not inside of JSON; drops the comment.
fn words(raw: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let (mut depth, mut quoted, mut escaped) = (0usize, false, false);
    for letter in raw.chars() {
        if quoted {
            word.push(letter);
            quoted = escaped || letter != '"';
            escaped = !escaped && letter == '\\';
            continue;
        }
        match letter {
            '#' if word.is_empty() => break,
            ' ' | '\t' | '\r' if depth == 0 => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            '"' => quoted = true,
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        word.push(letter);
    }
    if quoted || depth > 0 {
        return Err("JSON that does not end on its line".into());
    }
    if !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}

/// `@N`, also behind `=`, is a text of N times `x`.
fn expand(word: &str) -> String {
    let (before, after) = match word.split_once('=') {
        Some((name, value)) if !word.starts_with(['"', '[', '{']) => (format!("{name}="), value),
        _ => (String::new(), word),
    };
    match after.strip_prefix('@').and_then(|count| count.parse::<usize>().ok()) {
        Some(count) => format!("{before}\"{}\"", "x".repeat(count)),
        None => word.to_string(),
    }
}

/// A word as text: a JSON string, or itself.
pub fn text_of(word: &str) -> Result<String, String> {
    if !word.starts_with('"') {
        return Ok(word.to_string());
    }
    match from_json(word) {
        Ok(Value::Text(text)) => Ok(text),
        _ => Err(format!("{word} is not a text")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(raw: &str) -> Line {
        parse(raw).expect("parses").remove(0)
    }

    #[test]
    fn blanks_inside_of_json_do_not_separate_words() {
        assert_eq!(one(r#"set r1 ["a b", 1] {"x": "}# y"}"#).words, ["set", "r1", r#"["a b", 1]"#, r#"{"x": "}# y"}"#]);
    }

    #[test]
    fn a_comment_begins_a_word_and_ends_the_line() {
        assert_eq!(one("events a -> w.on_end@1#2  # tried twice").expect.expect("expects").text, "w.on_end@1#2");
        assert!(parse("  # nothing").expect("parses").is_empty());
    }

    #[test]
    fn times_counts_from_one() {
        let lines = parse("times 2 create s% -> ok").expect("parses");
        assert_eq!(lines.iter().map(|line| line.words[1].as_str()).collect::<Vec<_>>(), ["s1", "s2"]);
    }

    #[test]
    fn an_expectation_may_want_a_part_of_the_message() {
        let expect = one(r#"login r @300 -> error invalid : "256""#).expect.expect("expects");
        assert_eq!((expect.text.as_str(), expect.message.as_deref()), ("error invalid", Some("256")));
    }

    #[test]
    fn an_at_sign_is_a_long_text() {
        assert_eq!(one("set r k @3").words[3], "\"xxx\"");
        assert_eq!(one("create a address=@2").words[2], "address=\"xx\"");
    }
}
