//! A guest in WebAssembly text whose parts a test replaces: it describes one function, which gives back its input.

use crate::{BatchSeed, CallError, Called, CheckLimits, Compiler, Engine, EngineOptions, Instance, Program, Settings};
use lockgate_core::columns::{BatchRef, ColumnRef};
use std::sync::{LazyLock, OnceLock};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// The parts that a test replaces.
#[derive(Clone, Copy)]
pub struct Guest<'a> {
    /// Imports of the core module.
    pub imports: &'a str,
    /// Further functions, memories, tables and globals.
    pub items: &'a str,
    /// Runs first in `realloc`.
    pub realloc: &'a str,
    /// The body of `call`, with `$function`, `$batches` and `$count`; helpers are `$echo` and `$give`.
    pub call: &'a str,
    /// The body of `describe`.
    pub describe: &'a str,
}

impl Default for Guest<'_> {
    fn default() -> Self {
        Self {
            imports: "",
            items: "",
            realloc: "",
            call: "(call $echo (local.get $batches))",
            describe: "(i32.const 0)",
        }
    }
}

/// Where the guest's own heap begins.
const HEAP: u32 = 8_192;

impl Guest<'_> {
    /// The component.
    pub fn component(&self) -> Vec<u8> {
        encode(&self.core(), "guest")
    }

    /// Its core module.
    pub fn core(&self) -> String {
        let Self { imports, items, realloc, call, describe } = self;
        let described = described();
        format!(
            r#"(module
            {imports}
            (memory (export "memory") 2)
            (global $heap (mut i32) (i32.const {HEAP}))
            (data (i32.const 0) "{described}")
            {items}
            (func (export "cabi_realloc") (param $old i32) (param $was i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                {realloc}
                (local.set $at (i32.and (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (block $room (loop $grow
                    (br_if $room (i32.le_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
                    (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))
                    (br $grow)))
                (local.get $at))
            ;; The output that is the first input batch.
            (func $echo (param $batch i32) (result i32)
                (memory.copy (i32.const 4096) (local.get $batch) (i32.const 12))
                (i32.store (i32.const 4108) (i32.const 0))
                (call $ok))
            ;; The output of `rows` rows with one column that has one buffer.
            (func $give (param $rows i32) (param $at i32) (param $length i32) (result i32)
                (i32.store (i32.const 4096) (local.get $rows))
                (i32.store (i32.const 4100) (i32.const 4160))
                (i32.store (i32.const 4104) (i32.const 1))
                (i32.store (i32.const 4108) (i32.const 0))
                (i32.store (i32.const 4160) (i32.const 0))
                (i32.store (i32.const 4172) (i32.const 4192))
                (i32.store (i32.const 4176) (i32.const 1))
                (i32.store (i32.const 4192) (local.get $at))
                (i32.store (i32.const 4196) (local.get $length))
                (call $ok))
            (func $ok (result i32)
                (i32.store (i32.const 4120) (i32.const 0))
                (i32.store (i32.const 4124) (i32.const 4096))
                (i32.store (i32.const 4128) (i32.const 1))
                (i32.store (i32.const 4132) (i32.const 0))
                (i32.const 4120))
            (func (export "lockgate:udf/describe@0.1.0#describe") (result i32) {describe})
            (func (export "lockgate:udf/transform@0.1.0#call")
                (param $function i32) (param $batches i32) (param $count i32) (result i32) {call})
            (func (export "cabi_post_lockgate:udf/transform@0.1.0#call") (param i32) (global.set $heap (i32.const {HEAP}))))"#
        )
    }

    /// The guest compiled and loaded.
    pub fn program(&self) -> Program {
        load(&self.component())
    }

    /// An instance with these settings.
    pub fn instance(&self, settings: &Settings) -> Result<Instance, CallError> {
        self.program().instance(settings, &BatchSeed::default())
    }

    /// Calls it once on eight bytes in one row with these settings.
    pub fn run(&self, settings: &Settings) -> Result<Called, CallError> {
        call(&mut self.instance(settings)?, 1, &[7; 8])
    }
}

/// The engine of all tests.
pub fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let options = EngineOptions { slots: 64, memory_ceiling: 256 << 20, ..EngineOptions::default() };
    ENGINE.get_or_init(|| Engine::new(&options).unwrap())
}

/// Compiles a component.
pub fn compile(component: &[u8], limits: &CheckLimits) -> lockgate_core::Result<Vec<u8>> {
    static COMPILER: LazyLock<Compiler> = LazyLock::new(|| Compiler::new(true).unwrap());
    COMPILER.compile(component, limits).map(|(_, artefact)| artefact)
}

/// Compiles and loads a component.
pub fn load(component: &[u8]) -> Program {
    try_load(component).unwrap()
}

/// The same of one that may be refused.
#[expect(unsafe_code, reason = "the artefact is of a compiler for this very engine")]
pub fn try_load(component: &[u8]) -> lockgate_core::Result<Program> {
    let artefact = compile(component, &CheckLimits::default())?;
    // SAFETY: this program has just made it, for an engine like this.
    unsafe { engine().load(&artefact) }
}

/// Calls function 0 with a batch of one column of one buffer.
pub fn call(instance: &mut Instance, rows: u32, data: &[u8]) -> Result<Called, CallError> {
    call_at(instance, rows, data, &BatchSeed { split: "s", first_row: 0, part: 0 })
}

/// As [`call`], at this position.
pub fn call_at(instance: &mut Instance, rows: u32, data: &[u8], seed: &BatchSeed<'_>) -> Result<Called, CallError> {
    let columns = [ColumnRef { validity: None, buffers: &[data] }];
    instance.call(0, &[BatchRef { rows, columns: &columns }], seed)
}

/// The bytes that a guest gave with `$give`.
pub fn given(called: Called) -> Vec<u8> {
    called.output.ports[0].columns[0].buffers[0].clone()
}

/// Makes a component of a core module for a world of `guest.wit`.
pub fn encode(core: &str, world: &str) -> Vec<u8> {
    encode_at(core, world, "0.2.6")
}

/// As [`encode`], with another version of WASI.
pub fn encode_at(core: &str, world: &str, version: &str) -> Vec<u8> {
    let (core, wit) = (core.replace("0.2.6", version), include_str!("guest.wit").replace("0.2.6", version));
    let mut resolve = Resolve::default();
    resolve.push_str("udf.wit", include_str!("../../../../wit/udf.wit")).unwrap();
    let package = resolve.push_str("guest.wit", &wit).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(core).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// Memory of `describe`'s result at address 0: function "f", input "in" with "x: int64", output "out" with "y: utf8?".
fn described() -> String {
    let texts = ["f", "transform", "in", "x", "int64", "out", "y", "utf8"];
    let (mut words, mut text, mut at) = (Vec::new(), String::new(), Vec::new());
    let base = 4 * 128;
    for part in texts {
        at.push([base + text.len() as u32, part.len() as u32]);
        text.push_str(part);
    }
    let (description, input, output, field_in, field_out) = (8, 48, 64, 80, 108);
    words.extend([description, 1]);
    words.extend([at[0], at[1], [input, 1], [output, 1], [0, 0]].concat());
    words.extend([at[2], [field_in, 1], at[5], [field_out, 1]].concat());
    words.extend([at[3], at[4], [0, 0], [0, at[6][0]]].concat());
    words.extend([at[6][1], at[7][0], at[7][1], 1, 0, 0]);
    words.resize(128, 0);
    let bytes = words.iter().flat_map(|word: &u32| word.to_le_bytes()).chain(text.bytes());
    bytes.map(|byte| format!("\\{byte:02x}")).collect()
}
