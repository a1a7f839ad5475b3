//! A JobManager as it is configured: with a plane or without one.

use super::*;
use crate::control::Control;
use crate::store::Memory;
use lockgate_core::error::code;

#[tokio::test]
async fn the_api_does_not_take_the_planes_authority_for_its_clients() {
    let folder = tempfile::tempdir().unwrap();
    let text = "[plane]\nlisten = [\"127.0.0.1:0\"]\n";
    let config = testing::config(folder.path(), text);
    lockgate_server::private::directory(&config.data).unwrap();
    let control = Control::open(&config, Arc::new(Memory::new())).await.unwrap();
    assert!(control.plane(&config.limits).await.unwrap().is_some());
    control.stop().await;
    let text = format!("{text}[tls]\nclient-ca = {:?}\n", config.data.join("plane/ca.pem"));
    let config = testing::config(folder.path(), &text);
    let refused = Control::open(&config, Arc::new(Memory::new())).await.err().unwrap();
    assert_eq!(refused.code(), code::TLS_MATERIAL, "{refused}");
}

#[tokio::test]
async fn without_a_plane_nobody_dials_in_or_joins() {
    let folder = tempfile::tempdir().unwrap();
    let config = testing::config(folder.path(), "");
    lockgate_server::private::directory(&config.data).unwrap();
    let control = Control::open(&config, Arc::new(Memory::new())).await.unwrap();
    assert!(control.plane(&config.limits).await.unwrap().is_none());
    assert!(!config.data.join("plane").exists(), "an authority was made that nobody asked for");
    control.stop().await;
}

#[tokio::test]
async fn what_waits_does_not_hold_up_the_end() {
    let mut site = Site::start("").await;
    let files = site.joined("tm-1").await;
    let mut open = site.connect(&files).await;
    site.wait_on(&mut open).await;
    let (unused, _) = oneshot::channel();
    drop(std::mem::replace(&mut site._stop, unused));
    assert_eq!(rest(&mut open).await.status, 0);
}
