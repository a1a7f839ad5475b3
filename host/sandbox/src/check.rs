//! Checks before compiling, by wasmparser alone: compiling is an attack surface of its own.
//!
//! 140 KB of nested blocks cost a compiler 20 seconds, a chain of components that each instantiate the one before
//! twice doubles with every link. So the sizes that compile time grows with are bounded first, and imports and exports
//! are held against what Lockgate offers. Validation proper is wasmtime's, afterwards.

use crate::contract;
use crate::program::is_ours;
use crate::wasi;
use lockgate_core::error::code;
use lockgate_core::text::tame;
use lockgate_core::{Error, Result};
use wasmparser::{ComponentInstance, Encoding, FunctionBody, Instance, Operator, Parser, Payload};

/// Bounds of a component. The defaults leave room for a JavaScript engine (12 MB) or Python (40 MB).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckLimits {
    /// Bytes of the component.
    pub size: u64,
    /// Core modules.
    pub modules: u64,
    /// Core instances of one component.
    pub core_instances: u64,
    /// Components within components, counted.
    pub components: u64,
    /// How deep they may nest.
    pub component_nesting: u64,
    /// Instantiations of components by the outermost one, and by all nested ones together. The latter multiply: with
    /// twelve at most 81 instances come of one.
    pub component_instances: u64,
    /// See [`CheckLimits::component_instances`].
    pub nested_component_instances: u64,
    /// Component imports and exports, with each nested component's.
    pub externs: u64,
    /// Types of all modules and components.
    pub types: u64,
    /// How deep the types of instances and components may nest in one section. Readers of WebAssembly recurse here without
    /// a bound of their own: 100,000 levels, in 300 KB, end the process for want of stack.
    pub type_nesting: u64,
    /// Functions of all modules, imported ones too.
    pub functions: u64,
    /// Functions that a component of any size may have; beyond that it must have [`CheckLimits::function_size`] bytes for
    /// each. A function costs the compiler a tenth of a millisecond however little is in it.
    pub small_functions: u64,
    /// See [`CheckLimits::small_functions`]. Honest components have 200 bytes and more for a function.
    pub function_size: u64,
    /// Bytes of a function's body.
    pub body: u64,
    /// Locals of a function.
    pub locals: u64,
    /// How deep a function's blocks may nest.
    pub block_nesting: u64,
    /// Targets of all `br_table`s of a function.
    pub branch_targets: u64,
    /// The sum over all functions of blocks × (nesting + locals), a loop counting as four blocks: what the worst passes
    /// of the compiler grow with, at up to a microsecond a unit.
    pub work: u64,
    /// Data and element segments.
    pub segments: u64,
    /// Globals, tables and memories.
    pub definitions: u64,
    /// Bytes of a name of an import or export.
    pub name: u64,
}

impl Default for CheckLimits {
    fn default() -> Self {
        Self {
            size: 64 << 20,
            modules: 64,
            core_instances: 128,
            components: 64,
            component_nesting: 4,
            component_instances: 64,
            nested_component_instances: 12,
            externs: 2_000,
            types: 50_000,
            type_nesting: 256,
            functions: 200_000,
            small_functions: 10_000,
            function_size: 64,
            body: 1 << 20,
            locals: 10_000,
            block_nesting: 3_000,
            branch_targets: 100_000,
            work: 100_000_000,
            segments: 200_000,
            definitions: 50_000,
            name: 16 << 10,
        }
    }
}

/// What a component is made of and what it asks for.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ComponentInfo {
    /// Names of the interfaces that it imports, sorted.
    pub imports: Vec<String>,
    /// Names of what it exports, sorted.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: u64,
    /// Core modules.
    pub modules: u64,
    /// Functions of all modules, imported ones too.
    pub functions: u64,
    /// Bytes of all bodies of functions: what there is to compile.
    pub code: u64,
    /// The largest body of a function, in bytes.
    pub largest_body: u64,
    /// See [`CheckLimits::work`].
    pub work: u64,
}

/// Checks a component's bounds, imports and exports without compiling it.
///
/// # Errors
/// `LG0501` if it is no WebAssembly, `LG0509` if it is no component, `LG0502` naming the bound that it breaks, `LG0503`
/// naming an import that is not offered, `LG0504` naming an export that is missing, `LG0511` if it is composed of others.
pub fn inspect(component: &[u8], limits: &CheckLimits) -> Result<ComponentInfo> {
    at_most("bytes", component.len() as u64, limits.size)?;
    let mut check = Check { component, limits, counts: Counts::default(), nesting: 0, info: ComponentInfo::default() };
    check.info.size = component.len() as u64;
    for payload in Parser::new(0).parse_all(component) {
        check.payload(&payload.map_err(malformed)?)?;
    }
    let mut info = check.info;
    info.functions = check.counts.functions;
    let most = limits.small_functions.saturating_add(info.size.checked_div(limits.function_size).unwrap_or(u64::MAX));
    at_most("functions for its size", info.functions, most)?;
    info.modules = check.counts.modules;
    info.imports.sort_unstable();
    info.exports.sort_unstable();
    if let Some(import) = info.imports.iter().find(|import| !wasi::is_offered(import)) {
        let text = format!("the component imports {import:?}, which is not offered");
        return Err(Error::new(code::IMPORT_NOT_OFFERED, text)
            .help("A guest may import lockgate:udf/log, lockgate:udf/config and what a WASI 0.2 command needs to start; no files, sockets or HTTP."));
    }
    for interface in [contract::DESCRIBE, contract::TRANSFORM] {
        if !info.exports.iter().any(|export| is_ours(export, interface)) {
            let text = format!("the component does not export {interface}@0.1");
            return Err(Error::new(code::EXPORT_MISSING, text));
        }
    }
    Ok(info)
}

