//! Columns of numbers, in whichever of a few shapes should squeeze smallest.
//!
//! How many numbers a column has is known to who reads it. A column:
//!
//! ```text
//! u8 shape
//! 0 same      varint value                             all are this
//! 1 plain     varint each
//! 2 steps     signed varint each                       from the number before, the first from zero
//! 3 planes    varint least, u8 w, w times n bytes      what is above the least, lowest bytes of all first
//! 4 steps in  u8 w, w times n bytes                    zigzag steps, lowest bytes of all first
//!   planes
//! 5 even      varint first, signed step                each is a step from the one before
//! ```
//!
//! Planes put bytes that behave alike side by side, which is what zstd's entropy coder wants; varints cost less
//! where there are few numbers. The choice is by the order-0 entropy of the bytes, in integers, so that every
//! machine chooses alike.

use proto::field::{BadField, Fields, put_signed, put_varint, unzigzag, zigzag};

const SAME: u8 = 0;
const PLAIN: u8 = 1;
const STEPS: u8 = 2;
const PLANES: u8 = 3;
const STEP_PLANES: u8 = 4;
const EVEN: u8 = 5;

/// Below this many numbers varints are taken without asking.
const FEW: usize = 4;

/// How a column would be written, and how many bits that should come to.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    shape: u8,
    least: u64,
    width: usize,
    pub bits: u64,
}

/// Finds the best shape without writing.
#[must_use]
pub fn shape_of(values: &[u64]) -> Shape {
    let first = values.first().copied().unwrap_or(0);
    if values.iter().all(|&value| value == first) {
        return Shape { shape: SAME, least: first, width: 0, bits: 8 };
    }
    if is_even(values) {
        return Shape { shape: EVEN, least: first, width: 0, bits: 24 };
    }
    if values.len() <= FEW {
        return few(values);
    }
    let (mut least, mut most, mut widest_step, mut before) = (u64::MAX, 0, 0, 0);
    for &value in values {
        least = least.min(value);
        most = most.max(value);
        widest_step |= step(value, before);
        before = value;
    }
    let plain = planes_bits(&values.iter().map(|value| value - least), bytes_of(most - least));
    let steps = planes_bits(&steps_of(values), bytes_of(widest_step));
    if plain <= steps {
        Shape { shape: PLANES, least, width: bytes_of(most - least), bits: plain + 32 }
    } else {
        Shape { shape: STEP_PLANES, least: 0, width: bytes_of(widest_step), bits: steps + 16 }
    }
}

/// Whether all steps are the same; two numbers always have the same step.
fn is_even(values: &[u64]) -> bool {
    values.len() > 2 && values.windows(3).all(|three| step(three[1], three[0]) == step(three[2], three[1]))
}

fn few(values: &[u64]) -> Shape {
    let length = |value: u64| u64::from((64 - (value | 1).leading_zeros()).div_ceil(7)) * 8;
    let plain: u64 = values.iter().map(|&value| length(value)).sum();
    let steps: u64 = steps_of(values).map(length).sum();
    let shape = if plain <= steps { PLAIN } else { STEPS };
    Shape { shape, least: 0, width: 0, bits: plain.min(steps) }
}

/// Appends a column.
pub fn put_numbers(out: &mut Vec<u8>, values: &[u64]) {
    put_shaped(out, values, &shape_of(values));
}

/// Appends a column in a shape found for just these values.
pub fn put_shaped(out: &mut Vec<u8>, values: &[u64], shape: &Shape) {
    out.push(shape.shape);
    match shape.shape {
        SAME => put_varint(out, shape.least),
        PLAIN => values.iter().for_each(|&value| put_varint(out, value)),
        STEPS => steps_of(values).for_each(|step| put_signed(out, unzigzag(step))),
        PLANES => {
            put_varint(out, shape.least);
            put_planes(out, &values.iter().map(|value| value - shape.least), shape.width);
        }
        EVEN => {
            put_varint(out, values[0]);
            put_signed(out, unzigzag(step(values[1], values[0])));
        }
        _ => put_planes(out, &steps_of(values), shape.width),
    }
}

fn step(value: u64, before: u64) -> u64 {
    zigzag(value.wrapping_sub(before).cast_signed())
}

