//! A guest written by hand whose parts a case replaces: it describes one function `f` from `x: int64` to `y: int64`,
//! which gives back its input. No compiler and no SDK stand between a case and the ABI that it breaks.

use super::attack::{Verdict, attempt};
use crate::harness;
use crate::harness::suite::Ended;
use lockgate_core::bundle::Part;
use lockgate_core::types::{Field, FunctionDescription, LogicalType, Port};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Name, guest, limits that differ from the defaults, and how it must end.
pub type Case = (&'static str, Guest<'static>, &'static str, Verdict);

/// What an honest `call` does.
pub const ECHO: &str = "(call $echo (local.get $batches))";
/// Never ends.
pub const LOOP: &str = "(loop $again (br $again))";
/// Limits with more fuel, for attacks that are not after fuel.
pub const FUEL: &str = "fuel-per-batch = \"500M\"";

/// Runs guests of one group.
pub fn outcomes(group: &'static str, cases: Vec<Case>) -> Vec<Ended> {
    let run =
        |(name, guest, limits, verdict): Case| verdict.of(group, name, attempt(guest.part(), "f", limits, verdict));
    cases.into_iter().map(run).collect()
}

/// A guest with this body of `call`.
pub fn call(call: &'static str) -> Guest<'static> {
    Guest { call, ..Guest::default() }
}

/// A guest whose `call` does this before it is honest.
pub fn first(instructions: &str) -> Guest<'static> {
    call(leaked(format!("{instructions} {ECHO}")))
}

/// A guest whose `cabi_realloc` does this first.
pub fn realloc(realloc: &'static str) -> Guest<'static> {
    Guest { realloc, ..Guest::default() }
}

/// A guest with this body of `describe`.
pub fn describe(describe: &'static str) -> Guest<'static> {
    Guest { describe, ..Guest::default() }
}

/// A guest with these further items.
pub fn items(items: &'static str) -> Guest<'static> {
    Guest { items, ..Guest::default() }
}

/// The bytes of a module or component in text.
pub fn parse(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Text that lives as long as the process: a case is made once in it.
pub fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// The parts of the core module that a case replaces.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// The world that it is encoded for: `guest`, or `owner`, which exports a resource besides.
    pub world: &'a str,
    /// Its imports.
    pub imports: &'a str,
    /// Pages of memory at first.
    pub pages: u32,
    /// Further functions, tables, globals, a start function.
    pub items: &'a str,
    /// Runs first in `cabi_realloc`, with `$align` and `$size`.
    pub realloc: &'a str,
    /// The body of `describe`: gives the address of its result.
    pub describe: &'a str,
    /// The body of `call`, with `$batches`: gives the address of its result. `$echo` makes an honest one.
    pub call: &'a str,
    /// Runs after each call.
    pub post: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            world: "guest",
            imports: "",
            pages: 2,
            items: "",
            realloc: "",
            describe: "(i32.const 0)",
            call: "(call $echo (local.get $batches))",
            post: "",
        }
    }
}

/// The worlds that guests are encoded for: the contract, pieces of WASI, and a resource of the guest's own. What a guest
/// does not import of them is left out.
const WORLDS: &str = "
    package test:hostile;
    interface things { resource thing; }
    world guest {
        include lockgate:udf/transform-udf@0.1.0;
        import wasi:cli/environment@0.2.6;
        import wasi:cli/exit@0.2.6;
        import wasi:cli/stdin@0.2.6;
        import wasi:cli/stdout@0.2.6;
        import wasi:clocks/monotonic-clock@0.2.6;
        import wasi:io/poll@0.2.6;
        import wasi:io/streams@0.2.6;
        import wasi:random/random@0.2.6;
    }
    world owner { include guest; export things; }
    package wasi:io@0.2.6 {
        interface error { resource error; }
        interface poll {
            resource pollable { ready: func() -> bool; }
            poll: func(in: list<borrow<pollable>>) -> list<u32>;
        }
        interface streams {
            use error.{error};
            use poll.{pollable};
            variant stream-error { last-operation-failed(error), closed }
            resource input-stream { subscribe: func() -> pollable; }
            resource output-stream {
                subscribe: func() -> pollable;
                write: func(contents: list<u8>) -> result<_, stream-error>;
                write-zeroes: func(len: u64) -> result<_, stream-error>;
            }
        }
    }
    package wasi:cli@0.2.6 {
        interface environment { get-environment: func() -> list<tuple<string, string>>; }
        interface exit { exit: func(status: result); }
        interface stdin { use wasi:io/streams@0.2.6.{input-stream}; get-stdin: func() -> input-stream; }
        interface stdout { use wasi:io/streams@0.2.6.{output-stream}; get-stdout: func() -> output-stream; }
    }
    package wasi:clocks@0.2.6 {
        interface monotonic-clock {
            use wasi:io/poll@0.2.6.{pollable};
            now: func() -> u64;
            subscribe-duration: func(when: u64) -> pollable;
        }
    }
    package wasi:random@0.2.6 { interface random { get-random-bytes: func(len: u64) -> list<u8>; } }";

impl Guest<'_> {
    /// The component.
    pub fn component(&self) -> Vec<u8> {
        self.component_for(WORLDS)
    }

    /// The component for a world of this text.
    pub fn component_for(&self, worlds: &str) -> Vec<u8> {
        let mut resolve = Resolve::default();
        resolve.push_str("udf.wit", include_str!("../../wit/udf.wit")).expect("the contract");
        let package = resolve.push_str("guest.wit", worlds).expect("the worlds' text");
        let world = resolve.select_world(&[package], Some(self.world)).expect("the world");
        let mut module = parse(&self.module());
        embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
        // Not validated: what a case breaks is the host's to find.
        ComponentEncoder::default().module(&module).expect("a module").validate(false).encode().expect("a component")
    }

    /// What its author signs: the truth about its imports, and [`described`].
    pub fn part(&self) -> Part {
        signed(self.component())
    }

    /// Memory: 0 to 511 what `describe` gives, 512 its text, 4,096 the result of `call`, 8,192 the heap.
    fn module(&self) -> String {
        let Self { imports, pages, items, realloc, describe, call, post, .. } = self;
        let data: String = memory().iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
            {imports}
            (memory (export "memory") {pages})
            (global $heap (mut i32) (i32.const 8192))
            (data (i32.const 0) "{data}")
            {items}
            (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                {realloc}
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (local.get $at))
            (func $echo (param $batch i32) (result i32)
                (memory.copy (i32.const 4096) (local.get $batch) (i32.const 12))
                (i32.store (i32.const 4108) (i32.const 0))
                (i32.store (i32.const 4120) (i32.const 0))
                (i32.store (i32.const 4124) (i32.const 4096))
                (i32.store (i32.const 4128) (i32.const 1))
                (i32.store (i32.const 4132) (i32.const 0))
                (i32.const 4120))
            (func (export "lockgate:udf/describe@0.1.0#describe") (result i32) {describe})
            (func (export "lockgate:udf/transform@0.1.0#call")
                (param $function i32) (param $batches i32) (param $count i32) (result i32) {call})
            (func (export "cabi_post_lockgate:udf/transform@0.1.0#call") (param i32)
                {post} (global.set $heap (i32.const 8192))))"#
        )
    }
}

