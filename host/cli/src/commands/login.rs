//! `lockgate login` and `lockgate whoami`: a context is made only once the JobManager knows the token, and a token is
//! taken from a prompt, standard input, a file or the environment, never from an argument.

use super::Outcome;
use super::remote::{Target, block, fields};
use crate::client::{self, Client, Request};
use crate::contexts::{self, Context, Contexts};
use crate::files;
use crate::home::Home;
use crate::output::{Output, pairs};
use lockgate_core::error::code;
use lockgate_core::{Digest, Error, Name, Result};
use lockgate_jobmanager::secret::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};
use std::io::{BufRead as _, IsTerminal as _, Read as _};
use std::path::PathBuf;

/// The most that is read of a line, in bytes.
const MAX_LINE: u64 = 32 << 10;

#[derive(Debug, clap::Args)]
#[command(
    after_help = "Without --token-file and --token-env the token is asked for, or read from standard input if that \
                        is no terminal, and kept in a file of your own (0600)."
)]
pub struct Login {
    /// The JobManager, https://HOST:PORT.
    server: String,
    /// The certificate of the authority that the server's must be of, in PEM.
    #[arg(long, value_name = "FILE", conflicts_with = "ca_sha256")]
    ca: Option<PathBuf>,
    /// The SHA-256 of that certificate (DER), if the server sends it along.
    #[arg(long, value_name = "DIGEST", value_parser = fingerprint)]
    ca_sha256: Option<Digest>,
    /// The tenant that is meant where none is named; the token's own if not given.
    #[arg(long, value_name = "NAME")]
    tenant: Option<Name>,
    /// What to call the context; after the tenant if not given.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A file with the token, which stays there.
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    token_file: Option<PathBuf>,
    /// An environment variable with the token, also from now on.
    #[arg(long, value_name = "NAME")]
    token_env: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Whoami {
    #[command(flatten)]
    target: Target,
}

impl Login {
    pub fn run(&self, output: &Output) -> Outcome {
        block(self.login(output))
    }

    async fn login(&self, output: &Output) -> Outcome {
        let server = client::server(&self.server)?;
        self.name.as_deref().map_or(Ok(()), contexts::check_name)?;
        let home = Home::open()?;
        let mut all = Contexts::read(&home)?;
        let absolute = |path: &PathBuf| std::path::absolute(path).map_err(|error| files::failed(path, &error));
        let mut context = Context {
            server: server.to_string(),
            ca: self.ca.as_ref().map(absolute).transpose()?,
            ca_sha256: self.ca_sha256,
            tenant: None,
            token_file: self.token_file.as_ref().map(absolute).transpose()?,
            token_env: self.token_env.clone(),
        };
        let given = context.token_file.is_none() && context.token_env.is_none();
        let pin = context.pin()?;
        let token = if given { ask()? } else { context.token()? };
        let who = Client::new(server, &pin, token.clone())?.send(&Request::get("/api/v1/whoami")).await?.body;
        let own = who.get("tenant").and_then(Value::as_str).map(Name::new).transpose()?;
        context.tenant = self.tenant.clone().or(own);
        let name = match &self.name {
            Some(name) => name.clone(),
            None => free_name(&all, &context)?,
        };
        if given {
            context.token_file = Some(contexts::keep_token(&home, &name, &token)?);
        }
        let principal = super::remote::cell(&who, "principal");
        all.current = Some(name.clone());
        all.context.insert(name.clone(), context.clone());
        all.write(&home)?;
        let value =
            json!({ "context": name, "server": context.server, "tenant": context.tenant, "principal": principal });
        output.result(&value, || {
            let tenant = context.tenant.as_ref().map_or("none".to_owned(), Name::to_string);
            pairs([("context", name), ("server", context.server), ("tenant", tenant), ("principal", principal)])
        });
        Ok(())
    }
}

/// A name for a context after its tenant, unless one of that name is of another server.
fn free_name(all: &Contexts, context: &Context) -> Result<String> {
    let name = context.tenant.as_ref().map_or("operator".to_owned(), Name::to_string);
    match all.context.get(&name) {
        Some(other) if other.server != context.server => {
            let cause = format!("context {name} is of {}", other.server);
            Err(Error::new(code::USAGE, cause).help("give this one another name with `--name NAME`"))
        }
        _ => Ok(name),
    }
}

/// A token from a prompt, or from standard input if that is no terminal.
fn ask() -> Result<Secret<String>> {
    let input = std::io::stdin();
    if !input.is_terminal() {
        return contexts::token_from(input.lock(), "standard input");
    }
    anstream::eprint!("token: ");
    let silent = Silent::new();
    let mut line = zeroize::Zeroizing::new(Vec::new());
    let read = input.lock().take(MAX_LINE).read_until(b'\n', &mut line);
    drop(silent);
    anstream::eprintln!();
    read.map_err(|error| Error::new(code::NO_TOKEN, format!("standard input: {error}")))?;
    contexts::token_from(line.as_slice(), "what was typed")
}

/// While it lives, the terminal does not show what is typed.
struct Silent(Option<Termios>);

impl Silent {
    fn new() -> Self {
        let before = tcgetattr(std::io::stdin()).ok();
        if let Some(before) = &before {
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, &silent);
        }
        Self(before)
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Flush, before);
        }
    }
}

/// Reads a SHA-256 as Lockgate writes it, or as `openssl x509 -fingerprint -sha256` does.
fn fingerprint(text: &str) -> Result<Digest, String> {
    let plain = text.strip_prefix("sha256:").unwrap_or(text).replace(':', "").to_ascii_lowercase();
    Digest::from_hex(&plain).map_err(|error| error.cause().to_owned())
}

impl Whoami {
    pub fn run(&self, output: &Output) -> Outcome {
        block(async {
            let who = self.target.open()?.client.send(&Request::get("/api/v1/whoami")).await?.body;
            let rows = [
                ("principal", "principal"),
                ("tenant", "tenant"),
                ("roles", "roles"),
                ("credential", "credential"),
                ("may", "actions"),
            ];
            output.result(&who, || fields(&who, &rows));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_openssl_writes_it() {
        let digest = Digest::of(b"ca");
        let colons: Vec<String> = digest.as_bytes().iter().map(|byte| format!("{byte:02X}")).collect();
        for text in [digest.to_string(), digest.hex(), colons.join(":")] {
            assert_eq!(fingerprint(&text), Ok(digest));
        }
        assert!(fingerprint("sha256:12").is_err());
    }
}
