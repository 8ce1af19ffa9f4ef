//! A pool's options by name, as JSON has them: how books keep a definition, how a change names what it changes, and how
//! two definitions are compared.

use std::time::Duration;

use super::{Overdraft, Pool, Reservation, TradeFailure};
use crate::data::{Value, from_json, to_json};
use crate::error::Result;
use crate::reason::{AtSessionLimit, Evict, UnitRule};

/// An option by which two definitions of a pool differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolDifference {
    /// The pool.
    pub pool: String,
    /// The option: its name in [`Pool::to_json`].
    pub option: &'static str,
    /// What this manager was opened with, as JSON.
    pub named: String,
    /// What is in force, as JSON.
    pub in_force: String,
}

/// An option: its name, how it is read, and how it is set.
struct PoolOption {
    name: &'static str,
    get: fn(&Pool) -> Value,
    set: fn(&mut Pool, &Value) -> Option<()>,
    /// What it takes, in words.
    takes: &'static str,
}

const COUNT: &str = "a number of 0 or more";
const MAYBE: &str = "a number of 0 or more, or null";
const TIME: &str = "a whole number of milliseconds";
const MAYBE_TIME: &str = "a whole number of milliseconds, or null";
const FLAG: &str = "true or false";
const MEMBERS: &str = "a list of members, as texts";

