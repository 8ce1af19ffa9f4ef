//! Promises about data: what is written, what is not, and what can't be read.

use super::Promise;
use super::desk::*;
use crate::data::{Quotas, Tree, Value};
use crate::error::ErrorKind;
use crate::reason::{LockMode, TouchKind};
use crate::table::*;

pub(super) const PROMISES: &[Promise] = &[
    ("a finish commits all its writes", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let request = desk.begin(0, &made.token, LockMode::None)?;
        let mut writes = write("a", 1)?;
        ok(writes.set(&Tree::default(), &Quotas::default(), &path("b"), Value::from("tea")))?;
        ok(live(desk.table.finish(at(0), &request, &writes))?.committed)?;
        let reader = desk.begin(1, &made.token, LockMode::None)?;
        ensure!(desk.value(1, &reader, "a")? == Some(Value::from(1)), "a write was lost");
        ensure!(desk.value(1, &reader, "b")? == Some(Value::from("tea")), "a write was lost");
        Ok(())
    }),
    ("a save commits and the request goes on", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let request = desk.begin(0, &made.token, LockMode::Exclusive)?;
        ok(live(desk.table.save(at(0), &request, &write("a", 1)?))?)?;
        ensure!(desk.value(0, &request, "a")? == Some(Value::from(1)), "the write was lost");
        ensure!(live(desk.table.lock_of(at(0), &request))? == Some(LockMode::Exclusive), "the lock was lost");
        desk.finish(0, &request).map(drop)
    }),
    ("different keys never clobber each other, the same key takes the last", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let one = desk.begin(0, &made.token, LockMode::None)?;
        let two = desk.begin(0, &made.token, LockMode::None)?;
        ok(live(desk.table.finish(at(1), &one, &write("a", 1)?))?.committed)?;
        let mut writes = write("b", 2)?;
        ok(writes.set(&Tree::default(), &Quotas::default(), &path("c"), Value::from(3)))?;
        ok(live(desk.table.finish(at(2), &two, &writes))?.committed)?;
        let three = desk.begin(3, &made.token, LockMode::None)?;
        ok(live(desk.table.save(at(3), &three, &write("c", 4)?))?)?;
        for (key, value) in [("a", 1), ("b", 2), ("c", 4)] {
            let seen = desk.value(3, &three, key)?;
            ensure!(seen == Some(Value::from(value)), "'{key}' is {seen:?}");
        }
        Ok(())
    }),
    ("a conflict names its keys, writes nothing and ends the request all the same", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let one = desk.begin(0, &made.token, LockMode::None)?;
        let two = desk.begin(0, &made.token, LockMode::Shared)?;
        let mut version = 0;
        ok(live(desk.table.read(at(0), &two, &mut |tree| version = tree.version(&path("a")[0])))?)?;
        ok(live(desk.table.finish(at(1), &one, &write("a", 1)?))?.committed)?;
        let mut writes = write("a", 2)?;
        ok(writes.set(&Tree::default(), &Quotas::default(), &path("b"), Value::from(2)))?;
        writes.expect(path("a")[0].clone(), version);
        let finished = live(desk.table.finish(at(2), &two, &writes))?;
        let error = finished.committed.err().ok_or("a stale write was committed")?;
        ensure!(error.kind() == ErrorKind::Conflict && !error.keys().is_empty(), "the error is {error:?}");
        let three = desk.begin(3, &made.token, LockMode::Exclusive).map_err(|text| format!("its lock: {text}"))?;
        ensure!(desk.value(3, &three, "a")? == Some(Value::from(1)), "the conflict was written");
        ensure!(desk.value(3, &three, "b")?.is_none(), "half of a conflict was written");
        ensure!(live(desk.table.request_end(at(3), made.session, true)).is_ok(), "it is not live");
        ensure!(desk.finish(3, &three)?, "the request of the conflict is still in flight");
        Ok(())
    }),
    ("compare and set writes only over what is expected", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let request = desk.begin(0, &made.token, LockMode::None)?;
        let swap = |old: Option<i64>, new: Option<i64>| {
            let old = old.map(Value::from);
            live(desk.table.compare_and_set(at(0), &request, &path("n"), old.as_ref(), new.map(Value::from)))
        };
        ok(swap(None, Some(1))?)?;
        let refused = swap(None, Some(9))?.err().ok_or("it wrote over what was there")?;
        ensure!(refused.kind() == ErrorKind::Conflict, "the error is {refused:?}");
        ok(swap(Some(1), Some(2))?)?;
        ensure!(swap(Some(1), Some(9))?.is_err(), "it wrote over another value");
        ensure!(desk.value(0, &request, "n")? == Some(Value::from(2)), "it is {:?}", desk.value(0, &request, "n")?);
        ok(swap(Some(2), None)?)?;
        ensure!(desk.value(0, &request, "n")?.is_none(), "it was not removed");
        Ok(())
    }),
    ("what is over quota is refused and changes nothing", |ground| {
        let quotas = Quotas { session_bytes: 300, ..Quotas::default() };
        let desk = ground.desk_with(|config| config.quotas = quotas);
        let made = desk.create(0, &Plan::plain())?;
        let request = desk.begin(0, &made.token, LockMode::None)?;
        ok(live(desk.table.save(at(0), &request, &write("a", "x".repeat(100))?))?)?;
        let refused = live(desk.table.save(at(0), &request, &write("b", "y".repeat(400))?))?;
        let error = refused.err().ok_or("it was written")?;
        ensure!(error.kind() == ErrorKind::Quota, "the error is {error:?}");
        ensure!(desk.value(0, &request, "b")?.is_none(), "something was written");
        Ok(())
    }),
    ("a session that can't be read says so and ends as any other", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan { charge: Some(charge(SINGLE, Holder::Session)), ..Plan::told() })?;
        let request = desk.begin(0, &made.token, LockMode::None)?;
        ensure!(ok(desk.table.damage(made.session))?, "it was not damaged");
        let corrupt = |result: crate::Result<()>| {
            let error = result.err().ok_or("it was read or written")?;
            ensure!(error.kind() == ErrorKind::Corrupt, "the error is {error:?}");
            Ok(())
        };
        corrupt(live(desk.table.read(at(0), &request, &mut |_| {}))?)?;
        corrupt(live(desk.table.save(at(0), &request, &write("a", 1)?))?)?;
        corrupt(live(desk.table.compare_and_set(at(0), &request, &path("a"), None, Some(1.into())))?)?;
        ensure!(
            live(desk.began(0, &made.token, TouchKind::Activity, LockMode::None))? == Began::Corrupt,
            "a request began"
        );
        let (info, details) = live(desk.table.look(at(0), made.session))?;
        ensure!(info.data_bytes.is_none() && details.damaged, "it looks whole");
        live(desk.touch(1, &made.token)).map_err(|text| format!("touched: {text}"))?;
        corrupt(live(desk.table.finish(at(1), &request, &write("a", 1)?))?.committed)?;
        ensure!(matches!(desk.end(2, made.session), Ended::Now(_)), "it did not end");
        ensure!(desk.in_use(SINGLE)? == 0, "its unit is in use");
        let rows = ok(desk.table.outbox_take(10))?;
        ensure!(rows.len() == 1 && rows[0].snapshot.is_none(), "its end is not told, or with data");
        desk.sound(2)
    }),
    ("the classes of a session are a list that each change keeps in order", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::told())?;
        let class = |name: &str| ClassRef::new(if name == "far" { "other" } else { "" }, name);
        let change = |change| live(desk.table.change_classes(at(0), made.session, change));
        let steps = [
            (ClassChange::Front(class("one")), true, "one audit"),
            (ClassChange::Front(class("one")), false, "one audit"),
            (ClassChange::Back(class("far")), true, "one audit far"),
            (ClassChange::Back(class("one")), false, "one audit far"),
            (ClassChange::Front(class("far")), true, "far one audit"),
            (ClassChange::Remove(class("none")), false, "far one audit"),
            (ClassChange::Remove(class("one")), true, "far audit"),
            (ClassChange::RemoveNamespace("".into()), true, "far"),
            (ClassChange::Clear, true, ""),
            (ClassChange::Clear, false, ""),
        ];
        for (step, changed, list) in steps {
            let text = format!("{step:?}");
            ensure!(change(step)? == changed, "{text} says {}", !changed);
            let classes = live(desk.table.card(at(0), made.session))?.classes;
            let seen = classes.iter().map(|class| &*class.name).collect::<Vec<_>>().join(" ");
            ensure!(seen == list, "after {text} the list is '{seen}'");
        }
        Ok(())
    }),
    ("attachments are kept, replaced, taken, and go out with the end", |ground| {
        let desk = ground.desk();
        let made = desk.create(0, &Plan::plain())?;
        let object = |number: i32| -> Attachment { std::sync::Arc::new(number) };
        let number = |object: Option<Attachment>| object.and_then(|object| object.downcast_ref::<i32>().copied());
        let attach = |object| live(desk.table.attach(made.session, "a", object)).map(number);
        ensure!(attach(Some(object(1)))?.is_none(), "there was one");
        ensure!(attach(Some(object(2)))? == Some(1), "the one before did not come back");
        ensure!(number(live(desk.table.attachment(made.session, "a"))?) == Some(2), "it is not there");
        ensure!(attach(None)? == Some(2) && attach(None)?.is_none(), "it was not taken");
        attach(Some(object(3)))?;
        desk.end(1, made.session);
        let mut rows = ok(desk.table.outbox_take(10))?;
        let attachments = rows.pop().map(|row| row.attachments).unwrap_or_default();
        ensure!(attachments.len() == 1, "{} attachments go out", attachments.len());
        ensure!(desk.table.attach(made.session, "a", None).live().is_err(), "an ended session has attachments");
        Ok(())
    }),
];
