use super::*;
use crate::error::{ErrorKind, Result};
use Direction::{Backward, Forward};

fn quotas() -> Quotas {
    Quotas::default()
}

fn path(text: &str) -> Vec<Subscript> {
    text.split('/').filter(|part| !part.is_empty()).map(sub).collect()
}

fn sub(part: &str) -> Subscript {
    Subscript::parse_number(part).unwrap_or_else(|_| part.into())
}

fn tree(nodes: &[(&str, i32)]) -> Tree {
    let mut tree = Tree::new();
    for (at, value) in nodes {
        assert!(tree.set(&path(at), (*value).into()).is_ok());
    }
    tree
}

fn set(writes: &mut Writes, base: &Tree, at: &str, value: i32) {
    assert_eq!(writes.set(base, &quotas(), &path(at), value.into()), Ok(()));
}

fn commit(writes: &Writes, tree: &mut Tree) -> Result<Vec<Subscript>> {
    writes.commit(tree, &quotas())
}

#[test]
fn an_empty_tree_is_small_and_equal_to_one_that_was_emptied() {
    assert!(size_of::<Tree>() <= 32);
    let mut emptied = tree(&[("a/b", 1), ("", 2)]);
    assert!(emptied.kill(&[]));
    assert!(!emptied.kill(&[]));
    assert_eq!((emptied.count(), emptied.bytes_used(), emptied.is_empty()), (0, 0, true));
    assert_eq!(emptied, Tree::new());
}

#[test]
fn defined_tells_value_and_children_as_data_does() {
    let tree = tree(&[("a", 1), ("a/b", 2), ("c/d", 3)]);
    for (at, expected) in [("", 10), ("a", 11), ("a/b", 1), ("c", 10), ("c/d", 1), ("x", 0), ("a/b/c", 0)] {
        assert_eq!(tree.defined(&path(at)), expected, "{at}");
        assert_eq!(Writes::new().defined(&tree, &path(at)), expected, "{at}");
    }
    assert_eq!(Tree::new().defined(&[]), 0);
}

#[test]
fn next_goes_through_siblings_in_both_directions_and_needs_no_start_that_is_there() {
    let base = tree(&[("a/10", 1), ("a/9", 1), ("a/x", 1), ("a/-1/deep", 1), ("b", 1)]);
    let order = ["-1", "9", "10", "x"].map(sub);
    for (direction, order) in [(Forward, order.to_vec()), (Backward, order.iter().rev().cloned().collect())] {
        let mut seen = Vec::new();
        while let Some(next) = base.next(&path("a"), seen.last(), direction) {
            seen.push(next.clone());
        }
        assert_eq!(seen, order);
    }
    assert_eq!(base.next(&path("a"), Some(&sub("9.5")), Forward), Some(&sub("10")));
    assert_eq!(base.next(&path("a"), Some(&sub("9.5")), Backward), Some(&sub("9")));
    assert_eq!(base.next(&path("nothing"), None, Forward), None);
}

#[test]
fn iterating_is_depth_first_in_collation_order_with_whole_paths() {
    let base = tree(&[("b", 5), ("a/2", 4), ("a/1/x", 3), ("a", 2), ("", 1)]);
    let values = |iter: Iter<'_>| iter.map(|(path, value)| (path_text(&path), value.clone())).collect::<Vec<_>>();
    let all = ["[]", "[\"a\"]", "[\"a\",1,\"x\"]", "[\"a\",2]", "[\"b\"]"];
    let all: Vec<_> = all.into_iter().map(String::from).zip((1..).map(Value::Int)).collect();
    assert_eq!(values(base.iter()), all);
    assert_eq!(values(base.iter_under(&path("a"))), &all[1..4]);
    assert_eq!(base.subtree(&path("a")), tree(&[("", 2), ("1/x", 3), ("2", 4)]));
    assert_eq!(values(base.iter_under(&path("x"))), []);
}

#[test]
fn empty_lists_and_maps_survive() {
    let mut committed = Tree::new();
    let mut writes = Writes::new();
    for (at, value) in [("list", Value::List(vec![])), ("map", Value::Map(vec![]))] {
        assert_eq!(writes.set(&committed, &quotas(), &path(at), value), Ok(()));
    }
    assert!(commit(&writes, &mut committed).is_ok());
    assert_eq!(committed.get(&path("list")), Some(&Value::List(vec![])));
    assert_eq!(committed.get(&path("map")), Some(&Value::Map(vec![])));
}

