//! Random components and modules, as wasm-smith makes them, through the check, the compiler and some into an instance:
//! whatever they are, they are refused for what they are or compiled, and nothing panics or outgrows its bound.

use super::guest::{Guest, compile, try_load};
use crate::failure::Kind;
use crate::{BatchSeed, CheckLimits, Settings, inspect};
use arbitrary::Unstructured;
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use wasm_smith::{Component, Config, Module};

/// Components, and modules, that are made; and how many of the modules are run too.
const EACH: u64 = 1_000;
const RUN: usize = 60;

#[test]
fn random_components_are_refused_or_compiled() {
    let mut compiled = 0;
    for seed in 0..EACH {
        let Some(component) = made(seed, |config, random| Ok(Component::new(config, random)?.to_bytes())) else {
            continue;
        };
        // By itself it has not what the contract asks for, within one that has it is compiled.
        let alone = inspect(&component, &CheckLimits::default()).unwrap_err();
        assert!(expected(&alone), "component {seed}: {alone}");
        compiled += usize::from(compiles(&[shell(), section(4, &component)].concat(), seed));
    }
    assert!(compiled > EACH as usize / 10, "only {compiled} were compiled");
}

#[test]
fn random_modules_are_refused_or_compiled_and_run() {
    let (mut compiled, mut run) = (0, 0);
    for seed in 0..EACH {
        let Some(module) = made(seed, |config, random| Ok(Module::new(config, random)?.to_bytes())) else { continue };
        if !compiles(&[shell(), section(1, &module)].concat(), seed) {
            continue;
        }
        compiled += 1;
        if run < RUN {
            run += 1;
            starts(&module, seed);
        }
    }
    assert!(compiled > EACH as usize / 3 && run == RUN, "only {compiled} were compiled");
}

/// What wasm-smith makes of a seed. Every fourth uses what is switched off, and is refused if it does.
fn made(seed: u64, make: impl FnOnce(Config, &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>>) -> Option<Vec<u8>> {
    let wild = seed % 4 == 3;
    let config = Config {
        max_imports: 0,
        max_funcs: 12,
        max_instructions: 120,
        max_memories: if wild { 3 } else { 1 },
        max_tables: if wild { 3 } else { 1 },
        max_components: 3,
        max_nesting_depth: 3,
        // References to anything but functions, which wasmtime counts among the types that need a garbage collector.
        reference_types_enabled: wild,
        threads_enabled: wild,
        exceptions_enabled: wild,
        gc_enabled: wild,
        relaxed_simd_enabled: wild,
        tail_call_enabled: wild,
        memory64_enabled: wild,
        custom_page_sizes_enabled: wild,
        wide_arithmetic_enabled: wild,
        allow_invalid_funcs: wild,
        ..Config::default()
    };
    // Numbers as good as any (Vigna's SplitMix64), the same in every run.
    let mut state = seed;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)).to_le_bytes()
    })
    .take(400)
    .flatten()
    .collect();
    make(config, &mut Unstructured::new(&bytes)).ok()
}

/// Whether it compiles; it may be refused for what it is.
fn compiles(component: &[u8], seed: u64) -> bool {
    let limits = CheckLimits::default();
    match compile(component, &limits) {
        Ok(artefact) => {
            let info = inspect(component, &limits).unwrap();
            assert!(info.work <= limits.work && info.largest_body <= limits.body && info.modules <= limits.modules);
            assert!(artefact.len() < (256 << 10) + component.len() * 256, "{seed}: {} bytes", artefact.len());
            true
        }
        Err(error) => {
            assert!(expected(&error), "{seed}: {error}");
            false
        }
    }
}

/// Instantiates it beside an honest guest: its start and its segments may fail or be cut off, by limits that hold.
fn starts(module: &[u8], seed: u64) {
    let limits = Limits { memory: 8 << 20, fuel_per_instance: 1_000_000, ..Limits::default() };
    // The guest's own module is number 0.
    let instance = section(2, &[1, 0, 1, 0]);
    let component = [Guest::default().component(), section(1, module), instance].concat();
    let program = match try_load(&component) {
        Ok(program) => program,
        Err(error) => {
            return assert!(
                [code::ARTEFACT_REFUSED, code::INVALID_COMPONENT].contains(&error.code()),
                "{seed}: {error}"
            );
        }
    };
    match program.instance(&Settings { limits, ..Settings::default() }, &BatchSeed::default()) {
        Ok(instance) => assert!(instance.memory() <= limits.memory),
        Err(failed) => {
            assert!(failed.kind != Kind::Host && failed.fuel <= limits.fuel_per_instance, "{seed}: {failed}");
        }
    }
}

/// Whether a component may be refused so.
fn expected(error: &Error) -> bool {
    let refusals = [
        code::INVALID_COMPONENT,
        code::COMPONENT_TOO_LARGE,
        code::IMPORT_NOT_OFFERED,
        code::EXPORT_MISSING,
        code::COMPOSED_COMPONENT,
    ];
    refusals.contains(&error.code())
}

/// A component that exports what the contract names, and nothing in it.
fn shell() -> Vec<u8> {
    wat::parse_str(
        r#"(component (instance $nothing)
            (export "lockgate:udf/describe@0.1.0" (instance $nothing))
            (export "lockgate:udf/transform@0.1.0" (instance $nothing)))"#,
    )
    .unwrap()
}

fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![id];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    [out, bytes.to_vec()].concat()
}
