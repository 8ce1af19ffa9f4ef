//! What the books keep of a session.

use std::sync::Arc;

use super::pack::{Packer, Unpacker};
use crate::clock::Millis;
use crate::event::ClassRef;
use crate::session::Client;
use crate::table::extension::Extension;
use crate::table::grave::Replaced;
use crate::table::{Charge, Holder, Lazy, Taken};

/// A live session; its data lie in rows of their own.
#[derive(Clone, Debug)]
pub(in crate::table) struct SessionRow {
    /// The index of its slot.
    pub slot: u32,
    /// The slot's generation.
    pub generation: u64,
    /// What is random of its id.
    pub random: [u8; 10],
    /// Of its token.
    pub verifier: [u64; 2],
    /// The application's number.
    pub application: u32,
    pub user: Option<Arc<str>>,
    /// How it is charged; `None` if it holds no unit.
    pub charge: Option<Charge>,
    /// The license that it takes later; only without a `charge`.
    pub lazy: Option<Lazy>,
    /// When it took its unit, if that was later than its creation; else 0.
    pub licensed: Millis,
    /// Whether its idle timeout is that of anonymous sessions.
    pub brief: bool,
    /// When it was made: engine time.
    pub created: Millis,
    /// Its number among those made then.
    pub order: u32,
    /// When it was made: wall time.
    pub wall: i64,
    /// What was spent suspended before its creation.
    pub slept: Millis,
    /// Idle timeout; 0 is never.
    pub idle: Millis,
    /// Absolute deadline on the absolute clock.
    pub absolute: Millis,
    /// The idle deadline, as last saved.
    pub saved: Millis,
    /// The last use, as last saved.
    pub used: Millis,
    pub had_request: bool,
    /// Its data can't be read.
    pub damaged: bool,
    /// The version of its data.
    pub version: u64,
    /// The participant that made it.
    pub maker: u32,
    pub rare: Rare,
}

/// What many sessions don't have.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::table) struct Rare {
    /// Its event classes, first called first.
    pub classes: Vec<ClassRef>,
    pub client: Client,
    pub replaced: Vec<Replaced>,
    /// The classes that were told the end at the asking point.
    pub told: Vec<ClassRef>,
    pub extension: Extension,
    /// Its trace, oldest line first.
    pub trace: Vec<String>,
    /// The features that it took, in the order taken.
    pub takes: Vec<Taken>,
}

/// A part of a session's data: what lies under one first subscript, as bytes.
pub(in crate::table) use crate::data::StoredRow as DataRow;

/// A step through the sessions in the order of their slots.
#[derive(Debug, Default)]
pub(in crate::table) struct SessionPage {
    pub rows: Vec<SessionRow>,
    /// Slots whose rows can't be read: to be put into quarantine.
    pub bad: Vec<u32>,
    /// The slot to go on from; `None` at the end.
    pub next: Option<u32>,
}

/// A session that is charged, for a recount.
#[derive(Clone, Debug)]
pub(in crate::table) struct ChargedRow {
    pub slot: u32,
    pub generation: u64,
    pub random: [u8; 10],
    /// For its license.
    pub charge: Option<Charge>,
    /// When it was made, or took its unit later.
    pub since: Millis,
    /// For features of the pool.
    pub takes: Vec<Taken>,
}

impl ChargedRow {
    /// Who is charged, for how many connections.
    pub fn charges(&self) -> impl Iterator<Item = (&Holder, u64)> {
        let license = self.charge.iter().map(|charge| (&charge.holder, 1));
        license.chain(self.takes.iter().map(|taken| (&taken.holder, taken.count)))
    }

    /// The client among whose anonymous sessions it counts.
    pub fn client(&self) -> Option<&Arc<str>> {
        self.charge.as_ref()?.client.as_ref()
    }
}

impl SessionRow {
    /// The pool that it is or will be charged to.
    pub fn pool(&self) -> Option<u32> {
        self.charge.as_ref().map(|charge| charge.pool).or(self.lazy.map(|lazy| lazy.pool))
    }

    /// All pools that it is or will be charged to, for its license and for features, each once.
    pub(super) fn pools(&self) -> std::collections::BTreeSet<u32> {
        self.pool().into_iter().chain(self.rare.takes.iter().map(|taken| taken.pool)).collect()
    }

    /// Has pools other numbers; tells whether one of its own has.
    pub(super) fn move_pools(&mut self, moved: impl Fn(u32) -> Option<u32>) -> bool {
        let license = self.charge.iter_mut().map(|charge| &mut charge.pool);
        let lazy = self.lazy.iter_mut().map(|lazy| &mut lazy.pool);
        let takes = self.rare.takes.iter_mut().map(|taken| &mut taken.pool);
        let mut moves = false;
        for pool in license.chain(lazy).chain(takes) {
            let to = moved(*pool).unwrap_or(*pool);
            moves |= std::mem::replace(pool, to) != to;
        }
        moves
    }

    /// Since when it holds its unit, if it is its own holder.
    pub fn licensed_since(&self) -> Millis {
        self.created.max(self.licensed)
    }
}

