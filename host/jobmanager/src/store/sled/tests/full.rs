//! A disk that really is full: a small tmpfs in a mount namespace of the test's own. And what else takes a whole process.

use super::*;
use crate::store::sled::writer::{PANICS, SKIPPED};
use std::process::Command;
use std::sync::atomic::Ordering::SeqCst;

/// Set in the process that has the tmpfs.
const FOLDER: &str = "LOCKGATE_TEST_FULL_DISK";

/// Runs the test `name` again, in a mount namespace where [`FOLDER`] is a tmpfs of `size`; none if this is that run, with
/// the folder.
fn on_a_small_disk(name: &str, size: &str) -> Option<std::path::PathBuf> {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return Some(folder.into());
    }
    let folder = tempfile::tempdir().unwrap();
    let script = r#"mount -t tmpfs -o "size=$1,mode=0700" tmpfs "$2" && exec "$3" --exact "$4" --nocapture"#;
    let own = std::env::current_exe().unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh", size])
        .args([folder.path(), &own])
        .arg(name)
        .env(FOLDER, folder.path())
        .output()
        .expect("unshare");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    None
}

/// Fills `folder` with a file; the more exact, the smaller the pieces.
fn fill(folder: &Path) -> std::path::PathBuf {
    use std::io::Write as _;
    let path = folder.join("filler");
    let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
    for piece in [1 << 20, 4_096] {
        while file.write_all(&vec![1; piece]).is_ok() {}
    }
    path
}

/// Large enough that the disk fills up soon.
fn content(name: u32) -> Vec<u8> {
    vec![name as u8; 60_000]
}

async fn holds(store: &Sled, kept: u32) {
    let listed = store.scan(&Key::new([]), None, 1_000).await.unwrap();
    assert_eq!(listed.len(), kept as usize, "something refused is there, or something acknowledged is not");
    for name in 0..kept {
        assert_eq!(value(store, &name.to_string()).await.unwrap(), content(name));
    }
}

/// Writes without a look at the free space until it is refused: there is some room within the files that are there.
async fn refused(store: &Sled, kept: &mut u32) -> Error {
    for _ in 0..50 {
        SKIPPED.store(1, SeqCst);
        match put(store, &kept.to_string(), content(*kept)).await {
            Ok(_) => *kept += 1,
            Err(error) => return error,
        }
    }
    panic!("the disk is not full");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_changes_until_there_is_room() {
    let name = "store::sled::tests::full::a_full_disk_refuses_changes_until_there_is_room";
    let Some(folder) = on_a_small_disk(name, "48m") else { return };
    let options = Options { reserve: 8 << 20, cache: 2 << 20, ..Options::new(folder.join("data")) };
    let store = Sled::open(options.clone()).unwrap();
    let mut kept = 0;
    for _ in 0..3 {
        for _ in 0..8 {
            put(&store, &kept.to_string(), content(kept)).await.unwrap();
            kept += 1;
        }
        let filler = fill(&folder);
        for _ in 0..10 {
            let error = put(&store, &kept.to_string(), content(kept)).await.unwrap_err();
            assert!(error.code() == code::STORE_FULL && error.cause().contains("MiB free"), "{error}");
            holds(&store, kept).await;
        }
        std::fs::remove_file(filler).unwrap();
        put(&store, &kept.to_string(), content(kept)).await.expect("there is room again");
        kept += 1;
    }
    // A start on the full disk: what is there can be read.
    store.close().await;
    drop(store);
    let filler = fill(&folder);
    let store = Sled::open(options).unwrap();
    holds(&store, kept).await;
    assert_eq!(put(&store, "more", "x").await.unwrap_err().code(), code::STORE_FULL);
    std::fs::remove_file(filler).unwrap();
    put(&store, &kept.to_string(), content(kept)).await.unwrap();
    holds(&store, kept + 1).await;
}

/// What happens if somebody else takes the space between the look at it and the write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_finds_no_room_is_refused_and_forgotten() {
    let name = "store::sled::tests::full::a_write_that_finds_no_room_is_refused_and_forgotten";
    let Some(folder) = on_a_small_disk(name, "48m") else { return };
    let options = Options { reserve: 8 << 20, cache: 2 << 20, ..Options::new(folder.join("data")) };
    let ballast = options.folder.join("ballast");
    let store = Sled::open(options).unwrap();
    let mut kept = 0;
    for _ in 0..3 {
        put(&store, &kept.to_string(), content(kept)).await.unwrap();
        kept += 1;
        assert!(ballast.exists());
        let filler = fill(&folder);
        let error = refused(&store, &mut kept).await;
        assert_eq!(error.code(), code::STORE_FULL, "{error}");
        holds(&store, kept).await;
        assert_eq!(put(&store, "more", "x").await.unwrap_err().code(), code::STORE_FULL);
        holds(&store, kept).await;
        std::fs::remove_file(filler).unwrap();
        put(&store, &kept.to_string(), content(kept)).await.expect("there is room again");
        kept += 1;
        holds(&store, kept).await;
    }
    // Without a ballast it may be that nobody can tell, until there is room.
    let _ = std::fs::remove_file(&ballast);
    let filler = fill(&folder);
    let error = refused(&store, &mut kept).await;
    assert!([code::STORE_UNCERTAIN, code::STORE_FULL].contains(&error.code()), "{error}");
    std::fs::remove_file(filler).unwrap();
    put(&store, &kept.to_string(), content(kept)).await.expect("there is room again");
    holds(&store, kept + 1).await;
}

/// In a process of its own, too, because the fault is one of the whole process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_while_writing_is_not_the_end() {
    let name = "store::sled::tests::full::a_panic_while_writing_is_not_the_end";
    let Some(folder) = on_a_small_disk(name, "48m") else { return };
    let store = Sled::open(small(&folder.join("data"))).unwrap();
    put(&store, "0", content(0)).await.unwrap();
    PANICS.store(true, SeqCst);
    assert_eq!(put(&store, "1", content(1)).await.unwrap_err().code(), code::STORE_UNCERTAIN);
    holds(&store, 1).await;
    put(&store, "1", content(1)).await.expect("the database was opened anew");
    holds(&store, 2).await;
}
