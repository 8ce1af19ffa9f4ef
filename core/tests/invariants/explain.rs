//! What is told of one holder's units.

use super::model::{NEVER, Unit};
use super::play::{Play, ms};
use super::pools::RULES;

impl Play {
    /// Some holder of some pool is explained as the model does.
    pub fn check_unit(&mut self) {
        let pool = self.dice.roll(RULES.len() as u64) as usize;
        let name = format!("pool{pool}");
        let holders = self.manager.usage(&name).expect("usage").holders;
        if holders.is_empty() {
            assert_eq!(self.manager.explain_unit(&name, "ada").expect("explained").map(|told| told.text), None);
            return;
        }
        let holder = self.dice.pick(&holders).holder.to_string();
        let session = self.ids.iter().position(|id| *id.to_string() == *holder);
        let unit = match session {
            Some(number) => self.model.unit_of_session(pool, number),
            None => self.model.unit_of_user(pool, &holder),
        };
        let unit = unit.unwrap_or_else(|| panic!("'{holder}' of {name}: the model knows of no units"));
        let told = self.manager.explain_unit(&name, &holder).expect("explained").expect("a holder");
        let number = |id| self.ids.iter().position(|known| *known == id).expect("known");
        let of = &told.holder;
        let seen = Unit {
            connections: of.connections,
            units: of.units,
            lingering: of.lingering,
            active: of.active.as_millis() as u64,
            release_in: of.release_in.map(|left| left.as_millis() as u64),
            sessions: told.sessions.iter().map(|info| number(info.id)).collect(),
        };
        assert_eq!(seen, unit, "the units of '{holder}' of {name}");
        let kind = match (unit.connections, unit.lingering) {
            (0, _) => "lingering",
            (_, 0) if session.is_some() => "session",
            (_, 0) => "user",
            _ => "mixed",
        };
        assert_eq!(of.kind, kind, "what '{holder}' of {name} is");
        let lines =
            |word: &'static str| told.text.lines().filter_map(move |line| line.strip_prefix(word)).map(str::trim_start);
        let back = lines("comes back").collect::<Vec<_>>();
        let [back] = back[..] else { panic!("one line tells when it comes back: {}", told.text) };
        let last = self.model.last_back(pool, &unit, session, &holder);
        let left = span(last.saturating_sub(self.model.now));
        let expected = match (unit.connections, session) {
            (0, None) => back == format!("in {left}, unless the holder does"),
            (0, Some(_)) => back == format!("in {left}, when its minimal time is over"),
            _ if last == NEVER => back.ends_with("when its last session ends"),
            _ => {
                back.starts_with(&format!("in {left}, when its "))
                    || back.ends_with(&format!(", all {} in {left}, if its sessions end unused", unit.units))
            }
        };
        assert!(expected, "'{holder}' of {name} comes back in {left}: {}", told.text);
        let sooner = self.model.sooner(pool, &unit, session.is_none());
        let ways = lines("sooner").count();
        // No way is told that does not help.
        assert!(if unit.connections == 0 { ways == sooner } else { ways <= sooner }, "{sooner} ways: {}", told.text);
        let lingers = if session.is_none() { self.model.lingers(pool, &unit, &holder) } else { None };
        let lingers = lingers.map(|(least, most)| match (span(least), span(most)) {
            (least, most) if least != most => {
                format!("it lingers for {least} or {most}: the license class of the last to leave tells")
            }
            (least, _) => format!("it lingers for {least}"),
        });
        assert_eq!(lines("afterwards").next(), lingers.as_deref(), "{}", told.text);
        for info in &told.sessions {
            let session = &self.model.sessions[number(info.id)];
            let idle = ms(self.model.now - session.used(self.model.now));
            assert_eq!(ms(self.model.now - info.last_used_ms), idle, "the last use of '{holder}'");
        }
    }
}

/// A time as the texts tell it.
fn span(ms: u64) -> String {
    let two = |big: u64, small: u64, (one, other): (&str, &str)| match ms % big / small {
        0 => format!("{} {one}", ms / big),
        rest => format!("{} {one} {rest} {other}", ms / big),
    };
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 => format!("{} s", ms as f64 / 1000.0),
        60_000..3_600_000 => two(60_000, 1000, ("min", "s")),
        3_600_000..86_400_000 => two(3_600_000, 60_000, ("h", "min")),
        _ => two(86_400_000, 3_600_000, ("d", "h")),
    }
}
