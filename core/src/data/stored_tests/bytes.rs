use super::super::key::key;
use super::*;
use crate::error::ErrorKind;

fn row(sub: &[u8], version: u64, value: &[u8]) -> StoredRow {
    StoredRow { sub: sub.to_vec(), version, value: value.to_vec() }
}

#[test]
fn rows_that_no_tree_has_are_corrupt_and_named() {
    let a = key(&"a".into());
    let nested =
        |length: u32| [&[1, 0xdd][..], &length.to_be_bytes(), &[0xdd], &length.to_be_bytes(), &[0xc0; 40]].concat();
    for (rows, named) in [
        (vec![row(&a, 1, &[1, 5]), row(&a, 1, &[1, 5])], "a can't be read: it has two rows"),
        (vec![row(&a, 1, &[1, 5]), row(&a, 1, &[])], "two rows"),
        (vec![row(&[], 1, &[]), row(&[], 1, &[])], "two rows"),
        (vec![row(&a, u64::MAX, &[1, 5])], "306100 can't be read: its version is 18446744073709551615"),
        (vec![row(&a, 1, &[1])], "at byte 1: it ends too early"),
        (vec![row(&a, 1, &[2, 5])], "at byte 0: the format is unknown"),
        (vec![row(&a, 1, &[1, 5, 5])], "at byte 2: more follows"),
        (vec![row(&a, 1, &[1, 0xc1])], "no value"),
        (vec![row(&a, 1, &[1, 0xcf, 255, 255, 255, 255, 255, 255, 255, 255])], "beyond 64 bits"),
        (vec![row(&a, 1, &[1, 0xa1, 255])], "not UTF-8"),
        (vec![row(&a, 1, &[1, 0x82, 0xa1, 97, 1, 0xa1, 97, 1])], "a key twice"),
        (vec![row(&a, 1, &[1, 0x81, 1, 1])], "key is no text"),
        (vec![row(&a, 1, &[1, 0xd4, 2, 0x80])], "no node"),
        (vec![row(&a, 1, &[1, 0xd4, 1, 0x80])], "or none"),
        (vec![row(&a, 1, &[1, 0xc7, 5, 1, 0x82, 2, 1, 2, 1])], "not in order"),
        (vec![row(&a, 1, &nested(u32::MAX))], "greater than what follows"),
        (vec![row(&a, 1, &nested(40))], "greater than what follows"),
        (vec![row(&[], 1, &[1, 0x90])], "no list of 1 or 2"),
        (vec![row(&[], 1, &[1, 0x93, 1, 1, 1])], "no list of 1 or 2"),
        (vec![row(&[], 1, &[1, 0x91, 0xff])], "no number"),
        (vec![row(&[0x99], 1, &[1, 5])], "the row 99 can't be read: its key is of no subscript"),
    ] {
        let read = Tree::from_rows(rows).map_err(|error| (error.kind(), error.message().to_string()));
        assert!(matches!(&read, Err((ErrorKind::Corrupt, why)) if why.contains(named)), "{read:?} {named}");
    }
}

#[test]
fn levels_are_bounded_and_need_little_stack() {
    let run = || {
        let path: Vec<Subscript> = (0..256).map(Subscript::from).collect();
        let value = (0..256).fold(Value::Null, |inner, _| Value::List(vec![inner]));
        let mut tree = Tree::new();
        assert_eq!(tree.set(&path, value.clone()), Ok(()));
        assert_same(&Tree::from_rows(tree.to_rows()).unwrap_or_default(), &tree);
        assert_eq!(decode_tree(&encode_tree(&tree)), Ok(tree));
        let mut deep = Tree::new();
        assert_eq!(deep.set(&path, Value::List(vec![value])), Ok(()));
        assert!(Tree::from_rows(deep.to_rows()).is_err());
        let mut rows = deep.subtree(&path).to_rows();
        rows.truncate(1);
        assert!(Tree::from_rows(rows).is_err());
        for byte in [0x91, 0x81, 0xc7, 0xc9, 0xdd, 0xdf, 0xd4] {
            assert!(Tree::from_rows([row(&key(&1.into()), 1, &[&[1][..], &vec![byte; 100_000]].concat())]).is_err());
        }
        let mut far = vec![1u8];
        for _ in 0..100_000 {
            far.extend_from_slice(&[0x91, 0x91]);
        }
        assert!(decode_tree(&far).is_err());
    };
    let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(run);
    assert!(thread.is_ok_and(|thread| thread.join().is_ok()));
}

#[test]
fn any_bytes_are_a_tree_or_corrupt() {
    let mut random = Random(0xC0FFEE);
    let (mut read, mut refused) = (0, 0);
    for round in 0..rounds() {
        let mut rows = random.tree().to_rows();
        for row in &mut rows {
            match random.pick(8) {
                0 => mutate(&mut random, &mut row.sub),
                1..4 => mutate(&mut random, &mut row.value),
                4 => row.version ^= 1 << random.pick(64),
                5 if round % 10 == 0 => row.value = (0..random.pick(60)).map(|_| random.pick(256) as u8).collect(),
                _ => {}
            }
        }
        match Tree::from_rows(rows.iter().cloned()) {
            Ok(mut tree) => {
                read += 1;
                // What was read is a tree like any other.
                assert_eq!(Tree::from_rows(tree.to_rows()).map(|tree| tree.to_rows()), Ok(tree.to_rows()));
                let mut anew = Tree::new();
                assert_eq!(anew.merge(&[], &tree), Ok(()));
                assert_eq!((tree.count(), tree.bytes_used()), (anew.count(), anew.bytes_used()));
                assert_eq!(tree.set(&[1.into()], 1.into()), Ok(()));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.kind(), ErrorKind::Corrupt);
            }
        }
        let mut bytes = encode_tree(&random.tree());
        mutate(&mut random, &mut bytes);
        if let Ok(tree) = decode_tree(&bytes) {
            // NaN equals nothing.
            assert_eq!(decode_tree(&encode_tree(&tree)).map(|tree| encode_tree(&tree)), Ok(encode_tree(&tree)));
        }
    }
    assert!(read > rounds() / 20 && refused > rounds() / 20, "{read} {refused}");
}
