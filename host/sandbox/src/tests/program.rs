//! Compiling, loading, describing and calling.

use super::guest::{Guest, call, engine, given};
use crate::{BatchSeed, Settings};
use lockgate_core::limits::Limits;

#[test]
fn describes_and_calls() {
    let mut instance = Guest::default().instance(&Settings::default()).unwrap();
    let described = instance.describe().unwrap();
    assert_eq!(described[0].name, "f");
    assert_eq!(described[0].inputs[0].fields[0].data_type.to_string(), "int64");
    let field = &described[0].outputs[0].fields[0];
    assert_eq!((field.name.as_str(), field.nullable), ("y", true));
    assert_eq!(engine().describe(&Guest::default().component(), &Limits::default()).unwrap(), described);
    for rows in [0, 1, 8_192] {
        let data: Vec<u8> = (0..rows * 8).map(|byte| byte as u8).collect();
        assert_eq!(given(call(&mut instance, rows, &data).unwrap()), data);
    }
    let usage = instance.usage();
    assert_eq!((usage.calls, usage.rows, usage.traps, usage.instances), (4, 8_193, 0, 1));
    assert!(usage.fuel > 0 && usage.per_record.quantile(500) <= usage.per_record.max());
    let _ = BatchSeed::default();
}
