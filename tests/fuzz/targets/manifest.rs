//! Manifests: TOML as a project has it, and the JSON that is signed. What the check lets through can be planned or is
//! refused, and no error shows a control character.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::manifest::Manifest;
use lockgate_core::planner::Planner;
use std::collections::BTreeMap;

fuzz_target!(|text: &str| {
    let manifest = match Manifest::parse_toml(text, "lockgate.toml") {
        Ok(manifest) => manifest,
        Err(errors) => {
            let clean = |text: &str| !text.chars().any(|c| c.is_control() && c != '\n');
            assert!(!errors.is_empty(), "refused without a reason");
            assert!(errors.iter().all(|error| clean(error.cause())), "{errors:?}");
            return;
        }
    };
    let json = serde_json::to_vec(&manifest).expect("it can be written");
    let again: Manifest = serde_json::from_slice(&json).expect("what was written is refused");
    assert_eq!(again, manifest);
    let _ = (manifest.touches(), lockgate_core::diff::diff(&manifest, &again).lines());
    let _ = Planner::plan(&manifest, &BTreeMap::new(), &BTreeMap::new());
});
