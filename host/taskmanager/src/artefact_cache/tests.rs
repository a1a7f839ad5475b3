//! What a cache keeps, and what it does not hand out.

use super::*;
use proptest::prelude::*;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};

fn id(tenant: &str, component: &[u8]) -> ArtefactId {
    ArtefactId { tenant: tenant.parse().unwrap(), component: Digest::of(component), compatibility: [7; 32] }
}

fn open(root: &tempfile::TempDir) -> Result<ArtefactCache> {
    ArtefactCache::open(&root.path().join("cache"), 1 << 20)
}

fn files(root: &tempfile::TempDir) -> Vec<PathBuf> {
    let entries = fs::read_dir(root.path().join("cache")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|ending| ending == "artefact")).collect()
}

#[test]
fn hands_out_what_was_put_also_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root).unwrap();
    assert_eq!(cache.get(&id("acme", b"x")), None);
    cache.put(&id("acme", b"x"), b"first").unwrap();
    cache.put(&id("acme", b"x"), b"second").unwrap();
    cache.put(&id("acme", b"empty"), b"").unwrap();
    drop(cache);
    let cache = open(&root).unwrap();
    assert_eq!(cache.get(&id("acme", b"x")).as_deref(), Some(&b"second"[..]));
    assert_eq!(cache.get(&id("acme", b"empty")).as_deref(), Some(&b""[..]));
    for path in files(&root).into_iter().chain([root.path().join("cache/host.key")]) {
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o777, 0o600);
    }
    assert_eq!(fs::metadata(root.path().join("cache")).unwrap().mode() & 0o777, 0o700);
}

#[test]
fn an_artefact_serves_its_id_only() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root).unwrap();
    cache.put(&id("acme", b"x"), b"artefact").unwrap();
    let others = [id("acne", b"x"), id("acme", b"y"), ArtefactId { compatibility: [8; 32], ..id("acme", b"x") }];
    for other in others {
        assert_eq!(cache.get(&other), None);
        // Put under the other's name by whoever can write to the folder.
        let (from, to) = (file_name(&id("acme", b"x")), file_name(&other));
        fs::copy(root.path().join("cache").join(from), root.path().join("cache").join(&to)).unwrap();
        assert_eq!(cache.get(&other), None);
        assert!(!root.path().join("cache").join(to).exists(), "what is refused is removed");
    }
    assert!(cache.get(&id("acme", b"x")).is_some());
}

/// Counts the warnings of what runs within it.
#[derive(Clone, Default)]
struct Warnings(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn what_is_refused_is_logged() {
    let root = tempfile::tempdir().unwrap();
    let cache = open(&root).unwrap();
    cache.put(&id("acme", b"x"), b"artefact").unwrap();
    let warnings = Warnings::default();
    let gets = || cache.get(&id("acme", b"x")).is_some();
    let count = || warnings.0.load(std::sync::atomic::Ordering::Relaxed);
    let [path] = files(&root).try_into().unwrap();
    assert!(tracing::subscriber::with_default(warnings.clone(), gets) && count() == 0);
    fs::write(path, "short").unwrap();
    assert!(!tracing::subscriber::with_default(warnings.clone(), gets) && count() == 1);
    assert!(!tracing::subscriber::with_default(warnings.clone(), gets) && count() == 1, "a missing one is no event");
}

#[test]
fn an_artefact_of_another_machine_is_refused() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    open(&there).unwrap().put(&id("acme", b"x"), b"artefact").unwrap();
    let cache = open(&here).unwrap();
    let name = file_name(&id("acme", b"x"));
    fs::copy(there.path().join("cache").join(&name), here.path().join("cache").join(&name)).unwrap();
    assert_eq!(cache.get(&id("acme", b"x")), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn nothing_altered_or_cut_is_handed_out(at in any::<prop::sample::Index>(), flip in 0_u8..) {
        let root = tempfile::tempdir().unwrap();
        let cache = open(&root).unwrap();
        cache.put(&id("acme", b"x"), b"artefact").unwrap();
        let [path] = files(&root).try_into().unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        if flip == 0 { bytes.truncate(at) } else { bytes[at] ^= flip }
        fs::write(&path, bytes).unwrap();
        prop_assert_eq!(cache.get(&id("acme", b"x")), None);
        prop_assert!(files(&root).is_empty());
    }
}

#[test]
fn evicts_the_oldest() {
    let root = tempfile::tempdir().unwrap();
    let kilobyte = vec![0; 1_000];
    let max_bytes = 3 * (1_000 + HEADER as u64);
    let cache = ArtefactCache::open(&root.path().join("cache"), max_bytes).unwrap();
    // Left by a process that died.
    let stale = root.path().join("cache").join(format!("{TEMPORARY}0"));
    fs::write(&stale, &kilobyte).unwrap();
    let age = |path: &Path, seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    age(&stale, 1);
    for (name, seconds) in [(b"a", 30), (b"b", 20), (b"c", 40)] {
        cache.put(&id("acme", name), &kilobyte).unwrap();
        age(&root.path().join("cache").join(file_name(&id("acme", name))), seconds);
    }
    assert!(!stale.exists());
    cache.put(&id("acme", b"d"), &kilobyte).unwrap();
    let kept = [b"a", b"b", b"c", b"d"].map(|name| cache.get(&id("acme", name)).is_some());
    assert_eq!(kept, [true, false, true, true]);
    cache.put(&id("acme", b"e"), &vec![0; 4_000]).unwrap();
    assert!(cache.get(&id("acme", b"e")).is_none() && cache.get(&id("acme", b"d")).is_some());
    open(&root).unwrap();
}

#[test]
fn refuses_a_key_or_folder_that_others_can_read() {
    let root = tempfile::tempdir().unwrap();
    open(&root).unwrap();
    let (folder, key) = (root.path().join("cache"), root.path().join("cache/host.key"));
    for (path, bad, good) in
        [(&folder, 0o750, 0o700), (&folder, 0o701, 0o700), (&key, 0o640, 0o600), (&key, 0o602, 0o600)]
    {
        fs::set_permissions(path, Permissions::from_mode(bad)).unwrap();
        assert_eq!(open(&root).unwrap_err().code(), code::EXPOSED_TO_OTHERS, "{bad:o}");
        fs::set_permissions(path, Permissions::from_mode(good)).unwrap();
        open(&root).unwrap();
    }
}

#[test]
fn refuses_a_key_that_is_not_one() {
    let root = tempfile::tempdir().unwrap();
    open(&root).unwrap();
    assert_eq!(ArtefactCache::open(&root.path().join("cache/host.key"), 1).unwrap_err().code(), code::IO);
    for length in [0, 31, 33] {
        fs::write(root.path().join("cache/host.key"), vec![1; length]).unwrap();
        assert_eq!(open(&root).unwrap_err().code(), code::HOST_KEY_DAMAGED, "{length}");
    }
}

#[test]
fn the_key_is_made_once_however_many_begin() {
    let root = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for index in 0..8_u8 {
            let root = &root;
            scope.spawn(move || open(root).unwrap().put(&id("acme", &[index]), &[index]).unwrap());
        }
    });
    let cache = open(&root).unwrap();
    for index in 0..8_u8 {
        assert_eq!(cache.get(&id("acme", &[index])), Some(vec![index]));
    }
}
