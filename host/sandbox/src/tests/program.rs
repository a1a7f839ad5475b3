//! Compiling, loading, describing and calling.

use super::guest::{Guest, call, compile, engine, given};
use crate::{BatchSeed, CheckLimits, Compiler, Settings, inspect};
use lockgate_core::error::code;
use lockgate_core::limits::Limits;

#[test]
fn describes_and_calls() {
    let mut instance = Guest::default().instance(&Settings::default()).unwrap();
    let described = instance.describe().unwrap();
    assert_eq!(described[0].name, "f");
    assert_eq!(described[0].inputs[0].fields[0].data_type.to_string(), "int64");
    let field = &described[0].outputs[0].fields[0];
    assert_eq!((field.name.as_str(), field.nullable), ("y", true));
    assert_eq!(Guest::default().program().describe(&Limits::default()).unwrap(), described);
    for rows in [0, 1, 8_192] {
        let data: Vec<u8> = (0..rows * 8).map(|byte| byte as u8).collect();
        assert_eq!(given(call(&mut instance, rows, &data).unwrap()), data);
    }
    let usage = instance.usage();
    assert_eq!((usage.calls, usage.rows, usage.traps, usage.instances), (4, 8_193, 0, 1));
    assert!(usage.fuel > 0 && usage.per_record.quantile(500) <= usage.per_record.max());
}

#[test]
fn malformed_descriptions_are_refused() {
    // The one description, `count` times.
    let repeated = |count| {
        format!(
            "(local $i i32) (loop $l
                (memory.copy (i32.add (i32.const 16384) (i32.mul (local.get $i) (i32.const 40))) (i32.const 8) (i32.const 40))
                (local.set $i (i32.add (local.get $i) (i32.const 1)))
                (br_if $l (i32.lt_u (local.get $i) (i32.const {count}))))
            (i32.store (i32.const 0) (i32.const 16384)) (i32.store (i32.const 4) (i32.const {count}))"
        )
    };
    let described = |body: &str| {
        let describe = format!("{body} (i32.const 0)");
        Guest { describe: &describe, ..Guest::default() }.program().describe(&Limits::default())
    };
    assert!(described("").is_ok());
    for (body, expected) in [
        // An empty name of the function, a control character in the field's name, too many functions, one twice.
        ("(i32.store (i32.const 12) (i32.const 0))", code::DESCRIBE_INVALID),
        ("(i32.store8 (i32.load (i32.const 80)) (i32.const 10))", code::DESCRIBE_INVALID),
        (&repeated(257), code::DESCRIBE_INVALID),
        (&repeated(2), code::DESCRIBE_INVALID),
        // "xnt64", and "list<" for "int64".
        ("(i32.store8 (i32.load (i32.const 88)) (i32.const 120))", code::UNKNOWN_TYPE),
        ("(i64.store (i32.load (i32.const 88)) (i64.const 0x003c7473696c))", code::UNSUPPORTED_TYPE),
        ("(unreachable)", code::GUEST_TRAP),
    ] {
        let error = described(body).unwrap_err();
        assert_eq!(error.code(), expected, "{body}: {error}");
    }
}

#[test]
#[expect(unsafe_code, reason = "what is not an artefact at all is refused before anything is run")]
fn what_is_no_artefact_is_refused() {
    let component = Guest::default().component();
    // SAFETY: neither holds machine code.
    let errors = unsafe { [engine().load(b"").unwrap_err(), engine().load(&component).unwrap_err()] };
    assert!(errors.iter().all(|error| error.code() == code::ARTEFACT_REFUSED));
    assert!(inspect(&component, &CheckLimits::default()).is_ok());
}

#[test]
#[expect(unsafe_code, reason = "the artefact is of a compiler for this very engine")]
fn what_was_compiled_without_optimising_runs_in_the_same_engine() {
    let component = Guest::default().component();
    let plain = Compiler::new(false).unwrap().compile(&component, &CheckLimits::default()).unwrap().1;
    assert_ne!(plain, compile(&component, &CheckLimits::default()).unwrap());
    // SAFETY: this program has just made it, for an engine like this.
    let program = unsafe { engine().load(&plain) }.unwrap();
    let mut instance = program.instance(&Settings::default(), &BatchSeed::default()).unwrap();
    assert!(call(&mut instance, 2, &[0; 16]).is_ok());
}

#[test]
fn the_compiler_makes_what_the_engine_takes() {
    assert_eq!(crate::compatibility().unwrap(), engine().compatibility());
}
