//! `lockgate audit`: whether a log is the one that was written, and the log itself as lines.
//!
//! `verify` and `tail` read what was exported, so that an auditor needs the file and the public key only. `export` asks a
//! JobManager that runs, or reads the data directory of one that does not. `prune` cuts off the beginning of a log that
//! grows too long.

use super::Outcome;
use super::backup::Origin;
use super::remote::{Remote, Target, block, confirm, fields};
use crate::client::{Request, malformed};
use crate::output::{Output, pairs};
use crate::{files, keyfile};
use lockgate_core::error::code;
use lockgate_core::{Error, Result};
use lockgate_jobmanager::audit::chain::MAX_LINE;
use lockgate_jobmanager::audit::verify::{Summary, Verifier};
use lockgate_jobmanager::audit::{Checkpoint, Outcome as Ended, Record, export};
use lockgate_jobmanager::store::Store as _;
use serde_json::json;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Subcommand)]
pub enum Audit {
    /// Checks every hash, number and signature of an exported log.
    Verify(Verify),
    /// Writes the log as JSON lines, checkpoints among them.
    Export(Export),
    /// Shows the last records of an exported log.
    Tail(Tail),
    /// Removes the beginning of a running JobManager's log, up to a signed checkpoint, as its operator.
    Prune(Prune),
}

#[derive(Debug, clap::Args)]
pub struct Prune {
    /// The number of the last record that goes: the `sequence` of a checkpoint in the exported log.
    #[arg(long, value_name = "NUMBER")]
    before_checkpoint: u64,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    target: Target,
}

#[derive(Debug, clap::Args)]
pub struct Verify {
    /// The file that `lockgate audit export` wrote; `-` for standard input.
    file: PathBuf,
    /// A public key that signs checkpoints, or a file with it; may be given again. Without one, every key is taken.
    #[arg(long, value_name = "KEY")]
    key: Vec<String>,
    /// A file with lines that were exported earlier: the log must agree with the checkpoints in it.
    #[arg(long, value_name = "FILE")]
    known: Vec<PathBuf>,
}

#[derive(Debug, clap::Args)]
pub struct Export {
    #[command(flatten)]
    from: Origin,
    /// Leave out the records up to this number.
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    after: u64,
}

#[derive(Debug, clap::Args)]
pub struct Tail {
    /// The file that `lockgate audit export` wrote; `-` for standard input.
    file: PathBuf,
    /// How many records.
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    count: u16,
}

impl Audit {
    pub fn run(&self, output: &Output) -> Outcome {
        match self {
            Self::Verify(verify) => verify.run(output),
            Self::Export(export) => export.run(output),
            Self::Tail(tail) => tail.run(output),
            Self::Prune(prune) => prune.run(output),
        }
    }
}

impl Verify {
    fn run(&self, output: &Output) -> Outcome {
        let keys = self.key.iter().map(|key| keyfile::public(key)).collect::<Result<Vec<_>>>()?;
        let mut known = Vec::new();
        for path in &self.known {
            each_line(path, |line| {
                // Records among them say nothing that the checkpoints do not.
                known.extend(Checkpoint::parse(line).ok());
                Ok(())
            })?;
        }
        let mut verifier = Verifier::new(keys, &known)?;
        each_line(&self.file, |line| verifier.line(line))?;
        let summary = verifier.finish().map_err(|error| error.at(self.file.display().to_string()))?;
        self.show(&summary, output);
        Ok(())
    }

    fn show(&self, summary: &Summary, output: &Output) {
        let Summary { records, first, head, checkpoints, signed, keys } = summary;
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let value = json!({
            "verified": true,
            "records": records,
            "first": first,
            "last": head.sequence,
            "hash": head.hash,
            "checkpoints": checkpoints,
            "signed": signed,
            "keys": keys,
        });
        output.result(&value, || {
            pairs([
                ("verified", format!("{records} records, from {first} to {}", head.sequence)),
                ("signed", format!("up to {signed}, in {checkpoints} checkpoints")),
                ("signed by", if keys.is_empty() { "nobody".into() } else { keys.join(", ") }),
                ("last hash", head.hash.to_string()),
            ])
        });
        if self.key.is_empty() && *checkpoints > 0 {
            output.note("no --key was given: that the checkpoints are the JobManager's was not checked");
        }
        if *signed < head.sequence {
            output.note("records behind the last checkpoint could have been changed by whoever writes the disk");
        }
    }
}

impl Export {
    fn run(&self, output: &Output) -> Outcome {
        match self.from.server()? {
            Some(remote) => super::backup::runtime()?.block_on(self.fetch(&remote, output)),
            None => self.read(),
        }
    }

