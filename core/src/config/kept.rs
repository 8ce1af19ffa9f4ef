//! What a store keeps of the configuration of its processes, for whoever opens it by what it says itself.

use std::time::Duration;

use super::{Application, Config, Profile};
use crate::data::{Quotas, Value, from_json, to_json};
use crate::error::{Error, ErrorKind, Result};
use crate::reason::{ApplicationTimeout, LazyUntil, LicenseClass, LockMode};

fn number(number: u64) -> Value {
    i64::try_from(number).map_or_else(|_| number.to_string().into(), Value::Int)
}

fn count(count: usize) -> Value {
    number(u64::try_from(count).unwrap_or(u64::MAX))
}

fn duration(duration: Duration) -> Value {
    Value::List(vec![number(duration.as_secs()), Value::Int(duration.subsec_nanos().into())])
}

fn optional<T>(value: Option<T>, to: impl FnOnce(T) -> Value) -> Value {
    value.map_or(Value::Null, to)
}

fn texts(texts: &[String]) -> Value {
    Value::List(texts.iter().map(|text| text.as_str().into()).collect())
}

/// A map that was kept, or one in it.
struct Kept<'a>(&'a [(String, Value)]);

impl<'a> Kept<'a> {
    fn of(value: &'a Value) -> Option<Self> {
        value.as_map().map(Kept)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn number(&self, name: &str) -> Option<u64> {
        to_number(self.get(name)?)
    }

    fn count(&self, name: &str) -> Option<usize> {
        usize::try_from(self.number(name)?).ok()
    }

    fn truth(&self, name: &str) -> Option<bool> {
        to_truth(self.get(name)?)
    }

    fn duration(&self, name: &str) -> Option<Duration> {
        to_duration(self.get(name)?)
    }

    fn text(&self, name: &str) -> Option<String> {
        to_text(self.get(name)?)
    }

    fn texts(&self, name: &str) -> Option<Vec<String>> {
        let Value::List(texts) = self.get(name)? else { return None };
        texts.iter().map(to_text).collect()
    }

    /// A word of a vocabulary.
    fn word<T>(&self, name: &str, of: impl FnOnce(&str) -> Option<T>) -> Option<T> {
        let Value::Text(word) = self.get(name)? else { return None };
        of(word)
    }

    fn optional<T>(&self, name: &str, of: impl FnOnce(&'a Value) -> Option<T>) -> Option<Option<T>> {
        match self.get(name)? {
            Value::Null => Some(None),
            value => of(value).map(Some),
        }
    }
}

fn to_number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::Text(digits) => digits.parse().ok(),
        _ => None,
    }
}

fn to_truth(value: &Value) -> Option<bool> {
    if let Value::Bool(truth) = value { Some(*truth) } else { None }
}

fn to_text(value: &Value) -> Option<String> {
    if let Value::Text(text) = value { Some(text.to_string()) } else { None }
}

fn to_duration(value: &Value) -> Option<Duration> {
    let Value::List(parts) = value else { return None };
    let [seconds, nanos] = parts.as_slice() else { return None };
    let nanos = u32::try_from(to_number(nanos)?).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    Some(Duration::new(to_number(seconds)?, nanos))
}

impl Application {
    fn kept(&self) -> Value {
        Value::map([
            ("name", self.name.as_str().into()),
            ("enabled", self.enabled.into()),
            ("namespace", self.namespace.as_str().into()),
            ("idle_timeout", optional(self.idle_timeout, duration)),
            // `None` within: never.
            ("absolute_timeout", optional(self.absolute_timeout, |own| optional(own, duration))),
            ("absolute_timeout_named", self.absolute_timeout.is_some().into()),
            ("event_classes", texts(&self.event_classes)),
            ("required_event_classes", texts(&self.required_event_classes)),
            ("pool", optional(self.pool.as_deref(), Value::from)),
            ("license_class", optional(self.license_class, |class| class.name().into())),
            ("lazy_until", self.lazy_until.name().into()),
            ("detect_crawlers", self.detect_crawlers.into()),
            ("crawlers", texts(&self.crawlers)),
            ("anonymous_idle_timeout", optional(self.anonymous_idle_timeout, duration)),
            ("max_sessions", optional(self.max_sessions, number)),
            ("max_extensions", optional(self.max_extensions, |most| number(most.into()))),
            ("extension_cap", duration(self.extension_cap)),
            ("ask_lead", duration(self.ask_lead)),
            ("lock", self.lock.name().into()),
            ("timeout_on_application_change", self.timeout_on_application_change.name().into()),
            ("protected_from_bulk_end", self.protected_from_bulk_end.into()),
            ("event_classes_on_entry", self.event_classes_on_entry.into()),
            ("debug", optional(self.debug, Value::from)),
        ])
    }

