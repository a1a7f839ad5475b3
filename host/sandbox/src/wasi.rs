//! WASI 0.2 for a guest with nothing granted: what a program of a standard library needs to start, computed from the
//! settings and the batch.
//!
//! About forty functions have a meaning; every other function of an interface that is offered is linked and refuses
//! when it is called, because a guest of a standard library imports 24 interfaces whether it uses them or not. Nothing
//! here does I/O, waits, or looks at the host's clock (`docs/adr/0006-our-own-host-side-of-wasi.md`). Interfaces are linked under the
//! very names that the component imports, so any version 0.2.x is served.

mod io;
mod system;

use crate::contract::{CONFIG, LOG, TYPES};
use crate::failure::Stop;
use crate::host::{Host, charge};
use crate::log::Level;
use crate::program::{is_ours, is_patch_of, version};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, ComponentNamedList, ComponentType, Lift, Linker, LinkerInstance, Lower, WasmStr};
use wasmtime::{Result, StoreContextMut};

/// The store as an import sees it.
type Store<'a> = StoreContextMut<'a, Host>;
/// Adds the functions of an interface that have a meaning, and the resources that it owns.
type Define = fn(&mut Interface<'_>) -> Result<()>;
/// The interfaces of WASI 0.2 that are offered, without `wasi:` and version.
const OFFERED: &[(&str, Define)] = &[
    ("cli/environment", system::environment),
    ("cli/exit", system::exit),
    ("cli/stderr", io::stderr),
    ("cli/stdin", io::stdin),
    ("cli/stdout", io::stdout),
    ("cli/terminal-input", io::terminal_input),
    ("cli/terminal-output", io::terminal_output),
    ("cli/terminal-stderr", io::terminal_stderr),
    ("cli/terminal-stdin", io::terminal_stdin),
    ("cli/terminal-stdout", io::terminal_stdout),
    ("clocks/monotonic-clock", system::monotonic_clock),
    ("clocks/wall-clock", system::wall_clock),
    ("filesystem/preopens", system::preopens),
    ("filesystem/types", system::filesystem),
    ("io/error", io::error),
    ("io/poll", io::poll),
    ("io/streams", io::streams),
    ("random/insecure", system::insecure),
    ("random/insecure-seed", system::insecure_seed),
    ("random/random", system::random),
    ("sockets/instance-network", system::instance_network),
    ("sockets/ip-name-lookup", system::ip_name_lookup),
    ("sockets/network", system::network),
    ("sockets/tcp", system::tcp),
    ("sockets/tcp-create-socket", system::tcp_create_socket),
    ("sockets/udp", system::udp),
    ("sockets/udp-create-socket", system::udp_create_socket),
];

/// Whether a component may import the interface of this name.
pub(crate) fn is_offered(name: &str) -> bool {
    definition(name).is_some()
}

/// Links all that `component` imports.
pub(crate) fn link(linker: &mut Linker<Host>, component: &Component) -> Result<()> {
    let engine = linker.engine().clone();
    for (name, import) in component.component_type().imports(&engine) {
        // What is not offered stays unlinked and is refused by the linker, as `inspect` refuses it before.
        let (Some(define), ComponentItem::ComponentInstance(instance)) = (definition(name), import.ty) else {
            continue;
        };
        let mut interface = Interface(linker.instance(name)?);
        define(&mut interface)?;
        for (function, item) in instance.exports(&engine) {
            if let ComponentItem::ComponentFunc(_) = item.ty {
                let refusal = Stop::Refused(format!("{name}#{function}"));
                let refuse = move |mut store: Store<'_>, _, _: &[_], _: &mut [_]| {
                    charge(&mut store, 0)?;
                    Err(refusal.clone().into())
                };
                // Defined already means that it has a meaning.
                let _ = interface.0.func_new(function, refuse);
            }
        }
    }
    Ok(())
}

fn definition(name: &str) -> Option<Define> {
    if is_ours(name, CONFIG) {
        return Some(config);
    } else if is_ours(name, LOG) {
        return Some(log);
    } else if is_ours(name, TYPES) {
        return Some(|_| Ok(()));
    }
    let name = name.strip_prefix("wasi:")?;
    let offered =
        |(interface, _): &&(&str, Define)| version(name, interface).is_some_and(|version| is_patch_of(version, "0.2."));
    OFFERED.iter().find(offered).map(|(_, define)| *define)
}

/// An interface that is being linked.
struct Interface<'a>(LinkerInstance<'a, Host>);

impl Interface<'_> {
    /// Adds a function with a result. `body` is billed as a call of the host before it runs.
    fn function<P, R>(&mut self, name: &str, body: fn(&mut Store<'_>, P) -> Result<R>) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
        R: ComponentType + Lower + 'static,
    {
        self.0.func_wrap(name, move |mut store, params: P| {
            charge(&mut store, 0)?;
            Ok((body(&mut store, params)?,))
        })
    }

    /// Adds a function without a result.
    fn procedure<P>(&mut self, name: &str, body: fn(&mut Store<'_>, P) -> Result<()>) -> Result<()>
    where
        P: ComponentNamedList + Lift + 'static,
    {
        self.0.func_wrap(name, move |mut store, params: P| {
            charge(&mut store, 0)?;
            body(&mut store, params)
        })
    }

    /// Adds a resource. None has anything behind it that would have to be dropped.
    fn resource<T: 'static>(&mut self, name: &str) -> Result<()> {
        let kind = wasmtime::component::ResourceType::host::<T>();
        self.0.resource(name, kind, |mut store, _| charge(&mut store, 0))
    }
}

/// `lockgate:udf/config`.
fn config(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get", |store, (name,): (WasmStr,)| {
        let (value, moved) = {
            let name = name.to_str(&*store)?;
            let value = store.data().config.get(name.as_ref()).cloned();
            let moved = name.len() + value.as_ref().map_or(0, String::len);
            (value, moved)
        };
        charge(store, moved)?;
        Ok(value)
    })
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "lifted, never written down")]
enum WitLevel {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
}

/// `lockgate:udf/log`.
fn log(interface: &mut Interface<'_>) -> Result<()> {
    interface.procedure("log", |store, (level, message): (WitLevel, WasmStr)| {
        let level = match level {
            WitLevel::Error => Level::Error,
            WitLevel::Warn => Level::Warn,
            WitLevel::Info => Level::Info,
            WitLevel::Debug => Level::Debug,
        };
        let (head, length) = {
            let text = message.to_str(&*store)?;
            let head = text.floor_char_boundary(store.data().logs.left());
            (text.get(..head).unwrap_or_default().to_owned(), text.len())
        };
        charge(store, length)?;
        store.data_mut().logs.message(level, &head, length);
        Ok(())
    })
}
