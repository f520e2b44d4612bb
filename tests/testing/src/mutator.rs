//! Damaged inputs: a seeded stream of changes to the files of a corpus.
//!
//! The stream depends on the seed, the corpus and [`Mutator::keep`] alone. An input with a new
//! outcome is kept as a base of further ones, which leads into branches that the corpus misses.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};

/// Most changes of one input.
const CHANGES_MAX: usize = 8;
/// Most bytes that one change copies.
const COPY_BYTES_MAX: usize = 512;
/// Most inputs that are kept beside the corpus.
const KEPT_MAX: usize = 1_024;
/// Bytes at the edges of ranges and of signs.
const EDGES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, b'"', b'\\', b'\n'];
/// Numbers at the edges of the types that texts are parsed into.
const NUMBERS: [&str; 14] = [
    "0",
    "-1",
    "1",
    "255",
    "65536",
    "2147483648",
    "4294967296",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "1e308",
    "1e999",
    "0.5",
];

/// Source of damaged inputs.
#[derive(Debug)]
pub struct Mutator {
    rng: ChaCha8Rng,
    corpus: Vec<Vec<u8>>,
    kept: Vec<Vec<u8>>,
    words: &'static [&'static str],
    bytes_max: usize,
}

impl Mutator {
    /// Makes a source of inputs of at most `bytes_max` bytes. `words` are what the format under
    /// test is made of.
    ///
    /// # Panics
    /// If the corpus is empty.
    #[must_use]
    pub fn new(seed: u64, corpus: Vec<Vec<u8>>, words: &'static [&'static str], bytes_max: usize) -> Self {
        assert!(!corpus.is_empty(), "a corpus has a file");
        Self { rng: ChaCha8Rng::seed_from_u64(seed), corpus, kept: Vec::new(), words, bytes_max }
    }

    /// Keeps an input as a base of further ones. Beyond [`KEPT_MAX`] a random earlier one is
    /// dropped.
    pub fn keep(&mut self, input: &[u8]) {
        if self.kept.len() < KEPT_MAX {
            self.kept.push(input.to_vec());
        } else {
            let place = self.rng.random_range(0..self.kept.len());
            self.kept[place] = input.to_vec();
        }
    }

    /// Returns the next input.
    pub fn next_input(&mut self) -> Vec<u8> {
        let mut input = self.base();
        for _ in 0..self.rng.random_range(1..=CHANGES_MAX) {
            self.change(&mut input);
        }
        input.truncate(self.bytes_max);
        input
    }

    fn base(&mut self) -> Vec<u8> {
        let from_kept = !self.kept.is_empty() && self.rng.random_bool(0.5);
        let files = if from_kept { &self.kept } else { &self.corpus };
        files[self.rng.random_range(0..files.len())].clone()
    }

    fn change(&mut self, input: &mut Vec<u8>) {
        let at = self.rng.random_range(0..=input.len());
        match self.rng.random_range(0..10) {
            0 | 1 => self.change_byte(input),
            2 => drop(input.drain(self.range(input.len()))),
            3 => {
                let copied = input[self.range(input.len())].to_vec();
                splice(input, at..at, &copied);
            }
            4 => {
                let other = self.base();
                let copied = other[self.range(other.len())].to_vec();
                splice(input, at..at, &copied);
            }
            5 => {
                let word = self.words.get(self.rng.random_range(0..self.words.len().max(1))).copied();
                splice(input, at..at, word.unwrap_or_default().as_bytes());
            }
            6 => self.change_number(input),
            7 => {
                let length = self.rng.random_range(1..=8);
                let random: Vec<u8> = (0..length).map(|_| self.rng.random()).collect();
                splice(input, at..(at + length).min(input.len()), &random);
            }
            8 if self.rng.random_bool(0.3) => input.truncate(at),
            _ => {
                let edge = [EDGES[self.rng.random_range(0..EDGES.len())]];
                splice(input, at..at, &edge);
            }
        }
    }

    fn change_byte(&mut self, input: &mut [u8]) {
        if input.is_empty() {
            return;
        }
        let at = self.rng.random_range(0..input.len());
        input[at] = match self.rng.random_range(0..3) {
            0 => input[at] ^ 1 << self.rng.random_range(0..8),
            1 => EDGES[self.rng.random_range(0..EDGES.len())],
            _ => self.rng.random(),
        };
    }

    /// Replaces a number in decimal digits, from a random place on.
    fn change_number(&mut self, input: &mut Vec<u8>) {
        let from = self.rng.random_range(0..=input.len());
        let Some(start) = input[from..].iter().position(u8::is_ascii_digit).map(|place| from + place) else { return };
        let length = input[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let number = NUMBERS[self.rng.random_range(0..NUMBERS.len())];
        splice(input, start..start + length, number.as_bytes());
    }

    /// Returns a short range within `length`.
    fn range(&mut self, length: usize) -> Range<usize> {
        let start = self.rng.random_range(0..=length);
        let most = (length - start).min(COPY_BYTES_MAX);
        start..start + self.rng.random_range(0..=most)
    }
}

fn splice(input: &mut Vec<u8>, place: Range<usize>, bytes: &[u8]) {
    drop(input.splice(place, bytes.iter().copied()));
}

/// Reads the files of a folder in the order of their names.
///
/// # Errors
/// If the folder or a file cannot be read.
pub fn read_corpus(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let entries: io::Result<Vec<_>> = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = entries?;
    paths.sort();
    paths.into_iter().map(fs::read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inputs(seed: u64) -> Vec<Vec<u8>> {
        let corpus = vec![br#"{"a": 12, "b": [1, 2]}"#.to_vec(), Vec::new()];
        let mut mutator = Mutator::new(seed, corpus, &["null"], 100);
        (0..2_000)
            .map(|number| {
                let input = mutator.next_input();
                if number % 10 == 0 {
                    mutator.keep(&input);
                }
                input
            })
            .collect()
    }

    #[test]
    fn a_seed_gives_one_stream_of_inputs_and_another_seed_another() {
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
    }

    #[test]
    fn inputs_differ_and_stay_within_the_limit() {
        let inputs = inputs(3);
        assert!(inputs.iter().all(|input| input.len() <= 100));
        let different: std::collections::BTreeSet<_> = inputs.iter().collect();
        assert!(different.len() > 1_500, "{}", different.len());
        assert!(inputs.iter().any(|input| input.windows(4).any(|four| four == b"null")));
        assert!(inputs.iter().any(|input| input.windows(5).any(|five| five == b"1e999")));
    }
}
