//! What an operator does once, with the verbs that he would type: keys and the operator root, a first operator with a token,
//! the trust documents, a join token. Each step is left out where its outcome is there already.
//!
//! ```text
//! DATA/jobmanager.toml, taskmanager.toml   written anew by every start
//!      jobmanager/, taskmanager/           what these two keep
//!      keys/, trust/                       the operator's, unless they are elsewhere
//!      operator.token                      of the first operator
//!      home/                               contexts of this operator, not the user's
//! ```

use super::Standalone;
use crate::files;
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// What the context of the user is called.
pub const CONTEXT: &str = "standalone";
/// What the first TaskManager is called.
const TASKMANAGER: &str = "standalone";
/// Who the first operator is.
const OPERATOR: &str = "user:operator";

/// The folder of everything.
pub struct Layout(PathBuf);

impl Layout {
    /// The folder `path`, made if missing.
    ///
    /// # Errors
    /// `LG0002`.
    pub fn at(path: &Path) -> Result<Self> {
        let path = std::path::absolute(path).map_err(|error| files::failed(path, &error))?;
        for folder in [path.clone(), path.join("run"), path.join("keys"), path.join("home")] {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
            made.map_err(|error| files::failed(&folder, &error))?;
        }
        Ok(Self(path))
    }

    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Where sockets are.
    pub fn run(&self) -> PathBuf {
        self.0.join("run")
    }

    pub fn jobmanager_config(&self) -> PathBuf {
        self.0.join("jobmanager.toml")
    }

    pub fn taskmanager_config(&self) -> PathBuf {
        self.0.join("taskmanager.toml")
    }

    /// Where the operator's documents are.
    pub fn trust_folder(&self, of: &Standalone) -> PathBuf {
        of.trust.clone().unwrap_or_else(|| self.0.join("trust"))
    }

    /// Writes both configurations.
    ///
    /// # Errors
    /// `LG0002`; `LG0860` for a volume that is none.
    pub fn configure(&self, of: &Standalone) -> Result<()> {
        let mut jobmanager = toml::Table::new();
        jobmanager.insert("data".into(), "jobmanager".into());
        jobmanager.insert("domain".into(), of.domain.to_string().into());
        jobmanager.insert("listen".into(), vec![of.listen.to_string()].into());
        let plane = [("listen", of.plane.to_string()), ("names", "localhost".into())];
        let plane = plane.map(|(key, value)| (key.to_owned(), toml::Value::from(vec![value])));
        jobmanager.insert("plane".into(), toml::Table::from_iter(plane).into());
        self.write(&self.jobmanager_config(), &jobmanager)?;

        let mut taskmanager = toml::Table::new();
        taskmanager.insert("name".into(), TASKMANAGER.into());
        if let Some(slots) = of.slots {
            taskmanager.insert("slots".into(), i64::from(slots).into());
        }
        taskmanager.insert("state".into(), "taskmanager".into());
        taskmanager.insert("cache".into(), "taskmanager/cache".into());
        let mut reach = toml::Table::new();
        reach.insert("join".into(), of.url().into());
        reach.insert("ca".into(), "jobmanager/tls/ca.pem".into());
        reach.insert("plane".into(), vec![format!("localhost:{}", of.plane.port())].into());
        reach.insert("join-token-file".into(), "join-token".into());
        taskmanager.insert("jobmanager".into(), reach.into());
        let mut trust = toml::Table::new();
        trust.insert("domain".into(), of.domain.to_string().into());
        let root = self.trust_folder(of).join("operator-root.1.json");
        let root = std::path::absolute(&root).map_err(|error| files::failed(&root, &error))?;
        trust.insert("operator-root".into(), text(&root)?.into());
        taskmanager.insert("trust".into(), trust.into());
        taskmanager.insert("volumes".into(), of.volumes()?.into());
        self.write(&self.taskmanager_config(), &taskmanager)
    }

    /// Makes the operator's keys and root, unless there is a root.
    ///
    /// # Errors
    /// What the verbs say.
    pub async fn trust(&self, of: &Standalone) -> Result<()> {
        let folder = self.trust_folder(of);
        if of.trust.is_some() || folder.join("operator-root.1.json").exists() {
            return Ok(());
        }
        let (root, status) = self.keys();
        for key in [&root, &status] {
            if !key.exists() {
                self.call(&["keys", "generate", text(key)?]).await?;
            }
        }
        let (root, status, folder, domain) = (text(&root)?, text(&status)?, text(&folder)?, of.domain.to_string());
        let made = ["trust", "operator-root", "--dir", folder, "--domain", &domain];
        self.call(&[&made[..], &["--root", root, "--status", status, "--key", root]].concat()).await
    }

