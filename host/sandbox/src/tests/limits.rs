//! Every limit, exceeded; every way to fail, met with its code.

use super::guest::{Guest, call, compile, engine};
use crate::cancel::Watch;
use crate::instance::drive;
use crate::limiter::{MAX_MEMORIES, MAX_TABLES};
use crate::{BatchSeed, Cancel, Engine, EngineOptions, Kind, Settings};
use lockgate_core::Code;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use wasmtime::component::{Component, Linker};
use wasmtime::{PoolConcurrencyLimitError, Store};

const FOREVER: &str = "(loop $forever (br $forever)) (unreachable)";

fn limits(change: impl FnOnce(&mut Limits)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings.limits);
    settings
}

#[track_caller]
fn fails(guest: Guest<'_>, settings: &Settings, kind: Kind, code: Code) -> String {
    let error = guest.run(settings).unwrap_err();
    assert_eq!((error.kind, error.error.code()), (kind, code), "{error}");
    error.to_string()
}

#[track_caller]
fn call_fails(body: &str, settings: &Settings, kind: Kind, code: Code) -> String {
    fails(Guest { call: body, ..Guest::default() }, settings, kind, code)
}

#[test]
fn fuel_cuts_off_and_is_reported() {
    let settings = limits(|limits| (limits.fuel_per_batch, limits.fuel_per_record) = (5_000_000, 10));
    let mut instance = Guest { call: FOREVER, ..Guest::default() }.instance(&settings).unwrap();
    let error = call(&mut instance, 3, &[0; 24]).unwrap_err();
    assert_eq!((error.kind, error.error.code(), error.fuel), (Kind::Limit, code::OUT_OF_FUEL, 5_000_030));
    assert!(error.divisible() && instance.poisoned() && instance.should_replace());
    assert_eq!((instance.usage().traps, instance.usage().fuel), (1, 5_000_030));
    assert_eq!(call(&mut instance, 1, &[0; 8]).unwrap_err().error.code(), code::INTERNAL);
}

#[test]
fn host_calls_use_fuel_and_are_stopped() {
    let logging = Guest {
        imports: r#"(import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))"#,
        call: "(loop $forever (call $log (i32.const 2) (i32.const 0) (i32.const 8)) (br $forever)) (unreachable)",
        ..Guest::default()
    };
    let settings = limits(|limits| limits.fuel_per_batch = 1_000_000);
    fails(logging, &settings, Kind::Limit, code::OUT_OF_FUEL);
    // A host call puts the fibre's next yield off: these two are seen by the host call itself.
    let endless = limits(|limits| (limits.fuel_per_batch, limits.deadline) = (u64::MAX, 20));
    fails(logging, &endless, Kind::Deadline, code::DEADLINE_PASSED);
}

#[test]
fn cancel_and_deadline_stop_a_loop() {
    let endless = limits(|limits| limits.fuel_per_batch = u64::MAX);
    let guest = Guest { call: FOREVER, ..Guest::default() };
    let mut instance = guest.instance(&endless).unwrap();
    let cancel = endless.cancel.clone();
    let error = std::thread::scope(|scope| {
        scope.spawn(move || cancel.cancel());
        call(&mut instance, 1, &[0; 8]).unwrap_err()
    });
    assert_eq!((error.kind, error.error.code()), (Kind::Cancelled, code::CALL_CANCELLED));
    assert!(!error.divisible() && instance.poisoned());
    let late = Settings { cancel: Cancel::new(), limits: Limits { deadline: 20, ..endless.limits }, ..endless };
    fails(guest, &late, Kind::Deadline, code::DEADLINE_PASSED);
}

#[test]
fn a_neighbour_does_not_notice() {
    let mut good = Guest::default().instance(&Settings::default()).unwrap();
    call_fails(FOREVER, &limits(|limits| limits.fuel_per_batch = 1_000_000), Kind::Limit, code::OUT_OF_FUEL);
    assert!(call(&mut good, 1, &[0; 8]).is_ok());
}

