//! Lies in the record of a run: splits that nobody listed, positions that are none, outputs of others.
//!
//! And what such lies can do: have rows read again or left out. Each such row is one of the tenant's signed source all the
//! same, and goes where the tenant's signed sink says.

use super::stage::{Delayed, Either, Fails, Harmless, Loses, Site};
use super::wire::Answer;
use lockgate_core::Code;
use lockgate_core::error::code;
use serde_json::{Value, json};

const GROUP: &str = "record";
/// A contradiction, or a message that is none.
const NONSENSE: &[Code] = &[code::RECORD_UNBELIEVED, code::PLANE_MESSAGE];

/// Changes what is answered at `route`, as JSON.
fn rewrite(site: &Site, route: &'static str, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    site.lie_at(route, move |_, honest| {
        let mut value: Value = serde_json::from_slice(&honest.body).expect("JSON");
        change(&mut value);
        let body = value.to_string();
        honest.with(body)
    });
}

pub fn cases(site: &mut Site) {
    splits(site);
    openings(site);
    commits(site);
    what_it_can_do(site);
}

/// The split of a claim's answer, if there is one.
fn split(claimed: &mut Value) -> Option<&mut Value> {
    claimed["split"].get_mut(1)
}

fn splits(site: &mut Site) {
    for path in [
        "../elsewhere/secret.json",
        "../../../../../../etc/passwd",
        "/etc/passwd",
        "secret/secret.json",
        "rows/../secret/secret.json",
        "rows/never-listed.json",
        "",
        "rows/rows.json\0",
    ] {
        site.case(GROUP, &format!("the split {path:?}"), Fails(NONSENSE), move |site, _| {
            rewrite(site, "claim", move |claimed| {
                split(claimed).into_iter().for_each(|split| split["name"] = json!(path));
            });
            Ok(())
        });
    }
    site.case(GROUP, "a split of a node that there is not", Fails(NONSENSE), |site, _| {
        rewrite(site, "claim", |claimed| {
            if split(claimed).is_some() {
                claimed["split"][0] = json!("other");
            }
        });
        Ok(())
    });
    // What says nothing does not say that nothing is left.
    site.case(GROUP, "no word of a split", Fails(&[code::PLANE_MESSAGE]), |site, _| {
        site.lie_at("claim", |_, honest| honest.with("{}"));
        Ok(())
    });
    const CHANGED: &[Code] = &[code::RECORD_UNBELIEVED, code::PLANE_MESSAGE];
    site.case(GROUP, "a split of another content", Fails(CHANGED), |site, _| {
        rewrite(site, "claim", |claimed| {
            split(claimed).into_iter().for_each(|split| split["fingerprint"] = json!("other"));
        });
        Ok(())
    });
    const NO_POSITION: &[Code] = &[code::INVALID_POSITION, code::RECORD_UNBELIEVED, code::PLANE_MESSAGE];
    for (what, position) in [
        ("rubbish", "cnViYmlzaA==".to_owned()),
        ("far behind the end", "/////////////////////w==".to_owned()),
        ("64 KiB long", "AAAA".repeat(16 << 10)),
        ("4 MiB long", "AAAA".repeat(1 << 20)),
    ] {
        site.case(GROUP, &format!("a position that is {what}"), Fails(NO_POSITION), move |site, _| {
            rewrite(site, "claim", move |claimed| {
                if split(claimed).is_some() {
                    claimed["position"] = json!(position);
                }
            });
            Ok(())
        });
    }
    site.case(GROUP, "a split of another length", Either(CHANGED), |site, _| {
        rewrite(site, "claim", |claimed| {
            split(claimed).into_iter().for_each(|split| split["size"] = json!(u64::MAX));
        });
        Ok(())
    });
}

