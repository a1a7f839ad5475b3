//! A compromised executor: what it attempts on the machine, and what on the TaskManager that it speaks to. Nothing may get
//! through, the TaskManager goes on, and another tenant's job beside it notices nothing.
//!
//! All runs in a process of its own, whose memory, descriptors, threads and children are counted.

mod deaths;
mod system;
mod taskmanager;
mod walls;

use crate::harness::suite::{self, Ended};

#[test]
fn suite() {
    suite::alone("escapes::suite", inside);
}

fn inside() -> String {
    let (mut ended, table) = system::outcomes();
    ended.push(Ended {
        group: "walls",
        name: "which wall stops what".into(),
        verdict: "as docs/threat-model.md says".into(),
        billed: "nobody",
        result: table.settle(),
    });
    ended.extend(taskmanager::outcomes());
    suite::tables("escapes", "stopped", &ended)
}
