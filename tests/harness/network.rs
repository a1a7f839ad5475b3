//! A network of this machine's own: a namespace for each host, on a bridge in a namespace of its own. Nothing of it is
//! in the namespace that the machine is connected by, so nothing that is said there leaves the machine.
//!
//! What is bad about it happens to packets: they are dropped, refused or slowed down between two hosts, as a network
//! does it. So the first packet of a connection gets lost as any other does, connections stay half open, and nobody is
//! told that the other end is gone. All of it needs root, `ip` and `tc` (Debian: iproute2) and `iptables`.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Once};

/// What the names of our namespaces begin with; the number of the process that made them follows, and one of its own.
const PREFIX: &str = "lockgate-test-";
/// Where namespaces are that have a name.
const NAMED: &str = "/run/netns";
/// The bytes that may be sent at once where the network is slow: more than a packet.
const BURST: &str = "4kb";

/// Hosts on a bridge. It is gone when this is dropped.
pub struct Network {
    name: String,
    hosts: usize,
}

/// What does not arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// What a host says.
    Up,
    /// What it is told.
    Down,
    Both,
}

/// Whether this may make networks, and mount small disks: root, but for one in a container that has no such capabilities.
pub fn may_make() -> bool {
    use rustix::thread::{CapabilitySet, capabilities};
    let needed = CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN;
    rustix::process::geteuid().is_root() && capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

impl Network {
    /// One of so many hosts, all of which reach each other. For root only.
    pub fn make(hosts: usize) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static LEFT: Once = Once::new();
        LEFT.call_once(remove_what_is_left);
        let name = format!("{PREFIX}{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        // From here on it is removed, however far this comes.
        let network = Self { name, hosts };
        let bridge = network.bridge();
        ip(&["netns", "add", &bridge]);
        batch(&bridge, "link add bridge type bridge\nlink set bridge up\n");
        for host in 0..hosts {
            let space = network.space(host);
            ip(&["netns", "add", &space]);
            let port = format!("port-{host}");
            ip(&["link", "add", "uplink", "netns", &space, "type", "veth", "peer", "name", &port, "netns", &bridge]);
            batch(&bridge, &format!("link set {port} master bridge\nlink set {port} up\n"));
            let address = network.address(host);
            batch(&space, &format!("link set lo up\naddress add {address}/24 dev uplink\nlink set uplink up\n"));
        }
        network
    }

    /// The address of a host.
    pub fn address(&self, host: usize) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, 1 + u8::try_from(host).expect("a few hosts"))
    }

    /// Does something as a host: what is connected, and what is started, is so from there.
    pub fn within<T: Send>(&self, host: usize, work: impl FnOnce() -> T + Send) -> T {
        let space = std::fs::File::open(Path::new(NAMED).join(self.space(host))).expect("a namespace");
        // In a thread of its own, which does not come back from there.
        std::thread::scope(|scope| {
            let entered = scope.spawn(move || {
                move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("a way in");
                work()
            });
            entered.join().unwrap_or_else(|panicked| std::panic::resume_unwind(panicked))
        })
    }

    /// Lets get lost what `host` says to `other`, is told by it, or both.
    pub fn cut(&self, host: usize, other: usize, direction: Direction) {
        for (at, from, _) in
            self.ways(host, other).iter().filter(|(.., way)| [*way, Direction::Both].contains(&direction))
        {
            self.rule("-I", *at, *from, &["-j", "DROP"]);
        }
    }

    /// Refuses what `host` says to `other`, as a firewall does it that answers.
    pub fn refuse(&self, host: usize, other: usize) {
        self.rule("-I", other, host, REFUSE);
    }

    /// So many bytes a second from and to `host`; how it is done. Where the kernel can, packets are late and get lost as well.
    pub fn slow(&self, host: usize, rate: u64) -> &'static str {
        let bits = format!("{}bit", rate.saturating_mul(8));
        let how = if *HAS_NETEM { "netem" } else { "tbf" };
        for (space, device) in self.ends(host) {
            let mut words = vec!["qdisc", "replace", "dev", &device, "root", how, "rate", &bits];
            words.extend(if *HAS_NETEM {
                ["delay", "50ms", "20ms", "loss", "2%"].as_slice()
            } else {
                ["burst", BURST, "latency", "2s"].as_slice()
            });
            run(Command::new("tc").args(["-n", &space]).args(words));
        }
        how
    }

    /// Makes all between `host` and `other` as it was.
    pub fn heal(&self, host: usize, other: usize) {
        for (at, from, _) in self.ways(host, other) {
            for what in [["-j", "DROP"].as_slice(), REFUSE] {
                // What is not there need not be removed.
                while succeeds(&mut self.iptables("-D", at, from, what)) {}
            }
        }
        for (space, device) in self.ends(host) {
            let _ = succeeds(Command::new("tc").args(["-n", &space, "qdisc", "del", "dev", &device, "root"]));
        }
    }

    /// Where what goes each way arrives, and from whom.
    fn ways(&self, host: usize, other: usize) -> [(usize, usize, Direction); 2] {
        [(other, host, Direction::Up), (host, other, Direction::Down)]
    }

    /// A rule for what arrives at `at` from `from`: so it was sent, and whoever sent it knows nothing.
    fn rule(&self, verb: &str, at: usize, from: usize, what: &[&str]) {
        run(&mut self.iptables(verb, at, from, what));
    }

    fn iptables(&self, verb: &str, at: usize, from: usize, what: &[&str]) -> Command {
        let (space, from) = (self.space(at), self.address(from).to_string());
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &space, "iptables", "-w", verb, "INPUT", "-s", &from]).args(what);
        command
    }

    /// Both ends of a host's line, at each of which what is sent there can be held up.
    fn ends(&self, host: usize) -> [(String, String); 2] {
        [(self.space(host), "uplink".to_owned()), (self.bridge(), format!("port-{host}"))]
    }

    fn space(&self, host: usize) -> String {
        format!("{}-{host}", self.name)
    }

    fn bridge(&self) -> String {
        format!("{}-bridge", self.name)
    }
}

