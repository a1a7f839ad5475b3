//! Tells systemd how the service is doing (`Type=notify-reload`, `WatchdogSec=`): one datagram each, as sd_notify(3) says.
//! Without systemd nothing is told.

use std::ffi::OsString;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Where systemd listens, if it does.
#[derive(Debug)]
pub struct Notify {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment of this process says.
    pub fn from_environment() -> Self {
        Self::new(
            std::env::var_os("NOTIFY_SOCKET"),
            std::env::var("WATCHDOG_USEC").ok(),
            std::env::var("WATCHDOG_PID").ok(),
        )
    }

    fn new(socket: Option<OsString>, micros: Option<String>, pid: Option<String>) -> Self {
        let address = socket.and_then(|name| match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name).ok(),
            [b'/', ..] => SocketAddr::from_pathname(&name).ok(),
            _ => None,
        });
        let socket = address.and_then(|address| Some((UnixDatagram::unbound().ok()?, address)));
        let for_us = pid.is_none_or(|pid| pid == std::process::id().to_string());
        let micros = micros.filter(|_| for_us).and_then(|micros| micros.parse().ok());
        Self { socket, watchdog: micros.filter(|micros| *micros > 0).map(Duration::from_micros) }
    }

    /// How often [`Notify::alive`] is to be told: half of what systemd waits for.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|timeout| (timeout / 2).max(Duration::from_millis(1)))
    }

    /// It serves.
    pub fn ready(&self) {
        self.tell("READY=1\n");
    }

    /// It reads its files again; [`Notify::ready`] follows.
    pub fn reloading(&self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1_000);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// It ends what it has begun and takes nothing new.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\n");
    }

    /// It lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, state: &str) {
        if let Some((socket, address)) = &self.socket
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::debug!(%error, "systemd could not be told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_systemd_at_a_path_and_by_an_abstract_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let name = format!("lockgate-notify-{}", std::process::id());
        let listeners = [
            (UnixDatagram::bind(&path).unwrap(), path.clone().into_os_string()),
            (
                UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap(),
                format!("@{name}").into(),
            ),
        ];
        for (listener, place) in listeners {
            let notify = Notify::new(Some(place), Some("2000000".into()), None);
            notify.ready();
            notify.reloading();
            notify.alive();
            notify.stopping();
            let mut buffer = [0; 256];
            let mut told = || {
                let length = listener.recv(&mut buffer).unwrap();
                String::from_utf8(buffer[..length].to_vec()).unwrap()
            };
            assert_eq!(told(), "READY=1\n");
            assert!(told().starts_with("RELOADING=1\nMONOTONIC_USEC="));
            assert_eq!((told(), told()), ("WATCHDOG=1\n".into(), "STOPPING=1\n".into()));
            assert_eq!(notify.interval(), Some(Duration::from_secs(1)));
        }
    }

    #[test]
    fn without_systemd_nothing_happens() {
        let silent = Notify::new(None, None, None);
        silent.ready();
        assert_eq!(silent.interval(), None);
        assert_eq!(
            Notify::new(None, Some("5".into()), Some("1".into())).interval(),
            None,
            "another process's watchdog"
        );
    }
}
