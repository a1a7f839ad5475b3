//! `lockgate health`: whether the JobManager of this machine takes requests, for what watches over services.
//!
//! A container without a shell has nothing else to ask with. The question is put over TLS to where the configuration says
//! that it listens, and the answer counts only from the server that shows the certificate of the configuration: another
//! process that has taken the port is not the JobManager.

use super::Outcome;
use super::remote::block;
use crate::client::{self, Pin, is_ready};
use crate::output::Output;
use lockgate_core::Error;
use lockgate_core::error::code;
use lockgate_jobmanager::Config;
use serde_json::json;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit code 5 says that it does not answer, or that it takes no requests because it is stopping; \
                        6 that something else listens there."
)]
pub struct Health {
    /// Its configuration, jobmanager.toml.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where it listens, if that is not the first address of `listen`.
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
}

impl Health {
    pub fn run(&self, output: &Output) -> Outcome {
        let config = Config::read(&self.config)?;
        let address = match (self.address, config.listen.first()) {
            (Some(address), _) => address,
            (None, Some(listen)) if listen.port() != 0 => reachable(*listen),
            _ => {
                let error = Error::new(code::USAGE, "the configuration does not say at which port it listens");
                return Err(error.help("add `--address IP:PORT`, as the log says it").into());
            }
        };
        let name = config.names.first().map_or("localhost", String::as_str);
        let server = client::server(&format!("https://{name}:{}", address.port()))?;
        block(async {
            if is_ready(server, address, &Pin::Server(config.certificate())).await? {
                output.result(&json!({ "address": address, "ready": true }), || format!("{address} takes requests"));
                return Ok(());
            }
            Err(Error::new(code::UNREACHABLE, format!("{address} takes no requests: it is starting or stopping"))
                .into())
        })
    }
}

/// Where this machine reaches what listens at `address`: one that stands for all of them is not one to go to.
fn reachable(address: SocketAddr) -> SocketAddr {
    let loopback = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    if address.ip().is_unspecified() { SocketAddr::new(loopback, address.port()) } else { address }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_for_all_addresses_is_asked_on_loopback() {
        for (listens, asked) in
            [("0.0.0.0:8443", "127.0.0.1:8443"), ("[::]:8443", "[::1]:8443"), ("192.0.2.7:1", "192.0.2.7:1")]
        {
            assert_eq!(reachable(listens.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