#[test]
fn kill_takes_the_subtree_and_pop_the_value_only() {
    let mut base = tree(&[("a", 1), ("a/b/c", 2), ("d", 3)]);
    assert_eq!(base.pop(&path("a")), Some(1.into()));
    assert_eq!(base.pop(&path("a")), None);
    assert_eq!(base.defined(&path("a")), 10);
    assert!(base.kill(&path("a/b/c")));
    assert_eq!(base, tree(&[("d", 3)]));
    assert!(!base.kill(&path("a")));
}

#[test]
fn merge_overlays_and_removes_nothing() {
    let mut base = tree(&[("a/x", 1), ("a/y", 2)]);
    let other = tree(&[("", 7), ("y", 3), ("z/deep", 4)]);
    let mut writes = Writes::new();
    assert_eq!(writes.merge(&base, &quotas(), &path("a"), &other), Ok(()));
    let expected = tree(&[("a", 7), ("a/x", 1), ("a/y", 3), ("a/z/deep", 4)]);
    assert_eq!(writes.subtree(&base, &[]), expected);
    assert_eq!(writes.bytes_used(&base), expected.bytes_used());
    assert_eq!(base.merge(&path("a"), &other), Ok(()));
    assert_eq!(base, expected);
}

#[test]
fn a_version_is_0_before_the_first_write_and_grows_with_each_change_and_kill() {
    let mut base = tree(&[("a/b", 1)]);
    assert_eq!((base.version(&sub("x")), base.root_version()), (0, 0));
    let mut last = base.version(&sub("a"));
    assert!(last > 0);
    let steps: [fn(&mut Tree) -> bool; 6] = [
        |tree| tree.set(&path("a/c"), 1.into()).is_ok(),
        |tree| tree.pop(&path("a/c")).is_some(),
        |tree| tree.kill(&path("a")),
        |tree| tree.set(&path("a"), 1.into()).is_ok(),
        |tree| tree.kill(&[]),
        |tree| tree.merge(&path("a"), &self::tree(&[("b", 1)])).is_ok(),
    ];
    for (index, step) in steps.iter().enumerate() {
        assert!(step(&mut base));
        let now = base.version(&sub("a"));
        assert!(now > last, "step {index}: {now} after {last}");
        last = now;
        assert!(base.set(&path("other"), 1.into()).is_ok());
        assert_eq!(base.version(&sub("a")), last, "step {index}");
    }
}

#[test]
fn killed_keys_are_remembered_in_bounded_space_and_never_return_to_an_older_version() {
    let mut base = Tree::new();
    let mut versions = Vec::new();
    for key in 0..1000 {
        assert!(base.set(&[key.into()], 1.into()).is_ok());
        versions.push(base.version(&key.into()));
        assert!(base.kill(&[key.into()]));
    }
    for (key, version) in (0..1000).zip(versions) {
        assert!(base.version(&key.into()) > version);
    }
}

#[test]
fn two_requests_that_change_different_keys_both_keep_their_change() {
    let mut committed = tree(&[("a", 1), ("b", 1)]);
    let (mut one, mut two) = (Writes::new(), Writes::new());
    set(&mut one, &committed, "a", 2);
    set(&mut two, &committed, "b", 3);
    assert_eq!(commit(&one, &mut committed), Ok(path("a")));
    assert_eq!(commit(&two, &mut committed), Ok(path("b")));
    assert_eq!(committed, tree(&[("a", 2), ("b", 3)]));
}

#[test]
fn on_the_same_key_the_last_commit_wins() {
    let mut committed = tree(&[("a", 1)]);
    let (mut one, mut two) = (Writes::new(), Writes::new());
    set(&mut two, &committed, "a", 3);
    set(&mut one, &committed, "a", 2);
    assert!(commit(&one, &mut committed).is_ok());
    assert!(commit(&two, &mut committed).is_ok());
    assert_eq!(committed, tree(&[("a", 3)]));
}

