//! The types of `lockgate:udf@0.1` as they are lowered and lifted, and their way to and from [`lockgate_core`]'s.

use lockgate_core::columns;
use lockgate_core::error::code;
use lockgate_core::plan::Plan;
use lockgate_core::text::tame;
use lockgate_core::types::{self, LogicalType};
use lockgate_core::{Error, Result};
use std::collections::BTreeSet;
use wasmtime::component::{ComponentType, Lift, Lower};

/// The interfaces of ours: the exact 0.1 version is read from the component.
pub(crate) const DESCRIBE: &str = "lockgate:udf/describe";
pub(crate) const TRANSFORM: &str = "lockgate:udf/transform";
pub(crate) const CONFIG: &str = "lockgate:udf/config";
pub(crate) const LOG: &str = "lockgate:udf/log";
/// Imported by every component whose exports use its types; it has no functions.
pub(crate) const TYPES: &str = "lockgate:udf/types";

/// Parameters and result of `describe`.
pub(crate) type DescribeParams = ();
pub(crate) type DescribeResult = (Vec<FunctionDescription>,);
/// Parameters and result of `call`.
pub(crate) type CallParams<'a> = (u32, &'a [BatchIn<'a>]);
pub(crate) type CallResult = (Result<Output, String>,);

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct ColumnIn<'a> {
    validity: Option<&'a [u8]>,
    buffers: &'a [&'a [u8]],
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(crate) struct BatchIn<'a> {
    rows: u32,
    columns: &'a [ColumnIn<'a>],
}

impl<'a> ColumnIn<'a> {
    pub fn new(column: &columns::ColumnRef<'a>) -> Self {
        Self { validity: column.validity, buffers: column.buffers }
    }
}

impl<'a> BatchIn<'a> {
    pub fn new(rows: u32, columns: &'a [ColumnIn<'a>]) -> Self {
        Self { rows, columns }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Column {
    validity: Option<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Batch {
    rows: u32,
    columns: Vec<Column>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct PortOutput {
    data: Batch,
    origin: Option<Vec<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Failures {
    rows: Vec<u8>,
    messages: Vec<Vec<u8>>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Output {
    ports: Vec<PortOutput>,
    failed: Option<Failures>,
}

impl Output {
    /// Output rows of all ports.
    pub fn rows(&self) -> u64 {
        self.ports.iter().map(|port| u64::from(port.data.rows)).sum()
    }

    /// Bytes of all buffers.
    pub fn bytes(&self) -> u64 {
        let all = |buffers: &[Vec<u8>]| buffers.iter().map(Vec::len).sum::<usize>();
        let column = |column: &Column| column.validity.as_ref().map_or(0, Vec::len) + all(&column.buffers);
        let port = |port: &PortOutput| {
            port.origin.as_ref().map_or(0, Vec::len) + port.data.columns.iter().map(column).sum::<usize>()
        };
        let failed = self.failed.as_ref().map_or(0, |failed| failed.rows.len() + all(&failed.messages));
        (self.ports.iter().map(port).sum::<usize>() + failed) as u64
    }
}

impl From<Output> for columns::Output {
    fn from(output: Output) -> Self {
        let column = |column: Column| columns::Column { validity: column.validity, buffers: column.buffers };
        let port = |port: PortOutput| columns::PortOutput {
            rows: port.data.rows,
            columns: port.data.columns.into_iter().map(column).collect(),
            origin: port.origin,
        };
        Self {
            ports: output.ports.into_iter().map(port).collect(),
            failed: output.failed.map(|failed| columns::Failures { rows: failed.rows, messages: failed.messages }),
        }
    }
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Field {
    name: String,
    #[component(name = "type")]
    data_type: String,
    nullable: bool,
    attributes: Vec<(String, String)>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct Port {
    name: String,
    fields: Vec<Field>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(crate) struct FunctionDescription {
    name: String,
    kind: String,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    attributes: Vec<(String, String)>,
}

/// The most functions of a component, ports of a function, and attributes of a field or function.
const MAX_FUNCTIONS: usize = 256;
const MAX_PORTS: usize = 16;
const MAX_ATTRIBUTES: usize = 32;

/// Checks what `describe` gave back.
///
/// # Errors
/// `LG0506` if it is malformed or too much, `LG0201` and `LG0202` for types.
pub(crate) fn descriptions(functions: Vec<FunctionDescription>) -> Result<Vec<types::FunctionDescription>> {
    bounded("functions", functions.len(), MAX_FUNCTIONS)?;
    let mut names = BTreeSet::new();
    let checked: Vec<_> = functions.into_iter().map(function).collect::<Result<_>>()?;
    match checked.iter().find(|function| !names.insert(function.name.as_str())) {
        Some(twice) => Err(refuse(format!("function {:?} is described twice", twice.name))),
        None => Ok(checked),
    }
}

fn function(function: FunctionDescription) -> Result<types::FunctionDescription> {
    let name = name("a function", function.name)?;
    let checked = (|| {
        Ok(types::FunctionDescription {
            kind: self::name("its kind", function.kind)?,
            inputs: ports("inputs", function.inputs)?,
            outputs: ports("outputs", function.outputs)?,
            attributes: attributes(function.attributes)?,
            name: String::new(),
        })
    })();
    let checked: types::FunctionDescription = checked.map_err(|error: Error| error.at(format!("function {name}")))?;
    Ok(types::FunctionDescription { name, ..checked })
}

fn ports(what: &str, ports: Vec<Port>) -> Result<Vec<types::Port>> {
    bounded(what, ports.len(), MAX_PORTS)?;
    let port = |port: Port| {
        bounded("fields", port.fields.len(), Plan::MAX_COLUMNS)?;
        let fields = port.fields.into_iter().map(field).collect::<Result<_>>()?;
        Ok(types::Port { name: name("a port", port.name)?, fields })
    };
    ports.into_iter().map(port).collect()
}

fn field(field: Field) -> Result<types::Field> {
    let data_type: LogicalType = field.data_type.parse()?;
    let attributes = attributes(field.attributes)?;
    Ok(types::Field { name: name("a field", field.name)?, data_type, nullable: field.nullable, attributes })
}

fn attributes(attributes: Vec<(String, String)>) -> Result<Vec<(String, String)>> {
    bounded("attributes", attributes.len(), MAX_ATTRIBUTES)?;
    let attribute = |(key, value)| Ok((name("an attribute", key)?, name("an attribute's value", value)?));
    attributes.into_iter().map(attribute).collect()
}

fn name(what: &str, name: String) -> Result<String> {
    if name.is_empty() || name.len() > types::Field::MAX_NAME || tame(&name, usize::MAX) != name {
        let text = format!("the name of {what}, {:?}, is empty, too long or has control characters", tame(&name, 80));
        return Err(refuse(text));
    }
    Ok(name)
}

fn bounded(what: &str, count: usize, most: usize) -> Result<()> {
    if count > most { Err(refuse(format!("there are {count} {what}, at most {most} are allowed"))) } else { Ok(()) }
}

fn refuse(text: String) -> Error {
    Error::new(code::DESCRIBE_INVALID, text)
}