    /// From a JobManager that runs.
    async fn fetch(&self, remote: &Remote, output: &Output) -> Outcome {
        let (mut after, mut begun, mut whole) = (self.after, false, true);
        loop {
            let mut page = Page(Vec::new());
            let request = Request::get(&format!("/api/v1/audit?after={after}&limit={PAGE}"));
            let headers = remote.client.download(&request, &mut page).await?;
            let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let next = header("audit-next").and_then(|next| next.parse::<u64>().ok());
            let next = next.filter(|next| *next >= after).ok_or_else(|| malformed("a page of the log has no end"))?;
            whole &= header("audit-whole") == Some("true");
            let text = String::from_utf8(page.0).map_err(|_| malformed("the log is no text"))?;
            write(text.lines(), begun)?;
            if next == after {
                break;
            }
            (after, begun) = (next, true);
        }
        if !whole {
            output.note("these are the records about your tenant: by themselves they make no chain to verify");
        }
        Ok(())
    }

    /// From a data directory.
    fn read(&self) -> Outcome {
        super::backup::runtime()?.block_on(async {
            let store = self.from.open()?;
            let mut after = self.after;
            let mut begun = false;
            loop {
                let (lines, last) = export::lines(&store, after, PAGE).await?;
                write(lines.iter().map(String::as_str), begun)?;
                if last == after {
                    break;
                }
                (after, begun) = (last, true);
            }
            store.close().await;
            Ok(())
        })
    }
}

impl Prune {
    fn run(&self, output: &Output) -> Outcome {
        let at = self.before_checkpoint;
        block(async {
            let remote = self.target.open()?;
            confirm(self.yes, &format!("remove the records up to {at} for good? Export them first."))?;
            let request = Request::post("/api/v1/audit/prune").json(&json!({ "before-checkpoint": at }));
            let pruned = remote.client.send(&request).await?.body;
            output.result(&pruned, || {
                fields(&pruned, &[("removed", "removed"), ("begins behind", "sequence"), ("hash", "hash")])
            });
            Ok(())
        })
    }
}

/// Records of a page.
const PAGE: usize = 512;

/// A page of the log as it comes, no longer than one can be.
struct Page(Vec<u8>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len().saturating_add(bytes.len()) > PAGE * 2 * MAX_LINE {
            return Err(std::io::Error::other("a page of the log is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Writes a page to standard output. A later page begins with the checkpoint that the one before it ended with.
fn write<'a>(lines: impl Iterator<Item = &'a str>, is_later: bool) -> Result<()> {
    let mut lines = lines.peekable();
    lines.next_if(|line| is_later && Checkpoint::parse(line).is_ok());
    let text = lines.fold(String::new(), |text, line| text + line + "\n");
    let failed = |error: std::io::Error| files::failed(Path::new("standard output"), &error);
    std::io::stdout().write_all(text.as_bytes()).map_err(failed)
}

impl Tail {
    fn run(&self, output: &Output) -> Outcome {
        let count = usize::from(self.count);
        let mut last = VecDeque::with_capacity(count);
        each_line(&self.file, |line| {
            if Checkpoint::parse(line).is_err() {
                if last.len() == count {
                    last.pop_front();
                }
                last.push_back(Record::parse(line)?);
            }
            Ok(())
        })?;
        for record in last {
            let event = &record.event;
            let outcome = match &event.outcome {
                Ended::Done => "done".to_owned(),
                Ended::Denied(code) => format!("denied {code}"),
            };
            let value: serde_json::Value = serde_json::from_str(&record.line()).unwrap_or_default();
            output.result(&value, || {
                let text = format!(
                    "{} {:>6} {} {} {} {outcome}",
                    event.time, record.sequence, event.principal, event.action, event.resource
                );
                crate::output::plain(&text)
            });
        }
        Ok(())
    }
}

/// Reads a file line by line, each within the bound of a log's.
fn each_line(path: &Path, mut take: impl FnMut(&str) -> Result<()>) -> Result<()> {
    let failed = |error: std::io::Error| files::failed(path, &error);
    let source: Box<dyn Read> =
        if path == Path::new("-") { Box::new(std::io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut source = BufReader::new(source);
    for number in 1_u64.. {
        let mut line = Vec::new();
        let limit = MAX_LINE as u64 + 1;
        if source.by_ref().take(limit).read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line).ok().and_then(|text| text.strip_suffix('\n'));
        let whole = text.ok_or_else(|| Error::new(code::AUDIT_MALFORMED, "a line is cut short, too long or no text"));
        whole.and_then(&mut take).map_err(|error| error.at(format!("{}:{number}", path.display())))?;
    }
    Ok(())
}
