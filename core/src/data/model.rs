//! Random operations on [`Writes`] over a committed tree, against the same operations on a clone of it.

use super::*;

struct Random(u64);

impl Random {
    fn pick(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }

    fn path(&mut self) -> Vec<Subscript> {
        (0..self.pick(4)).map(|_| self.subscript()).collect()
    }

    fn subscript(&mut self) -> Subscript {
        match self.pick(40) {
            number @ 0..4 => Subscript::from(number as i32),
            text @ 4..8 => Subscript::text("abcd"[..text as usize - 4].to_string()),
            wide => Subscript::from(wide as i32 % 3),
        }
    }

    fn value(&mut self) -> Value {
        match self.pick(3) {
            0 => Value::Int(self.pick(100) as i64),
            1 => Value::Text("x".repeat(self.pick(20) as usize)),
            _ => Value::List(vec![]),
        }
    }

    fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        for _ in 0..self.pick(5) {
            let _ = tree.set(&self.path(), self.value());
        }
        tree
    }
}

/// Each read of the writes must be that of the clone.
fn compare(random: &mut Random, writes: &Writes, base: &Tree, model: &Tree) {
    assert_eq!(writes.count(base), model.count());
    assert_eq!(writes.bytes_used(base), model.bytes_used());
    let path = random.path();
    assert_eq!(writes.get_ref(base, &path), model.get(&path));
    assert_eq!(writes.defined(base, &path), model.defined(&path));
    let after = Some(random.subscript()).filter(|_| random.pick(2) == 0);
    for direction in [Direction::Forward, Direction::Backward] {
        let next = writes.next(base, &path, after.as_ref(), direction);
        assert_eq!(next.as_ref(), model.next(&path, after.as_ref(), direction), "{path:?} {after:?} {direction:?}");
    }
    if random.pick(8) == 0 {
        let all: Vec<_> = model.iter_under(&path).map(|(path, value)| (path, value.clone())).collect();
        assert_eq!(writes.entries(base, &path), all);
        assert_eq!(writes.subtree(base, &path), model.subtree(&path));
    }
    if random.pick(8) == 0 {
        check_totals(model);
        assert_eq!(tree_from_json(&tree_to_json(model)).as_ref(), Ok(model));
    }
}

/// The maintained totals must be those of the tree built anew.
fn check_totals(tree: &Tree) {
    let mut anew = Tree::new();
    assert_eq!(anew.merge(&[], tree), Ok(()));
    assert_eq!((tree.count(), tree.bytes_used()), (anew.count(), anew.bytes_used()));
    assert_eq!(*tree, anew);
}

fn change(random: &mut Random, writes: &mut Writes, base: &Tree, model: &mut Tree, quotas: &Quotas) {
    let path = random.path();
    match random.pick(10) {
        0..5 => {
            let value = random.value();
            let mut after = model.clone();
            assert_eq!(after.set(&path, value.clone()), Ok(()));
            let fits = after.bytes_used() <= quotas.session_bytes.max(model.bytes_used());
            assert_eq!(writes.set(base, quotas, &path, value).is_ok(), fits);
            if fits {
                *model = after;
            }
        }
        5..8 => {
            assert_eq!(writes.kill(base, &path), Ok(()));
            model.kill(&path);
        }
        8 => assert_eq!(writes.pop(base, &path), Ok(model.pop(&path))),
        _ => {
            let tree = random.tree();
            let mut after = model.clone();
            assert_eq!(after.merge(&path, &tree), Ok(()));
            let fits = after.bytes_used() <= quotas.session_bytes.max(model.bytes_used());
            assert_eq!(writes.merge(base, quotas, &path, &tree).is_ok(), fits, "{path:?} {tree:?}");
            if fits {
                *model = after;
            }
        }
    }
}