impl Rare {
    /// As bytes; none for a session that has none of it.
    pub(super) fn pack(&self) -> Vec<u8> {
        if *self == Self::default() {
            return Vec::new();
        }
        let mut packer = Packer::default();
        // Takes came later: a row that has none is as it was before.
        packer.list(if self.takes.is_empty() { 6 } else { 7 });
        pack_classes(&mut packer, &self.classes);
        let Client { address, user_agent, referrer } = &self.client;
        packer.list(3);
        for fact in [address, user_agent, referrer] {
            packer.maybe_text(fact.as_deref());
        }
        pack_replaced(&mut packer, &self.replaced);
        pack_classes(&mut packer, &self.told);
        let Extension { count, deadline, asked, history } = &self.extension;
        packer.list(4).number(u64::from(*count)).number(*deadline).number(*asked).list(history.len());
        for (at, class, by) in history {
            packer.list(3).number(*at).text(class).number(*by);
        }
        packer.list(self.trace.len());
        for line in &self.trace {
            packer.text(line);
        }
        if !self.takes.is_empty() {
            pack_takes(&mut packer, &self.takes);
        }
        packer.done()
    }

    pub(super) fn unpack(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::default());
        }
        let mut unpacker = Unpacker::new(bytes);
        let from = &mut unpacker;
        let parts = from.list().filter(|parts| (6..=7).contains(parts))?;
        let classes = unpack_classes(from)?;
        of(from, 3)?;
        let mut fact = || from.maybe_text().map(|fact| fact.map(str::to_owned));
        let client = Client { address: fact()?, user_agent: fact()?, referrer: fact()? };
        let replaced = unpack_replaced(from)?;
        let told = unpack_classes(from)?;
        of(from, 4)?;
        let extension = Extension {
            count: u32::try_from(from.number()?).ok()?,
            deadline: from.number()?,
            asked: from.number()?,
            history: from.all(|from| {
                of(from, 3)?;
                Some((from.number()?, from.text()?.to_owned(), from.number()?))
            })?,
        };
        let trace = from.all(|from| from.text().map(str::to_owned))?;
        let takes = if parts > 6 { unpack_takes(from)? } else { Vec::new() };
        from.end()?;
        Some(Self { classes, client, replaced, told, extension, trace, takes })
    }
}

/// A list of exactly so many values.
pub(super) fn of(from: &mut Unpacker<'_>, len: usize) -> Option<()> {
    (from.list()? == len).then_some(())
}

pub(super) fn pack_classes(packer: &mut Packer, classes: &[ClassRef]) {
    packer.list(classes.len());
    for class in classes {
        packer.list(3).text(&class.namespace).text(&class.name).flag(class.required);
    }
}

pub(super) fn unpack_classes(from: &mut Unpacker<'_>) -> Option<Vec<ClassRef>> {
    from.all(|from| {
        of(from, 3)?;
        Some(ClassRef { namespace: from.shared()?, name: from.shared()?, required: from.flag()? })
    })
}

pub(super) fn pack_replaced(packer: &mut Packer, replaced: &[Replaced]) {
    packer.list(replaced.len());
    for old in replaced {
        packer.list(4).number(old.verifier[0]).number(old.verifier[1]).number(old.grace).number(old.until);
    }
}

pub(super) fn unpack_replaced(from: &mut Unpacker<'_>) -> Option<Vec<Replaced>> {
    from.all(|from| {
        of(from, 4)?;
        Some(Replaced { verifier: [from.number()?, from.number()?], grace: from.number()?, until: from.number()? })
    })
}

fn pack_takes(packer: &mut Packer, takes: &[Taken]) {
    packer.list(takes.len());
    for Taken { pool, count, holder, since } in takes {
        packer.list(4).number(u64::from(*pool)).number(*count).number(*since);
        packer.maybe_text(holder.booked().map(|name| &**name));
    }
}

fn unpack_takes(from: &mut Unpacker<'_>) -> Option<Vec<Taken>> {
    from.all(|from| {
        of(from, 4)?;
        let (pool, count, since) = (u32::try_from(from.number()?).ok()?, from.number()?, from.number()?);
        Some(Taken { pool, count, holder: Holder::of(from.shared()?), since })
    })
}

/// The rows of a session's data as one value.
pub(super) fn pack_data(rows: &[DataRow]) -> Vec<u8> {
    let mut packer = Packer::default();
    packer.list(rows.len());
    for row in rows {
        packer.list(3).bytes(&row.sub).number(row.version).bytes(&row.value);
    }
    packer.done()
}

pub(super) fn unpack_data(bytes: &[u8]) -> Option<Vec<DataRow>> {
    let mut from = Unpacker::new(bytes);
    let rows = from.all(|from| {
        of(from, 3)?;
        Some(DataRow { sub: from.bytes()?.to_vec(), version: from.number()?, value: from.bytes()?.to_vec() })
    })?;
    from.end()?;
    Some(rows)
}
