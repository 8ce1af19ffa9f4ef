//! What is told of one holder's units.

use super::model::Unit;
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
        assert_eq!(
            back,
            [self.model.comes_back(&unit, session.is_none())],
            "when a unit of '{holder}' of {name} comes back"
        );
        let sooner = self.model.sooner(pool, &unit, session.is_none());
        assert_eq!(lines("sooner").count(), sooner, "what brings it back sooner: {}", told.text);
        let lingers = if session.is_none() { self.model.lingers(pool, &unit, &holder) } else { None };
        let lingers = lingers.map(|(least, most)| match least < most {
            true => format!("it lingers for {least} or {most} ms: the license class of the last to leave tells"),
            false => format!("it lingers for {least} ms"),
        });
        assert_eq!(lines("afterwards").next(), lingers.as_deref(), "{}", told.text);
        for info in &told.sessions {
            let session = &self.model.sessions[number(info.id)];
            let idle = ms(self.model.now - session.used(self.model.now));
            assert_eq!(ms(self.model.now - info.last_used_ms), idle, "the last use of '{holder}'");
        }
    }
}