    fn of_kept(kept: &Kept<'_>) -> Option<Self> {
        let absolute = kept.optional("absolute_timeout", to_duration)?;
        Some(Self {
            name: kept.text("name")?,
            enabled: kept.truth("enabled")?,
            namespace: kept.text("namespace")?,
            idle_timeout: kept.optional("idle_timeout", to_duration)?,
            absolute_timeout: kept.truth("absolute_timeout_named")?.then_some(absolute),
            event_classes: kept.texts("event_classes")?,
            required_event_classes: kept.texts("required_event_classes")?,
            pool: kept.optional("pool", to_text)?,
            license_class: kept.optional("license_class", |word| LicenseClass::from_name(&to_text(word)?))?,
            lazy_until: kept.word("lazy_until", LazyUntil::from_name)?,
            detect_crawlers: kept.truth("detect_crawlers")?,
            crawlers: kept.texts("crawlers")?,
            anonymous_idle_timeout: kept.optional("anonymous_idle_timeout", to_duration)?,
            max_sessions: kept.optional("max_sessions", to_number)?,
            max_extensions: kept.optional("max_extensions", |most| u32::try_from(to_number(most)?).ok())?,
            extension_cap: kept.duration("extension_cap")?,
            ask_lead: kept.duration("ask_lead")?,
            lock: kept.word("lock", LockMode::from_name)?,
            timeout_on_application_change: kept.word("timeout_on_application_change", ApplicationTimeout::from_name)?,
            protected_from_bulk_end: kept.truth("protected_from_bulk_end")?,
            event_classes_on_entry: kept.truth("event_classes_on_entry")?,
            debug: kept.optional("debug", to_truth)?,
        })
    }
}

impl Config {
    /// What a store keeps of it beside the names and definitions of the pools, as JSON.
    pub(crate) fn kept(&self) -> String {
        let Quotas { session_bytes, levels, value_bytes, subscript_bytes } = self.quotas;
        to_json(&Value::map([
            ("profile", self.profile.name().into()),
            ("applications", Value::List(self.applications.iter().map(Application::kept).collect())),
            ("max_sessions", number(self.max_sessions)),
            ("session_bytes", count(session_bytes)),
            ("levels", count(levels)),
            ("value_bytes", count(value_bytes)),
            ("subscript_bytes", count(subscript_bytes)),
            ("dead_letters", count(self.dead_letters)),
            ("dead_letter_bytes", count(self.dead_letter_bytes)),
            ("tombstone", duration(self.tombstone)),
            ("max_request", duration(self.max_request)),
            ("idle_counts_suspend", self.idle_counts_suspend.into()),
            ("debug", self.debug.into()),
            ("lifecycle_log", count(self.lifecycle_log)),
        ]))
    }

    /// Takes over what a store kept. Errors: `unavailable` if it is not what this version keeps.
    pub(crate) fn take_kept(&mut self, text: &str) -> Result<()> {
        let kept = from_json(text).ok();
        let taken = kept.as_ref().and_then(Kept::of).and_then(|kept| self.with_kept(&kept));
        *self = taken.ok_or_else(|| {
            Error::new(
                ErrorKind::Unavailable,
                "what the store says of its configuration is of another version of libsession: open it with that one",
            )
        })?;
        Ok(())
    }

    fn with_kept(&self, kept: &Kept<'_>) -> Option<Self> {
        let Value::List(applications) = kept.get("applications")? else { return None };
        Some(Self {
            profile: kept.word("profile", |name| Profile::from_name(name).ok())?,
            applications: applications
                .iter()
                .map(|one| Application::of_kept(&Kept::of(one)?))
                .collect::<Option<_>>()?,
            max_sessions: kept.number("max_sessions")?,
            quotas: Quotas {
                session_bytes: kept.count("session_bytes")?,
                levels: kept.count("levels")?,
                value_bytes: kept.count("value_bytes")?,
                subscript_bytes: kept.count("subscript_bytes")?,
            },
            dead_letters: kept.count("dead_letters")?,
            dead_letter_bytes: kept.count("dead_letter_bytes")?,
            tombstone: kept.duration("tombstone")?,
            max_request: kept.duration("max_request")?,
            idle_counts_suspend: kept.truth("idle_counts_suspend")?,
            debug: kept.truth("debug")?,
            lifecycle_log: kept.count("lifecycle_log")?,
            ..self.clone()
        })
    }