fn steps_of(values: &[u64]) -> impl Iterator<Item = u64> + Clone + '_ {
    let mut before = 0;
    values.iter().map(move |&value| step(value, std::mem::replace(&mut before, value)))
}

fn bytes_of(value: u64) -> usize {
    (64 - value.leading_zeros() as usize).div_ceil(8)
}

fn put_planes(out: &mut Vec<u8>, values: &(impl Iterator<Item = u64> + Clone), width: usize) {
    out.push(u8::try_from(width).expect("a number has eight bytes"));
    for plane in 0..width {
        out.extend(values.clone().map(|value| (value >> (8 * plane) & 0xff) as u8));
    }
}

/// By the order-0 entropy of each plane. Columns are often short: no step looks at all 256 bytes there could be.
fn planes_bits(values: &(impl Iterator<Item = u64> + Clone), width: usize) -> u64 {
    let mut counts = [0u32; 256];
    let mut sum = 0;
    for plane in 0..width {
        let byte = |value: u64| (value >> (8 * plane) & 0xff) as usize;
        let mut all = 0;
        for value in values.clone() {
            counts[byte(value)] += 1;
            all += 1;
        }
        let whole = log2_256ths(all);
        let mut bits = 0;
        for value in values.clone() {
            let count = std::mem::take(&mut counts[byte(value)]);
            if count > 0 {
                bits += u64::from(count) * u64::from(whole - log2_256ths(count));
            }
        }
        sum += bits / 256;
    }
    sum
}

const LOG2: [u8; 256] = log2_table();

/// 256 times the logarithm of 1 + i/256, one binary digit after another by squaring.
const fn log2_table() -> [u8; 256] {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut x = (256 + i as u64) << 24;
        let mut digit = 0;
        while digit < 8 {
            x = (x >> 16) * (x >> 16);
            table[i] <<= 1;
            if x >= 1 << 33 {
                table[i] |= 1;
                x >>= 1;
            }
            digit += 1;
        }
        i += 1;
    }
    table
}

/// 256 times the binary logarithm of a number above zero.
fn log2_256ths(value: u32) -> u32 {
    let whole = 31 - (value | 1).leading_zeros();
    let rest = (u64::from(value) << 8 >> whole) & 0xff;
    whole * 256 + u32::from(LOG2[(rest & 0xff) as usize])
}

/// Reads a column of `count` numbers. `count` was checked against a limit by the caller.
pub fn take_numbers(fields: &mut Fields<'_>, count: usize) -> Result<Vec<u64>, BadField> {
    match fields.u8()? {
        SAME => Ok(vec![fields.varint()?; count]),
        PLAIN => each(fields, count, Fields::varint),
        STEPS => {
            let mut value = 0u64;
            each(fields, count, |fields| {
                value = value.wrapping_add_signed(fields.signed()?);
                Ok(value)
            })
        }
        PLANES => {
            let least = fields.varint()?;
            let mut values = take_planes(fields, count)?;
            values.iter_mut().for_each(|value| *value = value.wrapping_add(least));
            Ok(values)
        }
        STEP_PLANES => {
            let mut values = take_planes(fields, count)?;
            let mut before = 0u64;
            for value in &mut values {
                before = before.wrapping_add_signed(unzigzag(*value));
                *value = before;
            }
            Ok(values)
        }
        EVEN => {
            let (first, step) = (fields.varint()?, fields.signed()?);
            Ok(std::iter::successors(Some(first), |value| Some(value.wrapping_add_signed(step))).take(count).collect())
        }
        _ => Err(fields.bad("a column of an unknown shape")),
    }
}

/// Passes over a column of `count` numbers.
pub fn pass_numbers(fields: &mut Fields<'_>, count: usize) -> Result<(), BadField> {
    match fields.u8()? {
        SAME => fields.varint().map(drop),
        PLAIN | STEPS => (0..count).try_for_each(|_| fields.varint().map(drop)),
        EVEN => fields.varint().and_then(|_| fields.signed()).map(drop),
        shape @ (PLANES | STEP_PLANES) => {
            if shape == PLANES {
                fields.varint()?;
            }
            let width = usize::from(fields.u8()?);
            fields.take(count.checked_mul(width).ok_or(fields.bad("too many numbers"))?).map(drop)
        }
        _ => Err(fields.bad("a column of an unknown shape")),
    }
}

