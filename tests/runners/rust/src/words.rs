//! The words behind a verb.

use std::time::Duration;

use libsession_core::data::Value;

use crate::answer::Fail;
use crate::line::text_of;

/// The words behind a verb: in order, and by name.
pub struct Words<'a> {
    /// Those without a name.
    pub plain: Vec<&'a str>,
    named: Vec<(&'a str, &'a str)>,
}

impl<'a> Words<'a> {
    /// Sorts the words of a line.
    pub fn new(words: &'a [String]) -> Self {
        let mut sorted = Self { plain: Vec::new(), named: Vec::new() };
        for word in words {
            match word.split_once('=') {
                Some((name, value)) if name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()) => {
                    sorted.named.push((name, value));
                }
                _ => sorted.plain.push(word),
            }
        }
        sorted
    }

    /// The n-th word without a name.
    pub fn at(&self, index: usize) -> Result<&'a str, Fail> {
        self.plain.get(index).copied().ok_or_else(|| format!("word {} is missing", index + 1).into())
    }

    /// The n-th word as a text.
    pub fn text_at(&self, index: usize) -> Result<String, Fail> {
        Ok(text_of(self.at(index)?)?)
    }

    /// All named words, in order.
    pub fn all_named(&self) -> &[(&'a str, &'a str)] {
        &self.named
    }

    /// A named word.
    pub fn named(&self, name: &str) -> Option<&'a str> {
        self.named.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    /// A named text.
    pub fn text(&self, name: &str) -> Result<Option<String>, Fail> {
        Ok(self.named(name).map(text_of).transpose()?)
    }

    /// A named number, or anything else that can be read.
    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Fail> {
        self.named(name)
            .map(|value| value.parse().map_err(|_| Fail::Script(format!("{name}={value} can't be read"))))
            .transpose()
    }

    /// A named duration.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, Fail> {
        Ok(self.number(name)?.map(Duration::from_millis))
    }

    /// A named duration where 0 is never.
    pub fn timeout(&self, name: &str) -> Result<Option<Option<Duration>>, Fail> {
        Ok(self.duration(name)?.map(|duration| Some(duration).filter(|duration| !duration.is_zero())))
    }

    /// A named member of a vocabulary.
    pub fn member<T>(&self, name: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Fail> {
        self.named(name)
            .map(|value| from_name(value).ok_or_else(|| Fail::Script(format!("{name}={value} is no such word"))))
            .transpose()
    }

    /// The names that are not in this list: misspelled.
    pub fn only(&self, known: &[&str]) -> Result<(), Fail> {
        match self.named.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, _)) => Err(format!("'{name}=' is not known here").into()),
            None => Ok(()),
        }
    }

    /// Every name.
    pub fn names(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.named.iter().copied()
    }
}

/// A JSON value in a script.
pub fn json(word: &str) -> Result<Value, Fail> {
    libsession_core::data::from_json(word).map_err(|error| Fail::Script(format!("{word}: {error}")))
}