/// All options of a pool but its name.
const OPTIONS: &[PoolOption] = &[
    PoolOption {
        name: "capacity",
        get: |p| count(p.capacity),
        set: |p, v| to(&mut p.capacity, number(v)),
        takes: COUNT,
    },
    PoolOption {
        name: "unit_rule",
        get: |p| p.unit_rule.name().into(),
        set: |p, v| to(&mut p.unit_rule, v.as_text().and_then(UnitRule::from_name)),
        takes: "session, user, staircase, iris or hard",
    },
    PoolOption {
        name: "max_connections",
        get: |p| count(p.max_connections),
        set: |p, v| to(&mut p.max_connections, number(v)),
        takes: COUNT,
    },
    PoolOption {
        name: "max_sessions_per_holder",
        get: |p| maybe(p.max_sessions_per_holder),
        set: |p, v| to(&mut p.max_sessions_per_holder, or_null(v, number)),
        takes: MAYBE,
    },
    PoolOption {
        name: "at_session_limit",
        get: |p| p.at_session_limit.name().into(),
        set: |p, v| to(&mut p.at_session_limit, v.as_text().and_then(AtSessionLimit::from_name)),
        takes: "deny, evict_oldest or evict_longest_idle",
    },
    PoolOption {
        name: "anonymous_cap",
        get: |p| maybe(p.anonymous_cap),
        set: |p, v| to(&mut p.anonymous_cap, or_null(v, number)),
        takes: MAYBE,
    },
    PoolOption {
        name: "anonymous_per_client",
        get: |p| maybe(p.anonymous_per_client),
        set: |p, v| to(&mut p.anonymous_per_client, or_null(v, number)),
        takes: MAYBE,
    },
    PoolOption {
        name: "holder_per_client",
        get: |p| p.holder_per_client.into(),
        set: |p, v| to(&mut p.holder_per_client, v.as_bool()),
        takes: FLAG,
    },
    PoolOption { name: "low", get: |p| count(p.low), set: |p, v| to(&mut p.low, number(v)), takes: COUNT },
    PoolOption {
        name: "recovered",
        get: |p| maybe(p.recovered),
        set: |p, v| to(&mut p.recovered, or_null(v, number)),
        takes: MAYBE,
    },
    PoolOption { name: "linger_ms", get: |p| time(p.linger), set: |p, v| to(&mut p.linger, ms(v)), takes: TIME },
    PoolOption {
        name: "lazy_linger_ms",
        get: |p| maybe_time(p.lazy_linger),
        set: |p, v| to(&mut p.lazy_linger, or_null(v, ms)),
        takes: MAYBE_TIME,
    },
    PoolOption { name: "min_hold_ms", get: |p| time(p.min_hold), set: |p, v| to(&mut p.min_hold, ms(v)), takes: TIME },
    PoolOption {
        name: "anonymous_min_hold_ms",
        get: |p| maybe_time(p.anonymous_min_hold),
        set: |p, v| to(&mut p.anonymous_min_hold, or_null(v, ms)),
        takes: MAYBE_TIME,
    },
    PoolOption {
        name: "lazy_min_hold_ms",
        get: |p| maybe_time(p.lazy_min_hold),
        set: |p, v| to(&mut p.lazy_min_hold, or_null(v, ms)),
        takes: MAYBE_TIME,
    },
    PoolOption {
        name: "queue",
        get: |p| count(u64::from(p.queue)),
        set: |p, v| to(&mut p.queue, number(v)),
        takes: COUNT,
    },
    PoolOption { name: "reclaim", get: |p| p.reclaim.into(), set: |p, v| to(&mut p.reclaim, v.as_bool()), takes: FLAG },
    PoolOption {
        name: "overdraft",
        get: |p| match p.overdraft {
            Overdraft::None => Value::Int(0),
            Overdraft::Units(units) => count(units),
            Overdraft::Percent(percent) => format!("{percent}%").into(),
        },
        set: |p, v| to(&mut p.overdraft, overdraft(v)),
        takes: "a number of units, or a percentage like \"10%\"",
    },
    PoolOption {
        name: "overdraft_time_ms",
        get: |p| maybe_time(p.overdraft_time),
        set: |p, v| to(&mut p.overdraft_time, or_null(v, ms)),
        takes: MAYBE_TIME,
    },
    PoolOption {
        name: "evict",
        get: |p| p.evict.name().into(),
        set: |p, v| to(&mut p.evict, v.as_text().and_then(Evict::from_name)),
        takes: "none, anonymous or any",
    },
    PoolOption {
        name: "evict_idle_ms",
        get: |p| time(p.evict_idle),
        set: |p, v| to(&mut p.evict_idle, ms(v)),
        takes: TIME,
    },
    PoolOption {
        name: "reservations",
        get: |p| Value::List(p.reservations.iter().map(reservation).collect()),
        set: |p, v| to(&mut p.reservations, v.as_list().and_then(|list| list.iter().map(reserved).collect())),
        takes: "a list of {\"members\": [text], \"units\": number, \"hard\": true or false}",
    },
    PoolOption {
        name: "break_glass",
        get: |p| count(p.break_glass),
        set: |p, v| to(&mut p.break_glass, number(v)),
        takes: COUNT,
    },
    PoolOption {
        name: "administrators",
        get: |p| texts(&p.administrators),
        set: |p, v| to(&mut p.administrators, members(v)),
        takes: MEMBERS,
    },
    PoolOption {
        name: "include",
        get: |p| texts(&p.include),
        set: |p, v| to(&mut p.include, members(v)),
        takes: MEMBERS,
    },
    PoolOption {
        name: "exclude",
        get: |p| texts(&p.exclude),
        set: |p, v| to(&mut p.exclude, members(v)),
        takes: MEMBERS,
    },
    PoolOption {
        name: "trade_failure",
        get: |p| match p.trade_failure {
            TradeFailure::Keep => "keep".into(),
            TradeFailure::Refuse => "refuse".into(),
        },
        set: |p, v| {
            let word = match v.as_text()? {
                "keep" => TradeFailure::Keep,
                "refuse" => TradeFailure::Refuse,
                _ => return None,
            };
            to(&mut p.trade_failure, Some(word))
        },
        takes: "keep or refuse",
    },
    PoolOption {
        name: "audit_records",
        get: |p| count(p.audit_records as u64),
        set: |p, v| to(&mut p.audit_records, number(v)),
        takes: COUNT,
    },
];

fn to<T>(field: &mut T, value: Option<T>) -> Option<()> {
    *field = value?;
    Some(())
}

fn count(number: impl Into<u64>) -> Value {
    Value::Int(i64::try_from(number.into()).unwrap_or(i64::MAX))
}

fn maybe(number: Option<impl Into<u64>>) -> Value {
    number.map_or(Value::Null, count)
}

