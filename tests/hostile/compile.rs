//! Components that are large, deep or wide within the bounds, or just beyond them, beside the honest guest's own code: what
//! is refused for its form ([`super::bombs`]) is one half, what passes and must compile in time the other.

use super::attack::Verdict::{self, Fails, Harmless, Refused};
use super::attack::attempt;
use super::bombs::{core, leb, section, types};
use super::wat::{Guest, parse, signed};
use crate::harness::suite::Ended;
use lockgate_core::error::code::*;

/// Runs those that are soon done.
pub fn outcomes() -> Vec<Ended> {
    run(short())
}

/// Runs those that compile for long.
pub fn long() -> Vec<Ended> {
    run(within_bounds())
}

type Case = (&'static str, Vec<u8>, Verdict);

fn run(cases: Vec<Case>) -> Vec<Ended> {
    let run = |(name, wasm, verdict): Case| verdict.of("compile", name, attempt(signed(wasm), "f", "", verdict));
    cases.into_iter().map(run).collect()
}

/// The honest guest and more sections behind it.
fn with(sections: &[Vec<u8>]) -> Vec<u8> {
    [Guest::default().component(), sections.concat()].concat()
}

/// The honest guest, and a module beside it that is compiled but not run.
fn with_module(sections: &[Vec<u8>]) -> Vec<u8> {
    with(&[section(1, &core(sections))])
}

/// The honest guest, and a component of this text within it.
fn with_component(text: &str) -> Vec<u8> {
    with(&[section(4, &parse(&format!("(component {text})")))])
}

/// Functions that are each a body, of type number 0.
fn bodies(bodies: &[Vec<u8>]) -> [Vec<u8>; 2] {
    let code: Vec<u8> = bodies.iter().flat_map(|body| [leb(body.len()), body.clone()].concat()).collect();
    [section(3, &[leb(bodies.len()), vec![0; bodies.len()]].concat()), section(10, &[leb(bodies.len()), code].concat())]
}

fn functions(bodies: &[Vec<u8>]) -> Vec<u8> {
    let [declared, code] = self::bodies(bodies);
    with_module(&[types(), declared, code])
}

/// A body without locals.
fn body(instructions: &[u8]) -> Vec<u8> {
    [vec![0], instructions.to_vec(), vec![0x0b]].concat()
}

/// Each function calls the next, the last one none.
fn chain(length: usize) -> Vec<u8> {
    let call = |at: usize| body(&if at + 1 < length { [vec![0x10], leb(at + 1)].concat() } else { vec![] });
    functions(&(0..length).map(call).collect::<Vec<_>>())
}

/// A body that branches to itself, by a table of so many targets.
fn table(targets: usize) -> Vec<u8> {
    body(&[vec![0x41, 0, 0x0e], leb(targets), vec![0; targets + 1]].concat())
}

/// Types of which each is made of the one before, twice where `of` says so.
fn tower(height: usize, of: impl Fn(usize) -> String) -> String {
    let types = (1..=height).map(|at| format!("(type $t{at} {})", of(at - 1)));
    format!("(type $t0 u8) {}", types.collect::<String>())
}

fn cases_of(count: usize) -> String {
    (0..count).map(|at| format!("(case \"c{at}\")")).collect()
}

/// What no valid component has, or no component that is compiled.
fn short() -> Vec<Case> {
    let (invalid, too_large) = (Refused(INVALID_COMPONENT), Refused(COMPONENT_TOO_LARGE));
    let custom = |name: &str, bytes: usize| section(0, &[leb(name.len()), name.into(), vec![b'x'; bytes]].concat());
    let fields = |count: usize| (0..count).map(|at| format!("(field \"f{at}\" u8)")).collect::<String>();
    let words = |word: &str, count: usize| (0..count).map(|at| format!(" \"{word}{at}\"")).collect::<String>();
    let parameters = |count: usize| section(1, &[vec![1, 0x60], leb(count), vec![0x7f; count], vec![0]].concat());
    let results = |count: usize| section(1, &[vec![1, 0x60, 0], leb(count), vec![0x7f; count]].concat());
    let import = |name: usize| section(2, &[vec![1], leb(name), vec![b'n'; name], vec![1, b'x', 0, 0]].concat());
    let exports = |count: usize| {
        let each = |at: usize| [leb(format!("{at}").len()), format!("{at}").into_bytes(), vec![0, 0]].concat();
        section(7, &[leb(count), (0..count).flat_map(each).collect()].concat())
    };
    let outer = |count: usize| {
        let aliases: String = (0..count).map(|_| "(alias outer 1 0 (type))".to_owned()).collect();
        format!("(type u8) (component {aliases})")
    };
    vec![
        ("a-variant-of-1,001-cases", wide(1_001), Harmless),
        ("a-variant-of-10,001-cases", with_component(&format!("(type (variant {}))", cases_of(10_001))), invalid),
        ("an-enum-of-100,001-cases", with_component(&format!("(type (enum{}))", words("e", 100_001))), invalid),
        ("flags-of-33", with_component(&format!("(type (flags{}))", words("f", 33))), invalid),
        ("a-record-of-20,000-fields", with_component(&format!("(type (record {}))", fields(20_000))), invalid),
        ("types-100-deep", with_component(&tower(99, |t| format!("(list $t{t})"))), Harmless),
        ("types-49,000-deep", with_component(&tower(49_000, |t| format!("(list $t{t})"))), invalid),
        ("types-that-double", with_component(&tower(30, |t| format!("(tuple $t{t} $t{t})"))), invalid),
        (
            "types-that-grow-a-hundredfold",
            with_component(&tower(8, |t| format!("(tuple{})", format!(" $t{t}").repeat(100)))),
            invalid,
        ),
        ("instance-types-within-each-other", with(&[nested_type(0x42, 100_000)]), too_large),
        ("component-types-within-each-other", with(&[nested_type(0x41, 100_000)]), too_large),
        ("alias-bomb", with_component(&outer(200_001)), too_large),
        ("aliases-of-aliases", with_component(&outer(20_000)), Harmless),
        ("1,001-parameters", with_module(&[parameters(1_001)]), invalid),
        ("1,001-results", with_module(&[results(1_001)]), invalid),
        ("an-import-of-a-name-of-a-megabyte", with_module(&[types(), import(1 << 20)]), invalid),
        ("a-section-of-a-name-of-megabytes", with(&[custom(&"n".repeat(4 << 20), 1)]), invalid),
        ("names-of-megabytes", with_module(&[types(), names(2 << 20)]), Harmless),
        (
            "names-that-lie",
            with_module(&[types(), section(0, &[vec![4], b"name".to_vec(), vec![1, 0xff, 0xff, 3]].concat())]),
            Harmless,
        ),
        ("a-megabyte-of-ballast", with(&[custom("ballast", 1 << 20)]), Harmless),
        (
            "200,001-exports",
            with_module(&[types(), bodies(&[body(&[])])[0].clone(), exports(200_001), bodies(&[body(&[])])[1].clone()]),
            too_large,
        ),
        ("the-same-section-twice", with_module(&[types(), types()]), invalid),
        ("sections-out-of-order", with_module(&[section(3, &[0]), types()]), invalid),
        ("a-body-for-no-function", with_module(&[types(), section(10, &[1, 2, 0, 0x0b])]), invalid),
        ("a-function-of-no-type", with_module(&[section(3, &[1, 9]), section(10, &[1, 2, 0, 0x0b])]), invalid),
        ("an-index-beyond-all", functions(&[body(&[0x10, 0xff, 0xff, 0xff, 0x0f])]), invalid),
        (
            "blocks-at-the-bound",
            functions(&[body(&[[0x02, 0x40].repeat(3_000), vec![0x0b; 3_000]].concat())]),
            Harmless,
        ),
        ("locals-at-the-bound", functions(&[[vec![1], leb(10_000), vec![0x7f, 0x0b]].concat()]), Harmless),
        (
            "a-count-of-bodies-that-lies",
            with_module(&[types(), section(3, &[1, 0]), section(10, &leb(1_000_000))]),
            invalid,
        ),
        (
            "a-start-that-takes-something",
            with_module(&[
                section(1, &[1, 0x60, 1, 0x7f, 0]),
                section(3, &[1, 0]),
                section(8, &[0]),
                section(10, &[1, 2, 0, 0x0b]),
            ]),
            invalid,
        ),
        ("a-chain-of-1,000-calls", chain(1_000), Harmless),
        (
            "a-table-that-is-filled-by-segments",
            with_module(&[types(), section(4, &[1, 0x70, 0, 0]), section(9, &[1, 5, 0x70, 0])]),
            Harmless,
        ),
        ("a-br-table-beyond-the-compiler", functions(&[table(99_999)]), invalid),
        ("a-guest-that-never-describes", parse("(component)"), Refused(EXPORT_MISSING)),
        (
            "initial-memory-in-a-module-that-is-never-run",
            with(&[section(1, &parse("(module (memory 65536))"))]),
            Fails(ARTEFACT_REFUSED),
        ),
    ]
}

/// A type of instances or components that declares such a type, which declares one again, and so on.
fn nested_type(kind: u8, depth: usize) -> Vec<u8> {
    section(7, &[vec![1], [kind, 1, 1].repeat(depth), vec![0x7d]].concat())
}

/// A guest that exports a function of a variant of so many cases, each with a list in it.
fn wide(cases: usize) -> Vec<u8> {
    let cases: Vec<String> = (0..cases).map(|at| format!("c{at}(list<u8>)")).collect();
    let world = format!(
        "package test:wide; interface wide {{ variant big {{ {} }} take: func(big: big) -> big; }}
         world guest {{ include lockgate:udf/transform-udf@0.1.0; export wide; }}",
        cases.join(", ")
    );
    let items = r#"(func (export "test:wide/wide#take") (param i32 i32 i32) (result i32) (i32.const 0))"#;
    Guest { items, ..Guest::default() }.component_for(&world)
}

/// A custom section of function names: one of this many bytes.
fn names(bytes: usize) -> Vec<u8> {
    let name = [leb(1), leb(0), leb(bytes), vec![b'n'; bytes]].concat();
    section(0, &[vec![4], b"name".to_vec(), vec![1], leb(name.len()), name].concat())
}

/// What is within the bounds and costs the compiler most.
fn within_bounds() -> Vec<Case> {
    let deep = |depth: usize| body(&[[0x02, 0x40].repeat(depth), vec![0x0b; depth]].concat());
    let loops = |depth: usize| body(&[[0x03, 0x40].repeat(depth), vec![0x0b; depth]].concat());
    let sums = |count: usize| body(&[vec![0x41, 0], [0x41, 1, 0x6a].repeat(count), vec![0x1a]].concat());
    let ballast = section(0, &[vec![1, b'x'], vec![0; 40 << 20]].concat());
    let data = section(11, &[vec![1, 1], leb(32 << 20), vec![7; 32 << 20]].concat());
    vec![
        ("10,000-functions", functions(&vec![body(&[]); 10_000]), Harmless),
        ("a-chain-of-10,000-calls", chain(10_000), Harmless),
        ("a-giant-br-table", functions(&[table(65_000)]), Harmless),
        ("many-giant-br-tables", functions(&vec![table(20_000); 20]), Harmless),
        ("2,999-blocks-ten-times", functions(&vec![deep(2_999); 10]), Harmless),
        ("2,000-loops", functions(&[loops(2_000)]), Harmless),
        ("a-function-of-a-megabyte", functions(&[sums(340_000)]), Harmless),
        ("40-mib-of-ballast", with(&[ballast]), Harmless),
        ("32-mib-of-data", with_module(&[data]), Harmless),
    ]
}
