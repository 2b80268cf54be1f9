//! How bytes are damaged: flips, cuts, repeats, splices, and the numbers that break arithmetic.

use rand::rngs::StdRng;
use rand::{Rng, RngExt};

/// Numbers at the edges of what fields can hold.
const EDGES: [u64; 10] =
    [0, 1, 0x7f, 0x80, 0xff, 0xffff, 0x7fff_ffff, 0xffff_ffff, 0x7fff_ffff_ffff_ffff, 0xffff_ffff_ffff_ffff];

/// The longest input that is tried.
const BYTES_MAX: usize = 64 << 10;

/// Damages `bytes` in one to eight places. `other` is something to splice in.
pub fn mutate(rng: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..rng.random_range(1..=8) {
        one(rng, bytes, other);
    }
    bytes.truncate(BYTES_MAX);
}

fn one(rng: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    if bytes.is_empty() {
        bytes.push(byte(rng));
        return;
    }
    let at = rng.random_range(0..bytes.len());
    let end = rng.random_range(at..=bytes.len().min(at + 64));
    match rng.random_range(0..8) {
        0 => bytes[at] ^= 1 << rng.random_range(0..8),
        1 => bytes[at] = byte(rng),
        2 => bytes.truncate(at),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let again = bytes[at..end].to_vec();
            bytes.splice(at..at, again);
        }
        5 => {
            let edge = EDGES[rng.random_range(0..EDGES.len())].to_le_bytes();
            let width = [1, 2, 4, 8][rng.random_range(0..4)];
            let end = bytes.len().min(at + width);
            bytes.splice(at..end, edge[..width].iter().copied());
        }
        6 if !other.is_empty() => {
            let from = rng.random_range(0..other.len());
            let to = rng.random_range(from..=other.len().min(from + 256));
            bytes.splice(at..end, other[from..to].iter().copied());
        }
        _ => bytes.insert(at, byte(rng)),
    }
}

fn byte(rng: &mut StdRng) -> u8 {
    rng.next_u32().to_le_bytes()[0]
}