    /// Who adopts names nothing that the store says itself.
    pub(crate) fn check_adopts(&self) -> Result<()> {
        let plain = Self::default();
        let named = [
            ("applications", !self.applications.is_empty()),
            ("pools", !self.pools.is_empty()),
            ("max_sessions", self.max_sessions != plain.max_sessions),
            ("quotas", self.quotas != plain.quotas),
            ("dead_letters", self.dead_letters != plain.dead_letters),
            ("dead_letter_bytes", self.dead_letter_bytes != plain.dead_letter_bytes),
            ("tombstone", self.tombstone != plain.tombstone),
            ("max_request", self.max_request != plain.max_request),
            ("idle_counts_suspend", self.idle_counts_suspend),
            ("profile", self.profile != plain.profile),
            ("debug", self.debug),
            ("lifecycle_log", self.lifecycle_log != plain.lifecycle_log),
        ];
        match named.into_iter().find(|(_, named)| *named) {
            Some((option, _)) => Err(Error::invalid(format!(
                "{option} can't be named together with adopt: the store says itself how it is configured"
            ))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::lines;

    fn rich() -> Application {
        Application {
            name: "shop \"ü\"".into(),
            enabled: false,
            namespace: "n".into(),
            idle_timeout: None,
            absolute_timeout: Some(None),
            event_classes: vec!["audit".into(), "mail".into()],
            required_event_classes: vec!["audit".into()],
            pool: Some("users".into()),
            license_class: Some(LicenseClass::Lazy),
            lazy_until: LazyUntil::FirstWrite,
            detect_crawlers: false,
            crawlers: vec!["sync\n1".into()],
            anonymous_idle_timeout: Some(Duration::new(7, 5)),
            max_sessions: Some(u64::MAX),
            max_extensions: Some(u32::MAX),
            extension_cap: Duration::from_nanos(1_500_001),
            ask_lead: Duration::MAX,
            lock: LockMode::Shared,
            timeout_on_application_change: ApplicationTimeout::Min,
            protected_from_bulk_end: true,
            event_classes_on_entry: true,
            debug: Some(false),
        }
    }

    #[test]
    fn an_application_comes_back_as_it_was() {
        let same = lines("", &rich());
        for line in lines("", &Application::new("other")).lines().filter(|line| line.matches(": ").count() > 1) {
            assert!(!same.lines().any(|other| other == line), "{line}: not told apart by this test");
        }
        let named = Application { absolute_timeout: Some(Some(Duration::from_millis(1))), ..rich() };
        for application in [rich(), named, Application::new("plain"), Application::new("x").idle_timeout(None)] {
            let kept = application.kept();
            let back = Kept::of(&kept).and_then(|kept| Application::of_kept(&kept)).expect("what was kept");
            assert_eq!(format!("{back:?}"), format!("{application:?}"));
        }
    }

    #[test]
    fn a_configuration_comes_back_and_a_strange_one_is_refused() {
        let config = Config {
            profile: Profile::Iris,
            applications: vec![rich(), Application::new("b")],
            max_sessions: 7,
            quotas: Quotas { session_bytes: 1, levels: 2, value_bytes: 3, subscript_bytes: 4 },
            dead_letters: 5,
            dead_letter_bytes: 6,
            tombstone: Duration::from_secs(8),
            max_request: Duration::from_secs(9),
            idle_counts_suspend: true,
            debug: true,
            lifecycle_log: 10,
            ..Config::default()
        };
        let mut back = Config::default();
        assert_eq!(back.take_kept(&config.kept()), Ok(()));
        assert_eq!(back.kept(), config.kept());
        assert_eq!(
            format!("{:?}", (back.applications, back.quotas)),
            format!("{:?}", (config.applications, config.quotas))
        );
        let known = Config::default().kept();
        let mut strange = Config::default();
        for text in [
            "",
            "[]",
            "{}",
            "{\"applications\":[{}]}",
            &known.replace("false", "3"),
            &known.replace("lifecycle_log", "x"),
        ] {
            assert_eq!(strange.take_kept(text).map_err(|error| error.kind()), Err(ErrorKind::Unavailable), "{text}");
        }
        assert_eq!(strange.kept(), known);
    }
}
