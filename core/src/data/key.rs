//! Subscripts as bytes whose order is the collation, also of several one after another.
//!
//! ```text
//! 0x18 ± n  an integer of n bytes, without leading zeros; negative ones complemented
//!           then, for a decimal: 0xFF and a fraction. A negative one has the integer below it.
//! 0x21      a number beyond 64 bits; 0x0F: a negative one
//! 0x30      a text: NUL is 00 FF, 00 ends
//! ```
//!
//! Fractions and numbers beyond 64 bits are a decimal exponent of 4 bytes and 18 digits of 8 bytes, big-endian, the
//! negative ones complemented. Each subscript has one such key, and each key is of one subscript.

use super::subscript::{DIGITS, Subscript};

const ZERO: u8 = 0x18;
const BEYOND: u8 = 0x21;
const BEYOND_NEGATIVE: u8 = 0x0F;
const FRACTION: u8 = 0xFF;
const TEXT: u8 = 0x30;

/// The key of a subscript.
pub(super) fn key(subscript: &Subscript) -> Vec<u8> {
    let mut out = Vec::with_capacity(subscript.as_text().map_or(9, |text| text.len() + 2));
    write_key(&mut out, subscript);
    out
}

pub(super) fn write_key(out: &mut Vec<u8>, subscript: &Subscript) {
    let Some((mantissa, exponent)) = subscript.as_decimal() else {
        write_text(out, subscript.as_text().unwrap_or_default());
        return;
    };
    if let Some(integer) = subscript.as_i64() {
        write_integer(out, integer);
        return;
    }
    let negative = mantissa < 0;
    let digits = mantissa.unsigned_abs();
    if exponent >= 0 {
        out.push(if negative { BEYOND_NEGATIVE } else { BEYOND });
        let (scaled, length) = scale(digits);
        // At most 10^9 + 17.
        write_decimal(out, exponent as u32 + length - 1, scaled, negative);
        return;
    }
    let places = exponent.unsigned_abs();
    let (whole, fraction) = match 10u64.checked_pow(places) {
        Some(unit) => (digits / unit, digits % unit),
        None => (0, digits),
    };
    // Less than 10^17.
    let whole = whole as i64;
    write_integer(out, if negative { -whole - 1 } else { whole });
    out.push(FRACTION);
    let (scaled, length) = scale(fraction);
    // The fewer zeros after the point, the greater.
    write_decimal(out, !(places - length), scaled, negative);
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    out.push(TEXT);
    let mut parts = text.as_bytes().split(|byte| *byte == 0);
    out.extend_from_slice(parts.next().unwrap_or_default());
    for part in parts {
        out.extend_from_slice(&[0, 0xFF]);
        out.extend_from_slice(part);
    }
    out.push(0);
}

fn write_integer(out: &mut Vec<u8>, integer: i64) {
    let magnitude = integer.unsigned_abs();
    let length = length_of(magnitude);
    let (code, bits) = if integer < 0 { (ZERO - length, !magnitude) } else { (ZERO + length, magnitude) };
    out.push(code);
    out.extend_from_slice(bits.to_be_bytes().get(8 - usize::from(length)..).unwrap_or_default());
}

fn write_decimal(out: &mut Vec<u8>, order: u32, digits: u64, complement: bool) {
    let (order, digits) = if complement { (!order, !digits) } else { (order, digits) };
    out.extend_from_slice(&order.to_be_bytes());
    out.extend_from_slice(&digits.to_be_bytes());
}

/// Digits with zeros behind them up to 18, and how many they were.
fn scale(digits: u64) -> (u64, u32) {
    let length = digits.checked_ilog10().map_or(1, |log| log + 1);
    (digits * 10u64.pow(DIGITS.saturating_sub(length)), length)
}

/// What [`scale`] was given; `None` for what it never answers.
fn unscale(scaled: u64) -> Option<(u64, u32)> {
    if scaled.checked_ilog10()? + 1 != DIGITS {
        return None;
    }
    let (mut digits, mut length) = (scaled, DIGITS);
    while digits.is_multiple_of(10) {
        digits /= 10;
        length -= 1;
    }
    Some((digits, length))
}

/// How many bytes a number needs: none for 0.
fn length_of(number: u64) -> u8 {
    (64 - number.leading_zeros()).div_ceil(8) as u8
}

/// The subscript of a whole key; `None` for what no subscript has as its key.
pub(super) fn read_key(bytes: &[u8]) -> Option<Subscript> {
    let (code, rest) = bytes.split_first()?;
    match *code {
        TEXT => read_text(rest),
        BEYOND => read_beyond(rest, false),
        BEYOND_NEGATIVE => read_beyond(rest, true),
        0x10..=0x20 => read_number(*code, rest),
        _ => None,
    }
}

fn read_text(bytes: &[u8]) -> Option<Subscript> {
    let (0, escaped) = bytes.split_last()? else { return None };
    let mut text = Vec::with_capacity(escaped.len());
    let mut parts = escaped.split(|byte| *byte == 0);
    text.extend_from_slice(parts.next()?);
    for part in parts {
        text.push(0);
        text.extend_from_slice(part.strip_prefix(&[0xFF])?);
    }
    String::from_utf8(text).ok().map(Subscript::text)
}

fn read_decimal(bytes: &[u8], complement: bool) -> Option<(u32, u64)> {
    let (order, digits) = bytes.split_at_checked(4)?;
    let order = u32::from_be_bytes(order.try_into().ok()?);
    let digits = u64::from_be_bytes(digits.try_into().ok()?);
    Some(if complement { (!order, !digits) } else { (order, digits) })
}

fn signed(digits: u64, negative: bool) -> Option<i64> {
    let digits = i64::try_from(digits).ok()?;
    Some(if negative { -digits } else { digits })
}

fn read_beyond(bytes: &[u8], negative: bool) -> Option<Subscript> {
    let (first, scaled) = read_decimal(bytes, negative)?;
    let (digits, length) = unscale(scaled)?;
    let exponent = i32::try_from(first.checked_sub(length - 1)?).ok()?;
    Subscript::decimal(signed(digits, negative)?, exponent).filter(|number| number.as_i64().is_none())
}

fn read_number(code: u8, rest: &[u8]) -> Option<Subscript> {
    let negative = code < ZERO;
    let length = code.abs_diff(ZERO);
    let (bytes, fraction) = rest.split_at_checked(usize::from(length))?;
    let magnitude = bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(if negative { !*byte } else { *byte }));
    if length_of(magnitude) != length {
        return None;
    }
    let Some((marker, fraction)) = fraction.split_first() else {
        let integer = if negative { 0i64.checked_sub_unsigned(magnitude)? } else { i64::try_from(magnitude).ok()? };
        return Subscript::int(integer).ok();
    };
    if *marker != FRACTION {
        return None;
    }
    let (order, scaled) = read_decimal(fraction, negative)?;
    let (digits, length) = unscale(scaled)?;
    let places = (!order).checked_add(length)?;
    let whole = if negative { magnitude - 1 } else { magnitude };
    let all = match whole {
        0 => digits,
        whole => 10u64.checked_pow(places)?.checked_mul(whole)?.checked_add(digits)?,
    };
    Subscript::decimal(signed(all, negative)?, -i32::try_from(places).ok()?)
}
