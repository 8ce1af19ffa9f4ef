use super::super::key::{key, read_key};
use super::*;

#[test]
fn keys_are_ordered_as_subscripts_are() {
    let mut all = Vec::new();
    for power in 0..63 {
        for near in -2..=2 {
            for number in [(1i64 << power).saturating_add(near), (-1i64 << power).saturating_add(near)] {
                all.extend(Subscript::int(number));
                all.extend(Subscript::int(number / 1000 * 1000));
                all.extend(Subscript::float(number as f64 + 0.5));
                all.extend(Subscript::float(number as f64 * 1.7e10));
            }
        }
    }
    for text in ["9223372036854775e3", "9223372036854776e3", "-9223372036854775e3", "-9223372036854776e3", "0"] {
        all.push(number(text));
    }
    for text in ["0.1", "0.11", "0.01", "0.999999999999999999", "1.5", "254.5", "255.5", "256.5", "65535.25", "0.10001"]
    {
        all.extend([number(text), number(&format!("-{text}"))]);
    }
    for text in ["1e1000000000", "1e-1000000000", "12345678901234567.8", "123456789012345678e999999999"] {
        all.extend([number(text), number(&format!("-{text}"))]);
    }
    all.extend(
        ["", "\0", "\0\0", "\0a", "1", "10", "9", "a", "a\0", "a\0b", "aa", "é", "\u{10ffff}"].map(Subscript::from),
    );
    let mut random = Random(11);
    all.extend((0..500).map(|_| random.number()));
    let keys: Vec<Vec<u8>> = all.iter().map(key).collect();
    for (one, one_key) in all.iter().zip(&keys) {
        assert_eq!(read_key(one_key).as_ref(), Some(one));
        for (two, two_key) in all.iter().zip(&keys) {
            assert_eq!(one_key.cmp(two_key), one.cmp(two), "{one} {two}");
        }
    }
    // Also if others follow.
    for _ in 0..20_000 {
        let mut path = || -> Vec<Subscript> { (0..1 + random.pick(3)).map(|_| random.subscript()).collect() };
        let (one, two) = (path(), path());
        let joined = |path: &[Subscript]| path.iter().flat_map(key).collect::<Vec<u8>>();
        assert_eq!(joined(&one).cmp(&joined(&two)), one.cmp(&two), "{one:?} {two:?}");
    }
}

#[test]
fn each_key_is_written_as_it_always_will_be() {
    for (subscript, bytes) in [
        (0.into(), "18"),
        (1.into(), "1901"),
        (255.into(), "19ff"),
        (256.into(), "1a0100"),
        ((-1).into(), "17fe"),
        ((-256).into(), "16feff"),
        ("a\0b".into(), "306100ff6200"),
        ("".into(), "3000"),
        (number("1.5"), "1901ffffffffff06f05b59d3b20000"),
        (number("-1.5"), "17fdff00000000f90fa4a62c4dffff"),
        (number("1e20"), "2100000014016345785d8a0000"),
    ] {
        let shown: String = key(&subscript).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(shown, bytes, "{subscript}");
    }
}

#[test]
fn any_bytes_are_the_key_of_one_subscript_or_of_none() {
    let mut random = Random(5);
    let mut read = 0;
    for _ in 0..rounds() * 10 {
        let mut bytes = key(&random.subscript());
        mutate(&mut random, &mut bytes);
        if let Some(subscript) = read_key(&bytes) {
            assert_eq!(key(&subscript), bytes);
            read += 1;
        }
    }
    assert!(read > 0);
}
