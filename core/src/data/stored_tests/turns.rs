use std::collections::BTreeMap;

use super::*;
use crate::error::Result;

type Rows = BTreeMap<Vec<u8>, StoredRow>;

fn store(rows: &mut Rows, changes: &Changes, tree: &Tree) {
    for (index, change) in changes.rows(tree).enumerate() {
        match change {
            RowChange::Clear => {
                assert_eq!(index, 0);
                rows.clear();
            }
            RowChange::Put(row) => drop(rows.insert(row.sub.clone(), row)),
            RowChange::Delete(sub) => drop(rows.remove(&sub)),
        }
    }
}

fn load(rows: &Rows) -> Tree {
    Tree::from_rows(rows.values().cloned()).unwrap_or_else(|error| panic!("{error}"))
}

/// One random commit, the same for whoever gives the same randomness.
fn change(random: &mut Random, tree: &mut Tree, wide: bool) -> Changes {
    let quotas = Quotas::default();
    if random.pick(4) == 0 {
        let path = random.path();
        let expected = tree.get(&path).cloned();
        let new = Some(random.value(1)).filter(|_| random.pick(2) == 0);
        let was = tree.clone();
        let changes = tree.compare_and_set_noting(&quotas, &path, expected.as_ref(), new);
        let changes = changes.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(changes.is_empty(), was.last_version() == tree.last_version());
        return changes;
    }
    let mut writes = Writes::new();
    for _ in 0..random.pick(if wide { 200 } else { 6 }) {
        let path = if wide { vec![Subscript::from(random.pick(250) as i32)] } else { random.path() };
        let done: Result<()> = match random.pick(12) {
            0..5 => writes.set(tree, &quotas, &path, random.value(1)),
            5..9 if !path.is_empty() || random.pick(5) == 0 => writes.kill(tree, &path),
            9 => writes.pop(tree, &path).map(drop),
            10 => writes.merge(tree, &quotas, &path, &random.tree()),
            _ => Ok(()),
        };
        assert_eq!(done, Ok(()));
    }
    writes.commit_noting(tree, &quotas).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn two_processes_that_take_turns_have_the_tree_and_versions_of_one() {
    for seed in 1..2 + rounds() / 500 {
        let mut random = Random(seed);
        let mut tree = Tree::new();
        let mut rows = Rows::new();
        for round in 0..60 {
            let wide = random.pick(6) == 0;
            if round % 20 == 19 {
                // Nothing but killing, so that old ones are forgotten.
                let mut writes = Writes::new();
                for key in 0..250 {
                    assert_eq!(writes.kill(&tree, &[key.into()]), Ok(()));
                }
                let changes = writes.commit_noting(&mut tree, &Quotas::default()).unwrap_or_default();
                store(&mut rows, &changes, &tree);
            } else {
                let mut other = load(&rows);
                let mut same = Random(random.0);
                let changes = change(&mut random, &mut tree, wide);
                assert_eq!(change(&mut same, &mut other, wide), changes);
                store(&mut rows, &changes, &other);
            }
            assert_same(&load(&rows), &tree);
            assert_eq!(rows, tree.to_rows().into_iter().map(|row| (row.sub.clone(), row)).collect::<Rows>());
            assert_eq!(decode_tree(&encode_tree(&tree)).as_ref(), Ok(&tree));
        }
    }
}
