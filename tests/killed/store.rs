//! The store behind a Unix socket, in a child process that is this test binary again.
//!
//! A client's change writes and removes some keys of its own, raises its own counter and one that all clients share (by
//! compare-and-set), and records an event: all in one commit. So after any kill the shared counter is the sum of the
//! others, and the audit log has as many records.

use super::driver::{Client, Service};
use crate::harness::random::Random;
use lockgate_core::Timestamp;
use lockgate_core::error::code;
use lockgate_jobmanager::audit::{Event, export};
use lockgate_jobmanager::store::{Batch, Expect, Key, Options, Sled, Store, StoreKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// Names the folder to the child.
const FOLDER: &str = "LOCKGATE_TEST_STORE";
/// Names its fault to the child.
const FAULT: &str = "LOCKGATE_TEST_STORE_FAULT";
const SOCKET: &str = "socket";
const READY: &str = "ready";

/// What is wrong with a store, on purpose.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    None,
    /// Some changes are acknowledged and not made.
    Forget,
    /// Some changes are made in two commits.
    Halve,
}

/// The store in a child process.
pub struct Process {
    folder: tempfile::TempDir,
    fault: Fault,
    child: Option<Child>,
}

/// A client's keys, by their number: what their values were made from, and their length. Under `count` how many changes it
/// made.
#[derive(Clone, Default, PartialEq, Debug)]
pub struct State {
    count: u64,
    values: BTreeMap<u64, (u64, usize)>,
}

/// What to write, by number; none removes.
#[derive(Clone, Debug)]
pub struct Change(BTreeMap<u64, Option<(u64, usize)>>);

impl Process {
    /// A new store, its values encrypted in every other round.
    pub fn begin(round: u32) -> Self {
        Self::faulty(round, Fault::None)
    }

    /// The same with a fault.
    pub fn faulty(round: u32, fault: Fault) -> Self {
        let memory = Path::new("/dev/shm");
        let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let folder = made.or_else(|_| tempfile::tempdir()).expect("a folder");
        if round.is_multiple_of(2) {
            std::fs::write(folder.path().join("encrypted"), "").expect("a file");
        }
        Self { folder, fault, child: None }
    }

    fn ask(&self, question: &Value) -> Value {
        let mut connection = Connection::new(self.folder.path());
        connection.exchange(question).expect("an answer")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Service for Process {
    type State = State;
    type Change = Change;
    type Client = Connection;

    fn start(&mut self) -> bool {
        self.launch();
        let output = self.child.as_mut().and_then(|child| child.stdout.take()).expect("standard output");
        BufReader::new(output).lines().map_while(Result::ok).any(|line| line.ends_with(READY))
    }

    fn launch(&mut self) {
        let _ = std::fs::remove_file(self.folder.path().join(SOCKET));
        let own = std::env::current_exe().expect("this program");
        let mut command = Command::new(own);
        command.args(["--exact", "killed::store::serve", "--nocapture"]);
        command.env(FOLDER, self.folder.path()).env(FAULT, format!("{:?}", self.fault)).stdin(Stdio::null());
        self.child = Some(command.stdout(Stdio::piped()).spawn().expect("a child"));
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().and_then(|()| child.wait()).expect("to kill the child");
        }
    }

    fn connect(&self, client: usize) -> Connection {
        let mut connection = Connection::new(self.folder.path());
        connection.client = client;
        connection
    }

    fn observe(&self, clients: usize) -> Result<Vec<State>, String> {
        let answer = self.ask(&json!({ "observe": clients }));
        if let Some(complaint) = answer["complaint"].as_str() {
            return Err(complaint.into());
        }
        let states: Vec<State> = answer["states"].as_array().expect("states").iter().map(State::read).collect();
        let sum: u64 = states.iter().map(|state| state.count).sum();
        let (total, records) = (answer["total"].as_u64(), answer["records"].as_u64());
        if (total, records) != (Some(sum), Some(sum)) {
            return Err(format!("{sum} changes, but the total is {total:?} and the audit log has {records:?} records"));
        }
        Ok(states)
    }

    fn draw(_client: usize, state: &State, random: &mut Random) -> Change {
        let count = 1 + random.below(4);
        let write = |random: &mut Random| {
            let number = random.below(12);
            let gone = state.values.contains_key(&number) && random.below(3) == 0;
            let longest = if random.below(8) == 0 { 40_000 } else { 2_000 };
            (number, (!gone).then(|| (random.next() >> 16, random.below(longest) as usize)))
        };
        Change((0..count).map(|_| write(random)).collect())
    }

    fn apply(state: &mut State, change: &Change) {
        state.count += 1;
        for (number, value) in &change.0 {
            match value {
                Some(value) => state.values.insert(*number, *value),
                None => state.values.remove(number),
            };
        }
    }

    fn age(state: &State) -> u64 {
        state.count
    }
}

impl State {
    fn read(value: &Value) -> Self {
        let values = value["values"].as_array().expect("values").iter().map(|entry| {
            let number = |at: usize| entry[at].as_u64().expect("a number");
            (number(0), (number(1), number(2) as usize))
        });
        Self { count: value["count"].as_u64().expect("a count"), values: values.collect() }
    }
}

/// A connection to the child.
pub struct Connection {
    client: usize,
    stream: BufReader<UnixStream>,
}

impl Connection {
    fn new(folder: &Path) -> Self {
        let stream = UnixStream::connect(folder.join(SOCKET)).expect("the child listens");
        Self { client: 0, stream: BufReader::new(stream) }
    }