fn time(time: Duration) -> Value {
    Value::Int(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
}

fn maybe_time(of: Option<Duration>) -> Value {
    of.map_or(Value::Null, time)
}

fn number<T: TryFrom<i64>>(value: &Value) -> Option<T> {
    value.as_int().filter(|number| *number >= 0).and_then(|number| T::try_from(number).ok())
}

fn ms(value: &Value) -> Option<Duration> {
    number(value).map(Duration::from_millis)
}

fn or_null<T>(value: &Value, read: fn(&Value) -> Option<T>) -> Option<Option<T>> {
    if value.is_null() { Some(None) } else { read(value).map(Some) }
}

fn overdraft(value: &Value) -> Option<Overdraft> {
    match value {
        Value::Int(0) => Some(Overdraft::None),
        Value::Text(text) => Overdraft::parse(text).ok(),
        value => number(value).map(Overdraft::Units),
    }
}

fn texts(list: &[String]) -> Value {
    Value::List(list.iter().map(|text| text.as_str().into()).collect())
}

fn members(value: &Value) -> Option<Vec<String>> {
    value.as_list()?.iter().map(|member| member.as_text().map(str::to_owned)).collect()
}

fn reservation(one: &Reservation) -> Value {
    Value::map([("members", texts(&one.members)), ("units", count(one.units)), ("hard", one.hard.into())])
}

fn reserved(value: &Value) -> Option<Reservation> {
    let known = |(name, _): &(String, Value)| ["members", "units", "hard"].contains(&name.as_str());
    if !value.as_map()?.iter().all(known) {
        return None;
    }
    let hard = value.get("hard").map_or(Some(true), Value::as_bool)?;
    Some(Reservation { members: members(value.get("members")?)?, units: number(value.get("units")?)?, hard })
}

impl Pool {
    /// All options but the name as one JSON object: durations are in milliseconds (`linger_ms`), what is left out (`None`) is
    /// null, an overdraft is a number or a text like "10%".
    pub fn to_json(&self) -> String {
        to_json(&Value::map(OPTIONS.iter().map(|option| (option.name, (option.get)(self)))))
    }

    /// Sets the options that a JSON object names, as [`to_json`](Self::to_json) has them; the others stay. Errors: `invalid`
    /// for what is no such object, no option, or not what an option takes; then nothing was set.
    pub fn set_json(&mut self, options: &str) -> Result<()> {
        let options = from_json(options)?;
        let Some(options) = options.as_map() else {
            return Err(self.wrong(format!("the options to set are {}, not a JSON object", options.kind())));
        };
        let mut set = self.clone();
        for (name, value) in options {
            let Some(option) = OPTIONS.iter().find(|option| option.name == name) else {
                let known: Vec<&str> = OPTIONS.iter().map(|option| option.name).collect();
                let why = if name == "name" { "its name can't be changed" } else { "there is no such option" };
                return Err(self.wrong(format!("{why}: '{name}'; options are: {}", known.join(", "))));
            };
            if (option.set)(&mut set, value).is_none() {
                return Err(self.wrong(format!("{name} takes {}, not {}", option.takes, to_json(value))));
            }
        }
        *self = set;
        Ok(())
    }

    /// What a definition in books says, of which a newer library may know more options: those stay as they are by default.
    pub(crate) fn from_books(name: &str, definition: &str) -> Result<Self> {
        let mut pool = Self::new(name, 0);
        let definition = from_json(definition)?;
        for (name, value) in definition.as_map().unwrap_or_default() {
            if let Some(option) = OPTIONS.iter().find(|option| option.name == name)
                && (option.set)(&mut pool, value).is_none()
            {
                return Err(pool.wrong(format!("the books say {} of {name}", to_json(value))));
            }
        }
        Ok(pool)
    }

    /// The options that another definition has otherwise: its values are the ones in force.
    pub(crate) fn differences(&self, in_force: &Pool) -> Vec<PoolDifference> {
        let differs = |option: &PoolOption| {
            let (named, in_force) = ((option.get)(self), (option.get)(in_force));
            (named != in_force).then(|| PoolDifference {
                pool: self.name.clone(),
                option: option.name,
                named: to_json(&named),
                in_force: to_json(&in_force),
            })
        };
        OPTIONS.iter().filter_map(differs).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rich() -> Pool {
        Pool {
            unit_rule: UnitRule::Iris,
            max_connections: 7,
            max_sessions_per_holder: Some(9),
            anonymous_cap: Some(2),
            anonymous_per_client: Some(6),
            holder_per_client: true,
            low: 3,
            recovered: Some(4),
            linger: Duration::from_millis(1500),
            lazy_linger: Some(Duration::from_millis(2500)),
            min_hold: Duration::from_secs(2),
            anonymous_min_hold: Some(Duration::from_secs(3)),
            lazy_min_hold: Some(Duration::from_secs(4)),
            reclaim: false,
            queue: 7,
            overdraft: Overdraft::Percent(10),
            overdraft_time: Some(Duration::from_secs(60)),
            reservations: vec![Reservation { hard: false, ..Reservation::new(2, ["ann\n\u{1f600}", "group:cad"]) }],
            break_glass: 1,
            administrators: vec!["root".into()],
            include: vec!["group:all".into()],
            exclude: vec!["eve\"".into()],
            trade_failure: TradeFailure::Refuse,
            audit_records: 5,
            ..Pool::new("main", 33)
        }
    }

    #[test]
    fn a_definition_survives_the_books() {
        for pool in [rich(), Pool::new("main", 0), Pool { overdraft: Overdraft::Units(3), ..Pool::new("main", 1) }] {
            let read = Pool::from_books("main", &pool.to_json()).expect("what was written");
            assert_eq!(format!("{read:?}"), format!("{pool:?}"));
            assert_eq!(pool.differences(&read), []);
        }
        assert!(Pool::from_books("main", r#"{"capacity":3,"of a later version":[1]}"#).is_ok());
        assert!(Pool::from_books("main", r#"{"capacity":"many"}"#).is_err());
        // What an earlier version did not know is as it was.
        let earlier = Pool::from_books("main", r#"{"capacity":3,"linger_ms":5,"min_hold_ms":6}"#).expect("of before");
        assert_eq!((earlier.lazy_linger, earlier.lazy_min_hold), (None, None));
    }

    #[test]
    fn each_field_of_a_pool_is_an_option() {
        let fields = crate::table::lines("", &rich());
        for field in
            fields.lines().filter_map(|line| line.trim_start_matches(": ").split_once(": ")).map(|(name, _)| name)
        {
            // Lines of what lies deeper are not of the pool itself.
            let known = OPTIONS.iter().any(|option| option.name.trim_end_matches("_ms") == field);
            let deeper = ["name", "members", "units", "hard"].contains(&field);
            assert!(known || deeper, "{field} is no option: books would forget it");
        }
    }

    #[test]
    fn a_change_sets_what_it_names_or_nothing() {
        let mut pool = rich();
        assert_eq!(pool.set_json(r#"{"capacity": 5, "linger_ms": 0, "recovered": null, "overdraft": 2}"#), Ok(()));
        assert_eq!((pool.capacity, pool.linger, pool.recovered), (5, Duration::ZERO, None));
        assert_eq!((pool.overdraft, pool.low), (Overdraft::Units(2), 3));
        let before = pool.to_json();
        for (wrong, told) in [
            (r#"{"capacity": 6, "colour": 1}"#, "colour"),
            (r#"{"capacity": 6, "name": "x"}"#, "name can't be changed"),
            (r#"{"capacity": -1}"#, "capacity takes"),
            (r#"{"linger_ms": 1.5}"#, "milliseconds"),
            (r#"{"reservations": [{"members": ["a"], "units": 1, "soft": true}]}"#, "reservations takes"),
            ("[]", "not a JSON object"),
        ] {
            let error = pool.set_json(wrong).expect_err(told);
            assert!(error.message().contains(told), "{error}");
        }
        assert!(pool.set_json("{").is_err());
        assert_eq!(pool.to_json(), before);
    }

    #[test]
    fn differences_name_the_option_and_both_values() {
        let (ours, theirs) = (Pool::new("main", 3), Pool { low: 1, ..Pool::new("main", 5) });
        let found = ours.differences(&theirs);
        let told: Vec<_> = found.iter().map(|one| (one.option, one.named.as_str(), one.in_force.as_str())).collect();
        assert_eq!(told, [("capacity", "3", "5"), ("low", "0", "1")]);
    }
}
