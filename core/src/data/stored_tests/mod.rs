//! Trees and their rows there and back.

mod bytes;
mod keys;
mod turns;

use super::*;

struct Random(u64);

impl Random {
    fn pick(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 20) % bound
    }

    fn subscript(&mut self) -> Subscript {
        match self.pick(8) {
            0 => Subscript::text(["", "\0", "a", "a\0", "a\0b", "ä", "1", "😀"][self.pick(8) as usize]),
            1 => self.number(),
            _ => Subscript::from(self.pick(100) as i32 - 10),
        }
    }

    /// Of few or many digits, with the point anywhere near or far.
    fn number(&mut self) -> Subscript {
        let bound = 10u64.pow(1 + self.pick(17) as u32);
        let digits = self.pick(bound) as i64 - self.pick(1000) as i64;
        let exponent = [0, 1, -1, -2, -9, -17, -18, -19, 3, 18, 300, -300, 999_999_900, -999_999_900];
        let text = format!("{digits}e{}", exponent[self.pick(exponent.len() as u64) as usize]);
        Subscript::parse_number(&text).unwrap_or_else(|error| panic!("{error}"))
    }

    fn path(&mut self) -> Vec<Subscript> {
        (0..self.pick(4)).map(|_| self.subscript()).collect()
    }

    fn value(&mut self, levels: u64) -> Value {
        match self.pick(if levels == 0 { 7 } else { 9 }) {
            0 => Value::Null,
            1 => Value::Bool(self.pick(2) == 0),
            2 => Value::Int((self.pick(1 << 40) as i64).wrapping_mul(self.pick(1 << 40) as i64) >> self.pick(64)),
            3 => Value::Int(-(1i64 << self.pick(63))),
            4 => Value::Float(self.pick(1000) as f64 / 8.0),
            5 => Value::Text("äx".repeat(self.pick(40) as usize)),
            6 => Value::Bytes(vec![7; self.pick(300) as usize]),
            7 => Value::List((0..self.pick(20)).map(|_| self.value(levels - 1)).collect()),
            _ => Value::map((0..self.pick(20)).map(|n| (format!("key {n}"), self.value(levels - 1)))),
        }
    }

    fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        for _ in 0..self.pick(20) {
            assert_eq!(tree.set(&self.path(), self.value(3)), Ok(()));
        }
        tree
    }
}

