//! The compiler through its process, as it is started anywhere.

use super::ask::{hear_out, start};
use super::*;
use crate::testing::{executors, program};
use std::cell::RefCell;
use std::io::Write as _;
use std::time::Duration;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// An honest component that describes nothing, with these further items in its core module.
fn component(items: &str) -> Vec<u8> {
    let core = format!(
        r#"(module
        (memory (export "memory") 1)
        (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "lockgate:udf/describe@0.1.0#describe") (result i32) (i32.const 0))
        (func (export "lockgate:udf/transform@0.1.0#call") (param i32 i32 i32) (result i32) (i32.const 0))
        {items})"#
    );
    let mut resolve = Resolve::default();
    let package = resolve.push_str("udf.wit", include_str!("../../../../wit/udf.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("transform-udf")).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

fn compiler() -> Compiler {
    Compiler::new().with_program(&program())
}

fn request(question: Question, component: &[u8]) -> Request {
    let size = component.len() as u64;
    Request { version: VERSION, question, policy: Policy::Required, cpu: 1, memory: 1 << 30, size }
}

/// A function of 2,900 nested loops, each of which carries values: of all shapes that the checks let through, small and
/// dear. One is half of what a component may have of it, and takes about a second.
fn loops() -> String {
    let open = "(loop (local.set 1 (i32.add (local.get 1) (local.get 2))) (br_if 0 (local.get 0)) ".repeat(2_900);
    format!("(func (param i32) (local {}) {open} {})", "i32 ".repeat(200), ")".repeat(2_900))
}

/// Functions that take several seconds to compile in all, and little memory.
fn slow() -> String {
    let call = "(drop (call $f (local.get 0) (i32.const 1) (i32.const 2) (local.get 0)))".repeat(40_000);
    let callers = format!("(func (param i32) {call})").repeat(5);
    format!("(func $f (param i32 i32 i32 i32) (result i32) (i32.const 1)) {callers} {} {}", loops(), loops())
}

/// One function of 700 KB.
fn long() -> String {
    let sum = "(i32.mul (i32.add (local.get 0) (i32.const 77)))".repeat(100_000);
    format!("(func (param i32) (result i32) (local.get 0) {sum})")
}

#[test]
fn a_component_is_checked_compiled_and_described() {
    let (compiler, wasm) = (compiler(), component(""));
    let info = compiler.inspect(&wasm).unwrap();
    assert_eq!(info, lockgate_sandbox::inspect(&wasm, &CheckLimits::default()).unwrap());
    assert_eq!(compiler.compatibility().unwrap(), lockgate_sandbox::compatibility().unwrap());
    let optimised = compiler.attempt(&wasm, info.code, true).unwrap();
    let plain = compiler.attempt(&wasm, info.code, false).unwrap();
    assert_eq!((&optimised.0, &plain.0), (&info, &info));
    assert_ne!(optimised.1, plain.1);
    // An executor takes both.
    let executor = executors(1).of(&Name::new("author").unwrap()).unwrap();
    for artefact in [&optimised.1, &plain.1] {
        let code = executor.put(Digest::of(artefact), artefact).unwrap();
        assert_eq!(executor.describe(code, &Limits::default()).unwrap(), []);
    }
    assert_eq!(compiler.describe(&executor, &wasm, &Limits::default()).unwrap(), []);
}

#[test]
fn what_is_no_component_is_refused_with_its_own_code() {
    let compiler = compiler();
    for (wasm, expected) in [
        (&b"#!/bin/sh"[..], code::INVALID_COMPONENT),
        (b"\0asm\x01\0\0\0", code::NOT_A_COMPONENT),
        (b"\0asm\x0d\0\x01\0", code::EXPORT_MISSING),
        (b"", code::INVALID_COMPONENT),
    ] {
        let told = lockgate_sandbox::inspect(wasm, &CheckLimits::default()).unwrap_err();
        assert_eq!(told.code(), expected);
        assert_eq!(compiler.inspect(wasm).unwrap_err(), told);
        assert_eq!(compiler.compiled(wasm).unwrap_err(), told);
    }
    let large = vec![0; (64 << 20) + 1];
    let told = lockgate_sandbox::inspect(&large, &CheckLimits::default()).unwrap_err();
    assert_eq!(compiler.inspect(&large).unwrap_err(), told);
}

#[test]
fn what_takes_too_long_is_tried_again_and_refused() {
    let budget = Budget { most_seconds: 1, ..Budget::default() };
    let (compiler, wasm) = (compiler().with_budget(budget), component(&slow()));
    let error = compiler.compiled(&wasm).unwrap_err();
    assert_eq!(error.code(), code::COMPILE_TIME, "{error}");
    assert_eq!(error.cause().matches("more than 1 s of processor time").count(), 2, "{error}");
    assert!(error.cause().contains("without optimising"), "{error}");
    let exit = compiler.ask(Question::Compile { optimise: false }, 0, &wasm).exit.unwrap();
    // The kernel counts ticks.
    assert!(exit.cpu > Duration::from_millis(750) && exit.cpu < Duration::from_millis(1_500), "{exit:?}");
}

#[test]
fn what_takes_too_much_memory_is_tried_again_and_refused() {
    let wasm = component(&long());
    let compiler = compiler().with_budget(Budget { memory: 256 << 20, ..Budget::default() });
    let error = compiler.compiled(&wasm).unwrap_err();
    assert_eq!(error.code(), code::COMPILE_MEMORY, "{error}");
    assert_eq!(error.cause().matches("more than 256 MiB of memory").count(), 2, "{error}");
    // It is not refused for anything else.
    assert!(compiler.with_budget(Budget::default()).compiled(&wasm).is_ok());
}

#[test]
fn the_dearest_small_component_costs_three_seconds_at_most() {
    let compiler = compiler();
    // What is not code buys no time: here it is a section that nobody reads, of 4 MiB.
    let mut wasm = component(&format!("{} {}", loops(), loops()));
    wasm.extend([0, 0x81, 0x80, 0x80, 0x02]);
    wasm.resize(wasm.len() + (4 << 20) + 1, 0);
    let code = compiler.inspect(&wasm).unwrap().code;
    // One more of them is beyond what is compiled at all.
    let more = component(&format!("{} {} {}", loops(), loops(), loops()));
    assert_eq!(compiler.compiled(&more).unwrap_err().code(), code::COMPONENT_TOO_LARGE);
    let mut cpu = Duration::ZERO;
    for optimise in [true, false] {
        let asked = compiler.ask(Question::Compile { optimise }, code, &wasm);
        cpu += asked.exit.unwrap().cpu;
        match asked.answer {
            Ok(_) => break,
            Err(error) => assert_eq!(error.code(), code::COMPILE_TIME, "{error}"),
        }
    }
    assert!(cpu < Duration::from_millis(3_500), "{cpu:?}");
}

#[test]
fn only_a_breach_is_tried_again() {
    let error = |code| Err::<u8, _>(Error::new(code, "it"));
    let run = |answers: [Result<u8>; 2]| {
        let asked = RefCell::new(Vec::new());
        let result = twice(|optimise| {
            asked.borrow_mut().push(optimise);
            answers[usize::from(!optimise)].clone()
        });
        (result.map_err(|error| error.code()), asked.into_inner())
    };
    assert_eq!(run([Ok(1), Ok(2)]), (Ok(1), vec![true]));
    assert_eq!(run([error(code::COMPILER_GONE), Ok(2)]), (Err(code::COMPILER_GONE), vec![true]));
    for breach in [code::COMPILE_TIME, code::COMPILE_MEMORY] {
        assert_eq!(run([error(breach), Ok(2)]), (Ok(2), vec![true, false]));
        assert_eq!(run([error(breach), error(code::COMPILE_TIME)]), (Err(code::COMPILE_TIME), vec![true, false]));
        assert_eq!(run([error(breach), error(code::COMPILER_GONE)]), (Err(code::COMPILER_GONE), vec![true, false]));
    }
}

#[test]
fn a_compiler_that_is_killed_or_ends_without_a_word_is_an_error() {
    let wasm = component("");
    let started = start(&program()).unwrap();
    started.process.kill().unwrap();
    let asked = hear_out(started, &request(Question::Check, &wasm), &wasm);
    let error = asked.answer.err().unwrap();
    assert!(error.code() == code::COMPILER_GONE && error.cause().contains("signal 9"), "{error}");
    for (program, expected, text) in [
        ("/bin/true", code::COMPILER_GONE, "status 0 and no answer"),
        ("/bin/false", code::COMPILER_GONE, "status 1 and no answer"),
        ("/nowhere/lockgate", code::COMPILER_UNAVAILABLE, "/nowhere/lockgate"),
        ("/dev/null", code::COMPILER_UNAVAILABLE, "/dev/null"),
    ] {
        let error = Compiler::new().with_program(program.as_ref()).inspect(&wasm).unwrap_err();
        assert!(error.code() == expected && error.cause().contains(text), "{program}: {error}");
    }
}

#[test]
fn a_request_of_another_version_is_told_as_such() {
    let other = Request { version: VERSION + 1, ..request(Question::Check, &[]) };
    let error = hear_out(start(&program()).unwrap(), &other, &[]).answer.err().unwrap();
    assert!(error.code() == code::COMPILER_GONE && error.cause().contains("another version"), "{error}");
}

/// What the kernel says of a process, under `key`.
fn status(pid: u32, key: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':')).unwrap();
    line.trim().to_owned()
}

#[test]
fn no_byte_of_a_component_is_read_before_all_walls_stand() {
    let mut started = start(&program()).unwrap();
    let asked = request(Question::Compile { optimise: true }, &[0; 8]);
    started.request.write_all(&wire::framed(&asked, wire::MAX_REQUEST).unwrap()).unwrap();
    // It waits for the component now, behind its walls.
    let pid = started.process.pid();
    while status(pid, "Seccomp") != "2" {
        assert!(started.process.is_alive());
        std::thread::yield_now();
    }
    assert_eq!((status(pid, "NoNewPrivs"), status(pid, "Threads")), ("1".into(), "1".into()));
    for capabilities in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&status(pid, capabilities), 16), Ok(0), "{capabilities}");
    }
    // What comes now is the component: eight bytes of whatever.
    let asked = hear_out(started, &asked, &[]);
    assert_eq!(asked.answer.err().map(|error| error.code()), Some(code::INVALID_COMPONENT));
}