#[test]
fn memory_is_summed_over_memories_and_tables() {
    let pages = "(drop (call $must (memory.grow (i32.const 16)))) (call $echo (local.get $batches))";
    let elements =
        "(drop (call $must (table.grow $t (ref.null func) (i32.const 100000)))) (call $echo (local.get $batches))";
    let items = "(table $t 0 funcref) (func $must (param i32) (result i32)
        (if (i32.lt_s (local.get 0) (i32.const 0)) (then (unreachable))) (local.get 0))";
    let both = format!("(drop (call $must (memory.grow (i32.const 8)))) {elements}");
    let settings = limits(|limits| limits.memory = 1 << 20);
    // Alone the table's 800,000 bytes fit beside the memory's two pages; after half a megabyte more they do not.
    assert!(Guest { items, call: elements, ..Guest::default() }.run(&settings).is_ok());
    for call in [pages, &both] {
        let message = fails(Guest { items, call, ..Guest::default() }, &settings, Kind::Limit, code::MEMORY_LIMIT);
        assert!(message.contains("1048576 bytes"), "{message}");
    }
    // A guest that copes with the refusal goes on.
    let copes = "(drop (memory.grow (i32.const 1000))) (call $echo (local.get $batches))";
    assert!(Guest { call: copes, ..Guest::default() }.run(&settings).is_ok());
    let none = limits(|limits| limits.memory = 65_536);
    let message = fails(Guest::default(), &none, Kind::Limit, code::MEMORY_LIMIT);
    assert!(message.contains("making an instance"), "{message}");
}

#[test]
fn growing_and_filling_cost_fuel() {
    let fuel = |call| Guest { call, ..Guest::default() }.run(&Settings::default()).unwrap().fuel;
    let plain = fuel("(call $echo (local.get $batches))");
    let grows = fuel("(drop (memory.grow (i32.const 100))) (call $echo (local.get $batches))");
    let fills =
        fuel("(memory.fill (i32.const 65536) (i32.const 0) (i32.const 65536)) (call $echo (local.get $batches))");
    assert!(grows - plain >= 25_500 && fills - plain >= 65_536, "{plain} {grows} {fills}");
}

#[test]
fn the_stack_ends() {
    let items = "(func $deeper (param i32) (result i32) (i32.add (call $deeper (local.get 0)) (i32.const 1)))";
    let guest = Guest { items, call: "(call $deeper (i32.const 0))", ..Guest::default() };
    fails(guest, &Settings::default(), Kind::Limit, code::STACK_OVERFLOW);
}