    /// Makes the first operator and a token for him, unless there is one.
    ///
    /// # Errors
    /// What the verbs say.
    pub async fn enrol(&self, url: &str) -> Result<()> {
        let (ca, setup) = (self.0.join("jobmanager/tls/ca.pem"), self.0.join("jobmanager/setup-token"));
        let token = self.0.join("operator.token");
        let (ca, token_text) = (text(&ca)?, text(&token)?);
        if !token.exists() {
            self.call(&["login", url, "--ca", ca, "--token-file", text(&setup)?, "--name", "setup"]).await?;
            self.call(&["member", "set", OPERATOR, "--role", "operator"]).await?;
            self.call(&["token", "create", "--principal", OPERATOR, "--to", token_text]).await?;
        }
        self.call(&["login", url, "--ca", ca, "--token-file", token_text, "--name", "operator"]).await
    }

    /// Renews the operator's status if its key is here, and gives the operator's documents to the JobManager.
    ///
    /// # Errors
    /// What the verbs say.
    pub async fn give_trust(&self, of: &Standalone) -> Result<()> {
        let (folder, status) = (self.trust_folder(of), self.keys().1);
        if of.trust.is_none() {
            self.call(&["trust", "operator-status", "--dir", text(&folder)?, "--key", text(&status)?]).await?;
        }
        // Policies are of tenants, which may not be there yet: those are for whoever makes them.
        let failed = |error: std::io::Error| files::failed(&folder, &error);
        let mut own = Vec::new();
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with("operator-") && name.ends_with(".json") {
                own.push(path);
            }
        }
        let own = own.iter().map(|path| text(path)).collect::<Result<Vec<_>>>()?;
        self.call(&[&["trust", "upload"][..], &own].concat()).await
    }

    /// Makes a token with which the TaskManager joins, unless it has joined.
    ///
    /// # Errors
    /// What the verbs say.
    pub async fn admit_taskmanager(&self) -> Result<()> {
        if self.0.join("taskmanager/identity").exists() {
            return Ok(());
        }
        let token = self.0.join("join-token");
        let _ = std::fs::remove_file(&token);
        self.call(&["taskmanager", "token", "create", "--name", TASKMANAGER, "--to", text(&token)?]).await
    }

    /// Makes a context in the user's own directory, and makes it the present one.
    ///
    /// # Errors
    /// What the verb says.
    pub async fn greet(&self, url: &str) -> Result<()> {
        let (ca, token) = (self.0.join("jobmanager/tls/ca.pem"), self.0.join("operator.token"));
        let mut command = Command::new(program()?);
        command.args(["login", url, "--ca", text(&ca)?, "--token-file", text(&token)?, "--name", CONTEXT]);
        run(command).await
    }

    fn keys(&self) -> (PathBuf, PathBuf) {
        (self.0.join("keys/operator.key"), self.0.join("keys/operator-status.key"))
    }

    /// Calls a verb as this cluster's operator.
    async fn call(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(program()?);
        command.args(arguments).env("LOCKGATE_HOME", self.0.join("home"));
        run(command).await
    }

    fn write(&self, path: &Path, table: &toml::Table) -> Result<()> {
        let text = toml::to_string(table).map_err(|error| Error::new(code::INTERNAL, error.to_string()))?;
        let head = "# Written anew by every start of `lockgate standalone`.\n";
        files::replace(path, format!("{head}{text}").as_bytes())
    }
}

/// This program.
///
/// # Errors
/// `LG0002`.
pub fn program() -> Result<PathBuf> {
    std::env::current_exe().map_err(|error| Error::new(code::IO, format!("this program's own file: {error}")))
}

/// A path as text, as arguments and configurations have it.
///
/// # Errors
/// `LG0002` if it is not UTF-8.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::new(code::IO, format!("{} is not UTF-8", path.display())))
}

async fn run(mut command: Command) -> Result<()> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let output = command.output().await.map_err(|error| Error::new(code::INTERNAL, format!("no process: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let said: String = String::from_utf8_lossy(&output.stderr).chars().take(2_000).collect();
    let arguments: Vec<_> = command.as_std().get_args().map(|argument| argument.to_string_lossy()).collect();
    let cause = format!("`lockgate {}` failed: {}", arguments.join(" "), said.trim());
    Err(Error::new(code::INTERNAL, cause))
}