#[test]
fn a_set_below_what_another_request_killed_creates_it_again() {
    let mut committed = tree(&[("a/b", 1), ("a/c", 1)]);
    let (mut one, mut two) = (Writes::new(), Writes::new());
    set(&mut two, &committed, "a/c", 2);
    assert_eq!(one.kill(&committed, &path("a")), Ok(()));
    assert!(commit(&one, &mut committed).is_ok());
    assert_eq!(two.entries(&committed, &[]), [(path("a/c"), 2.into())]);
    assert!(commit(&two, &mut committed).is_ok());
    assert_eq!(committed, tree(&[("a/c", 2)]));
}

#[test]
fn a_conflict_names_the_keys_and_writes_nothing() {
    let mut committed = tree(&[("cart", 1), ("7", 1), ("c", 1)]);
    let mut late = Writes::new();
    for key in ["cart", "7", "c"] {
        late.expect(sub(key), committed.version(&sub(key)));
    }
    set(&mut late, &committed, "c", 9);
    assert_eq!(late.commit_check(&committed), Vec::<String>::new());
    let mut first = Writes::new();
    set(&mut first, &committed, "cart/x", 2);
    assert_eq!(first.kill(&committed, &path("7")), Ok(()));
    assert!(commit(&first, &mut committed).is_ok());
    let before = committed.clone();
    let error = commit(&late, &mut committed).map_err(|error| (error.kind(), error.keys().to_vec()));
    assert_eq!(error, Err((ErrorKind::Conflict, vec!["7".to_string(), "cart".to_string()])));
    assert_eq!(committed, before);
}

#[test]
fn a_kill_of_all_hides_what_is_committed_and_shows_later_sets() {
    let mut committed = tree(&[("a/b", 1), ("c", 1), ("", 1)]);
    let mut writes = Writes::new();
    assert_eq!(writes.kill(&committed, &[]), Ok(()));
    assert_eq!((writes.defined(&committed, &[]), writes.count(&committed)), (0, 0));
    set(&mut writes, &committed, "a/z", 2);
    assert_eq!(writes.get(&committed, &path("a/b")), None);
    assert_eq!(writes.next(&committed, &[], None, Forward), Some(sub("a")));
    assert_eq!(writes.next(&committed, &[], None, Backward), Some(sub("a")));
    assert_eq!(commit(&writes, &mut committed), Ok(path("a/c")));
    assert_eq!(committed, tree(&[("a/z", 2)]));
}

#[test]
fn quotas_leave_nothing_changed() {
    let quotas = Quotas { session_bytes: 100, levels: 3, value_bytes: 50, subscript_bytes: 10 };
    let base = tree(&[("a", 1)]);
    let mut writes = Writes::new();
    let text = |length| Value::from("x".repeat(length));
    let mut refused = |at: &str, value: Value| match writes.set(&base, &quotas, &path(at), value) {
        Err(error) if error.kind() == ErrorKind::Quota => error.message().to_string(),
        other => panic!("{at}: {other:?}"),
    };
    let tail = "; nothing was changed";
    assert_eq!(
        refused("a", text(51)),
        format!("value of 51 bytes at [\"a\"] exceeds the quota of 50 bytes a value{tail}")
    );
    assert_eq!(
        refused("a/b/c/d", 1.into()),
        format!("path of 4 subscripts at [\"a\",\"b\",\"c\",\"d\"] exceeds the quota of 3 levels{tail}")
    );
    assert_eq!(
        refused("longlonglong", 1.into()),
        format!("subscript of 12 bytes at [\"longlonglong\"] exceeds the quota of 10 bytes a subscript{tail}")
    );
    assert!(writes.is_empty());
    assert_eq!(writes.set(&base, &quotas, &path("b"), text(49)), Ok(()));
    let full = writes.set(&base, &quotas, &path("c"), text(41)).map_err(|error| error.message().to_string());
    assert_eq!(
        full,
        Err(format!("data of 101 bytes with the change at [\"c\"] exceeds the quota of 100 bytes a session{tail}"))
    );
    let many = tree(&[("a", 1), ("b", 1), ("c", 1), ("d", 1), ("e", 1)]);
    assert!(writes.merge(&base, &quotas, &path("m"), &many).is_err());
    assert_eq!(writes.entries(&base, &[]), [(path("a"), 1.into()), (path("b"), text(49))]);
    assert_eq!(writes.set(&base, &quotas, &path("c"), text(40)), Ok(()));
    assert_eq!(writes.bytes_used(&base), 100);
}

