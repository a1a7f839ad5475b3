//! Components whose only weapon is their form: small to send and dear to compile. All are refused by their bounds,
//! before the compiler sees them.

use super::attack::{Verdict, attempt};
use super::wat::forged;
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

/// Runs them all.
pub fn outcomes() -> Vec<Ended> {
    let refused = |(name, wasm, code)| {
        let verdict = Verdict::Refused(code);
        verdict.of("compile", name, attempt(forged(wasm), "f", "", verdict))
    };
    bombs().into_iter().map(refused).collect()
}

fn bombs() -> Vec<(&'static str, Vec<u8>, lockgate_core::Code)> {
    let too_large = COMPONENT_TOO_LARGE;
    // (block … end) without types or values, and the end of the function.
    let nested = |depth: usize| [[0x02, 0x40].repeat(depth), vec![0x0b; depth + 1]].concat();
    let br_table = |targets: usize| [vec![0x41, 0, 0x0e], leb(targets), vec![0; targets + 1]].concat();
    vec![
        ("nested-blocks", function(&[], &nested(5_001)), too_large),
        ("deeply-nested-blocks", function(&[], &nested(200_000)), too_large),
        ("nested-blocks-with-locals-again-and-again", alike(10, &[(20_000, 0x7f)], &nested(5_000)), too_large),
        ("50-million-locals", function(&[(50_000_000, 0x7f)], &[0x0b]), too_large),
        ("locals-bit-by-bit", function(&vec![(1_000, 0x7e); 50], &[0x0b]), too_large),
        ("giant-br-table", function(&[], &[br_table(100_001), vec![0x0b]].concat()), too_large),
        ("many-br-tables", function(&[], &[br_table(60_000), br_table(60_000), vec![0x0b]].concat()), too_large),
        ("one-long-function", function(&[], &[vec![0x01; 1 << 20], vec![0x0b]].concat()), too_large),
        ("100000-functions", functions(100_000), too_large),
        ("200001-functions", functions(200_001), too_large),
        ("a-million-functions", functions(1_000_000), too_large),
        ("many-types", module(&[section(1, &[leb(50_001), [0x60, 0, 0].repeat(50_001)].concat())]), too_large),
        (
            "many-globals",
            module(&[section(6, &[leb(50_001), [0x7f, 0, 0x41, 0, 0x0b].repeat(50_001)].concat())]),
            too_large,
        ),
        ("many-data-segments", module(&[section(11, &[leb(200_001), [1, 0].repeat(200_001)].concat())]), too_large),
        ("many-modules", component(&vec![section(1, &core(&[])); 65]), too_large),
        ("many-components", component(&vec![section(4, &component(&[])); 65]), too_large),
        ("components-within-components", nest(10), too_large),
        ("components-within-components-without-end", nest(2_000), too_large),
        ("doubling-instances", doubling(), too_large),
        ("long-name", long_name(), too_large),
        ("too-many-bytes", component(&[section(0, &[vec![1, b'x'], vec![0; 64 << 20]].concat())]), too_large),
        ("a-count-that-lies", module(&[section(1, &leb(4_000_000_000))]), too_large),
        (
            "a-body-that-lies",
            module(&[types(), section(3, &[1, 0]), section(10, &[1, 0xff, 0xff, 0x03])]),
            INVALID_COMPONENT,
        ),
        ("an-unknown-section", component(&[section(99, &[0; 8])]), INVALID_COMPONENT),
    ]
}

/// A component around a module with one function of these locals, as counts and types, and this body.
fn function(locals: &[(usize, u8)], body: &[u8]) -> Vec<u8> {
    alike(1, locals, body)
}

/// A component around a module with `count` functions that do nothing.
pub fn functions(count: usize) -> Vec<u8> {
    alike(count, &[], &[0x0b])
}

/// A component around a module with `count` functions that are all alike.
pub fn alike(count: usize, locals: &[(usize, u8)], body: &[u8]) -> Vec<u8> {
    let groups = locals.iter().flat_map(|(count, kind)| [leb(*count), vec![*kind]].concat()).collect();
    let body = [leb(locals.len()), groups, body.to_vec()].concat();
    let declared = section(3, &[leb(count), vec![0; count]].concat());
    module(&[types(), declared, section(10, &[leb(count), [leb(body.len()), body].concat().repeat(count)].concat())])
}

/// Components in each other, `depth` of them.
fn nest(depth: usize) -> Vec<u8> {
    (0..depth).fold(component(&[]), |inner, _| component(&[section(4, &inner)]))
}

/// A chain of components, each of which instantiates the one before twice: 2 to the power of 30 instances.
fn doubling() -> Vec<u8> {
    let mut text = String::from("(component $c0)");
    for at in 1..=30 {
        let before = at - 1;
        text = format!(
            "{text} (component $c{at} (alias outer 1 $c{before} (component $b)) (instance (instantiate $b)) (instance (instantiate $b)))"
        );
    }
    wat::parse_str(format!("(component {text} (instance (instantiate $c30)))")).expect("text")
}

/// A core module with an export of a name of 100,000 bytes.
fn long_name() -> Vec<u8> {
    let name = vec![b'n'; 100_000];
    let export = section(7, &[vec![1], leb(name.len()), name, vec![0, 0]].concat());
    module(&[types(), section(3, &[1, 0]), export, section(10, &[1, 2, 0, 0x0b])])
}

pub fn types() -> Vec<u8> {
    section(1, &[1, 0x60, 0, 0])
}

/// A component around one core module.
pub fn module(sections: &[Vec<u8>]) -> Vec<u8> {
    component(&[section(1, &core(sections))])
}

pub fn core(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x01\0\0\0".to_vec(), sections.concat()].concat()
}

pub fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0".to_vec(), sections.concat()].concat()
}

pub fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![id], leb(bytes.len()), bytes.to_vec()].concat()
}

/// Unsigned LEB128.
pub fn leb(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        bytes.push(if value == 0 { low } else { low | 0x80 });
        if value == 0 {
            return bytes;
        }
    }
}
