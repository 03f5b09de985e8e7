//! The program as it is put into images, if it was built.

use std::{fs, path::Path};

const MAX_BYTES: usize = 3 << 20;
/// `PT_INTERP` of ELF: the program wants a dynamic loader.
const PT_INTERP: u32 = 3;

#[test]
fn the_program_is_static_and_at_most_three_mebibytes() {
    let debug = Path::new(env!("CARGO_BIN_EXE_warren-runner"));
    let target = debug.ancestors().nth(2).expect("…/target/PROFILE/warren-runner");
    let program = target.join("x86_64-unknown-linux-gnu/runner/warren-runner");
    let Ok(bytes) = fs::read(&program) else {
        eprintln!(
            "skipped: build it with RUSTFLAGS='-C target-feature=+crt-static' cargo build \
             -p runner --profile runner --target x86_64-unknown-linux-gnu"
        );
        return;
    };
    assert!(bytes.len() <= MAX_BYTES, "{} bytes", bytes.len());
    assert!(!segments(&bytes).contains(&PT_INTERP), "it wants a dynamic loader");
}

/// The kinds of the program headers of a 64-bit little-endian ELF file.
fn segments(elf: &[u8]) -> Vec<u32> {
    let number = |at: usize, bytes: usize| {
        let bytes = &elf[at..at + bytes];
        bytes.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte))
    };
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    let kind = |index| u32::try_from(number(start + index * size, 4)).expect("four bytes");
    (0..count).map(kind).collect()
}
