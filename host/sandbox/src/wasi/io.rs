//! `wasi:io` and the standard streams: input is at its end, output goes to the logs, everything is ready at once.

use super::{Interface, Store};
use crate::failure::Stop;
use crate::host::charge;
use crate::log::Stream;
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lower, Resource, WasmList};

/// Bytes that `check-write` permits.
const WRITE: u64 = 64 << 10;
/// Bytes that a blocking write takes, as `wasi:io/streams` has it.
const BLOCKING_WRITE: u64 = 4 << 10;

struct IoError;
pub(super) struct Pollable;
pub(super) struct Input;
/// The handle's representation is the number of the stream.
pub(super) struct Output;
struct Terminal;

#[derive(ComponentType, Lower)]
#[component(variant)]
#[expect(dead_code, reason = "no stream of ours ever fails otherwise than by being closed")]
enum StreamError {
    #[component(name = "last-operation-failed")]
    Failed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

pub(super) fn error(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<IoError>("error")?;
    interface.function("[method]error.to-debug-string", |_, (_,): (Resource<IoError>,)| Ok(String::from("error")))
}

pub(super) fn poll(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Pollable>("pollable")?;
    interface.function("[method]pollable.ready", |_, (_,): (Resource<Pollable>,)| Ok(true))?;
    interface.procedure("[method]pollable.block", |_, (_,): (Resource<Pollable>,)| Ok(()))?;
    interface.function("poll", |store, (pollables,): (Vec<Resource<Pollable>>,)| {
        if pollables.is_empty() {
            return Err(Stop::Argument("the guest called wasi:io/poll#poll without a pollable").into());
        }
        charge(store, pollables.len().saturating_mul(8))?;
        Ok((0_u32..).take(pollables.len()).collect::<Vec<_>>())
    })
}

/// A pollable that is ready.
pub(super) fn ready() -> Resource<Pollable> {
    Resource::new_own(0)
}

pub(super) fn streams(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Input>("input-stream")?;
    for name in ["read", "blocking-read"] {
        interface.function(&format!("[method]input-stream.{name}"), |_, _: (Resource<Input>, u64)| {
            Ok(Err::<Vec<u8>, _>(StreamError::Closed))
        })?;
    }
    for name in ["skip", "blocking-skip"] {
        interface.function(&format!("[method]input-stream.{name}"), |_, _: (Resource<Input>, u64)| {
            Ok(Err::<u64, _>(StreamError::Closed))
        })?;
    }
    interface.function("[method]input-stream.subscribe", |_, _: (Resource<Input>,)| Ok(ready()))?;

    interface.resource::<Output>("output-stream")?;
    interface.function("[method]output-stream.subscribe", |_, _: (Resource<Output>,)| Ok(ready()))?;
    interface
        .function("[method]output-stream.check-write", |_, _: (Resource<Output>,)| Ok(Ok::<_, StreamError>(WRITE)))?;
    interface.function("[method]output-stream.write", |store, (stream, bytes): (Resource<Output>, WasmList<u8>)| {
        write(store, &stream, &bytes, WRITE)
    })?;
    interface.function(
        "[method]output-stream.blocking-write-and-flush",
        |store, (stream, bytes): (Resource<Output>, WasmList<u8>)| write(store, &stream, &bytes, BLOCKING_WRITE),
    )?;
    interface.function("[method]output-stream.write-zeroes", |store, (stream, count): (Resource<Output>, u64)| {
        write_zeroes(store, &stream, count, WRITE)
    })?;
    interface.function(
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |store, (stream, count): (Resource<Output>, u64)| write_zeroes(store, &stream, count, BLOCKING_WRITE),
    )?;
    for name in ["flush", "blocking-flush"] {
        interface.function(&format!("[method]output-stream.{name}"), |_, _: (Resource<Output>,)| {
            Ok(Ok::<_, StreamError>(()))
        })?;
    }
    for name in ["splice", "blocking-splice"] {
        interface
            .function(&format!("[method]output-stream.{name}"), |_, _: (Resource<Output>, Resource<Input>, u64)| {
                Ok(Err::<u64, _>(StreamError::Closed))
            })?;
    }
    Ok(())
}

fn write(
    store: &mut Store<'_>,
    stream: &Resource<Output>,
    bytes: &WasmList<u8>,
    most: u64,
) -> Result<Result<(), StreamError>> {
    // Checked before anything is copied.
    permitted(bytes.len() as u64, most)?;
    let bytes = bytes.as_le_slice(&*store).to_vec();
    append(store, stream, &bytes)
}

fn write_zeroes(
    store: &mut Store<'_>,
    stream: &Resource<Output>,
    count: u64,
    most: u64,
) -> Result<Result<(), StreamError>> {
    permitted(count, most)?;
    append(store, stream, &vec![0; usize::try_from(count)?])
}

fn permitted(count: u64, most: u64) -> Result<()> {
    if count > most {
        return Err(Stop::Argument("the guest wrote more to a stream at once than it is permitted to").into());
    }
    Ok(())
}

fn append(store: &mut Store<'_>, stream: &Resource<Output>, bytes: &[u8]) -> Result<Result<(), StreamError>> {
    charge(store, bytes.len())?;
    let stream = if stream.rep() == Stream::Err as u32 { Stream::Err } else { Stream::Out };
    store.data_mut().logs.write(stream, bytes);
    Ok(Ok(()))
}

pub(super) fn stdin(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-stdin", |_, ()| Ok(Resource::<Input>::new_own(0)))
}

pub(super) fn stdout(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-stdout", |_, ()| Ok(Resource::<Output>::new_own(Stream::Out as u32)))
}

pub(super) fn stderr(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-stderr", |_, ()| Ok(Resource::<Output>::new_own(Stream::Err as u32)))
}

pub(super) fn terminal_input(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Terminal>("terminal-input")
}

pub(super) fn terminal_output(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Terminal>("terminal-output")
}

pub(super) fn terminal_stdin(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-terminal-stdin", |_, ()| Ok(None::<Resource<Terminal>>))
}

pub(super) fn terminal_stdout(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-terminal-stdout", |_, ()| Ok(None::<Resource<Terminal>>))
}

pub(super) fn terminal_stderr(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-terminal-stderr", |_, ()| Ok(None::<Resource<Terminal>>))
}
