//! What is to run: bundles that nobody signed, that others signed, or that are not what was signed.

use super::papers::{DAY, Tenant, audience, name, now, part, stranger};
use super::stage::{Fails, Refused, Said, Site};
use crate::hostile::wat::{self, Guest};
use lockgate_core::bundle::{Draft, Layer, LayerKind, Package, Part};
use lockgate_core::dsse::Envelope;
use lockgate_core::error::code;
use lockgate_core::keys::SecretKey;
use lockgate_core::statement::{self, Kind, Release};
use lockgate_core::{Code, Digest};

/// Makes a bundle's contents.
type Drafted = fn(&Tenant) -> Draft;
/// What is said of a release instead.
type Lie = fn(Release) -> Release;
/// Makes what is sent in a bundle's place.
type Sent = fn(&Site) -> Vec<u8>;
/// Changes what is to be signed.
type Change = fn(&mut Draft);

const GROUP: &str = "bundles";
/// Nobody whose signature counts has signed, or too few, or not this.
const UNSIGNED: &[Code] = &[code::UNTRUSTED_SIGNER];
const NOT_THIS: &[Code] = &[code::BAD_SIGNATURE, code::UNTRUSTED_SIGNER];

/// A component that gives back other numbers.
fn evil() -> Part {
    wat::call("(i32.store (i32.const 4096) (i32.const 1)) (call $echo (local.get $batches))").part()
}

/// The layer of a component.
fn wasm(package: &mut Package) -> &mut Layer {
    package.layers.iter_mut().find(|layer| layer.kind == LayerKind::Component).expect("a component")
}

/// The same statement with its text changed, under the signatures of the former one.
fn with_payload(package: &Package, from: &str, to: &str) -> Package {
    let json = serde_json::to_value(&package.envelope).expect("JSON");
    let text = String::from_utf8(package.envelope.unverified_payload().to_vec()).expect("text");
    assert!(text.contains(from), "{from} is not in {text}");
    let changed = Envelope::unsigned(package.envelope.payload_type(), text.replacen(from, to, 1).into_bytes());
    let mut changed = serde_json::to_value(&changed).expect("JSON");
    changed["signatures"] = json["signatures"].clone();
    let envelope = Envelope::parse(changed.to_string().as_bytes()).expect("an envelope");
    Package { envelope, ..package.clone() }
}

/// The same bytes with one of them changed, this far behind the first of `after`.
fn flipped(bytes: &[u8], after: &[u8]) -> Vec<u8> {
    let at = bytes.windows(after.len()).position(|window| window == after).expect("it is there");
    let mut bytes = bytes.to_vec();
    bytes[at + after.len() - 1] ^= 1;
    bytes
}

pub fn cases(site: &mut Site) {
    signatures(site);
    contents(site);
    asked_for_more(site);
    files(site);
}

