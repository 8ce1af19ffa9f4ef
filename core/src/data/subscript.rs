//! Subscripts: the numbers and texts that paths are made of, and their order.

use std::cmp::Ordering;
use std::fmt;

use super::json::write_text;
use crate::error::{Error, Result};

/// The most significant digits of a number.
pub(super) const DIGITS: u32 = 18;
/// Beyond this a decimal exponent is refused; far outside of what a float can have.
const MAX_EXPONENT: i64 = 1_000_000_000;
/// The most characters of a path in a message.
const PATH_TEXT: usize = 200;

/// One step of a path: a number or a text.
///
/// Numbers are decimal, exact, of up to 18 significant digits; numbers of equal value are one subscript (1 is 1.0).
/// Texts are never numbers (`"1"` is not 1), and may be empty. The order is the collation: numbers by value, then
/// texts by bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subscript(Repr);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Repr {
    Number(Number),
    Text(Box<str>),
}

/// `mantissa * 10^exponent`, where the mantissa has no trailing zero, and 0 has the exponent 0: equal values are
/// equal in each field.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Number {
    mantissa: i64,
    exponent: i32,
}

/// Which way siblings are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// In collation order: the first is the least.
    Forward,
    /// Against collation order: the first is the greatest.
    Backward,
}

impl Subscript {
    /// A text; never a number, whatever it looks like.
    pub fn text(text: impl Into<String>) -> Self {
        Self(Repr::Text(text.into().into_boxed_str()))
    }

    /// A number of an integer. Errors: `Invalid` if it has more than 18 significant digits.
    pub fn int(number: i64) -> Result<Self> {
        let (mut mantissa, mut exponent) = (number, 0);
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        match Self::decimal(mantissa, exponent) {
            Some(subscript) => Ok(subscript),
            None => Self::parse_number(&number.to_string()),
        }
    }

    /// The number `mantissa * 10^exponent`, if it is one and written the one way that numbers are kept.
    pub(super) fn decimal(mantissa: i64, exponent: i32) -> Option<Self> {
        let few = mantissa.unsigned_abs() < 10u64.pow(DIGITS);
        let kept = if mantissa == 0 { exponent == 0 } else { mantissa % 10 != 0 };
        let near = i64::from(exponent).abs() <= MAX_EXPONENT;
        (few && kept && near).then_some(Self(Repr::Number(Number { mantissa, exponent })))
    }

    /// Mantissa and exponent of a number.
    pub(super) fn as_decimal(&self) -> Option<(i64, i32)> {
        match self.0 {
            Repr::Number(Number { mantissa, exponent }) => Some((mantissa, exponent)),
            Repr::Text(_) => None,
        }
    }

    /// A number of a float, by its shortest text that reads back as the same float; -0.0 is 0.
    ///
    /// Errors: `Invalid` for NaN and the infinities.
    pub fn float(number: f64) -> Result<Self> {
        if number.is_finite() {
            Self::parse_number(&format!("{number:e}"))
        } else {
            Err(Error::invalid(format!("{number} can't be a subscript; use a finite number or a text")))
        }
    }

    /// A number of decimal text: `-12`, `0.5`, `.5`, `1.25e-7`.
    ///
    /// Errors: `Invalid` if it is no number, has more than 18 significant digits, or an exponent beyond ±10^9.
    pub fn parse_number(text: &str) -> Result<Self> {
        Number::parse(text).map(|number| Self(Repr::Number(number))).map_err(|why| {
            let shown: String = text.chars().take(40).collect();
            Error::invalid(format!("'{shown}' can't be a number as a subscript: {why}"))
        })
    }

    /// The text, or `None` for a number.
    pub fn as_text(&self) -> Option<&str> {
        match &self.0 {
            Repr::Text(text) => Some(text),
            Repr::Number(_) => None,
        }
    }

    /// The number if it is an integer that fits, or `None`.
    pub fn as_i64(&self) -> Option<i64> {
        match self.0 {
            Repr::Number(Number { mantissa, exponent: exponent @ 0..=18 }) => {
                10i64.checked_pow(exponent.unsigned_abs())?.checked_mul(mantissa)
            }
            _ => None,
        }
    }

    /// The float nearest to the number, or `None` for a text or a number beyond the range of floats.
    pub fn as_f64(&self) -> Option<f64> {
        match self.0 {
            Repr::Number(Number { mantissa, exponent }) => {
                format!("{mantissa}e{exponent}").parse().ok().filter(|float: &f64| float.is_finite())
            }
            Repr::Text(_) => None,
        }
    }

    /// Whether it is a number.
    pub fn is_number(&self) -> bool {
        matches!(self.0, Repr::Number(_))
    }

    /// The size that quotas count: 8 for a number, the length of a text, at least 1.
    pub fn bytes_used(&self) -> usize {
        match &self.0 {
            Repr::Number(_) => 8,
            Repr::Text(text) => text.len().max(1),
        }
    }
}

