//! A case: what an honest JobManager would say of a job of a new tenant, one deviation from it, how that must end, and that
//! the same job runs to its end and gives the right rows once nothing deviates any more.

use super::jobmanager::JobManager;
use super::ledger::Ledger;
use super::papers::{Operator, Tenant, name};
use super::taskmanager::{ROWS, TaskManager};
use super::wire::{Answer, Request};
use crate::harness::suite::Ended;
use lockgate_core::bundle::Package;
use lockgate_core::error::code;
use lockgate_core::placement::JobId;
use lockgate_core::plane::{Assignment, Failure, Status};
use lockgate_core::trust::Documents;
use lockgate_core::{Code, Digest};
use std::collections::BTreeMap;

/// How a deviation must end.
#[derive(Clone, Copy)]
pub enum Verdict {
    /// Refused for good with one of these codes before anything of it is compiled, executed or read.
    Refused(&'static [Code]),
    /// Failed with one of these codes; it may have begun, but nothing of it can be seen.
    Fails(&'static [Code]),
    /// Not taken notice of: it is no task of the TaskManager's, and nothing is asked about it.
    Ignored,
    /// Without any effect: the job runs as if there had been no deviation.
    Harmless,
    /// Without any effect, or failed with one of these codes.
    Either(&'static [Code]),
    /// What a JobManager can do: the job does not get on until it is honest again, and no more than that.
    Delayed,
    /// What a JobManager can do: rows of the tenant's own source are missing, and no others are there.
    Loses,
}

pub use Verdict::{Delayed, Either, Fails, Harmless, Ignored, Loses, Refused};

impl Verdict {
    fn shown(self) -> String {
        let any = |codes: &[Code]| codes.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
        match self {
            Refused(codes) => format!("refused {}", any(codes)),
            Fails(codes) => format!("fails {}", any(codes)),
            Ignored => "ignored".into(),
            Harmless => "no effect".into(),
            Either(codes) => format!("no effect or fails {}", any(codes)),
            Delayed => "delayed, no more".into(),
            Loses => "rows are missing, no more".into(),
        }
    }
}

/// A JobManager, its TaskManager, and an operator above both.
pub struct Site {
    pub jobmanager: JobManager,
    pub taskmanager: TaskManager,
    pub operator: Operator,
    pub ended: Vec<Ended>,
    count: u64,
}

/// What is said of a job: honest, until a case changes it.
pub struct Said {
    pub tenant: Tenant,
    /// What runs when nothing deviates any more.
    pub package: Package,
    pub assignment: Assignment,
    /// The run that the record is of.
    pub run: String,
    /// The file that is given for the digest that the assignment names.
    pub bundle: Vec<u8>,
    /// The trust documents that are given.
    pub documents: Documents,
}

impl Said {
    pub fn job(&self) -> &JobId {
        &self.assignment.job
    }

    /// Makes it another run of the job.
    pub fn begin_anew(&mut self, site: &mut Site) {
        self.run = site.run_id();
        self.assignment.id = self.run.clone();
    }

    /// Gives this bundle instead, and names it in everything that a JobManager says.
    pub fn give(&mut self, package: &Package) {
        self.give_bytes(package.to_bytes().expect("bytes"));
        if let Ok(release) = package.release() {
            self.assignment.release = release;
        }
    }

    /// Gives these bytes for a bundle, under their own digest.
    pub fn give_bytes(&mut self, bytes: Vec<u8>) {
        self.assignment.bundle = Digest::of(&bytes);
        self.bundle = bytes;
    }

    /// Gives this bundle, which the tenant's status names as current.
    pub fn give_released(&mut self, site: &mut Site, package: &Package) {
        self.tenant.release(package);
        self.documents = site.operator.documents(&self.tenant);
        self.give(package);
    }
}

impl Site {
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// One whose TaskManager has these lines under `[trust]` besides.
    pub fn start_with(trust: &str) -> Self {
        Self::of(JobManager::start(), trust)
    }

    /// One of this JobManager.
    pub fn of(jobmanager: JobManager, trust: &str) -> Self {
        let operator = Operator::new(7);
        let taskmanager = TaskManager::start(&jobmanager, &operator, trust);
        let site = Self { jobmanager, taskmanager, operator, ended: Vec::new(), count: 0 };
        if let Err(why) = site.jobmanager.beats(1) {
            panic!("{why}: {:#?}", site.taskmanager.log());
        }
        site
    }

    /// An honest job of a new tenant.
    pub fn honest(&mut self) -> Said {
        self.count += 1;
        let mut tenant = Tenant::new(&format!("tenant-{}", self.count));
        let package = tenant.sign(tenant.draft(1), None);
        tenant.release(&package);
        self.said(tenant, package, 1)
    }

    /// What an honest JobManager says of a job now.
    pub fn said(&mut self, tenant: Tenant, package: Package, epoch: u64) -> Said {
        let documents = self.operator.documents(&tenant);
        let bundle = package.to_bytes().expect("bytes");
        let run = self.run_id();
        let assignment = Assignment {
            job: JobId { tenant: tenant.name.clone(), name: name("job") },
            id: run.clone(),
            epoch,
            slots: 1,
            first: 0,
            parallelism: 1,
            bundle: Digest::of(&bundle),
            release: package.release().expect("a release"),
            fallback_of: None,
            parameters: BTreeMap::new(),
            fuel_per_second: None,
            drain: false,
            documents: self.operator.status.version + tenant.status.version,
        };
        Said { tenant, package, assignment, run, bundle, documents }
    }

    /// A new id of 16 hexadecimal digits.
    pub fn run_id(&mut self) -> String {
        self.count += 1;
        format!("{:016x}", self.count)
    }

    /// Says it, with a new record of the run.
    pub fn say(&self, said: &Said) {
        self.jobmanager.change(|state| {
            let Assignment { job, epoch, bundle, .. } = said.assignment.clone();
            state.documents.insert(job.tenant.clone(), said.documents.clone());
            state.bundles.insert((job.tenant.clone(), bundle.to_string()), said.bundle.clone());
            state.ledgers.insert(job, Ledger::new(&said.run, epoch));
            state.order(said.assignment.clone());
        });
    }

    /// Runs a job to its end, which must be a good one.
    ///
    /// # Errors
    /// How it is not.
    pub fn run(&self, said: &Said) -> Result<(), String> {
        self.say(said);
        let ended = self.jobmanager.end(&said.assignment)?;
        if ended != Status::Finished {
            return Err(format!("it ended as {ended:?}: {:#?}", self.last_lines()));
        }
        self.rows_are_right(said)
    }

    /// Runs the job of `said` honestly under a newer epoch.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn run_honestly(&mut self, said: Said) -> Result<Said, String> {
        let epoch = said.assignment.epoch.saturating_add(1);
        let again = self.said(said.tenant, said.package, epoch);
        self.run(&again)?;
        Ok(again)
    }

    /// Whether the run's output is every row once.
    pub fn rows_are_right(&self, said: &Said) -> Result<(), String> {
        let rows = self.rows(said);
        let expected: Vec<_> = (0..ROWS).map(|x| (Some(x), Some(x))).collect();
        if rows == expected { Ok(()) } else { Err(format!("the rows are {rows:?}")) }
    }

    /// What the run has published, in order.
    fn rows(&self, said: &Said) -> Vec<(Option<i64>, Option<i64>)> {
        let files = self.taskmanager.files("out");
        let mine = |path: &&String| path.contains(&format!("-{}-", said.run)) && !path.contains("/.");
        let mine = files.iter().filter(|(path, _)| mine(path));
        let text: String = mine.map(|(_, bytes)| String::from_utf8_lossy(bytes)).collect();
        let row = |line: &str| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap_or_default();
            (row["x"].as_i64(), row["y"].as_i64())
        };
        let mut rows: Vec<_> = text.lines().map(row).collect();
        rows.sort_unstable();
        rows
    }

    /// Something that must be so besides, as a case of its own.
    pub fn note(&mut self, group: &'static str, name: &str, verdict: String, result: Result<(), String>) {
        self.ended.push(Ended { group, name: name.into(), verdict, billed: "nobody", result });
    }

    /// Runs one case: `change` deviates.
    pub fn case(
        &mut self,
        group: &'static str,
        name: &str,
        verdict: Verdict,
        change: impl FnOnce(&mut Self, &mut Said) -> Result<(), String>,
    ) {
        let result = self.attempt(verdict, change);
        self.jobmanager.change(|state| {
            state.lie = None;
            state.assignments.clear();
            state.revision += 1;
        });
        // What runs on would be in the way of the next one.
        let result = result.and_then(|()| {
            let none = |state: &super::jobmanager::State| state.heartbeat.as_ref()?.tasks.is_empty().then_some(());
            self.jobmanager.wait("the end of all tasks", none)
        });
        let result = match (result, self.taskmanager.runs()) {
            (Ok(()), false) => Err(format!("the TaskManager has ended: {:#?}", self.last_lines())),
            (result, _) => result,
        };
        if let Err(why) = &result {
            eprintln!("{group}, {name}: {why}\n{:#?}", self.last_lines());
        }
        self.note(group, name, verdict.shown(), result);
    }

    fn attempt(
        &mut self,
        verdict: Verdict,
        change: impl FnOnce(&mut Self, &mut Said) -> Result<(), String>,
    ) -> Result<(), String> {
        let mut said = self.honest();
        change(self, &mut said)?;
        self.jobmanager.change(|state| state.seen.clear());
        let before = self.visible();
        self.say(&said);
        self.judge(verdict, &said)?;
        if !matches!(verdict, Harmless | Either(_) | Loses) {
            let after = self.visible();
            // What may begin is compiled before, and what it prepared may wait under hidden names that nobody commits.
            let begins = !matches!(verdict, Refused(_) | Ignored);
            let counts = |file: &&String| !begins || !(file.starts_with("cache/") || file.contains("/."));
            let new: Vec<&String> = after.iter().filter(|file| !before.contains(file)).filter(counts).collect();
            if !new.is_empty() {
                return Err(format!("something is left: {new:?}"));
            }
        }
        self.jobmanager.change(|state| state.lie = None);
        self.run_honestly(said).map_err(|why| format!("afterwards {why}"))?;
        Ok(())
    }

    /// Whether it ended so.
    fn judge(&self, verdict: Verdict, said: &Said) -> Result<(), String> {
        let (job, epoch) = (said.job(), said.assignment.epoch);
        match verdict {
            Harmless | Either(_) | Loses => {
                let ended = self.jobmanager.end(&said.assignment)?;
                match (&ended, verdict) {
                    (Status::Finished, Loses) if self.rows(said).is_empty() => Ok(()),
                    (Status::Finished, Harmless | Either(_)) => self.rows_are_right(said),
                    (Status::Failed(failure), Either(codes)) => {
                        let known = codes.iter().any(|code| code.to_string() == failure.code);
                        if known { Ok(()) } else { Err(format!("it failed: {failure:?}")) }
                    }
                    _ => Err(format!("it ended as {ended:?}")),
                }
            }
            Refused(codes) | Fails(codes) => {
                let ended = self.jobmanager.end(&said.assignment)?;
                let Status::Failed(Failure { code, cause, permanent }) = ended else {
                    return Err(format!("it ended as {ended:?}"));
                };
                if !codes.iter().any(|expected| expected.to_string() == code) {
                    return Err(format!("{code}: {cause}"));
                }
                if !matches!(verdict, Refused(_)) {
                    return Ok(());
                }
                // What is valid when, each machine's clock says for itself.
                let timely = [code::EXPIRED, code::NOT_YET_VALID, code::STALE_STATUS].map(|code| code.to_string());
                if permanent == timely.contains(&code) {
                    return Err(format!("whether it is tried again: {}: {code}: {cause}", !permanent));
                }
                self.never_begun(job)
            }
            Ignored | Delayed => {
                // Each heartbeat is sent after the answer to the one before was taken in.
                self.jobmanager.beats(3)?;
                let task = self.jobmanager.change(|state| state.task(job).filter(|task| task.epoch == epoch).cloned());
                match task {
                    Some(task) if matches!(verdict, Ignored) || task.status == Status::Finished => {
                        return Err(format!("it became a task: {task:?}"));
                    }
                    _ => {}
                }
                if matches!(verdict, Ignored) { self.never_begun(job) } else { Ok(()) }
            }
        }
    }

    /// Whether nothing was asked of the record: no executor has run anything of it.
    fn never_begun(&self, job: &JobId) -> Result<(), String> {
        self.jobmanager.change(|state| {
            match ["open", "claim", "commit"].into_iter().find(|route| state.asked(job, route) > 0) {
                Some(route) => Err(format!("it began: {route} was asked for")),
                None => Ok(()),
            }
        })
    }

    /// What this TaskManager compiled: an artefact as Cranelift makes it, an ELF file.
    pub fn machine_code(&self) -> Vec<u8> {
        let elf =
            |bytes: &Vec<u8>| bytes.windows(4).position(|window| window == b"\x7fELF").map(|at| bytes[at..].to_vec());
        self.taskmanager.files("cache").values().find_map(elf).expect("an artefact, since an honest job has run")
    }

    /// What must not change when something is refused: files of volumes, and which components were compiled.
    fn visible(&self) -> Vec<String> {
        let mut all = Vec::new();
        for folder in ["in", "out", "elsewhere"] {
            let files = self.taskmanager.files(folder);
            all.extend(files.iter().map(|(path, bytes)| format!("{path} {}", Digest::of(bytes))));
        }
        let compiled = self.taskmanager.files("cache");
        all.extend(compiled.keys().filter(|path| !path.contains("/.")).cloned());
        all
    }

    /// The end of the TaskManager's log.
    pub fn last_lines(&self) -> Vec<String> {
        let log = self.taskmanager.log();
        log.iter().rev().take(6).rev().cloned().collect()
    }

    /// Has the JobManager say otherwise where `route` is asked for: how, `answer` says.
    pub fn lie_at(&self, route: &'static str, answer: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static) {
        self.jobmanager.lie(move |request, honest| {
            let asked = request.route() == route || (route == "bundles" && request.path.contains("/bundles/"));
            if asked { answer(request, honest) } else { honest }
        });
    }
}