const REFUSE: &[&str] = &["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"];

impl Drop for Network {
    fn drop(&mut self) {
        for name in (0..self.hosts).map(|host| self.space(host)).chain([self.bridge()]) {
            remove(&name);
        }
    }
}

/// Whether the kernel can make packets late and lose them.
static HAS_NETEM: LazyLock<bool> = LazyLock::new(|| {
    let network = Network::make(0);
    let bridge = network.bridge();
    succeeds(Command::new("tc").args(["-n", &bridge, "qdisc", "add", "dev", "bridge", "root", "netem", "delay", "1ms"]))
});

/// Removes the namespaces of processes that were killed before they did, and of one that had this one's number.
fn remove_what_is_left() {
    for entry in std::fs::read_dir(NAMED).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let rest = name.strip_prefix(PREFIX).unwrap_or_default();
        let Some(Ok(process)) = rest.split('-').next().map(str::parse::<u32>) else { continue };
        let gone = process == std::process::id() || !PathBuf::from(format!("/proc/{process}")).exists();
        if gone {
            remove(&name);
        }
    }
}

fn remove(name: &str) {
    let _ = succeeds(Command::new("ip").args(["netns", "delete", name]));
}

fn ip(words: &[&str]) {
    run(Command::new("ip").args(words));
}

/// Commands of `ip` in a namespace, one a line.
fn batch(space: &str, lines: &str) {
    let mut command = Command::new("ip");
    command.args(["-n", space, "-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("ip, which is in iproute2: {error}"));
    child.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("a pipe");
    let output = child.wait_with_output().expect("its end");
    assert!(output.status.success(), "{lines}: {}", String::from_utf8_lossy(&output.stderr));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} (iproute2, iptables): {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn succeeds(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn what_a_network_does_not_let_through_does_not_arrive() {
    use std::net::{SocketAddrV4, TcpListener, TcpStream};
    use std::time::Duration;
    if !may_make() {
        println!("not tried: only root can make networks");
        return;
    }
    let network = Network::make(3);
    let place = |host| SocketAddrV4::new(network.address(host), 9_000);
    let _listeners: Vec<_> = [0, 2].map(|at| network.within(at, || TcpListener::bind(place(at)).unwrap())).into();
    let within = |patience, from, to| {
        let to = place(to).into();
        let result = network.within(from, || TcpStream::connect_timeout(&to, Duration::from_millis(patience)));
        result.map(drop).map_err(|error| error.kind())
    };
    let dial = |from, to| within(30_000, from, to);
    let lost = Err(std::io::ErrorKind::TimedOut);
    assert_eq!(dial(1, 0), Ok(()));
    for direction in [Direction::Up, Direction::Down, Direction::Both] {
        network.cut(1, 0, direction);
        assert_eq!((within(300, 1, 0), dial(1, 2), dial(2, 0)), (lost, Ok(()), Ok(())), "{direction:?}");
        network.heal(1, 0);
        assert_eq!(dial(1, 0), Ok(()));
    }
    network.refuse(1, 0);
    assert_eq!((dial(1, 0), dial(2, 0)), (Err(std::io::ErrorKind::ConnectionRefused), Ok(())));
    network.heal(1, 0);
    println!("slow by {}", network.slow(1, 100_000));
    assert_eq!(dial(1, 0), Ok(()));
    network.heal(1, 0);
    // Nothing leads out of it.
    let out = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 9_000).into();
    let out = network.within(1, || TcpStream::connect_timeout(&out, Duration::from_millis(300)));
    assert_eq!(out.unwrap_err().kind(), std::io::ErrorKind::NetworkUnreachable);
    let name = network.name.clone();
    drop(network);
    let left = std::fs::read_dir(NAMED).unwrap().flatten();
    assert!(!left.into_iter().any(|entry| entry.file_name().to_string_lossy().starts_with(&format!("{name}-"))));
}