impl Number {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (digits, exponent) = match rest.split_once(['e', 'E']) {
            Some((digits, exponent)) => (digits, exponent_of(exponent)?),
            None => (rest, 0),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err("it has no digits");
        }
        let mut mantissa = 0i64;
        let mut significant = 0;
        // Zeros count only once another digit follows: trailing ones are the exponent's.
        let mut zeros = 0i64;
        for digit in whole.bytes().chain(fraction.bytes()) {
            match digit {
                b'0' => zeros += 1,
                b'1'..=b'9' => {
                    significant = if mantissa == 0 { 1 } else { significant + zeros + 1 };
                    if significant > i64::from(DIGITS) {
                        return Err("it has more than 18 significant digits");
                    }
                    let shift = if mantissa == 0 { 1 } else { 10i64.pow(zeros.unsigned_abs() as u32 + 1) };
                    mantissa = mantissa * shift + i64::from(digit - b'0');
                    zeros = 0;
                }
                _ => return Err("it is not decimal"),
            }
        }
        if mantissa == 0 {
            return Ok(Self { mantissa: 0, exponent: 0 });
        }
        let exponent = exponent + zeros - fraction.len() as i64;
        if exponent.abs() > MAX_EXPONENT {
            return Err("its exponent is beyond 1000000000");
        }
        Ok(Self { mantissa: if negative { -mantissa } else { mantissa }, exponent: exponent as i32 })
    }

    /// The number of digits, and the decimal exponent of the first.
    fn magnitude(self) -> (u32, i64) {
        let digits = self.mantissa.unsigned_abs().checked_ilog10().map_or(1, |log| log + 1);
        (digits, i64::from(self.exponent) + i64::from(digits) - 1)
    }
}

fn exponent_of(text: &str) -> Result<i64, &'static str> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("its exponent is not decimal");
    }
    match text.parse::<i64>() {
        Ok(exponent) if exponent.abs() <= MAX_EXPONENT => Ok(exponent),
        _ => Err("its exponent is beyond 1000000000"),
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.mantissa.signum().cmp(&other.mantissa.signum());
        if signs.is_ne() || self.mantissa == 0 {
            return signs;
        }
        let (digits, first) = self.magnitude();
        let (other_digits, other_first) = other.magnitude();
        let magnitude = first.cmp(&other_first).then_with(|| {
            let scaled = self.mantissa.unsigned_abs() * 10u64.pow(DIGITS - digits);
            scaled.cmp(&(other.mantissa.unsigned_abs() * 10u64.pow(DIGITS - other_digits)))
        });
        if self.mantissa < 0 { magnitude.reverse() } else { magnitude }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Subscript {
    fn cmp(&self, other: &Self) -> Ordering {
        match (&self.0, &other.0) {
            (Repr::Number(one), Repr::Number(two)) => one.cmp(two),
            (Repr::Text(one), Repr::Text(two)) => one.as_bytes().cmp(two.as_bytes()),
            (Repr::Number(_), Repr::Text(_)) => Ordering::Less,
            (Repr::Text(_), Repr::Number(_)) => Ordering::Greater,
        }
    }
}

impl PartialOrd for Subscript {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    /// Plain digits for what people write plainly, an exponent for the rest; both are JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, first) = self.magnitude();
        let sign = if self.mantissa < 0 { "-" } else { "" };
        let text = self.mantissa.unsigned_abs().to_string();
        match first {
            0..=20 if self.exponent >= 0 => write!(f, "{sign}{text}{}", "0".repeat(self.exponent as usize)),
            0..=20 => {
                let (whole, fraction) = text.split_at(first as usize + 1);
                write!(f, "{sign}{whole}.{fraction}")
            }
            -7..=-1 => write!(f, "{sign}0.{}{text}", "0".repeat((-first - 1) as usize)),
            _ if digits == 1 => write!(f, "{sign}{text}e{first}"),
            _ => {
                let (whole, fraction) = text.split_at(1);
                write!(f, "{sign}{whole}.{fraction}e{first}")
            }
        }
    }
}

impl fmt::Display for Subscript {
    /// A number in its canonical text, a text quoted as in JSON.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Number(number) => number.fmt(f),
            Repr::Text(text) => {
                let mut quoted = String::with_capacity(text.len() + 2);
                write_text(&mut quoted, text);
                f.write_str(&quoted)
            }
        }
    }
}

impl fmt::Debug for Subscript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<&str> for Subscript {
    fn from(text: &str) -> Self {
        Self(Repr::Text(text.into()))
    }
}

