//! Every function of the linked WASI interfaces that a guest can reach, walked; and what results may depend on.

use super::guest::{Guest, call, call_at, encode_at, given, load};
use crate::{BatchSeed, Kind, Level, LogSink, Seed, Settings};
use lockgate_core::columns::BatchRef;
use lockgate_core::error::code;
use std::sync::{Arc, Mutex};

/// All imports, under short names.
const IMPORTS: &str = r#"
    (import "lockgate:udf/config@0.1.0" "get" (func $config (param i32 i32 i32)))
    (import "lockgate:udf/log@0.1.0" "log" (func $log (param i32 i32 i32)))
    (import "wasi:cli/environment@0.2.6" "get-environment" (func $environment (param i32)))
    (import "wasi:cli/environment@0.2.6" "get-arguments" (func $arguments (param i32)))
    (import "wasi:cli/environment@0.2.6" "initial-cwd" (func $cwd (param i32)))
    (import "wasi:cli/environment@0.2.6" "hidden" (func $hidden))
    (import "wasi:cli/exit@0.2.6" "exit" (func $exit (param i32)))
    (import "wasi:cli/exit@0.2.6" "exit-with-code" (func $exit_with_code (param i32)))
    (import "wasi:cli/stdin@0.2.6" "get-stdin" (func $stdin (result i32)))
    (import "wasi:cli/stdout@0.2.6" "get-stdout" (func $stdout (result i32)))
    (import "wasi:cli/stderr@0.2.6" "get-stderr" (func $stderr (result i32)))
    (import "wasi:cli/terminal-stdin@0.2.6" "get-terminal-stdin" (func $terminal_stdin (param i32)))
    (import "wasi:cli/terminal-stdout@0.2.6" "get-terminal-stdout" (func $terminal_stdout (param i32)))
    (import "wasi:cli/terminal-stderr@0.2.6" "get-terminal-stderr" (func $terminal_stderr (param i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "now" (func $now (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "resolution" (func $resolution (result i64)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-instant" (func $instant (param i64) (result i32)))
    (import "wasi:clocks/monotonic-clock@0.2.6" "subscribe-duration" (func $duration (param i64) (result i32)))
    (import "wasi:clocks/wall-clock@0.2.6" "now" (func $wall (param i32)))
    (import "wasi:clocks/wall-clock@0.2.6" "resolution" (func $wall_resolution (param i32)))
    (import "wasi:filesystem/preopens@0.2.6" "get-directories" (func $directories (param i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.ready" (func $ready (param i32) (result i32)))
    (import "wasi:io/poll@0.2.6" "[method]pollable.block" (func $block (param i32)))
    (import "wasi:io/poll@0.2.6" "poll" (func $poll (param i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.read" (func $read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.blocking-read" (func $blocking_read (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.skip" (func $skip (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.blocking-skip" (func $blocking_skip (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]input-stream.subscribe" (func $in_subscribe (param i32) (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.check-write" (func $check_write (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.write" (func $write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-and-flush" (func $blocking_write (param i32 i32 i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.flush" (func $flush (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-flush" (func $blocking_flush (param i32 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.subscribe" (func $out_subscribe (param i32) (result i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.write-zeroes" (func $zeroes (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-write-zeroes-and-flush" (func $blocking_zeroes (param i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.splice" (func $splice (param i32 i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[method]output-stream.blocking-splice" (func $blocking_splice (param i32 i32 i64 i32)))
    (import "wasi:io/streams@0.2.6" "[resource-drop]output-stream" (func $drop_stream (param i32)))
    (import "wasi:random/random@0.2.6" "get-random-bytes" (func $random_bytes (param i64 i32)))
    (import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))
    (import "wasi:random/insecure@0.2.6" "get-insecure-random-bytes" (func $insecure_bytes (param i64 i32)))
    (import "wasi:random/insecure@0.2.6" "get-insecure-random-u64" (func $insecure (result i64)))
    (import "wasi:random/insecure-seed@0.2.6" "insecure-seed" (func $insecure_seed (param i32)))
    (import "wasi:sockets/instance-network@0.2.6" "instance-network" (func $network (result i32)))
    (import "wasi:sockets/ip-name-lookup@0.2.6" "resolve-addresses" (func $resolve (param i32 i32 i32 i32)))
    (import "wasi:sockets/tcp-create-socket@0.2.6" "create-tcp-socket" (func $tcp (param i32 i32)))
    (import "wasi:sockets/udp-create-socket@0.2.6" "create-udp-socket" (func $udp (param i32 i32)))"#;

/// For each function code that leaves its result at address 5,000, and the first bytes expected there. Where
/// `oracle`, wasmtime-wasi must give the same.
const WALK: &[(&str, &[u8], bool)] = &[
    // Empty lists and absent options.
    ("(call $arguments (i32.const 5000)) (i32.store (i32.const 5000) (i32.const 0))", &[0, 0, 0, 0, 0, 0, 0, 0], true),
    ("(call $cwd (i32.const 5000))", &[0], true),
    ("(call $terminal_stdin (i32.const 5000))", &[0], true),
    ("(call $terminal_stdout (i32.const 5000))", &[0], true),
    ("(call $terminal_stderr (i32.const 5000))", &[0], true),
    (
        "(call $directories (i32.const 5000)) (i32.store (i32.const 5000) (i32.const 0))",
        &[0, 0, 0, 0, 0, 0, 0, 0],
        true,
    ),
    // Input: closed.
    ("(call $read (call $stdin) (i64.const 9) (i32.const 5000))", &[1, 0, 0, 0, 1], true),
    ("(call $blocking_read (call $stdin) (i64.const 9) (i32.const 5000))", &[1, 0, 0, 0, 1], true),
    ("(call $skip (call $stdin) (i64.const 9) (i32.const 5000))", &[1, 0, 0, 0, 0, 0, 0, 0, 1], true),
    ("(call $blocking_skip (call $stdin) (i64.const 9) (i32.const 5000))", &[1, 0, 0, 0, 0, 0, 0, 0, 1], true),
    ("(call $splice (call $stdout) (call $stdin) (i64.const 9) (i32.const 5000))", &[1, 0, 0, 0, 0, 0, 0, 0, 1], true),
    (
        "(call $blocking_splice (call $stdout) (call $stdin) (i64.const 9) (i32.const 5000))",
        &[1, 0, 0, 0, 0, 0, 0, 0, 1],
        true,
    ),
    // Output: taken.
    ("(call $check_write (call $stdout) (i32.const 5000))", &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1], false),
    ("(call $write (call $stdout) (i32.const 0) (i32.const 9) (i32.const 5000))", &[0], false),
    ("(call $blocking_write (call $stderr) (i32.const 0) (i32.const 9) (i32.const 5000))", &[0], true),
    ("(call $zeroes (call $stdout) (i64.const 9) (i32.const 5000))", &[0], false),
    ("(call $blocking_zeroes (call $stdout) (i64.const 9) (i32.const 5000))", &[0], true),
    ("(call $flush (call $stdout) (i32.const 5000))", &[0], true),
    ("(call $blocking_flush (call $stdout) (i32.const 5000))", &[0], true),
    ("(call $log (i32.const 3) (i32.const 0) (i32.const 0))", &[0], false),
    // Everything is ready at once, the farthest timer too.
    ("(i32.store (i32.const 5000) (call $ready (call $duration (i64.const -1))))", &[1], false),
    ("(i32.store (i32.const 5000) (call $ready (call $instant (i64.const -1))))", &[1], false),
    ("(i32.store (i32.const 5000) (call $ready (call $in_subscribe (call $stdin))))", &[1], true),
    ("(i32.store (i32.const 5000) (call $ready (call $out_subscribe (call $stdout))))", &[1], true),
    ("(call $block (call $duration (i64.const -1)))", &[0], false),
    (
        "(i32.store (i32.const 5100) (call $duration (i64.const -1)))
         (i32.store (i32.const 5104) (call $duration (i64.const 0)))
         (call $poll (i32.const 5100) (i32.const 2) (i32.const 5000))
         (i64.store (i32.const 5000) (i64.load (i32.load (i32.const 5000))))",
        &[0, 0, 0, 0, 1, 0, 0, 0],
        false,
    ),
    // Clocks stand at the settings' time: 1 s and 2 ns.
    ("(i64.store (i32.const 5000) (call $now))", &[2, 0xca, 0x9a, 0x3b], false),
    ("(i64.store (i32.const 5000) (call $resolution))", &[1, 0, 0, 0, 0, 0, 0, 0], false),
    ("(call $wall (i32.const 5000))", &[1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0], false),
    ("(call $wall_resolution (i32.const 5000))", &[0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0], false),
    // No network.
    ("(call $tcp (i32.const 0) (i32.const 5000))", &[1, 0, 0, 0, 1], false),
    ("(call $udp (i32.const 1) (i32.const 5000))", &[1, 0, 0, 0, 1], false),
    ("(call $resolve (call $network) (i32.const 512) (i32.const 1) (i32.const 5000))", &[1, 0, 0, 0, 1], false),
];

fn guest<'a>(call: &'a str) -> Guest<'a> {
    Guest { imports: IMPORTS, call, ..Guest::default() }
}

/// A body of `call` that runs `code` and gives back 64 bytes at 5,000.
fn gives(code: &str) -> String {
    format!("{code} (call $give (i32.const 1) (i32.const 5000) (i32.const 64))")
}

fn settings() -> Settings {
    let config = [("rate", "0.9"), ("unit", "EUR")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    Settings { clock: 1_000_000_002, config: Arc::new(config.into()), ..Settings::default() }
}

/// A body of `call` whose function `n` is line `n` of [`WALK`].
fn walk() -> String {
    let cases = WALK.iter().enumerate();
    let case = |(index, (code, ..)): (usize, &(&str, &[u8], bool))| {
        format!("(if (i32.eq (local.get $function) (i32.const {index})) (then {code}))")
    };
    gives(&cases.map(case).collect::<String>())
}

/// Descriptors and threads of this process.
fn held() -> (usize, usize) {
    let count = |path| std::fs::read_dir(path).unwrap().count();
    (count("/proc/self/fd"), count("/proc/self/task"))
}

#[test]
fn no_function_blocks_spawns_or_opens() {
    // Other tests' threads must not be counted: this test runs itself in a process of its own.
    if std::env::var_os("LOCKGATE_ALONE").is_none() {
        let name = "tests::wasi::no_function_blocks_spawns_or_opens";
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--test-threads", "1"])
            .env("LOCKGATE_ALONE", "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&alone.stdout);
        assert!(alone.status.success() && text.contains("1 passed"), "{text}");
        return;
    }
    let program = guest(&walk()).program();
    let before = held();
    for (index, (code, expected, _)) in WALK.iter().enumerate() {
        let mut instance = program.instance(&settings(), &BatchSeed::default()).unwrap();
        let rows = [BatchRef { rows: 1, columns: &[] }];
        let called = instance.call(index as u32, &rows, &BatchSeed::default());
        let bytes = given(called.unwrap_or_else(|error| panic!("{code}: {error}")));
        assert_eq!(&bytes[..expected.len()], *expected, "{code}");
        assert_eq!(held(), before, "{code}");
    }
}

#[test]
fn agrees_with_wasmtime_wasi() {
    use wasmtime::component::{Component, Linker, ResourceTable, Val};
    use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
    struct Oracle(WasiCtx, ResourceTable);
    impl WasiView for Oracle {
        fn ctx(&mut self) -> WasiCtxView<'_> {
            WasiCtxView { ctx: &mut self.0, table: &mut self.1 }
        }
    }
    let engine = wasmtime::Engine::default();
    let mut linker = Linker::<Oracle>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
    // A function that WASI does not have would hide the interface's others.
    let imports = IMPORTS.lines().filter(|line| !line.contains("$hidden")).collect::<String>();
    let guest = Guest { imports: &imports, call: &walk(), ..Guest::default() };
    let component = Component::new(&engine, guest.component()).unwrap();
    linker.instance("lockgate:udf/types@0.1.0").unwrap();
    for (interface, function) in [("config", "get"), ("log", "log")] {
        let mut ours = linker.instance(&format!("lockgate:udf/{interface}@0.1.0")).unwrap();
        ours.func_new(function, |_, _, _, _| wasmtime::bail!("not WASI")).unwrap();
    }
    for (index, (code, expected, _)) in WALK.iter().enumerate().filter(|(_, (.., oracle))| *oracle) {
        let mut store = wasmtime::Store::new(&engine, Oracle(WasiCtx::builder().build(), ResourceTable::new()));
        let instance = linker.instantiate(&mut store, &component).unwrap();
        let transform = instance.get_export_index(&mut store, None, "lockgate:udf/transform@0.1.0").unwrap();
        let call = instance.get_export_index(&mut store, Some(&transform), "call").unwrap();
        let call = instance.get_func(&mut store, call).unwrap();
        let mut result = [Val::Bool(false)];
        call.call(&mut store, &[Val::U32(index as u32), Val::List(vec![])], &mut result)
            .unwrap_or_else(|error| panic!("{code}: {error:?}"));
        // The bytes lie deep in the dynamic value; their text is enough to compare.
        let text = format!("{result:?}");
        let bytes: Vec<u8> =
            text.split("U8(").skip(1).map(|rest| rest.split(')').next().unwrap().parse().unwrap()).collect();
        assert_eq!(&bytes[..expected.len()], *expected, "{code}");
    }
}

#[test]
fn any_version_0_2_is_served() {
    for version in ["0.2.0", "0.2.3", "0.2.99"] {
        let program = load(&encode_at(&guest(&gives("(call $cwd (i32.const 5000))")).core(), "guest", version));
        let mut instance = program.instance(&settings(), &BatchSeed::default()).unwrap();
        assert_eq!(given(call(&mut instance, 1, &[0; 8]).unwrap())[0], 0);
    }
}

#[test]
fn environment_and_config_are_the_configuration() {
    let body = "(global.set $heap (i32.const 16384)) (call $environment (i32.const 5000))
        (call $give (i32.const 1) (i32.const 16384) (i32.const 64))";
    let bytes = given(guest(body).run(&settings()).unwrap());
    let text = String::from_utf8_lossy(&bytes).into_owned();
    assert!(["rate", "0.9", "unit", "EUR"].iter().all(|part| text.contains(part)), "{text:?}");
    // "rate" is asked for as four bytes at 5,200; "x" (at 5,201) is not there.
    let ask = |length| {
        format!(
            "(global.set $heap (i32.const 16384)) (i32.store (i32.const 5200) (i32.const 0x65746172))
            (call $config (i32.const 5200) (i32.const {length}) (i32.const 5000))
            (i32.store (i32.const 5004) (i32.load (i32.const 16384)))
            (call $give (i32.const 1) (i32.const 5000) (i32.const 12))"
        )
    };
    let bytes = given(guest(&ask(4)).run(&settings()).unwrap());
    assert_eq!((bytes[0], &bytes[4..7], bytes[8]), (1, b"0.9".as_slice(), 3));
    assert_eq!(given(guest(&ask(3)).run(&settings()).unwrap())[0], 0);
}

#[test]
fn exit_and_refused_functions_fail_the_batch() {
    for (body, expected, text) in [
        ("(call $exit (i32.const 1)) (unreachable)", code::GUEST_EXIT, "status 1"),
        ("(call $exit (i32.const 0)) (unreachable)", code::GUEST_EXIT, "status 0"),
        ("(call $exit_with_code (i32.const 77)) (unreachable)", code::GUEST_EXIT, "status 77"),
        ("(call $hidden) (unreachable)", code::IMPORT_REFUSED, "wasi:cli/environment@0.2.6#hidden"),
        ("(call $poll (i32.const 0) (i32.const 0) (i32.const 5000)) (unreachable)", code::IMPORT_REFUSED, "pollable"),
        ("(call $random_bytes (i64.const -1) (i32.const 5000)) (unreachable)", code::IMPORT_REFUSED, "random"),
        (
            "(call $write (call $stdout) (i32.const 0) (i32.const 65537) (i32.const 5000)) (unreachable)",
            code::IMPORT_REFUSED,
            "permitted",
        ),
        (
            "(call $zeroes (call $stdout) (i64.const -1) (i32.const 5000)) (unreachable)",
            code::IMPORT_REFUSED,
            "permitted",
        ),
    ] {
        let error = guest(body).run(&settings()).unwrap_err();
        assert_eq!((error.kind, error.error.code()), (Kind::Trap, expected), "{error}");
        assert!(error.to_string().contains(text) && error.fuel >= 500, "{error}");
        assert!(error.backtrace.is_some());
    }
}

#[test]
fn handles_are_bounded_and_come_back() {
    let mut settings = settings();
    settings.limits.handles = 10;
    let hoards = "(loop $l (drop (call $stdout)) (br $l)) (unreachable)";
    let error = guest(hoards).run(&settings).unwrap_err();
    assert_eq!((error.kind, error.error.code()), (Kind::Limit, code::HANDLE_LIMIT), "{error}");
    let tidy = "(local $i i32) (loop $l (call $drop_stream (call $stdout))
        (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $l (i32.lt_u (local.get $i) (i32.const 100))))
        (call $echo (local.get $batches))";
    assert!(guest(tidy).run(&settings).is_ok());
}

#[derive(Default)]
struct Lines(Mutex<Vec<(Level, String)>>);

impl LogSink for Lines {
    fn line(&self, level: Level, line: &str) {
        self.0.lock().unwrap().push((level, line.to_owned()));
    }
}

#[test]
fn logs_have_a_quota_for_each_batch() {
    let lines = Arc::new(Lines::default());
    let mut settings = Settings { log: lines.clone(), ..settings() };
    settings.limits.log = 5;
    // "ftransformin..." lies at 512.
    let body = "(call $log (i32.const 0) (i32.const 512) (i32.const 3))
        (call $blocking_write (call $stderr) (i32.const 515) (i32.const 9) (i32.const 5000)) (call $echo (local.get $batches))";
    let mut instance = guest(body).instance(&settings).unwrap();
    call(&mut instance, 1, &[0; 8]).unwrap();
    call(&mut instance, 1, &[0; 8]).unwrap();
    let taken = [(Level::Error, "ftr".to_owned()), (Level::Warn, "a".to_owned())];
    assert_eq!(*lines.0.lock().unwrap(), [taken.clone(), taken].concat());
    assert_eq!((instance.usage().logged, instance.usage().log_dropped), (10, 16));
    settings.limits.transfer = 100;
    let long = guest("(call $log (i32.const 0) (i32.const 0) (i32.const 101)) (unreachable)").run(&settings);
    assert_eq!(long.unwrap_err().error.code(), code::TRANSFER_LIMIT);
}

const AT: BatchSeed<'static> = BatchSeed { split: "a", first_row: 7, part: 0 };

#[test]
fn random_numbers_are_those_of_the_batch() {
    let body = "(global.set $heap (i32.const 16384)) (call $random_bytes (i64.const 32) (i32.const 5000))
        (i64.store (i32.const 16416) (call $random)) (i64.store (i32.const 16424) (call $insecure))
        (call $give (i32.const 1) (i32.const 16384) (i32.const 48))";
    let program = guest(body).program();
    let fresh = |settings: &Settings| program.instance(settings, &AT).unwrap();
    let draw = |instance: &mut crate::Instance, at: &BatchSeed<'_>| given(call_at(instance, 1, &[0; 8], at).unwrap());
    let mut old = fresh(&settings());
    let others = [
        BatchSeed { split: "b", ..AT },
        BatchSeed { first_row: 8, ..AT },
        BatchSeed { part: 1, ..AT },
        BatchSeed { split: "", first_row: 0, part: 0 },
    ];
    let mut seen: Vec<Vec<u8>> = others.iter().map(|at| draw(&mut old, at)).collect();
    // The same batch: after others, again, and in a fresh instance.
    let drawn = draw(&mut old, &AT);
    assert_eq!(draw(&mut old, &AT), drawn);
    assert_eq!(draw(&mut fresh(&settings()), &AT), drawn);
    seen.push(drawn);
    for seed in [Seed { job: b"j".to_vec(), function: String::new() }, Seed { job: Vec::new(), function: "j".into() }] {
        seen.push(draw(&mut fresh(&Settings { seed, ..settings() }), &AT));
    }
    let halves: std::collections::BTreeSet<&[u8]> = seen.iter().flat_map(|bytes| bytes.chunks(16)).collect();
    assert_eq!(halves.len(), seen.len() * 3, "numbers repeat");
}

#[test]
fn hash_seeds_are_those_of_the_function() {
    let program = guest(&gives("(call $insecure_seed (i32.const 5000))")).program();
    let draw = |settings: &Settings, at: &BatchSeed<'_>| {
        given(call_at(&mut program.instance(settings, at).unwrap(), 1, &[0; 8], at).unwrap())[..16].to_vec()
    };
    let seed = draw(&settings(), &AT);
    assert_eq!(draw(&settings(), &BatchSeed { first_row: 99, ..AT }), seed);
    let other = Settings { seed: Seed { job: b"j".to_vec(), function: String::new() }, ..settings() };
    assert_ne!(draw(&other, &AT), seed);
}

#[test]
fn generators_seeded_at_the_start_do_not_repeat() {
    let guest = Guest {
        imports: r#"(import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))"#,
        items: "(func $s (i64.store (i32.const 5000) (call $random))) (start $s)",
        call: "(call $give (i32.const 1) (i32.const 5000) (i32.const 8))",
        ..Guest::default()
    };
    let program = guest.program();
    let start = |at| given(call(&mut program.instance(&settings(), at).unwrap(), 1, &[0; 8]).unwrap());
    assert_eq!(start(&AT), start(&AT));
    assert_ne!(start(&AT), start(&BatchSeed { first_row: 8, ..AT }));
}