/// A component under the signed truth about its imports, and the claim that it is an honest guest.
pub fn signed(wasm: Vec<u8>) -> Part {
    let imports = harness::compiler().inspect(&wasm).map(|info| info.imports.into_iter().collect()).unwrap_or_default();
    Part { imports, ..forged(wasm) }
}

/// Any bytes under the signed claim that they are an honest guest without imports.
pub fn forged(wasm: Vec<u8>) -> Part {
    Part { wasm, describe: vec![described()], imports: [].into(), exports: [].into() }
}

/// What the guest says of itself.
pub fn described() -> FunctionDescription {
    let port = |name: &str, field: &str| Port {
        name: name.into(),
        fields: vec![Field::new(field, LogicalType::Int64, false)],
    };
    FunctionDescription {
        name: "f".into(),
        kind: "transform".into(),
        inputs: vec![port("in", "x")],
        outputs: vec![port("out", "y")],
        attributes: vec![],
    }
}

/// [`described`] as the canonical ABI lays it out from address 0 on.
fn memory() -> Vec<u8> {
    const TEXT: u32 = 512;
    let mut text = Vec::new();
    let mut put = |word: &str| {
        let at = [TEXT + text.len() as u32, word.len() as u32];
        text.extend_from_slice(word.as_bytes());
        at
    };
    let (function, input, output, field_in, field_out) = (8, 48, 64, 80, 108);
    let mut words = vec![function, 1];
    words.extend([put("f"), put("transform"), [input, 1], [output, 1], [0, 0]].concat());
    words.extend([put("in"), [field_in, 1], put("out"), [field_out, 1]].concat());
    for name in ["x", "y"] {
        words.extend([put(name), put("int64")].concat());
        words.extend([0, 0, 0]);
    }
    words.resize(TEXT as usize / 4, 0);
    words.into_iter().flat_map(u32::to_le_bytes).chain(text).collect()
}
