//! `lockgate inspect`: what a file is and says. Nothing is verified, and the output says so.

use super::{Failure, Outcome};
use crate::content::{Content, title};
use crate::local::Machine;
use crate::output::{Output, pairs, plain, table};
use lockgate_core::bundle::Package;
use lockgate_core::diff::capabilities;
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::limits::Limits;
use lockgate_core::manifest::Manifest;
use lockgate_core::statement::{Predicate, describe_title, wasm_title};
use lockgate_core::types::{Field, FunctionDescription};
use lockgate_core::{Digest, Error, Name, Result, human, strict_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, clap::Args)]
pub struct Inspect {
    /// The file; what it is, its content says.
    file: PathBuf,
}

impl Inspect {
    pub fn run(&self, output: &Output) -> Outcome {
        let (value, text) = match Content::read(&self.file)? {
            Content::Bundle(package) => bundle(&package)?,
            Content::Wasm { bytes, component } => wasm(&bytes, component)?,
            Content::Envelope(envelope) => self::envelope(&envelope)?,
            Content::Manifest(manifest) => self::manifest(&manifest),
            Content::Secret(key) => {
                let public = key.public();
                let value = json!({ "kind": "secret-key", "public-key": public.to_string(), "key-id": public.id() });
                (
                    value,
                    pairs([
                        ("kind", "a secret key".into()),
                        ("public key", public.to_string()),
                        ("key id", public.id()),
                    ]),
                )
            }
        };
        output.result(&value, || text);
        Ok(())
    }
}

fn bundle(package: &Package) -> Result<(Value, String), Failure> {
    let predicate = package.unverified_statement()?.predicate;
    let descriptions = descriptions(package, &predicate)?;
    let digest = package.envelope.payload_digest();
    let capable = capable(&predicate);
    let value = json!({
        "kind": "bundle",
        "digest": digest,
        "signatures": package.envelope.key_ids().collect::<Vec<_>>(),
        "statement": predicate,
        "descriptions": descriptions,
        "capabilities": capable,
        "verified": false,
    });
    let mut text = pairs(head(&predicate, digest, &package.envelope));
    let rows = predicate.components.iter().map(|(name, component)| {
        let size = package.layer(&wasm_title(name)).map_or(0, |layer| layer.bytes.len());
        vec![
            name.to_string(),
            human::about_bytes(size as u64),
            component.digest.short(),
            component.imports.len().to_string(),
        ]
    });
    text += "\n";
    text += &table(Some(&["component", "size", "digest", "imports"]), rows);
    text += "\n";
    for (component, functions) in &descriptions {
        for function in functions {
            text += &plain(&format!("{component}/{}", signature(function)));
            text.push('\n');
        }
    }
    text += "\n";
    text += &list(&capable);
    text += "\nNot verified: `lockgate verify` does that.\n";
    Ok((value, text))
}

/// The job's own lines of a bundle.
fn head(predicate: &Predicate, digest: Digest, envelope: &Envelope) -> Vec<(&'static str, String)> {
    let job = &predicate.manifest.job;
    let domains: Vec<String> = Vec::from(predicate.audience.clone()).iter().map(ToString::to_string).collect();
    vec![
        ("kind", "a bundle".into()),
        ("job", format!("{} of tenant {}, version {}", job.name, job.tenant, job.version)),
        ("digest", digest.to_string()),
        ("for", domains.join(", ")),
        ("valid", format!("{} to {}", predicate.not_before, predicate.expires)),
        ("replaces", predicate.replaces.map_or("nothing".into(), |release| format!("version {}", release.version))),
        ("signatures", signatures(envelope)),
    ]
}

/// What a job may do, in words.
pub fn capable(predicate: &Predicate) -> Vec<String> {
    let imports = predicate.components.iter().map(|(name, component)| (name.clone(), component.imports.clone()));
    capabilities(&predicate.manifest, &imports.collect())
}

fn descriptions(package: &Package, predicate: &Predicate) -> Result<BTreeMap<Name, Vec<FunctionDescription>>> {
    let read = |name: &Name| {
        let what = format!("the description of component {name}");
        let layer = package
            .layer(&describe_title(name))
            .ok_or_else(|| Error::new(code::LAYERS_DIFFER, format!("{what} is signed but not in the bundle")))?;
        Ok((name.clone(), strict_json::parse(&what, &layer.bytes, strict_json::MAX_DOCUMENT)?))
    };
    predicate.components.keys().map(read).collect()
}