#[derive(Default)]
struct Counts {
    modules: u64,
    core_instances: u64,
    components: u64,
    component_instances: u64,
    nested_component_instances: u64,
    externs: u64,
    types: u64,
    functions: u64,
    segments: u64,
    definitions: u64,
}

struct Check<'a> {
    component: &'a [u8],
    limits: &'a CheckLimits,
    counts: Counts,
    /// Modules and components that enclose what is read; 1 for what the outermost component has itself.
    nesting: u64,
    info: ComponentInfo,
}

impl Check<'_> {
    fn payload(&mut self, payload: &Payload<'_>) -> Result<()> {
        let (limits, counts) = (self.limits, &mut self.counts);
        match payload {
            Payload::Version { encoding, .. } => {
                if self.nesting == 0 && *encoding == Encoding::Module {
                    let text = "the file is a core WebAssembly module, not a component";
                    return Err(Error::new(code::NOT_A_COMPONENT, text).help("Build for the target wasm32-wasip2."));
                }
                self.nesting += 1;
                at_most("levels of nested components", self.nesting, limits.component_nesting + 1)
            }
            Payload::End(_) => {
                self.nesting = self.nesting.saturating_sub(1);
                Ok(())
            }
            Payload::ModuleSection { .. } => count("core modules", &mut counts.modules, 1, limits.modules),
            Payload::ComponentSection { .. } => count("components", &mut counts.components, 1, limits.components),
            Payload::TypeSection(reader) => types(counts, reader.count(), limits),
            Payload::CoreTypeSection(reader) => types(counts, reader.count(), limits),
            Payload::ComponentTypeSection(reader) => {
                let section = self.component.get(reader.range()).unwrap_or_default();
                at_most("nested types of a section", type_nesting(section), limits.type_nesting)?;
                types(counts, reader.count(), limits)
            }
            Payload::ImportSection(reader) => {
                for import in reader.clone().into_imports() {
                    let import = import.map_err(malformed)?;
                    at_most(
                        "bytes of an import's name",
                        import.name.len().max(import.module.len()) as u64,
                        limits.name,
                    )?;
                }
                // Whatever is imported counts as a function: telling them apart gains nothing.
                count("functions", &mut counts.functions, u64::from(reader.count()), limits.functions)
            }
            Payload::FunctionSection(reader) => {
                count("functions", &mut counts.functions, u64::from(reader.count()), limits.functions)
            }
            Payload::ExportSection(reader) => {
                for export in reader.clone() {
                    let export = export.map_err(malformed)?;
                    at_most("bytes of an export's name", export.name.len() as u64, limits.name)?;
                }
                count("exports of modules", &mut counts.segments, u64::from(reader.count()), limits.segments)
            }
            Payload::TableSection(reader) => definitions(counts, reader.count(), limits),
            Payload::MemorySection(reader) => definitions(counts, reader.count(), limits),
            Payload::GlobalSection(reader) => definitions(counts, reader.count(), limits),
            Payload::TagSection(reader) => definitions(counts, reader.count(), limits),
            Payload::ElementSection(reader) => segments(counts, reader.count(), limits),
            Payload::DataSection(reader) => segments(counts, reader.count(), limits),
            // Calls between components go through adapters whose transcoding of text uses no fuel and never yields: they
            // could outrun every deadline. Nested components that only pass functions on, as the SDK's do, lift nothing.
            Payload::ComponentCanonicalSection(_) if self.nesting > 1 => {
                let text = "a component within the component lifts or lowers functions of its own";
                Err(Error::new(code::COMPOSED_COMPONENT, text))
            }
            Payload::ComponentCanonicalSection(reader) => definitions(counts, reader.count(), limits),
            Payload::ComponentAliasSection(reader) => segments(counts, reader.count(), limits),
            Payload::CodeSectionEntry(body) => self.body(body),
            Payload::InstanceSection(reader) => {
                for instance in reader.clone() {
                    if let Instance::Instantiate { .. } = instance.map_err(malformed)? {
                        count("core instances", &mut counts.core_instances, 1, limits.core_instances)?;
                    }
                }
                Ok(())
            }
            Payload::ComponentInstanceSection(reader) => {
                for instance in reader.clone() {
                    if let ComponentInstance::Instantiate { .. } = instance.map_err(malformed)? {
                        let (counter, most) = if self.nesting > 1 {
                            (&mut counts.nested_component_instances, limits.nested_component_instances)
                        } else {
                            (&mut counts.component_instances, limits.component_instances)
                        };
                        count("instances of components", counter, 1, most)?;
                    }
                }
                Ok(())
            }
            Payload::ComponentImportSection(reader) => {
                count("imports and exports", &mut counts.externs, u64::from(reader.count()), limits.externs)?;
                for import in reader.clone() {
                    let import = import.map_err(malformed)?;
                    self.named(import.name.name, true)?;
                }
                Ok(())
            }
            Payload::ComponentExportSection(reader) => {
                count("imports and exports", &mut counts.externs, u64::from(reader.count()), limits.externs)?;
                for export in reader.clone() {
                    let export = export.map_err(malformed)?;
                    self.named(export.name.name, false)?;
                }
                Ok(())
            }
            Payload::ComponentStartSection { .. } => {
                Err(Error::new(code::INVALID_COMPONENT, "the component has a start section, which is not supported"))
            }
            Payload::UnknownSection { id, .. } => {
                Err(Error::new(code::INVALID_COMPONENT, format!("the component has an unknown section {id}")))
            }
            _ => Ok(()),
        }
    }

    /// Notes a name of the outermost component.
    fn named(&mut self, name: &str, import: bool) -> Result<()> {
        at_most("bytes of a name", name.len() as u64, self.limits.name)?;
        if self.nesting == 1 {
            let names = if import { &mut self.info.imports } else { &mut self.info.exports };
            names.push(tame(name, 1 << 10));
        }
        Ok(())
    }

    fn body(&mut self, body: &FunctionBody<'_>) -> Result<()> {
        let (limits, size) = (self.limits, body.as_bytes().len() as u64);
        at_most("bytes of a function", size, limits.body)?;
        self.info.code = self.info.code.saturating_add(size);
        self.info.largest_body = self.info.largest_body.max(size);
        let mut locals = 0_u64;
        for local in body.get_locals_reader().map_err(malformed)? {
            locals += u64::from(local.map_err(malformed)?.0);
            at_most("locals of a function", locals, limits.locals)?;
        }
        let (mut blocks, mut depth, mut deepest, mut targets) = (1_u64, 0_u64, 0_u64, 0_u64);
        for operator in body.get_operators_reader().map_err(malformed)? {
            match operator.map_err(malformed)? {
                ref operator @ (Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. }) => {
                    // Every loop carries all that lives through it, the fuel counter at least.
                    let weight = if matches!(operator, Operator::Loop { .. }) { 4 } else { 1 };
                    (blocks, depth) = (blocks + weight, depth + 1);
                    deepest = deepest.max(depth);
                    at_most("nested blocks of a function", depth, limits.block_nesting)?;
                }
                // The engine cannot be built with these off; no guest needs them.
                Operator::CallRef { .. }
                | Operator::ReturnCallRef { .. }
                | Operator::RefAsNonNull
                | Operator::BrOnNull { .. }
                | Operator::BrOnNonNull { .. } => {
                    let text = "the component uses typed function references, which are switched off";
                    return Err(Error::new(code::INVALID_COMPONENT, text));
                }
                Operator::Else | Operator::Br { .. } | Operator::BrIf { .. } => blocks += 1,
                Operator::End => depth = depth.saturating_sub(1),
                Operator::BrTable { targets: table } => {
                    (blocks, targets) = (blocks + 1, targets + u64::from(table.len()));
                    at_most("branch targets of a function", targets, limits.branch_targets)?;
                }
                _ => {}
            }
        }
        let work = blocks.saturating_mul(deepest + locals);
        count("units of compile work", &mut self.info.work, work, limits.work)
    }
}

