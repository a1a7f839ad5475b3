//! In-toto statements: what is read writes what reads the same, and its lists can be asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::statement::Statement;

fuzz_target!(|bytes: &[u8]| {
    let Ok(statement) = Statement::parse(bytes) else { return };
    let _ = (statement.predicate.subjects(), statement.predicate.touches());
    let json = statement.to_json().expect("it can be written");
    assert_eq!(Statement::parse(&json).expect("what was written is refused"), statement);
});
