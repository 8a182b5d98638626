//! `quantity`: amounts of resources, `100m`, `1.5Gi`, `1e3`, exactly.

use cel::common::types::{CelBool, CelDouble, CelInt, CelString};
use cel::{DeclarationError, Env, ExecutionError, add_member_overload, add_overload};

use super::{failed, opaque};

type Outcome<T> = Result<T, ExecutionError>;

/// An amount in billionths, the finest part a quantity can name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Quantity(i128);
opaque!(Quantity, "kubernetes.Quantity");

const ONE: i128 = 1_000_000_000;

pub(super) fn register(env: &mut Env) -> Result<(), DeclarationError> {
    add_overload!(env, fn quantity: (CelString) -> Result<Quantity>)?;
    add_overload!(env, fn is_quantity: (CelString) -> CelBool)?;
    add_member_overload!(env, fn is_integer: (Quantity) -> CelBool)?;
    add_member_overload!(env, fn as_integer: (Quantity) -> Result<CelInt>)?;
    add_member_overload!(env, fn as_approximate_float: (Quantity) -> CelDouble)?;
    add_member_overload!(env, fn sign: (Quantity) -> CelInt)?;
    add_member_overload!(env, fn add: (Quantity, Quantity) -> Result<Quantity>)?;
    add_member_overload!(env, fn add_int: (Quantity, CelInt) -> Result<Quantity>, name = "add")?;
    add_member_overload!(env, fn sub: (Quantity, Quantity) -> Result<Quantity>)?;
    add_member_overload!(env, fn sub_int: (Quantity, CelInt) -> Result<Quantity>, name = "sub")?;
    add_member_overload!(env, fn is_greater_than: (Quantity, Quantity) -> CelBool)?;
    add_member_overload!(env, fn is_less_than: (Quantity, Quantity) -> CelBool)?;
    add_member_overload!(env, fn compare_to: (Quantity, Quantity) -> CelInt)
}

fn quantity(text: &CelString<'_>) -> Outcome<Quantity> {
    parse(text.inner()).ok_or_else(|| failed("quantity", format!("{:?} is no quantity", text.inner())))
}

fn is_quantity(text: &CelString<'_>) -> CelBool {
    parse(text.inner()).is_some().into()
}

fn is_integer(this: &Quantity) -> CelBool {
    integer(this).is_some().into()
}

fn integer(this: &Quantity) -> Option<i64> {
    (this.0 % ONE == 0).then(|| i64::try_from(this.0 / ONE).ok()).flatten()
}

fn as_integer(this: &Quantity) -> Outcome<CelInt> {
    integer(this).map(CelInt::from).ok_or_else(|| failed("asInteger", "the quantity is no whole number"))
}

#[expect(clippy::cast_precision_loss, reason = "approximate is what is asked for")]
fn as_approximate_float(this: &Quantity) -> CelDouble {
    (this.0 as f64 / ONE as f64).into()
}

fn sign(this: &Quantity) -> CelInt {
    CelInt::from(i64::from(this.0.signum() as i8))
}

fn made(value: Option<i128>) -> Outcome<Quantity> {
    value.map(Quantity).ok_or_else(|| failed("quantity", "the result is too large"))
}

fn add(this: &Quantity, other: &Quantity) -> Outcome<Quantity> {
    made(this.0.checked_add(other.0))
}

fn sub(this: &Quantity, other: &Quantity) -> Outcome<Quantity> {
    made(this.0.checked_sub(other.0))
}

fn add_int(this: &Quantity, other: &CelInt) -> Outcome<Quantity> {
    made(this.0.checked_add(i128::from(*other.inner()) * ONE))
}

fn sub_int(this: &Quantity, other: &CelInt) -> Outcome<Quantity> {
    made(this.0.checked_sub(i128::from(*other.inner()) * ONE))
}

fn is_greater_than(this: &Quantity, other: &Quantity) -> CelBool {
    (this > other).into()
}

fn is_less_than(this: &Quantity, other: &Quantity) -> CelBool {
    (this < other).into()
}

fn compare_to(this: &Quantity, other: &Quantity) -> CelInt {
    super::ordered(this.cmp(other))
}

/// Sign, digits, suffix: `-1.5Gi`. Parts finer than a billionth round away from zero, as upstream.
fn parse(text: &str) -> Option<Quantity> {
    let (negative, rest) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(rest.len());
    let (number, suffix) = rest.split_at(end);
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && part.is_empty() || part.contains('.') {
        return None;
    }
    let digits: String = [whole, part].concat();
    let digits: i128 = digits
        .trim_start_matches('0')
        .parse()
        .or_else(|e| if digits.bytes().all(|c| c == b'0') { Ok(0) } else { Err(e) })
        .ok()?;
    let scale = i32::try_from(part.len()).ok()?;
    let value = match suffix {
        "Ki" | "Mi" | "Gi" | "Ti" | "Pi" | "Ei" => {
            let power = 1 + "KMGTPE".find(&suffix[..1])?;
            scaled(digits.checked_mul(1_i128.checked_shl(u32::try_from(power).ok()? * 10)?)?, 9 - scale)?
        }
        _ => scaled(digits, decimal(suffix)?.checked_add(9 - scale)?)?,
    };
    Some(Quantity(if negative { -value } else { value }))
}

fn decimal(suffix: &str) -> Option<i32> {
    Some(match suffix {
        "n" => -9,
        "u" => -6,
        "m" => -3,
        "" => 0,
        "k" => 3,
        "M" => 6,
        "G" => 9,
        "T" => 12,
        "P" => 15,
        "E" => 18,
        _ => suffix.strip_prefix(['e', 'E'])?.parse::<i32>().ok().filter(|power| power.abs() < 64)?,
    })
}

fn scaled(digits: i128, power: i32) -> Option<i128> {
    let factor = 10_i128.checked_pow(power.unsigned_abs());
    if power >= 0 {
        return digits.checked_mul(factor?);
    }
    // What is smaller than all digits rounds to one billionth.
    let Some(factor) = factor else { return Some(i128::from(digits > 0)) };
    Some(digits / factor + i128::from(digits % factor > 0))
}

impl Quantity {
    #[cfg(test)]
    fn compare(a: &str, b: &str) -> Option<std::cmp::Ordering> {
        Some(parse(a)?.cmp(&parse(b)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cmp::Ordering;

    #[test]
    fn quantities_are_exact() {
        for (a, b) in [
            ("1", "1000m"),
            ("1Ki", "1024"),
            ("1.5Gi", "1536Mi"),
            ("1e3", "1k"),
            ("0.1", "100m"),
            ("+2E", "2e18"),
            ("-1", "-1000m"),
            ("0", "000.00"),
            (".5", "500m"),
            ("0.0000000001", "1n"),
        ] {
            assert_eq!(Quantity::compare(a, b), Some(Ordering::Equal), "{a} {b}");
        }
        assert_eq!(Quantity::compare("1.1", "1"), Some(Ordering::Greater));
        assert_eq!(Quantity::compare("100M", "100Mi"), Some(Ordering::Less));
        for text in ["", "a", "1.2.3", "1 ", "1ki", "--1", "1e", "1Kii", ".", "1e999", "-"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