fn each<'a>(
    fields: &mut Fields<'a>,
    count: usize,
    mut take: impl FnMut(&mut Fields<'a>) -> Result<u64, BadField>,
) -> Result<Vec<u64>, BadField> {
    if count > fields.rest().len() {
        return Err(fields.bad("more numbers than bytes"));
    }
    // Collecting into a result does not know how many there will be.
    let mut numbers = Vec::with_capacity(count);
    for _ in 0..count {
        numbers.push(take(fields)?);
    }
    Ok(numbers)
}

fn take_planes(fields: &mut Fields<'_>, count: usize) -> Result<Vec<u64>, BadField> {
    let width = usize::from(fields.u8()?);
    if width > 8 {
        return Err(fields.bad("a number of more than eight bytes"));
    }
    let planes = fields.take(count.checked_mul(width).ok_or(fields.bad("too many numbers"))?)?;
    let mut values = vec![0u64; count];
    for (plane, bytes) in planes.chunks_exact(count.max(1)).enumerate() {
        for (value, &byte) in values.iter_mut().zip(bytes) {
            *value |= u64::from(byte) << (8 * plane);
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn logarithms_are_close() {
        for value in [1u32, 2, 3, 7, 100, 1000, 65_535, 1 << 31] {
            let exact = f64::from(value).log2() * 256.0;
            assert!((f64::from(log2_256ths(value)) - exact).abs() < 3.0, "{value}");
        }
    }

    #[test]
    fn what_repeats_costs_little() {
        let check = |values: Vec<u64>, most: usize| {
            let mut out = Vec::new();
            put_numbers(&mut out, &values);
            assert!(out.len() <= most, "{} bytes for {values:?}", out.len());
        };
        check(vec![7; 1000], 2);
        check((1_000_000..1_000_100).collect(), 5);
        check((0..1000).rev().collect(), 4);
        check((0..100).map(|i| 1_000_000 + i + i / 50).collect(), 403);
        check(vec![u64::MAX, 0, 1], 12);
    }

    proptest! {
        #[test]
        fn columns_go_there_and_back(values in proptest::collection::vec(any::<u64>(), 0..30), small: bool) {
            let values: Vec<u64> = values.iter().map(|value| if small { value >> 50 } else { *value }).collect();
            let mut out = Vec::new();
            put_numbers(&mut out, &values);
            let mut fields = Fields::new(&out);
            let count = values.len();
            prop_assert_eq!(take_numbers(&mut fields, count), Ok(values));
            prop_assert_eq!(fields.end(), Ok(()));
            let mut fields = Fields::new(&out);
            prop_assert_eq!(pass_numbers(&mut fields, count), Ok(()));
            prop_assert_eq!(fields.end(), Ok(()));
        }

        #[test]
        fn even_columns_go_there_and_back(first: u64, step: i64, small: bool, count in 0usize..9, odd in 0usize..30) {
            let step = if small { step >> 58 } else { step };
            let mut values: Vec<u64> =
                std::iter::successors(Some(first), |value| Some(value.wrapping_add_signed(step))).take(count).collect();
            if let Some(value) = values.get_mut(odd) {
                *value = value.wrapping_add(1);
            }
            let mut out = Vec::new();
            put_numbers(&mut out, &values);
            let mut passed = Fields::new(&out);
            prop_assert_eq!(pass_numbers(&mut passed, values.len()), Ok(()));
            prop_assert_eq!(passed.end(), Ok(()));
            let mut fields = Fields::new(&out);
            prop_assert_eq!(take_numbers(&mut fields, values.len()), Ok(values));
            prop_assert_eq!(fields.end(), Ok(()));
        }

        #[test]
        fn any_bytes_are_a_column_or_refused(bytes: Vec<u8>, count in 0usize..99) {
            let _ = take_numbers(&mut Fields::new(&bytes), count);
            let _ = pass_numbers(&mut Fields::new(&bytes), count);
        }
    }
}
