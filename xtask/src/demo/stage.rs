//! Where the demo's script is played: calls `lockgate`, shows what it says and holds it to how it must end.

use super::cluster::{Process, free_port, process_with};
use super::report::{self, Report};
use super::{REFUSED, Step};
use crate::process::{line, read};
use crate::{Result, workspace};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How many lines of a result are shown, and how much of each.
const LINES: usize = 3;
const WIDTH: usize = 320;

pub struct Stage {
    lockgate: PathBuf,
    folder: PathBuf,
    reports: Vec<Report>,
    /// The ports of the JobManager's API and plane.
    ports: Option<(u16, u16)>,
    /// What ends with the demo, the last first.
    processes: Vec<Process>,
}

impl Stage {
    /// Calls this `lockgate` and writes to this folder.
    pub fn new(lockgate: PathBuf, folder: PathBuf) -> Self {
        Self { lockgate, folder, reports: Vec::new(), ports: None, processes: Vec::new() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Plays a step.
    ///
    /// # Errors
    /// When it does not end as it must.
    pub fn play(&mut self, step: &Step) -> Result {
        match step {
            Step::Say(text) => println!("\n\n== {text}\n"),
            Step::Prepare(calls) => calls.iter().try_for_each(|call| self.succeeded(call).map(drop))?,
            Step::Run(call) => {
                let output = self.succeeded(call)?;
                print!("{}{}", text(&output.stderr), text(&output.stdout));
            }
            Step::Job { call, rows } => {
                let output = self.succeeded(&format!("{call} --output json"))?;
                print!("{}", text(&output.stderr));
                let report = Report::parse(call.split(' ').nth(1).unwrap_or(call), &text(&output.stdout))?;
                if report.rows() != *rows {
                    return Err(format!("{:?} rows in, out and dead-lettered, not {rows:?}", report.rows()));
                }
                self.reports.push(report);
            }
            Step::Show(call) => {
                let output = self.succeeded(call)?;
                lines(text(&output.stdout).lines().map(|line| Ok(line.to_owned())))?;
            }
            Step::Sample(folder) => sample(Path::new(&self.fill(folder)))?,
            Step::Table => print!("{}", report::table(&self.reports)),
            Step::Tells { call, words } => {
                let said = text(&self.succeeded(call)?.stdout);
                print!("{said}");
                let missing = words.iter().find(|word| !said.contains(**word));
                missing.map_or(Ok(()), |word| Err(format!("`lockgate {call}` should have said {word:?}")))?;
            }
            Step::Refused { call, code, exit } => refused(self.start(call)?, code, *exit)?,
            Step::Anonymous { path, code } => self.anonymous(path, code)?,
            Step::Standalone(call) => {
                self.ports = Some((free_port()?, free_port()?));
                let process = Process::that_says_so(self.command(call), &self.folder.join("cluster.log"))?;
                self.processes.push(process);
            }
            Step::TaskManager { config, text } => {
                let file = self.folder.join(config);
                let text = self.fill(text);
                std::fs::write(&file, &text).map_err(|error| format!("{}: {error}", file.display()))?;
                print!("{}:\n{text}", workspace::shown(&file));
                let command = self.command(&format!("taskmanager --config {{demo}}/{config}"));
                self.processes.push(Process::that_notifies(command, &file.with_extension("log"))?);
            }
            Step::Killed { call, job, process } => self.killed(call, job, process)?,
            Step::Same { one, other } => self.same(one, other)?,
            Step::Multiply { from, to, times } => {
                let (from, to) = (self.fill(from), self.fill(to));
                println!("$ # each file of {from}, {times} times in {to}");
                multiply(&workspace::root().join(from), &workspace::root().join(to), *times)?;
            }
            Step::Copy { from, to } => {
                let (from, to) = (self.fill(from), self.fill(to));
                println!("$ cp {from} {to}");
                std::fs::copy(&from, &to).map_err(|error| format!("{from}: {error}"))?;
            }
            Step::Edit { from, to, replace: (old, new) } => {
                let (from, to) = (self.fill(from), self.fill(to));
                println!("$ sed 's/{old}/{new}/' {from} > {to}");
                edit(Path::new(&from), Path::new(&to), old, new)?;
            }
            Step::Flip { from, to } => flip(Path::new(&self.fill(from)), Path::new(&self.fill(to)))?,
            Step::Beside { refused: call, code, neighbour } => {
                let child = self.start(call)?;
                let beside = self.start(neighbour)?;
                refused(child, code, REFUSED)?;
                let beside = success(neighbour, output(beside)?)?;
                println!("\nthe neighbour meanwhile:\n{}", text(&beside.stdout).trim_end());
            }
        }
        Ok(())
    }

    /// The output of `lockgate` with these arguments, which must succeed.
    fn succeeded(&self, call: &str) -> Result<Output> {
        success(call, output(self.start(call)?)?)
    }

    /// Starts `lockgate` with these arguments.
    fn start(&self, call: &str) -> Result<Child> {
        let mut command = self.command(call);
        command.spawn().map_err(|error| format!("`{}` could not be started: {error}", line(&command)))
    }

    /// `lockgate` with these arguments, shown as typed. Keys and guests are where the demo and `guests` keep them.
    fn command(&self, call: &str) -> Command {
        let mut command = Command::new(&self.lockgate);
        command
            .args(call.split(' ').map(|argument| self.fill(argument)))
            .current_dir(workspace::root())
            .env("LOCKGATE_HOME", self.folder.join("home"))
            .env("CARGO_TARGET_DIR", workspace::guest_target())
            .env("CARGO_TERM_QUIET", "true")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        println!("$ {}", line(&command));
        command
    }

    /// Asks the JobManager without any credential, which `lockgate` itself never does.
    fn anonymous(&self, path: &str, code: &str) -> Result {
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--noproxy", "localhost", "--write-out", " %{http_code}", "--cacert"])
            .args([self.fill("{demo}/cluster/jobmanager/tls/ca.pem"), self.fill("{server}") + path])
            .current_dir(workspace::root())
            .stdin(Stdio::null());
        println!("$ {}", line(&command));
        let said = read(&mut command)?;
        println!("{said}");
        if said.contains(&format!(r#""code":"{code}""#)) && said.ends_with(" 401") {
            return Ok(());
        }
        Err(format!("that should have been refused with {code} and the status 401"))
    }

    /// Starts a call that submits a job and waits for its end, and kills a process once the job runs.
    fn killed(&self, call: &str, job: &str, process: &str) -> Result {
        let mut waiting = self.start(call)?;
        let running = format!("info {job} --output json");
        loop {
            if waiting.try_wait().map_err(|error| error.to_string())?.is_some() {
                return success(call, output(waiting)?).and(Err("the job ended before anything was killed".into()));
            }
            let mut command = Command::new(&self.lockgate);
            command.args(running.split(' ')).env("LOCKGATE_HOME", self.folder.join("home"));
            if read(&mut command).is_ok_and(|said| said.contains(r#""state":"RUNNING""#)) {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        // It is to have read and committed something by then, and not all.
        std::thread::sleep(Duration::from_secs(1));
        let id = process_with(process)?;
        println!("$ kill -9 {id}  # the TaskManager of {process}");
        crate::process::run(Command::new("kill").args(["-9", &id.to_string()]))?;
        let ended = success(call, output(waiting)?)?;
        print!("{}{}", text(&ended.stderr), text(&ended.stdout));
        Ok(())
    }

    /// Holds the rows of two folders against each other.
    fn same(&self, one: &str, other: &str) -> Result {
        let rows = |folder: &str| {
            let output = self.succeeded(&format!("run examples/show --volume files={folder}"))?;
            let mut rows: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
            rows.sort_unstable();
            Ok::<_, String>(rows)
        };
        let (left, right) = (rows(one)?, rows(other)?);
        if left.is_empty() || left != right {
            return Err(format!(
                "{} rows in {one} and {} in {other}, and they are not the same",
                left.len(),
                right.len()
            ));
        }
        println!("{} rows in each, and every byte of them is the same", left.len());
        Ok(())
    }

    fn fill(&self, text: &str) -> String {
        let (port, plane) = self.ports.unwrap_or_default();
        let text = text.replace("{demo}", &workspace::shown(&self.folder));
        let text = text.replace("{server}", &format!("https://localhost:{port}"));
        text.replace("{port}", &port.to_string()).replace("{plane}", &plane.to_string())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The last one first: what joined a cluster leaves before it.
        while self.processes.pop().is_some() {}
    }
}

/// Links each file of `from` into `to`, `times` times under a name of its own, unless it is there already.
fn multiply(from: &Path, to: &Path, times: u32) -> Result {
    std::fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    for file in workspace::files(from)? {
        let failed = |error: std::io::Error| format!("{}: {error}", file.display());
        let stem = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        let ending = file.extension().map(|ending| ending.to_string_lossy().into_owned()).unwrap_or_default();
        for number in 1..=times {
            let link = to.join(format!("{stem}-{number:02}.{ending}"));
            if !link.exists() {
                std::fs::hard_link(&file, &link).or_else(|_| std::fs::copy(&file, &link).map(drop)).map_err(failed)?;
            }
        }
    }
    Ok(())
}

fn output(child: Child) -> Result<Output> {
    child.wait_with_output().map_err(|error| error.to_string())
}

fn success(call: &str, output: Output) -> Result<Output> {
    if output.status.success() {
        return Ok(output);
    }
    print!("{}{}", text(&output.stdout), text(&output.stderr));
    Err(format!("`lockgate {call}` should have succeeded ({})", output.status))
}

/// Waits for a call that must be refused; shows what it says to the user.
fn refused(child: Child, code: &str, exit: i32) -> Result {
    let output = output(child)?;
    let said = text(&output.stderr);
    print!("{said}");
    match (output.status.code(), said.contains(&format!("[{code}]"))) {
        (Some(status), true) if status == exit => Ok(()),
        (Some(0), _) => Err("that should have been refused".into()),
        _ => Err(format!("that should have been refused with {code} and the exit code {exit} ({})", output.status)),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Prints the first lines of the first file in `folder`.
fn sample(folder: &Path) -> Result {
    let files = workspace::files(folder)?;
    let file = files.first().ok_or_else(|| format!("{}: nothing was written", workspace::shown(folder)))?;
    let failed = |error: std::io::Error| format!("{}: {error}", workspace::shown(file));
    println!("{}:", workspace::shown(file));
    lines(BufReader::new(std::fs::File::open(file).map_err(failed)?).lines().map(|line| line.map_err(failed)))
}

/// Prints the first of these lines; there must be one.
fn lines(lines: impl Iterator<Item = Result<String>>) -> Result {
    let mut shown = 0;
    for line in lines.take(LINES) {
        let line = line?;
        let more = if line.chars().count() > WIDTH { "…" } else { "" };
        println!("  {}{more}", line.chars().take(WIDTH).collect::<String>());
        shown += 1;
    }
    if shown == 0 { Err("nothing was written".into()) } else { Ok(()) }
}

/// Copies the bundle `from` to `to` with one bit flipped 100 bytes into its first component, where no header of the
/// tar is hit.
fn flip(from: &Path, to: &Path) -> Result {
    let failed = |error: std::io::Error| format!("{}: {error}", from.display());
    let mut bytes = std::fs::read(from).map_err(failed)?;
    let component = bytes.windows(4).position(|window| window == b"\0asm");
    let byte = component.and_then(|at| bytes.get_mut(at + 100));
    *byte.ok_or_else(|| format!("{}: no component in it", from.display()))? ^= 1;
    std::fs::write(to, bytes).map_err(failed)?;
    println!("(one bit flipped: {} is now {})", workspace::shown(from), workspace::shown(to));
    Ok(())
}

/// Copies a text with `old`, which must be in it once, replaced by `new`.
fn edit(from: &Path, to: &Path, old: &str, new: &str) -> Result {
    let text = std::fs::read_to_string(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if text.matches(old).count() != 1 {
        return Err(format!("{}: {old:?} should be in it once", from.display()));
    }
    std::fs::write(to, text.replace(old, new)).map_err(|error| format!("{}: {error}", to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flip_changes_one_bit_of_a_component() {
        let folder = std::env::temp_dir().join(format!("xtask-flip-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("a"), folder.join("b"));
        std::fs::write(&from, [&[7; 512][..], b"\0asm", &[0; 200]].concat()).unwrap();
        flip(&from, &to).unwrap();
        let (before, after) = (std::fs::read(&from).unwrap(), std::fs::read(&to).unwrap());
        let changed: Vec<usize> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
        assert_eq!((before.len(), changed), (after.len(), vec![612]));
        std::fs::write(&from, [7; 512]).unwrap();
        assert!(flip(&from, &to).unwrap_err().contains("no component"));
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn an_edit_changes_what_is_there_once() {
        let folder = std::env::temp_dir().join(format!("xtask-edit-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("a"), folder.join("b"));
        std::fs::write(&from, "a = 1\nb = 1\n").unwrap();
        edit(&from, &to, "b = 1", "b = 2").unwrap();
        assert_eq!(std::fs::read_to_string(&to).unwrap(), "a = 1\nb = 2\n");
        assert!(edit(&from, &to, "c = 1", "").is_err() && edit(&from, &to, "= 1", "").is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_refusal_needs_exit_code_and_error_code() {
        let say = |script: &str| {
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        assert_eq!(refused(say("echo 'error[LG0404]: no' >&2; exit 1"), "LG0404", 1), Ok(()));
        assert_eq!(refused(say("echo 'error[LG0404]: no' >&2; exit 7"), "LG0404", 7), Ok(()));
        assert!(refused(say("echo 'error[LG0404]: no' >&2; exit 0"), "LG0404", 1).is_err());
        assert!(refused(say("echo 'error[LG0404]: no' >&2; exit 3"), "LG0404", 1).is_err());
        assert!(refused(say("echo 'error[LG0405]: no' >&2; exit 1"), "LG0404", 1).is_err_and(|m| m.contains("LG0404")));
        assert!(success("x", output(say("exit 1")).unwrap()).is_err());
    }

    #[test]
    fn a_sample_needs_something_to_show() {
        assert_eq!(lines(["a", "b"].into_iter().map(|line| Ok(line.to_owned()))), Ok(()));
        assert!(lines(std::iter::empty()).is_err());
    }
}