#[test]
fn traps_have_a_kind_and_a_backtrace() {
    for (body, text) in [
        ("(unreachable)", "unreachable"),
        ("(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
        ("(i32.load (i32.const 0x7fffffff))", "out of bounds memory"),
        ("(i32.trunc_f32_s (f32.const nan))", "invalid conversion"),
    ] {
        let message = call_fails(body, &Settings::default(), Kind::Trap, code::GUEST_TRAP);
        assert!(message.contains(text), "{message}");
    }
    let guest = Guest { items: "(func $inner (unreachable))", call: "(call $inner) (unreachable)", ..Guest::default() };
    let trace = guest.run(&Settings::default()).unwrap_err().backtrace.unwrap();
    assert!(trace.lines().next().unwrap().contains("inner"), "{trace}");
    let recursion = "(func $deeper (call $deeper) (call $deeper))";
    let guest = Guest { items: recursion, call: "(call $deeper) (unreachable)", ..Guest::default() };
    assert!(guest.run(&Settings::default()).unwrap_err().backtrace.unwrap().lines().count() <= 16);
}

#[test]
fn output_is_bounded() {
    let settings = Settings::default();
    let rows = "(call $give (i32.const 1001) (i32.const 0) (i32.const 8))";
    call_fails(rows, &settings, Kind::Limit, code::OUTPUT_ROWS);
    let bytes = "(drop (memory.grow (i32.const 32))) (call $give (i32.const 1) (i32.const 0) (i32.const 0x180000))";
    call_fails(bytes, &settings_with_bytes(0), Kind::Limit, code::OUTPUT_BYTES);
    assert!(Guest { call: bytes, ..Guest::default() }.run(&settings_with_bytes(1 << 20)).is_ok());
    call_fails(bytes, &limits(|limits| limits.transfer = 1 << 20), Kind::Limit, code::TRANSFER_LIMIT);
}

fn settings_with_bytes(output_bytes: u64) -> Settings {
    limits(|limits| limits.output_bytes = output_bytes)
}

#[test]
fn the_canonical_abi_is_enforced() {
    let realloc = |realloc| Guest { realloc, ..Guest::default() };
    let settings = Settings::default();
    fails(realloc("(unreachable)"), &settings, Kind::Trap, code::GUEST_TRAP);
    fails(realloc("(return (i32.const 0xfffffff0))"), &settings, Kind::Trap, code::ABI_VIOLATION);
    fails(realloc("(return (i32.const 8193))"), &settings, Kind::Trap, code::ABI_VIOLATION);
    fails(realloc(FOREVER), &limits(|limits| limits.fuel_per_batch = 100_000), Kind::Limit, code::OUT_OF_FUEL);
    for body in [
        "(i32.const -4)",
        "(i32.const 4121)",
        "(call $give (i32.const 1) (i32.const 0) (i32.const 0x7fffffff))",
        "(i32.store8 (i32.const 4120) (i32.const 9)) (i32.const 4120)",
        "(drop (call $echo (local.get $batches))) (i32.store (i32.const 4128) (i32.const 0x10000000)) (i32.const 4120)",
    ] {
        call_fails(body, &settings, Kind::Trap, code::ABI_VIOLATION);
    }
    let bad_text = "(i32.store8 (i32.const 4120) (i32.const 1)) (i32.store8 (i32.const 5000) (i32.const 255))
        (i32.store (i32.const 4124) (i32.const 5000)) (i32.store (i32.const 4128) (i32.const 1)) (i32.const 4120)";
    call_fails(bad_text, &settings, Kind::Trap, code::ABI_VIOLATION);
}

#[test]
fn an_error_of_the_guest_is_tamed_and_leaves_the_instance_alive() {
    let body = r"(i32.store8 (i32.const 4120) (i32.const 1)) (i32.store (i32.const 5000) (i32.const 0x0a1b6f6e))
        (i32.store (i32.const 4124) (i32.const 5000)) (i32.store (i32.const 4128) (i32.const 4)) (i32.const 4120)";
    let mut instance = Guest { call: body, ..Guest::default() }.instance(&Settings::default()).unwrap();
    let error = call(&mut instance, 1, &[0; 8]).unwrap_err();
    assert_eq!((error.kind, error.error.code()), (Kind::GuestError, code::GUEST_ERROR));
    assert!(error.error.cause().ends_with(r"no\u{1b}\n"), "{error}");
    assert!(!instance.poisoned());
}

#[test]
fn start_functions_are_billed_and_cut_off() {
    let start = |items| Guest { items, ..Guest::default() };
    let endless = start("(func $s (loop $l (br $l))) (start $s)");
    let error = endless.run(&limits(|limits| limits.fuel_per_instance = 3_000_000)).unwrap_err();
    assert_eq!((error.error.code(), error.fuel), (code::OUT_OF_FUEL, 3_000_000));
    assert!(error.to_string().contains("making an instance"), "{error}");
    fails(
        endless,
        &limits(|limits| (limits.fuel_per_instance, limits.deadline) = (u64::MAX, 20)),
        Kind::Deadline,
        code::DEADLINE_PASSED,
    );
    fails(start("(func $s (unreachable)) (start $s)"), &Settings::default(), Kind::Trap, code::START_FAILED);
    let busy = start(
        "(func $s (local i32) (loop $l (local.set 0 (i32.add (local.get 0) (i32.const 1)))
        (br_if $l (i32.lt_u (local.get 0) (i32.const 1000))))) (start $s)",
    );
    assert!(busy.instance(&Settings::default()).unwrap().usage().instance_fuel >= 5_000);
}