#[test]
fn a_commit_that_would_exceed_the_quota_of_what_others_committed_changes_nothing() {
    let quotas = Quotas { session_bytes: 40, ..Quotas::default() };
    let mut committed = Tree::new();
    let (mut one, mut two) = (Writes::new(), Writes::new());
    assert!(one.set(&committed, &quotas, &path("a"), Value::from("x".repeat(30))).is_ok());
    assert!(two.set(&committed, &quotas, &path("b"), Value::from("x".repeat(30))).is_ok());
    assert!(one.commit(&mut committed, &quotas).is_ok());
    let before = committed.clone();
    assert_eq!(two.commit(&mut committed, &quotas).map_err(|error| error.kind()), Err(ErrorKind::Quota));
    assert_eq!(committed, before);
    assert_eq!(two.kill(&committed, &path("a")), Ok(()));
    assert!(two.commit(&mut committed, &quotas).is_ok());
}

#[test]
fn compare_and_set_is_a_conflict_if_the_value_is_another() {
    let mut base = tree(&[("a", 1)]);
    let conflict = base.compare_and_set(&quotas(), &path("a"), Some(&2.into()), Some(3.into()));
    assert_eq!(conflict.map_err(|error| error.keys().to_vec()), Err(vec!["a".to_string()]));
    assert!(base.compare_and_set(&quotas(), &path("a"), None, Some(3.into())).is_err());
    assert_eq!(base, tree(&[("a", 1)]));
    assert_eq!(base.compare_and_set(&quotas(), &path("a"), Some(&1.into()), Some(3.into())), Ok(()));
    assert_eq!(base.compare_and_set(&quotas(), &path("b"), None, Some(4.into())), Ok(()));
    assert_eq!(base.compare_and_set(&quotas(), &path("a"), Some(&3.into()), None), Ok(()));
    assert_eq!(base, tree(&[("b", 4)]));
    let small = Quotas { session_bytes: 9, ..quotas() };
    let full = base.compare_and_set(&small, &path("c"), None, Some(1.into()));
    assert_eq!(full.map_err(|error| error.kind()), Err(ErrorKind::Quota));
    assert_eq!(base, tree(&[("b", 4)]));
}

#[test]
fn a_path_of_256_subscripts_is_the_longest_a_tree_has() {
    let mut base = Tree::new();
    let long: Vec<Subscript> = (0..257).map(Subscript::from).collect();
    assert!(base.set(&long, 1.into()).is_err());
    assert!(base.set(&long[1..], 1.into()).is_ok());
    let inner = base.subtree(&[]);
    assert!(base.merge(&path("a"), &inner).is_err());
    assert!(Writes::new().kill(&base, &long).is_err());
    assert_eq!(base.count(), 1);
    assert_eq!(base.clone(), base);
}

#[test]
fn a_tree_is_shown_to_people_with_children_as_maps() {
    let tree = tree(&[("a", 1), ("a/1", 2), ("b", 3)]);
    assert_eq!(to_json(&tree.to_json_value()), r#"{"a":{"":1,"1":2},"b":3}"#);
    assert_eq!(to_json(&Tree::new().to_json_value()), "{}");
}

#[test]
fn a_hundred_thousand_keys_are_fast() {
    // The processor's time of this thread: a busy machine makes nothing quadratic.
    let spent = || rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).tv_sec;
    let start = spent();
    let quotas = Quotas { session_bytes: 1 << 30, ..quotas() };
    let mut committed = Tree::new();
    let mut writes = Writes::new();
    for key in 0..100_000 {
        let at = ["queue".into(), Subscript::from(key * 7919 % 100_000)];
        assert!(writes.set(&committed, &quotas, &at, key.into()).is_ok());
    }
    assert!(writes.commit(&mut committed, &quotas).is_ok());
    let mut consume = Writes::new();
    let queue = path("queue");
    while let Some(first) = consume.next(&committed, &queue, None, Forward) {
        assert!(consume.kill(&committed, &[queue.clone(), vec![first]].concat()).is_ok());
        if consume.count(&committed) == 0 {
            break;
        }
    }
    assert_eq!(consume.bytes_used(&committed), 0);
    assert!(consume.commit(&mut committed, &quotas).is_ok());
    assert!(committed.is_empty());
    assert!(spent() - start < 10, "{} s", spent() - start);
}
