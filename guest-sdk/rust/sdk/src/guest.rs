//! The component's side of the contract: generated bindings, and what turns them into calls of registered functions.

use crate::describe::{self, Function, Udf};
use crate::raw;
use std::sync::Once;

/// What `wit-bindgen` makes of the contract. All unsafe code of the SDK is in here, and generated.
#[allow(unsafe_code, missing_docs, clippy::all, clippy::restriction)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "transform-udf",
        pub_export_macro: true,
        export_macro_name: "__export_transform",
        default_bindings_module: "lockgate_sdk::__private::bindings",
    });
}

use bindings::exports::lockgate::udf::{describe as describe_export, transform as transform_export};
use bindings::lockgate::udf::{config as config_import, log as log_import, types};

/// The functions of a component. `export!` implements it.
pub trait Component {
    /// In the order of `describe`.
    const FUNCTIONS: &'static [Entry];
}

/// A function of a component.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    describe: fn() -> Function,
    call: fn(raw::Batch) -> Result<raw::Output, String>,
}

impl Entry {
    /// The entry of `F`.
    pub const fn of<F: Udf>() -> Self {
        Self { describe: F::describe, call: F::call }
    }
}

impl<C: Component> describe_export::Guest for C {
    fn describe() -> Vec<types::FunctionDescription> {
        set_up();
        C::FUNCTIONS.iter().map(|entry| (entry.describe)().into()).collect()
    }
}

impl<C: Component> transform_export::Guest for C {
    fn call(function: u32, inputs: Vec<types::Batch>) -> Result<types::Output, String> {
        set_up();
        let entry = usize::try_from(function).ok().and_then(|index| C::FUNCTIONS.get(index));
        let entry = entry.ok_or_else(|| format!("there is no function {function}"))?;
        let mut inputs = inputs.into_iter();
        match (inputs.next(), inputs.next()) {
            (Some(batch), None) => (entry.call)(batch.into()).map(Into::into),
            _ => Err("a function has exactly one input".to_owned()),
        }
    }
}

/// The setting, if there is one of this name.
pub fn config(name: &str) -> Option<String> {
    config_import::get(name)
}

/// Sends what is logged, and why it panicked, to the host.
fn set_up() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Both fail only where the author's code has set a logger of its own, which is then the one that counts.
        if log::set_logger(&Logger).is_ok() {
            let level = config("log-level").and_then(|level| level.parse().ok());
            log::set_max_level(level.unwrap_or(log::LevelFilter::Info));
        }
        std::panic::set_hook(Box::new(|panic| log_import::log(log_import::Level::Error, &panic.to_string())));
    });
}

struct Logger;

impl log::Log for Logger {
    fn enabled(&self, _metadata: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let level = match record.level() {
            log::Level::Error => log_import::Level::Error,
            log::Level::Warn => log_import::Level::Warn,
            log::Level::Info => log_import::Level::Info,
            log::Level::Debug | log::Level::Trace => log_import::Level::Debug,
        };
        match record.args().as_str() {
            Some(message) => log_import::log(level, message),
            None => log_import::log(level, &record.args().to_string()),
        }
    }

    fn flush(&self) {}
}

impl From<types::Batch> for raw::Batch {
    fn from(batch: types::Batch) -> Self {
        let column = |column: types::Column| raw::Column { validity: column.validity, buffers: column.buffers };
        Self { rows: batch.rows, columns: batch.columns.into_iter().map(column).collect() }
    }
}

impl From<raw::Output> for types::Output {
    fn from(output: raw::Output) -> Self {
        let column = |column: raw::Column| types::Column { validity: column.validity, buffers: column.buffers };
        let port = |port: raw::PortOutput| types::PortOutput {
            data: types::Batch { rows: port.data.rows, columns: port.data.columns.into_iter().map(column).collect() },
            origin: port.origin,
        };
        let failures = |failed: raw::Failures| types::Failures { rows: failed.rows, messages: failed.messages };
        Self { ports: output.ports.into_iter().map(port).collect(), failed: output.failed.map(failures) }
    }
}

impl From<Function> for types::FunctionDescription {
    fn from(function: Function) -> Self {
        let field = |field: describe::Field| types::Field {
            name: field.name,
            type_: field.logical,
            nullable: field.nullable,
            attributes: field.attributes,
        };
        let port = |port: describe::Port| types::Port {
            name: port.name,
            fields: port.fields.into_iter().map(field).collect(),
        };
        Self {
            name: function.name,
            kind: "transform".to_owned(),
            inputs: function.inputs.into_iter().map(port).collect(),
            outputs: function.outputs.into_iter().map(port).collect(),
            attributes: function.attributes,
        }
    }
}