#[test]
fn the_same_call_uses_the_same_fuel() {
    let mut instance = Guest::default().instance(&Settings::default()).unwrap();
    let first = call(&mut instance, 4, &[1; 32]).unwrap().fuel;
    assert_eq!(call(&mut instance, 4, &[1; 32]).unwrap().fuel, first);
    let mut other = Guest::default().instance(&Settings::default()).unwrap();
    assert_eq!(call(&mut other, 4, &[1; 32]).unwrap().fuel, first);
}

#[test]
fn an_instance_that_leaks_is_to_be_replaced_before_it_fails() {
    let leaks = "(drop (memory.grow (i32.const 8))) (call $echo (local.get $batches))";
    let settings = limits(|limits| limits.memory = 4 << 20);
    let mut instance = Guest { call: leaks, ..Guest::default() }.instance(&settings).unwrap();
    let mut calls = 0;
    while !instance.should_replace() {
        call(&mut instance, 1, &[0; 8]).unwrap();
        calls += 1;
    }
    assert!(!instance.poisoned() && (3..=4).contains(&calls), "{calls}");
    assert_eq!(instance.usage().peak_memory, instance.memory());
}

#[test]
fn limits_beyond_the_engine_are_refused() {
    for settings in [limits(|limits| limits.memory = 1 << 30), limits(|limits| limits.stack = 1 << 20)] {
        fails(Guest::default(), &settings, Kind::Host, code::LIMIT_ABOVE_EXECUTOR);
    }
}

#[test]
#[expect(unsafe_code, reason = "the artefact is of an engine of the same configuration")]
fn there_is_an_end_to_instances() {
    let small = Engine::new(&EngineOptions { slots: 1, ..EngineOptions::default() }).unwrap();
    assert_eq!(small.compatibility(), engine().compatibility());
    let artefact = compile(&Guest::default().component(), &crate::CheckLimits::default()).unwrap();
    // SAFETY: an engine of the same compatibility has just made it.
    let program = unsafe { small.load(&artefact) }.unwrap();
    let first = program.instance(&Settings::default(), &BatchSeed::default()).unwrap();
    let error = program.instance(&Settings::default(), &BatchSeed::default()).unwrap_err();
    assert_eq!((error.kind, error.error.code()), (Kind::Host, code::NO_INSTANCE_SLOT));
    drop(first);
    assert!(program.instance(&Settings::default(), &BatchSeed::default()).is_ok());
}

#[test]
fn the_pool_has_room_for_every_instance_whatever_it_is_made_of() {
    let options = EngineOptions { slots: 3, memory_ceiling: 1 << 20, ..EngineOptions::default() };
    let engine = Engine::new(&options).unwrap();
    let tables = "(table 1 funcref)".repeat((MAX_TABLES / MAX_MEMORIES) as usize);
    let instances = "(core instance (instantiate $m))".repeat(MAX_MEMORIES as usize);
    let text = format!("(component (core module $m (memory 1) {tables}) {instances})");
    let component = Component::new(engine.wasmtime(), wat::parse_str(text).unwrap()).unwrap();
    let linker = Linker::<()>::new(engine.wasmtime());
    let watch = Watch { cancel: Cancel::new(), deadline: None };
    let make = || {
        let mut store = Store::new(engine.wasmtime(), ());
        drive(linker.instantiate_async(&mut store, &component), &watch).map(|_| store)
    };
    let made: Vec<_> = (0..3).map(|_| make().unwrap()).collect();
    assert!(make().unwrap_err().is::<PoolConcurrencyLimitError>());
    drop(made);
    assert!(make().is_ok());
}