    /// The answer to `question`; none if the child is gone.
    fn exchange(&mut self, question: &Value) -> Option<Value> {
        writeln!(self.stream.get_mut(), "{question}").ok()?;
        let mut line = String::new();
        self.stream.read_line(&mut line).ok()?;
        line.ends_with('\n').then(|| serde_json::from_str(&line).expect("JSON"))
    }
}

impl Client<Change> for Connection {
    fn ask(&mut self, change: &Change) -> bool {
        let writes: Vec<Value> = change
            .0
            .iter()
            .map(|(number, value)| value.map_or(json!([number]), |(seed, length)| json!([number, seed, length])))
            .collect();
        let answer = self.exchange(&json!({ "client": self.client, "writes": writes }));
        answer.is_some_and(|answer| {
            assert_eq!(answer, json!("done"), "a change was refused");
            true
        })
    }
}

/// The child. Without its folder there is nothing to do: this is the ordinary run of all tests.
#[test]
fn serve() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let keys = if folder.join("encrypted").exists() { vec![StoreKey::new([7; 32])] } else { vec![] };
    let options = Options { keys, reserve: 0, cache: 16 << 20, ..Options::new(folder.join("data")) };
    let store = Arc::new(Sled::open(options).unwrap_or_else(|error| {
        println!("the store cannot be opened: {error}");
        std::process::exit(1);
    }));
    let listener = UnixListener::bind(folder.join(SOCKET)).expect("a socket");
    println!("{READY}");
    for connection in listener.incoming() {
        let (store, runtime) = (Arc::clone(&store), runtime.handle().clone());
        std::thread::spawn(move || answer(&connection.expect("a connection"), &store, &runtime));
    }
}

fn answer(connection: &UnixStream, store: &Sled, runtime: &tokio::runtime::Handle) {
    let fault = std::env::var(FAULT).unwrap_or_default();
    for (number, line) in BufReader::new(connection).lines().map_while(Result::ok).enumerate() {
        let question: Value = serde_json::from_str(&line).expect("JSON");
        let faulty = number % 4 == 3;
        let answer = if let Some(clients) = question["observe"].as_u64() {
            runtime.block_on(observe(store, clients))
        } else if faulty && fault == format!("{:?}", Fault::Forget) {
            json!("done")
        } else {
            let halves = faulty && fault == format!("{:?}", Fault::Halve);
            runtime.block_on(change(store, &question, halves));
            json!("done")
        };
        let mut connection = connection;
        if writeln!(connection, "{answer}").is_err() {
            return;
        }
    }
}

fn key(client: u64, number: u64) -> Key {
    Key::new(["clients", &format!("{client:03}"), &format!("{number:03}")])
}

fn count_key(client: u64) -> Key {
    Key::new(["counts", &format!("{client:03}")])
}

/// A value that tells what it was made from in every byte.
fn content((seed, length): (u64, usize)) -> Vec<u8> {
    let filler = (0..length).map(|at| (seed.rotate_left(at as u32 % 64) ^ at as u64) as u8);
    seed.to_be_bytes().into_iter().chain(filler).collect()
}

async fn count(store: &Sled, key: &Key) -> (u64, Expect) {
    match store.get(key).await.expect("a read") {
        Some(entry) => {
            let text = String::from_utf8(entry.value).expect("text");
            (text.parse().expect("a number"), Expect::Revision(entry.revision))
        }
        None => (0, Expect::Absent),
    }
}

async fn change(store: &Sled, question: &Value, halves: bool) {
    let client = question["client"].as_u64().expect("a client");
    let mut writes = Batch::default();
    for write in question["writes"].as_array().expect("writes") {
        let at = key(client, write[0].as_u64().expect("a number"));
        writes = match (write[1].as_u64(), write[2].as_u64()) {
            (Some(seed), Some(length)) => writes.put(at, content((seed, length as usize))),
            _ => writes.remove(at),
        };
    }
    if halves {
        store.commit(std::mem::take(&mut writes)).await.expect("a commit");
    }
    let total = Key::new(["total"]);
    loop {
        let (all, unchanged) = count(store, &total).await;
        let (own, _) = count(store, &count_key(client)).await;
        let event = Event::system(Timestamp::from_seconds(0), "change", format!("client/{client}"));
        let batch = writes.clone();
        let batch = batch.put(total.clone(), (all + 1).to_string()).expect(total.clone(), unchanged);
        let batch = batch.put(count_key(client), (own + 1).to_string()).event(event);
        match store.commit(batch).await {
            Ok(_) => return,
            Err(error) => assert_eq!(error.code(), code::CONFLICT, "{error}"),
        }
    }
}

async fn observe(store: &Sled, clients: u64) -> Value {
    let mut states = Vec::new();
    for client in 0..clients {
        let (count, _) = count(store, &count_key(client)).await;
        let mut values = Vec::new();
        let prefix = Key::new(["clients", &format!("{client:03}")]);
        for entry in store.scan(&prefix, None, 1_000).await.expect("a scan") {
            let number: u64 = entry.key.parts()[2].parse().expect("a number");
            let made_from =
                entry.value.first_chunk::<8>().map(|seed| (u64::from_be_bytes(*seed), entry.value.len() - 8));
            match made_from.filter(|made_from| content(*made_from) == entry.value) {
                Some((seed, length)) => values.push(json!([number, seed, length])),
                None => return json!({ "complaint": format!("the value of {} is damaged", entry.key) }),
            }
        }
        states.push(json!({ "count": count, "values": values }));
    }
    let (total, _) = count(store, &Key::new(["total"])).await;
    match export::verify(store, vec![], &[]).await {
        Ok(summary) => json!({ "states": states, "total": total, "records": summary.records }),
        Err(error) => json!({ "complaint": error.to_string() }),
    }
}