fn signature(function: &FunctionDescription) -> String {
    let fields = |fields: &[Field]| {
        let shown = fields
            .iter()
            .map(|field| format!("{}: {}{}", field.name, field.data_type, if field.nullable { "?" } else { "" }));
        shown.collect::<Vec<_>>().join(", ")
    };
    let inputs: Vec<String> = function.inputs.iter().map(|port| fields(&port.fields)).collect();
    let outputs = function.outputs.iter().map(|port| match function.outputs.len() {
        1 => format!("({})", fields(&port.fields)),
        _ => format!("{}({})", port.name, fields(&port.fields)),
    });
    format!("{}({}) -> {}", function.name, inputs.join("; "), outputs.collect::<Vec<_>>().join(" | "))
}

/// A component is compiled and asked what it has, within default limits; one that cannot run here is still shown.
fn wasm(bytes: &[u8], component: bool) -> Result<(Value, String), Failure> {
    let digest = Digest::of(bytes);
    let size = human::grouped(bytes.len() as u64);
    if !component {
        let value = json!({ "kind": "core-module", "digest": digest, "bytes": bytes.len() });
        let what = "a WebAssembly core module, which is no component".into();
        return Ok((value, pairs([("kind", what), ("bytes", size), ("digest", digest.to_string())])));
    }
    let author = Machine::default().author()?;
    let info = author.inspect(bytes)?;
    let functions = author.describe(bytes, &Limits::default())?;
    let value = json!({
        "kind": "component",
        "digest": digest,
        "bytes": bytes.len(),
        "imports": info.imports,
        "exports": info.exports,
        "functions": functions,
    });
    let mut text = pairs([
        ("kind", "a WebAssembly component".into()),
        ("bytes", size),
        ("digest", digest.to_string()),
        ("core functions", human::grouped(info.functions)),
    ]);
    text += "\nfunctions\n";
    text += &list(&functions.iter().map(signature).collect::<Vec<_>>());
    text += "\nimports\n";
    text += &list(&info.imports);
    Ok((value, text))
}

fn envelope(envelope: &Envelope) -> Result<(Value, String), Failure> {
    let kind = envelope.payload_type();
    let payload: Value = strict_json::parse("the payload", envelope.unverified_payload(), strict_json::MAX_DOCUMENT)?;
    let value = json!({
        "kind": "envelope",
        "payload-type": kind,
        "digest": envelope.payload_digest(),
        "signatures": envelope.key_ids().collect::<Vec<_>>(),
        "payload": payload,
        "verified": false,
    });
    let head = pairs([
        ("kind", title(kind).map_or_else(|| format!("an envelope of type {kind}"), str::to_owned)),
        ("digest", envelope.payload_digest().to_string()),
        ("signatures", signatures(envelope)),
    ]);
    let body = serde_json::to_string_pretty(&payload).unwrap_or_default();
    let body: Vec<String> = body.lines().map(plain).collect();
    Ok((value, format!("{head}\n{}\n\nNot verified.\n", body.join("\n"))))
}

fn manifest(manifest: &Manifest) -> (Value, String) {
    let capable = capabilities(manifest, &BTreeMap::new());
    let job = &manifest.job;
    let head = pairs([
        ("kind", "a manifest".into()),
        ("job", format!("{} of tenant {}, version {}", job.name, job.tenant, job.version)),
    ]);
    let text = format!("{head}\n{}", list(&capable));
    (json!({ "kind": "manifest", "manifest": manifest, "capabilities": capable }), text)
}

fn signatures(envelope: &Envelope) -> String {
    let ids: Vec<String> = envelope.key_ids().map(|id| id.chars().take(19).collect()).collect();
    if ids.is_empty() { "none".into() } else { format!("{}, claimed by {}", ids.len(), ids.join(", ")) }
}

/// Lines as a list.
pub fn list(lines: &[String]) -> String {
    lines.iter().map(|line| format!("- {}\n", plain(line))).collect()
}
