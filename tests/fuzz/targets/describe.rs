//! What components describe, as a bundle carries it, and the planner that believes it: up to a NUL byte a manifest in
//! TOML, behind it the JSON of one description for each component.
#![no_main]

use libfuzzer_sys::fuzz_target;
use lockgate_core::manifest::Manifest;
use lockgate_core::planner::Planner;
use lockgate_core::{strict_json, types::FunctionDescription};
use std::collections::BTreeMap;

fuzz_target!(|text: &str| {
    let (toml, json) = text.split_once('\0').unwrap_or(("", text));
    let Ok(described) = strict_json::parse::<Vec<FunctionDescription>>("it", json.as_bytes(), 1 << 16) else { return };
    let Ok(manifest) = Manifest::parse_toml(toml, "lockgate.toml") else { return };
    let descriptions = manifest.component.keys().map(|name| (name.clone(), described.clone())).collect();
    if let Ok(plan) = Planner::plan(&manifest, &descriptions, &BTreeMap::new()) {
        // Nodes refer to earlier ones only, and to outputs that these have.
        for (at, node) in plan.nodes.iter().enumerate() {
            for edge in &node.inputs {
                assert!((edge.node as usize) < at);
                assert!((edge.output as usize) < plan.nodes[edge.node as usize].outputs.len());
            }
        }
    }
});
