//! What comes of a backup over the API can be restored, by whoever has the key and by nobody else.

use super::Site;
use crate::backup::{Identity, Layout, restore};
use crate::store::{Memory, Options, Sled, Store as _};
use axum::http::Method;
use serde_json::json;
use std::io::Cursor;

#[tokio::test]
async fn a_backup_over_the_api_can_be_restored() {
    let site = Site::new().await;
    let identity = Identity::generate().unwrap();
    let body = json!({ "recipient": identity.recipient().to_string() });
    let answer = site.json("operator", Method::POST, "/api/v1/backup", &[], &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/octet-stream"));
    assert!(!answer.bytes.windows(4).any(|bytes| bytes == b"late"), "it is encrypted");

    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path().join("data"));
    let foreign =
        restore(Cursor::new(answer.bytes.clone()), Identity::generate().ok(), &layout, vec![], site.world.now());
    assert_eq!(foreign.await.unwrap_err().code(), lockgate_core::error::code::BACKUP_LOCKED);
    let contents = restore(Cursor::new(answer.bytes), Some(identity), &layout, vec![], site.world.now()).await.unwrap();
    assert_eq!(contents.bundles, 1);
    let restored = Sled::open(Options::new(layout.store())).unwrap();
    let job = crate::model::keys::job(&crate::world::name("acme"), &crate::world::name("late"));
    assert_eq!(restored.get(&job).await.unwrap().unwrap().value, of(&site.world.store, &job).await);

    let (lines, _) = site.world.service.records().audit(0, 1_000).await.unwrap();
    let recorded =
        |line: &&String| line.contains("manage-store") && line.contains(&body["recipient"].as_str().unwrap()[..40]);
    assert_eq!(lines.iter().filter(recorded).count(), 1, "it is recorded who took everything, and for which key");
}

async fn of(store: &Memory, key: &crate::store::Key) -> Vec<u8> {
    store.get(key).await.unwrap().unwrap().value
}

#[tokio::test]
async fn a_backup_is_made_to_a_key_only_and_one_at_a_time() {
    let site = Site::new().await;
    for body in [json!({}), json!({ "recipient": "x" }), json!({ "recipient": "", "plain": true })] {
        let answer = site.json("operator", Method::POST, "/api/v1/backup", &[], &body).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
    }
    let recipient = Identity::generate().unwrap().recipient();
    // More than what may wait for the one who takes it, so that it is still being made.
    for at in 0..40 {
        let key = crate::store::Key::new(["filler", &format!("{at:04}")]);
        site.world.store.commit(crate::store::Batch::default().put(key, vec![at; 200_000])).await.unwrap();
    }
    let service = &site.world.service;
    let mut first = service.backup(&crate::world::operator(), recipient).await.unwrap();
    let second = service.backup(&crate::world::operator(), recipient).await;
    assert_eq!(second.unwrap_err().code(), lockgate_core::error::code::BUSY);
    while let Some(piece) = first.recv().await {
        piece.unwrap();
    }
    assert!(service.backup(&crate::world::operator(), recipient).await.is_ok());
}