fn signatures(site: &mut Site) {
    type By = fn(&Tenant) -> Vec<SecretKey>;
    fn copy(key: &SecretKey) -> SecretKey {
        SecretKey::parse(&key.to_text()).expect("a key")
    }
    let signed: [(&str, &'static [Code], By); 6] = [
        ("unsigned", UNSIGNED, |_| vec![]),
        ("signed by strangers", UNSIGNED, |_| vec![stranger(), Tenant::new("nobody").second]),
        ("signed by another tenant's signers", UNSIGNED, |_| {
            let other = Tenant::new("globex");
            vec![other.keys.signer, other.second]
        }),
        ("one signer short of the threshold", &[code::THRESHOLD], |tenant| vec![copy(&tenant.keys.signer)]),
        ("one signer and a stranger", &[code::THRESHOLD], |tenant| vec![copy(&tenant.second), stranger()]),
        ("signed by the tenant's root and status keys", UNSIGNED, |tenant| {
            vec![copy(&tenant.keys.tenant_root), copy(&tenant.keys.tenant_status)]
        }),
    ];
    for (name, codes, by) in signed {
        site.case(GROUP, name, Refused(codes), |_, said| {
            let keys = by(&said.tenant);
            let package = said.tenant.sign_by(said.tenant.draft(1), None, &keys.iter().collect::<Vec<_>>());
            said.give(&package);
            Ok(())
        });
    }
    site.case(GROUP, "a signer's signature twice", Refused(&[code::THRESHOLD]), |_, said| {
        let package = said.tenant.sign_by(said.tenant.draft(1), None, &[&said.tenant.keys.signer]);
        let mut json = serde_json::to_value(&package.envelope).expect("JSON");
        let again = json["signatures"][0].clone();
        json["signatures"].as_array_mut().expect("signatures").push(again);
        let envelope = Envelope::parse(json.to_string().as_bytes()).expect("an envelope");
        said.give(&Package { envelope, ..package });
        Ok(())
    });
    site.case(GROUP, "a trust document in place of the statement", Refused(&[code::WRONG_PAYLOAD_TYPE]), |_, said| {
        said.give(&Package { envelope: said.tenant.signed_root(), ..said.package.clone() });
        Ok(())
    });
}

fn contents(site: &mut Site) {
    site.case(GROUP, "another manifest under the signatures", Refused(NOT_THIS), |_, said| {
        said.give(&with_payload(&said.package, "rows/*.json", "secret/*.json"));
        Ok(())
    });
    site.case(GROUP, "a longer life under the signatures", Refused(NOT_THIS), |_, said| {
        let expires = now().plus(90 * DAY).to_string();
        said.give(&with_payload(&said.package, &expires, &now().plus(900 * DAY).to_string()));
        Ok(())
    });
    site.case(GROUP, "another component in the file", Refused(&[code::LAYERS_DIFFER]), |_, said| {
        let mut package = said.package.clone();
        let title = wasm(&mut package).title.clone();
        *wasm(&mut package) = Layer::new(LayerKind::Component, title, evil().wasm);
        said.give(&package);
        Ok(())
    });
    site.case(GROUP, "a further component in the file", Refused(&[code::LAYERS_DIFFER]), |_, said| {
        let mut package = said.package.clone();
        package.layers.push(Layer::new(LayerKind::Component, "other.wasm".into(), evil().wasm));
        said.give(&package);
        Ok(())
    });
    site.case(GROUP, "another description in the file", Refused(&[code::LAYERS_DIFFER]), |_, said| {
        let mut package = said.package.clone();
        let layer = package.layers.iter_mut().find(|layer| layer.kind == LayerKind::Describe).expect("a description");
        *layer = Layer::new(LayerKind::Describe, layer.title.clone(), b"[]".to_vec());
        said.give(&package);
        Ok(())
    });
    let current: [(&str, Drafted); 2] = [
        ("a version of which the status names another content", |tenant| {
            let mut draft = tenant.draft(1);
            draft.parts.insert(name("guest"), evil());
            draft
        }),
        ("a version that the status does not name", |tenant| tenant.draft(2)),
    ];
    for (name, draft) in current {
        site.case(GROUP, name, Refused(&[code::NOT_CURRENT]), move |_, said| {
            said.give(&said.tenant.sign(draft(&said.tenant), None));
            Ok(())
        });
    }
    site.case(
        GROUP,
        "a job that the status does not name",
        Refused(&[code::NOT_CURRENT, code::WRONG_ASSIGNMENT]),
        |_, said| {
            let text = said.tenant.manifest(1).replace("name = \"job\"", "name = \"unheard-of\"");
            said.give(&said.tenant.sign(said.tenant.draft_of(&text), None));
            Ok(())
        },
    );
    site.case(GROUP, "another job of the tenant's in its place", Refused(&[code::WRONG_ASSIGNMENT]), |site, said| {
        let text = said.tenant.manifest(1).replace("name = \"job\"", "name = \"other\"");
        let other = said.tenant.sign(said.tenant.draft_of(&text), None);
        said.give_released(site, &other);
        Ok(())
    });
    site.case(
        GROUP,
        "another tenant's job in its place",
        Refused(&[code::WRONG_TENANT, code::UNTRUSTED_SIGNER]),
        |site, said| {
            let other = site.honest();
            said.give(&other.package);
            Ok(())
        },
    );
    let lies: [(&str, Lie); 2] = [
        ("a release of another version than the file's", |release| Release { version: release.version + 1, ..release }),
        ("a release of another digest than the file's", |release| Release { digest: Digest::of(b"other"), ..release }),
    ];
    for (name, lie) in lies {
        site.case(GROUP, name, Refused(&[code::WRONG_ASSIGNMENT]), move |_, said| {
            said.assignment.release = lie(said.assignment.release);
            Ok(())
        });
    }
    site.case(
        GROUP,
        "the bundle of a function",
        Refused(&[code::WRONG_ASSIGNMENT, code::EMPTY_GRAPH]),
        |site, said| {
            let text =
                format!("[job]\ntenant = \"{}\"\nname = \"job\"\nversion = 2\n[component.guest]\n", said.tenant.name);
            let mut draft = said.tenant.draft_of(&text);
            draft.kind = Kind::Function;
            let package = said.tenant.sign(draft, None);
            said.give_released(site, &package);
            // So that the honest version is current again afterwards, as a later one.
            said.package = said.tenant.sign(said.tenant.draft(3), None);
            said.tenant.release(&said.package);
            Ok(())
        },
    );
    let parts: [(&str, &'static [Code], Sent); 3] = [
        ("machine code as a component", &[code::INVALID_COMPONENT, code::NOT_A_COMPONENT], Site::machine_code),
        ("a core module as a component", &[code::NOT_A_COMPONENT], |_| wat::parse("(module)")),
        ("a component that imports what was not signed", &[code::IMPORTS_DIFFER], |_| {
            let random = "(import \"wasi:random/random@0.2.6\" \"get-random-bytes\" (func (param i64 i32)))";
            Guest { imports: random, ..Guest::default() }.component()
        }),
    ];
    for (what, codes, bytes) in parts {
        site.case(GROUP, what, Refused(codes), move |site, said| {
            let mut draft = said.tenant.draft(2);
            draft.parts.insert(name("guest"), Part { wasm: bytes(site), ..part() });
            release_and_recover(site, said, draft);
            Ok(())
        });
    }
    site.case(GROUP, "a component that describes itself otherwise", Fails(&[code::DESCRIBE_DIFFERS]), |site, said| {
        let mut draft = said.tenant.draft(2);
        let mut other = part();
        other.describe[0].attributes.push(("made".into(), "up".into()));
        draft.parts.insert(name("guest"), other);
        release_and_recover(site, said, draft);
        Ok(())
    });
}

/// Gives a version that the tenant itself signed and released, and has the next one be a good one.
fn release_and_recover(site: &mut Site, said: &mut Said, draft: Draft) {
    let package = said.tenant.sign(draft, Some(&said.package));
    said.give_released(site, &package);
    said.package = said.tenant.sign(said.tenant.draft(3), None);
    said.tenant.release(&said.package);
}

/// What signers agreed to and the operator's policy does not grant, and what is not for here or now.
fn asked_for_more(site: &mut Site) {
    let manifests: [(&str, &'static [Code], &str, &str); 8] = [
        ("another volume", &[code::NOT_GRANTED], "volume = \"in\"", "volume = \"elsewhere\""),
        ("another prefix", &[code::NOT_GRANTED], "rows/*.json", "secret/*.json"),
        ("a wider prefix", &[code::NOT_GRANTED], "rows/*.json", "*/*.json"),
        ("another tenant's folder", &[code::NOT_GRANTED], "path = \"tenant-", "path = \"x/tenant-"),
        ("writing what may be read", &[code::NOT_GRANTED], "volume = \"out\"", "volume = \"in\""),
        (
            "standard input",
            &[code::NOT_GRANTED],
            "connector = \"file\"\n            volume = \"in\"\n            path = \"rows/*.json\"",
            "connector = \"stdin\"\n            format = \"json\"",
        ),
        ("more slots", &[code::PARALLELISM_ABOVE_CEILING], "max = 2 }", "max = 3 }"),
        (
            "more memory",
            &[code::LIMIT_ABOVE_CEILING],
            "[parameters.weight]",
            "[limits]\nmemory = \"1 GiB\"\n[parameters.weight]",
        ),
    ];
    for (what, codes, from, to) in manifests {
        site.case(GROUP, &format!("beyond the policy: {what}"), Refused(codes), move |site, said| {
            let text = said.tenant.manifest(2);
            assert!(text.contains(from), "{from} is not in {text}");
            let draft = said.tenant.draft_of(&text.replacen(from, to, 1));
            release_and_recover(site, said, draft);
            Ok(())
        });
    }
    let drafts: [(&str, &'static [Code], Change); 3] = [
        ("for another cluster", &[code::WRONG_AUDIENCE], |draft| draft.audience = audience("other.test")),
        ("not valid yet", &[code::NOT_YET_VALID], |draft| draft.not_before = now().plus(DAY)),
        ("expired", &[code::EXPIRED], |draft| draft.expires = now().plus(-1)),
    ];
    for (what, codes, change) in drafts {
        site.case(GROUP, what, Refused(codes), move |site, said| {
            let mut draft = said.tenant.draft(2);
            change(&mut draft);
            release_and_recover(site, said, draft);
            Ok(())
        });
    }
}

/// Files that are no bundle, or not the one that was asked for.
fn files(site: &mut Site) {
    const DAMAGED: &[Code] = &[code::BUNDLE_REFUSED];
    site.case(GROUP, "another file than the assignment names", Refused(DAMAGED), |site, said| {
        said.bundle = site.honest().bundle;
        Ok(())
    });
    site.case(GROUP, "the file with a byte changed", Refused(DAMAGED), |_, said| {
        said.bundle = flipped(&said.bundle, b"\0asm");
        Ok(())
    });
    site.case(GROUP, "a good file and more behind it", Refused(DAMAGED), |_, said| {
        said.bundle.extend_from_slice(b"#!/bin/sh");
        Ok(())
    });
    type Change = fn(&Site, &[u8]) -> Vec<u8>;
    const NO_ARCHIVE: &[Code] = &[code::MALFORMED_ARCHIVE];
    let bytes: [(&str, &'static [Code], Change); 7] = [
        ("no file at all", NO_ARCHIVE, |_, _| Vec::new()),
        ("half of the file, under its own digest", NO_ARCHIVE, |_, good| good[..good.len() / 2].to_vec()),
        ("more behind the file, under its own digest", &[code::TRAILING_DATA], |_, good| [good, b"#!/bin/sh"].concat()),
        ("a changed component, under its own digest", &[code::DIGEST_MISMATCH], |_, good| flipped(good, b"\0asm")),
        ("machine code instead of a bundle", NO_ARCHIVE, |site, _| site.machine_code()),
        ("a component instead of a bundle", NO_ARCHIVE, |_, _| Guest::default().component()),
        ("the manifest instead of a bundle", NO_ARCHIVE, |_, _| Tenant::new("x").manifest(1).into_bytes()),
    ];
    for (what, codes, bytes) in bytes {
        site.case(GROUP, what, Refused(codes), move |site, said| {
            let changed = bytes(site, &said.bundle);
            said.give_bytes(changed);
            Ok(())
        });
    }
    site.case(
        GROUP,
        "a statement that is no statement",
        Refused(&[code::MALFORMED_JSON, code::MALFORMED_DOCUMENT]),
        |_, said| {
            let mut envelope = Envelope::unsigned(statement::PAYLOAD_TYPE, b"{}".to_vec());
            envelope
                .sign(&said.tenant.keys.signer)
                .and_then(|()| envelope.sign(&said.tenant.second))
                .expect("signatures");
            said.give(&Package { envelope, ..said.package.clone() });
            Ok(())
        },
    );
}