fn openings(site: &mut Site) {
    for run in ["../../../x", "", "0123456789abcde", "0123456789ABCDEF", "0123456789abcdef/", "a\0b"] {
        site.case(GROUP, &format!("the run {run:?}"), Fails(NONSENSE), move |site, _| {
            rewrite(site, "open", move |opened| opened["run"] = json!(run));
            Ok(())
        });
    }
    const LOST: &[Code] = &[code::OUTPUT_LOST, code::RECORD_UNBELIEVED, code::PLANE_MESSAGE];
    let outputs = [
        ("an output that nobody prepared", json!({ "node": "good", "epoch": 1, "slot": 0, "sequence": 7, "bytes": 5 })),
        ("an output of another node", json!({ "node": "other", "epoch": 1, "slot": 0, "sequence": 1, "bytes": 5 })),
        ("an output of a source", json!({ "node": "rows", "epoch": 1, "slot": 0, "sequence": 1, "bytes": 5 })),
        (
            "an output of numbers that overflow",
            json!({ "node": "good", "epoch": u64::MAX, "slot": u32::MAX, "sequence": u64::MAX, "bytes": u64::MAX }),
        ),
    ];
    for (what, output) in outputs {
        site.case(GROUP, what, Fails(LOST), move |site, _| {
            rewrite(site, "open", move |opened| opened["unpublished"] = json!([output]));
            Ok(())
        });
    }
    site.case(GROUP, "an output that waits in another tenant's folder", Fails(LOST), |site, said| {
        // Prepared by another tenant's run of the same id, and never committed.
        let (other, run) = (site.honest(), said.run.clone());
        let folder = site.taskmanager.path("out").join(other.tenant.name.as_str());
        std::fs::create_dir_all(&folder).expect("a folder");
        for file in [format!(".good-{run}-00000-000000001.json.tmp"), format!(".good-{run}-00000-000000001.ndjson.tmp")]
        {
            std::fs::write(folder.join(file), "{\"x\":1,\"y\":1}\n").expect("a file");
        }
        rewrite(site, "open", |opened| {
            opened["unpublished"] = json!([{ "node": "good", "epoch": 1, "slot": 0, "sequence": 1, "bytes": 14 }]);
        });
        Ok(())
    });
    site.case(GROUP, "100,000 outputs", Fails(LOST), |site, _| {
        rewrite(site, "open", |opened| {
            let output = |n: u64| json!({ "node": "good", "epoch": 1, "slot": 0, "sequence": n, "bytes": 5 });
            opened["unpublished"] = (1..=100_000).map(output).collect();
        });
        Ok(())
    });
    site.case(GROUP, "a sequence number that overflows", Either(NONSENSE), |site, _| {
        rewrite(site, "open", |opened| opened["slots"] = json!({ "0": u64::MAX }));
        Ok(())
    });
    site.case(GROUP, "a run that began at the end of time", Harmless, |site, _| {
        rewrite(site, "open", |opened| {
            opened["started"] = json!(u64::MAX);
            opened["commits"] = json!(u64::MAX);
        });
        Ok(())
    });
    site.case(GROUP, "a lease that is over", Delayed, |site, _| {
        site.lie_at("open", |_, _| Answer::problem(409, "LG1410").header("lockgate-plane", "1.0"));
        Ok(())
    });
}

fn commits(site: &mut Site) {
    site.case(GROUP, "a commit under a lease that is over", Delayed, |site, _| {
        site.lie_at("commit", |_, _| Answer::problem(409, "LG1410").header("lockgate-plane", "1.0"));
        Ok(())
    });
    site.case(GROUP, "a commit that contradicts the record", Fails(&[code::LEDGER_CONFLICT]), |site, _| {
        site.lie_at("commit", |_, _| Answer::problem(409, "LG1411").header("lockgate-plane", "1.0"));
        Ok(())
    });
    site.case(GROUP, "a commit whose answer overflows", Harmless, |site, _| {
        rewrite(site, "commit", |committed| committed["commits"] = json!(u64::MAX));
        Ok(())
    });
}

/// What no TaskManager can notice, with the bound that it has.
fn what_it_can_do(site: &mut Site) {
    site.case(GROUP, "rows are left out", Loses, |site, _| {
        nothing_to_read(site);
        Ok(())
    });
    site.case(GROUP, "rows are read again", Harmless, |site, said| {
        // A finished run is begun again under another id: the same rows, from the same files, to the same folder.
        site.run(said).map_err(|why| format!("at first {why}"))?;
        said.assignment.epoch += 1;
        said.begin_anew(site);
        Ok(())
    });
}

/// Has the record say that there is nothing left.
fn nothing_to_read(site: &Site) {
    site.jobmanager.lie(|request, honest| {
        let mut value: Value = match request.route() {
            "open" | "claim" => serde_json::from_slice(&honest.body).expect("JSON"),
            _ => return honest,
        };
        match request.route() {
            "open" => value["left"] = json!(0),
            _ => value["split"] = Value::Null,
        }
        let body = value.to_string();
        honest.with(body)
    });
}