fn types(counts: &mut Counts, more: u32, limits: &CheckLimits) -> Result<()> {
    count("types", &mut counts.types, u64::from(more), limits.types)
}

/// How deep types nest in a section, at most: a type within a type is a declaration (0x01) of a component type (0x41) or
/// an instance type (0x42). Counting these pairs wherever they stand takes no reader that recurses.
fn type_nesting(section: &[u8]) -> u64 {
    section.windows(2).filter(|pair| matches!(pair, [0x01, 0x41 | 0x42])).count() as u64
}

fn segments(counts: &mut Counts, more: u32, limits: &CheckLimits) -> Result<()> {
    count("segments", &mut counts.segments, u64::from(more), limits.segments)
}

fn definitions(counts: &mut Counts, more: u32, limits: &CheckLimits) -> Result<()> {
    count("globals, tables and memories", &mut counts.definitions, u64::from(more), limits.definitions)
}

fn count(what: &str, counter: &mut u64, more: u64, most: u64) -> Result<()> {
    *counter = counter.saturating_add(more);
    at_most(what, *counter, most)
}

fn at_most(what: &str, value: u64, most: u64) -> Result<()> {
    if value > most {
        return Err(Error::new(
            code::COMPONENT_TOO_LARGE,
            format!("the component has {value} {what}, at most {most} are allowed"),
        ));
    }
    Ok(())
}

fn malformed(error: wasmparser::BinaryReaderError) -> Error {
    let text = tame(error.message(), 200);
    Error::new(code::INVALID_COMPONENT, format!("the component is malformed at byte {:#x}: {text}", error.offset()))
}