fn number(text: &str) -> Subscript {
    Subscript::parse_number(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Equal, with versions and totals.
fn assert_same(one: &Tree, two: &Tree) {
    assert_eq!(one, two);
    assert_eq!(one.to_rows(), two.to_rows());
    assert_eq!((one.root_version(), one.last_version()), (two.root_version(), two.last_version()));
    assert_eq!((one.count(), one.bytes_used()), (two.count(), two.bytes_used()));
    for first in (0..300).map(Subscript::from).chain(["a".into(), "".into()]) {
        assert_eq!(one.version(&first), two.version(&first), "{first}");
    }
}

#[test]
fn each_value_is_written_as_it_always_will_be() {
    let mut tree = Tree::new();
    let mut set = |path: &[Subscript], value: Value| assert_eq!(tree.set(path, value), Ok(()));
    set(&["a".into()], 1.0.into());
    set(&["b".into(), 2.into()], "x".into());
    set(&["b".into(), number("2.5")], vec![1u8, 2].into());
    set(&["b".into()], Value::List(vec![Value::Null, Value::Map(vec![])]));
    set(&[], Value::map([("k", true.into())]));
    tree.kill(&["a".into()]);
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows: Vec<_> = tree.to_rows().iter().map(|row| (hex(&row.sub), row.version, hex(&row.value))).collect();
    let node = "01c71c01".to_owned() + "82" + "02a178" + "c40f1902ffffffffff06f05b59d3b20000c4020102" + "92c080";
    let expected = [("", 5, "01920081a16bc3"), ("306200", 4, &node), ("306100", 6, "")];
    assert_eq!(rows, expected.map(|(sub, version, value)| (sub.to_owned(), version, value.to_owned())));
    assert_same(&Tree::from_rows(tree.to_rows()).unwrap_or_default(), &tree);
}

#[test]
fn each_kind_of_value_survives() {
    let mut random = Random(3);
    let deep = |levels| (0..levels).fold(Value::Null, |inner, _| Value::map([("", Value::List(vec![inner]))]));
    let wide = Value::List((0..70_000).map(|n| Value::Int(n - 35_000)).collect());
    let long = [255, 256, 65_535, 65_536].map(|length| Value::from("x".repeat(length)));
    let long_bytes = [255, 256, 65_535, 65_536].map(|length| Value::from(vec![0u8; length]));
    let edges = [i64::MIN, i64::MAX, -33, -32, -129, 127, 128, 255, 256, 1 << 32].map(Value::Int);
    let floats = [0.0, -0.0, 1.0, f64::INFINITY, f64::MIN_POSITIVE, 5e-324].map(Value::Float);
    let mut values = vec![deep(128), wide, Value::map((0..70_000).map(|n| (n.to_string(), n.into())))];
    values.extend(long.into_iter().chain(long_bytes).chain(edges).chain(floats));
    values.extend((0..500).map(|_| random.value(4)));
    for value in values {
        for path in [vec![], vec!["a".into()], vec!["a".into(), "b".into()]] {
            let mut tree = Tree::new();
            assert_eq!(tree.set(&path, value.clone()), Ok(()));
            let read = Tree::from_rows(tree.to_rows());
            assert_eq!(read.as_ref().ok().and_then(|read| read.get(&path)), Some(&value));
            assert_same(&read.unwrap_or_default(), &tree);
            assert_eq!(decode_tree(&encode_tree(&tree)), Ok(tree));
        }
    }
    let mut tree = Tree::new();
    assert_eq!(tree.set(&[], Value::Float(-f64::NAN)), Ok(()));
    let read = Tree::from_rows(tree.to_rows()).unwrap_or_default();
    assert!(matches!(read.get(&[]), Some(Value::Float(nan)) if nan.to_bits() == (-f64::NAN).to_bits()));
}

#[test]
fn an_empty_tree_has_no_rows_and_one_byte() {
    assert_eq!(Tree::new().to_rows(), []);
    assert_eq!(Tree::from_rows([]).map(|tree| (tree.last_version(), tree.count())), Ok((0, 0)));
    assert_eq!(encode_tree(&Tree::new()), [1]);
    assert_eq!(decode_tree(&[1]), Ok(Tree::new()));
}

#[test]
fn a_version_that_was_read_is_a_conflict_in_another_process_as_in_this_one() {
    let mut tree = Tree::new();
    assert_eq!(tree.set(&["a".into()], 1.into()), Ok(()));
    let read = tree.version(&"a".into());
    assert!(tree.kill(&["a".into()]));
    for key in 0..100 {
        assert_eq!(tree.set(&[key.into()], 1.into()), Ok(()));
        assert!(tree.kill(&[key.into()]));
    }
    let mut other = Tree::from_rows(tree.to_rows()).unwrap_or_default();
    let mut late = Writes::new();
    late.expect("a".into(), read);
    assert_eq!(late.commit_check(&other), ["a"]);
    let mut fresh = Writes::new();
    fresh.expect("a".into(), other.version(&"a".into()));
    assert_eq!(fresh.set(&other, &Quotas::default(), &["a".into()], 2.into()), Ok(()));
    assert!(fresh.commit(&mut other, &Quotas::default()).is_ok());
}

#[test]
fn a_commit_of_nothing_gives_no_version() {
    let mut tree = Tree::new();
    let mut writes = Writes::new();
    assert_eq!(writes.kill(&tree, &["a".into()]), Ok(()));
    let changes = writes.commit_noting(&mut tree, &Quotas::default()).unwrap_or_default();
    assert!(changes.is_empty() && changes.rows(&tree).next().is_none());
    assert_eq!((tree.last_version(), tree.to_rows()), (0, vec![]));
}

/// 5,000; with `LIBSESSION_TORTURE` 100,000.
fn rounds() -> u64 {
    if std::env::var_os("LIBSESSION_TORTURE").is_some() { 100_000 } else { 5_000 }
}

fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.pick(4) {
        let at = random.pick(bytes.len() as u64 + 1) as usize;
        match random.pick(6) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.pick(256) as u8),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 => {
                // Markers, most of them with a length behind.
                let marker = 0xc0 + random.pick(32) as u8;
                bytes.splice(at..at, [marker, random.pick(256) as u8, random.pick(256) as u8]);
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.pick(8);
                }
            }
        }
    }
}
