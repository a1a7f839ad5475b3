//! Attacks on CPU, memory and whatever the host does for a guest.

use crate::bindings::lockgate::udf::{config, log, types::Failures};
use crate::{Attack, column, honest, longs, output, words};
use std::hint::black_box;
use std::sync::Mutex;

pub fn attacks() -> Vec<(&'static str, &'static str, Attack)> {
    vec![
        ("loop", "int64", |_| {
            let mut at = 0_u64;
            loop {
                at = black_box(at.wrapping_add(1));
            }
        }),
        ("loop-on-seven", "int64", |x| {
            let mut at = 0_u64;
            while x.contains(&black_box(7)) {
                at = black_box(at.wrapping_add(1));
            }
            Ok(honest(x))
        }),
        ("recursion", "int64", |x| {
            #[allow(unconditional_recursion)]
            fn down(depth: u64) -> u64 {
                let here = black_box([depth; 64]);
                down(depth + 1) + here[3]
            }
            Ok(honest(&[down(x[0].unsigned_abs()) as i64]))
        }),
        ("memory-fill", "int64", |_| {
            let mut memory = vec![0_u8; 32 << 20];
            loop {
                memory.fill(black_box(1));
                black_box(&memory);
            }
        }),
        ("memory-copy", "int64", |_| {
            let mut memory = vec![0_u8; 32 << 20];
            loop {
                memory.copy_within(black_box(0..16 << 20), 16 << 20);
                black_box(&memory);
            }
        }),
        ("grow", "int64", |_| {
            let mut all: Vec<Vec<u8>> = Vec::new();
            loop {
                all.push(black_box(vec![1; 1 << 20]));
            }
        }),
        ("grow-at-once", "int64", |_| {
            black_box(vec![1_u8; 1 << 30]);
            Err("the host gave 1 GiB".into())
        }),
        ("leak", "int64", |x| {
            static LEAK: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());
            LEAK.lock().unwrap().push(black_box(vec![1; 4 << 20]));
            Ok(honest(x))
        }),
        ("log-flood", "int64", |x| {
            let line = "x".repeat(1 << 10);
            (0..10_000).for_each(|_| log::log(log::Level::Error, &line));
            Ok(honest(x))
        }),
        ("log-giant", "int64", |x| {
            log::log(log::Level::Error, &"x".repeat(16 << 20));
            Ok(honest(x))
        }),
        ("log-escapes", "int64", |x| {
            log::log(log::Level::Info, "\x1b[2J\x1b]0;owned\x07\r\nINFO forged=true\u{202e}");
            Ok(honest(x))
        }),
        ("print-flood", "int64", |x| {
            (0..10_000).for_each(|at| println!("{at} {}", "y".repeat(1 << 10)));
            Ok(honest(x))
        }),
        ("log-storm", "int64", |_| {
            loop {
                log::log(log::Level::Debug, "");
            }
        }),
        ("config-storm", "int64", |_| {
            loop {
                black_box(config::get("nothing"));
            }
        }),
        ("config-giant-name", "int64", |x| {
            let name = "n".repeat(32 << 20);
            (0..1_000).for_each(|_| drop(config::get(&name)));
            Ok(honest(x))
        }),
        ("clock-storm", "int64", |_| {
            loop {
                black_box(std::time::Instant::now());
            }
        }),
        ("sleep", "int64", |x| {
            (0..1_000).for_each(|_| std::thread::sleep(std::time::Duration::from_secs(3_600)));
            Ok(honest(x))
        }),
        ("random-storm", "int64", |_| {
            let build = std::collections::hash_map::RandomState::new;
            loop {
                black_box(build());
                black_box(std::fs::read("/dev/urandom").is_ok());
            }
        }),
        ("giant-error", "int64", |_| Err("e".repeat(32 << 20))),
        ("escape-error", "int64", |_| Err("\x1b[2Jgone\r\nLG0000: all is well".into())),
        ("failure-flood", "int64", |x| {
            let mut out = honest(&[]);
            out.ports[0].origin = Some(vec![]);
            let rows = x.len() as u32;
            let message = "f".repeat(4 << 10);
            let offsets = words((0..=rows).map(|at| at * message.len() as u32));
            let messages = vec![offsets, message.repeat(x.len()).into_bytes()];
            out.failed = Some(Failures { rows: words(0..rows), messages });
            Ok(out)
        }),
        ("amplify-rows", "int64", |x| {
            let rows = x.len() * 5_000;
            let mut out = output(rows, vec![column(vec![longs(&vec![1; rows])])]);
            out.ports[0].origin = Some(words((0..rows).map(|at| (at / 5_000) as u32)));
            Ok(out)
        }),
        ("amplify-bytes", "utf8", |x| {
            let each = 1_u32 << 20;
            let rows = x.len().min(40);
            let mut out =
                output(rows, vec![column(vec![words((0..=rows as u32).map(|at| at * each)), vec![b'a'; rows << 20]])]);
            out.ports[0].origin = Some(words(0..rows as u32));
            Ok(out)
        }),
        ("many-columns", "int64", |x| Ok(output(x.len(), (0..100_000).map(|_| column(vec![])).collect()))),
        ("many-buffers", "int64", |x| Ok(output(x.len(), vec![column(vec![vec![]; 1_000_000])]))),
        ("large-buffers", "int64", |x| Ok(output(x.len(), vec![column(vec![vec![0; 1 << 20]; 16])]))),
    ]
}