#[test]
fn writes_over_a_tree_look_like_the_same_operations_on_the_tree() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let quotas = Quotas { session_bytes: 400, ..Quotas::default() };
    let mut committed = Tree::new();
    for _ in 0..3000 {
        let mut writes = Writes::new();
        let mut model = committed.clone();
        for _ in 0..random.pick(40) {
            change(&mut random, &mut writes, &committed, &mut model, &quotas);
            compare(&mut random, &writes, &committed, &model);
        }
        assert!(writes.commit(&mut committed, &quotas).is_ok());
        assert_eq!(committed, model);
        check_totals(&committed);
    }
}

#[test]
fn over_a_tree_that_others_change_writes_look_like_what_they_will_commit() {
    let mut random = Random(42);
    let quotas = Quotas::default();
    let mut committed = Tree::new();
    for _ in 0..1000 {
        let mut writes = Writes::new();
        for _ in 0..random.pick(30) {
            if random.pick(3) == 0 {
                match random.pick(3) {
                    0 => drop(committed.kill(&random.path())),
                    _ => drop(committed.merge(&random.path(), &random.tree())),
                }
            } else {
                let mut ignored = writes.subtree(&committed, &[]);
                change(&mut random, &mut writes, &committed, &mut ignored, &quotas);
            }
            let mut outcome = committed.clone();
            assert!(writes.commit(&mut outcome, &quotas).is_ok());
            check_totals(&outcome);
            compare(&mut random, &writes, &committed, &outcome);
        }
        assert!(writes.commit(&mut committed, &quotas).is_ok());
        if committed.bytes_used() > 600 {
            committed.kill(&[]);
        }
    }
}

#[test]
fn wide_levels_with_much_killed_look_like_the_same_operations_on_the_tree() {
    let mut random = Random(7);
    let quotas = Quotas::default();
    for _ in 0..60 {
        let mut committed = Tree::new();
        for _ in 0..random.pick(150) {
            assert_eq!(committed.set(&["q".into(), Subscript::from(random.pick(120) as i32)], random.value()), Ok(()));
        }
        let (mut writes, mut model) = (Writes::new(), committed.clone());
        for _ in 0..600 {
            let mut path = vec!["q".into(), Subscript::from(random.pick(120) as i32)];
            path.extend((0..random.pick(5) / 4).map(|_| Subscript::from(1)));
            if random.pick(4) == 0 {
                let value = random.value();
                assert_eq!(writes.set(&committed, &quotas, &path, value.clone()), Ok(()));
                assert_eq!(model.set(&path, value), Ok(()));
            } else {
                assert_eq!(writes.kill(&committed, &path), Ok(()));
                model.kill(&path);
            }
            let after = Some(Subscript::from(random.pick(122) as i32 - 1)).filter(|_| random.pick(8) > 0);
            for direction in [Direction::Forward, Direction::Backward] {
                let next = writes.next(&committed, &["q".into()], after.as_ref(), direction);
                assert_eq!(next.as_ref(), model.next(&["q".into()], after.as_ref(), direction));
            }
            assert_eq!((writes.count(&committed), writes.bytes_used(&committed)), (model.count(), model.bytes_used()));
        }
        assert_eq!(writes.subtree(&committed, &[]), model);
        assert!(writes.commit(&mut committed, &quotas).is_ok());
        assert_eq!(committed, model);
    }
}

#[test]
fn what_others_commit_between_killed_neighbours_is_seen() {
    let at = |key: &str| vec!["q".into(), Subscript::parse_number(key).unwrap_or_else(|error| panic!("{error}"))];
    let mut committed = Tree::new();
    let mut writes = Writes::new();
    for key in 0..40 {
        assert_eq!(committed.set(&at(&key.to_string()), key.into()), Ok(()));
    }
    for key in 0..30 {
        assert_eq!(writes.kill(&committed, &at(&key.to_string())), Ok(()));
    }
    let first = |writes: &Writes, base: &Tree| writes.next(base, &["q".into()], None, Direction::Forward);
    assert_eq!(first(&writes, &committed), Some(30.into()));
    assert_eq!(committed.set(&at("20.5"), 1.into()), Ok(()));
    assert_eq!(first(&writes, &committed), at("20.5").pop());
    assert_eq!(writes.kill(&committed, &at("39")), Ok(()));
    assert_eq!(first(&writes, &committed), at("20.5").pop());
}