impl From<String> for Subscript {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<i32> for Subscript {
    fn from(number: i32) -> Self {
        let (mut mantissa, mut exponent) = (i64::from(number), 0);
        while mantissa != 0 && mantissa % 10 == 0 {
            mantissa /= 10;
            exponent += 1;
        }
        Self(Repr::Number(Number { mantissa, exponent }))
    }
}

/// A path for messages, e.g. `["cart",1]`; what is long is cut.
pub fn path_text(path: &[Subscript]) -> String {
    let mut text = String::from("[");
    for (index, subscript) in path.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let shown = subscript.to_string();
        let room = PATH_TEXT.saturating_sub(text.len());
        text.extend(shown.chars().take(room));
        if shown.len() > room {
            text.push('…');
            break;
        }
    }
    text.push(']');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Subscript {
        Subscript::parse_number(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn collation_is_numbers_by_value_then_texts_by_bytes() {
        let numbers = [
            "-1e1000000",
            "-12345678901234567e5",
            "-10",
            "-9.5",
            "-9",
            "-1",
            "-0.1",
            "-1e-9",
            "0",
            "1e-1000000",
            "1e-9",
            "0.1",
            "0.11",
            "0.2",
            "1",
            "1.5",
            "2",
            "9",
            "10",
            "11",
            "99.9",
            "100",
            "999999999999999999",
            "1e18",
            "1e1000000",
        ];
        let texts = ["", " ", "-1", "0", "1", "10", "9", "A", "a", "aa", "b", "ä", "\u{10ffff}"];
        let all: Vec<Subscript> =
            numbers.into_iter().map(number).chain(texts.into_iter().map(Subscript::from)).collect();
        for (i, one) in all.iter().enumerate() {
            for (j, two) in all.iter().enumerate() {
                assert_eq!(one.cmp(two), i.cmp(&j), "{one} {two}");
                assert_eq!(one == two, i == j, "{one} {two}");
            }
        }
    }

    #[test]
    fn numbers_of_equal_value_are_one_subscript() {
        for (one, two) in [
            ("1", "1.0"),
            ("1", "+1"),
            ("1", "1e0"),
            ("100", "1e2"),
            ("0.5", ".5"),
            ("0", "-0"),
            ("0", "0e99"),
            ("10", "010"),
            ("1.50", "15e-1"),
            ("1000000000000000000000", "1E21"),
            ("5", "5."),
        ] {
            assert_eq!(number(one), number(two));
        }
        assert_eq!(Subscript::float(1.0), Subscript::int(1));
        assert_eq!(Subscript::float(-0.0), Subscript::int(0));
        assert_eq!(Subscript::float(0.1), Ok(number("0.1")));
        assert_eq!(Subscript::float(1e300), Ok(number("1e300")));
        assert_eq!(Subscript::int(i64::from(i32::MIN)), Ok(Subscript::from(i32::MIN)));
        assert_eq!(Subscript::int(1200), Ok(Subscript::from(1200)));
    }

    #[test]
    fn a_text_that_looks_like_a_number_is_none() {
        assert_ne!(Subscript::text("1"), Subscript::from(1));
        assert_eq!(Subscript::text("1").as_i64(), None);
        assert!(!Subscript::text("1").is_number());
    }

    #[test]
    fn more_than_18_significant_digits_are_invalid() {
        assert!(Subscript::int(999_999_999_999_999_999).is_ok());
        assert!(Subscript::int(1_000_000_000_000_000_000).is_ok());
        for beyond in [1_000_000_000_000_000_001, i64::MAX, i64::MIN] {
            assert!(Subscript::int(beyond).is_err(), "{beyond}");
        }
        assert!(Subscript::parse_number("0.1234567890123456789").is_err());
        assert!(Subscript::parse_number(&format!("0.{}1", "0".repeat(50))).is_ok());
    }

    #[test]
    fn what_is_no_finite_number_is_invalid() {
        for float in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Subscript::float(float).is_err());
        }
        for text in [
            "",
            "-",
            ".",
            "e5",
            "1e",
            "1e+",
            "1e++5",
            "0x1",
            "1 ",
            "1_0",
            "--1",
            "1.2.3",
            "NaN",
            "inf",
            "1e9999999999",
            "1e99999999999999999999",
        ] {
            assert!(Subscript::parse_number(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_number_reads_back_from_its_text_and_as_integer_and_float() {
        for (text, shown) in [
            ("0", "0"),
            ("-12", "-12"),
            ("1200", "1200"),
            ("1e20", "100000000000000000000"),
            ("1e21", "1e21"),
            ("15e30", "1.5e31"),
            ("12.50", "12.5"),
            ("-0.001", "-0.001"),
            ("1e-7", "0.0000001"),
            ("12e-9", "1.2e-8"),
            ("123456789012345678", "123456789012345678"),
        ] {
            assert_eq!(number(text).to_string(), shown);
            assert_eq!(number(shown), number(text));
        }
        for float in [1.5, 1e300, -2.5e-300, f64::MIN_POSITIVE, f64::MAX, 5e-324, 0.1, -123456.789] {
            assert_eq!(Subscript::float(float).map(|it| it.as_f64()), Ok(Some(float)));
        }
        assert_eq!(number("1e400").as_f64(), None);
        assert_eq!(number("1e18").as_i64(), Some(1_000_000_000_000_000_000));
        assert_eq!(number("-9e18").as_i64(), Some(-9_000_000_000_000_000_000));
        assert_eq!(number("1e19").as_i64(), None);
        assert_eq!(number("1.5").as_i64(), None);
    }

    #[test]
    fn a_long_path_is_cut_in_messages() {
        assert_eq!(path_text(&["cart".into(), 1.into()]), "[\"cart\",1]");
        assert_eq!(path_text(&[]), "[]");
        let long = [Subscript::text("x".repeat(1_000_000)), "y".into()];
        assert!(path_text(&long).chars().count() < 210);
    }
}
