//! Environment, clocks, random numbers, and the empty file system and network.

use super::io::{Input, Output, Pollable, ready};
use super::{Interface, Store};
use crate::failure::Stop;
use crate::host::charge;
use wasmtime::Result;
use wasmtime::component::{ComponentType, Lift, Lower, Resource, WasmStr};

/// Bytes that one call for random bytes may ask for.
const RANDOM: u64 = 1 << 20;
/// What random bytes cost: eight hashed bytes take as long as crossing does for 64.
const RANDOM_COST: usize = 8;

struct Descriptor;
struct DirectoryEntries;
struct Network;
struct TcpSocket;
struct UdpSocket;
struct Addresses;

#[derive(ComponentType, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

pub(super) fn environment(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-environment", |store, ()| {
        let config = store.data().config.clone();
        charge(store, config.iter().map(|(key, value)| key.len() + value.len() + 32).sum())?;
        Ok(config.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>())
    })?;
    interface.function("get-arguments", |_, ()| Ok(Vec::<String>::new()))?;
    interface.function("initial-cwd", |_, ()| Ok(None::<String>))
}

pub(super) fn exit(interface: &mut Interface<'_>) -> Result<()> {
    interface.procedure("exit", |_, (status,): (Result<(), ()>,)| Err(Stop::Exit(status.is_err().into()).into()))?;
    interface.procedure("exit-with-code", |_, (status,): (u8,)| Err(Stop::Exit(status).into()))
}

pub(super) fn monotonic_clock(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("now", |store, ()| Ok(store.data().clock))?;
    interface.function("resolution", |_, ()| Ok(1_u64))?;
    for name in ["subscribe-instant", "subscribe-duration"] {
        interface.function(name, |_, _: (u64,)| -> Result<Resource<Pollable>> { Ok(ready()) })?;
    }
    Ok(())
}

pub(super) fn wall_clock(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("now", |store, ()| {
        let (clock, second) = (store.data().clock, 1_000_000_000);
        Ok(Datetime { seconds: clock / second, nanoseconds: u32::try_from(clock % second)? })
    })?;
    interface.function("resolution", |_, ()| Ok(Datetime { seconds: 0, nanoseconds: 1 }))
}

pub(super) fn random(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-random-bytes", random_bytes)?;
    interface.function("get-random-u64", random_u64)
}

pub(super) fn insecure(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-insecure-random-bytes", random_bytes)?;
    interface.function("get-insecure-random-u64", random_u64)
}

/// Seeds hash tables, once for an instance: see [`crate::host::Host::hash_seed`].
pub(super) fn insecure_seed(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("insecure-seed", |store, ()| Ok(store.data().hash_seed))
}

fn random_bytes(store: &mut Store<'_>, (count,): (u64,)) -> Result<Vec<u8>> {
    if count > RANDOM {
        return Err(Stop::Argument("the guest asked for more than 1 MiB of random bytes at once").into());
    }
    let count = usize::try_from(count)?;
    charge(store, count.saturating_mul(RANDOM_COST))?;
    let mut bytes = vec![0; count];
    store.data_mut().random.fill(&mut bytes);
    Ok(bytes)
}

fn random_u64(store: &mut Store<'_>, (): ()) -> Result<u64> {
    Ok(store.data_mut().random.next_u64())
}

pub(super) fn preopens(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("get-directories", |_, ()| Ok(Vec::<(Resource<Descriptor>, String)>::new()))
}

/// Without a preopened directory no descriptor exists that a method could be called on.
pub(super) fn filesystem(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Descriptor>("descriptor")?;
    interface.resource::<DirectoryEntries>("directory-entry-stream")
}

pub(super) fn network(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Network>("network")
}

pub(super) fn instance_network(interface: &mut Interface<'_>) -> Result<()> {
    interface.function("instance-network", |_, ()| Ok(Resource::<Network>::new_own(0)))
}

pub(super) fn tcp(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<TcpSocket>("tcp-socket")
}

pub(super) fn udp(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<UdpSocket>("udp-socket")?;
    interface.resource::<Input>("incoming-datagram-stream")?;
    interface.resource::<Output>("outgoing-datagram-stream")
}

pub(super) fn tcp_create_socket(interface: &mut Interface<'_>) -> Result<()> {
    interface
        .function("create-tcp-socket", |_, _: (Family,)| Ok(Err::<Resource<TcpSocket>, _>(SocketError::AccessDenied)))
}

pub(super) fn udp_create_socket(interface: &mut Interface<'_>) -> Result<()> {
    interface
        .function("create-udp-socket", |_, _: (Family,)| Ok(Err::<Resource<UdpSocket>, _>(SocketError::AccessDenied)))
}

pub(super) fn ip_name_lookup(interface: &mut Interface<'_>) -> Result<()> {
    interface.resource::<Addresses>("resolve-address-stream")?;
    interface.function("resolve-addresses", |_, _: (Resource<Network>, WasmStr)| {
        Ok(Err::<Resource<Addresses>, _>(SocketError::AccessDenied))
    })
}

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "no socket of either family is made")]
enum Family {
    #[component(name = "ipv4")]
    Ipv4,
    #[component(name = "ipv6")]
    Ipv6,
}

/// `wasi:sockets/network#error-code`: only one case is ever given, yet the type must have them all.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only one case is ever given")]
enum SocketError {
    #[component(name = "unknown")]
    Unknown,
    #[component(name = "access-denied")]
    AccessDenied,
    #[component(name = "not-supported")]
    NotSupported,
    #[component(name = "invalid-argument")]
    InvalidArgument,
    #[component(name = "out-of-memory")]
    OutOfMemory,
    #[component(name = "timeout")]
    Timeout,
    #[component(name = "concurrency-conflict")]
    ConcurrencyConflict,
    #[component(name = "not-in-progress")]
    NotInProgress,
    #[component(name = "would-block")]
    WouldBlock,
    #[component(name = "invalid-state")]
    InvalidState,
    #[component(name = "new-socket-limit")]
    NewSocketLimit,
    #[component(name = "address-not-bindable")]
    AddressNotBindable,
    #[component(name = "address-in-use")]
    AddressInUse,
    #[component(name = "remote-unreachable")]
    RemoteUnreachable,
    #[component(name = "connection-refused")]
    ConnectionRefused,
    #[component(name = "connection-reset")]
    ConnectionReset,
    #[component(name = "connection-aborted")]
    ConnectionAborted,
    #[component(name = "datagram-too-large")]
    DatagramTooLarge,
    #[component(name = "name-unresolvable")]
    NameUnresolvable,
    #[component(name = "temporary-resolver-failure")]
    TemporaryResolverFailure,
    #[component(name = "permanent-resolver-failure")]
    PermanentResolverFailure,
}
