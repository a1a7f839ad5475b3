//! Hostile calls to a real JobManager over TLS: each is refused with its status and its code, leaves everything as it was,
//! and stands in the audit log if it was a denial.
//!
//! - [`site`]: the JobManager, and what the honest see of it; [`client`]: what sends the bytes of a case as they are
//! - [`suite`]: what a case is
//! - [`api`]: calls as the description of the API has them
//! - [`authentication`], [`tenants`], [`functions`], [`artefacts`], [`resources`], [`injection`]: the cases

mod api;
mod artefacts;
mod authentication;
pub mod client;
mod functions;
mod injection;
mod resources;
mod site;
mod suite;
mod tenants;

use crate::harness::suite::tables;
use serde_json::Value;
use site::Site;
use suite::Cases;

/// Where nothing of `resources` gets in the way.
const ROOMY: &str = r#"
[limits]
upload-bytes = "2 MiB"
[fair-use]
principal-requests-per-second = 1000000
failures = 1000000
[quota]
requests-per-second = 1000000
"#;

#[test]
fn no_hostile_call_gets_through() {
    let mut all = Cases::default();
    let mut site = Site::start(ROOMY);
    let mut cases = Cases::default();
    authentication::cases(&mut site, &mut cases);
    tenants::cases(&site, &mut cases);
    functions::cases(&site, &mut cases);
    injection::cases(&site, &mut cases);
    artefacts::cases(&site, &mut cases);
    end(site, cases, &mut all);

    let (mut site, mut cases) = (Site::start(resources::SETTINGS), Cases::default());
    resources::cases(&mut site, &mut cases);
    end(site, cases, &mut all);

    println!("{}", tables("calls", "refused", &all.ended));
    // As many as are promised.
    for (group, least) in [
        (authentication::GROUP, 12),
        (tenants::GROUP, 12),
        (functions::GROUP, 8),
        (artefacts::GROUP, 14),
        (resources::GROUP, 10),
        (injection::GROUP, 8),
    ] {
        let count = all.ended.iter().filter(|case| case.group == group).count();
        assert!(count >= least, "{group} has {count} cases");
    }
    assert!(all.complaints.is_empty(), "{:#?}", all.complaints);
    assert!(all.ended.iter().all(|case| case.result.is_ok()), "not every call was refused");
}

/// Stops the JobManager and looks at what it wrote: every denial is in the audit log, and its log is lines of JSON with no
/// secret and nothing that a terminal would act on.
fn end(site: Site, mut cases: Cases, all: &mut Cases) {
    let secrets = site.secrets();
    let (records, log) = site.end();
    let denied: Vec<&str> = records.iter().filter_map(|record| record["code"].as_str()).collect();
    let missing: Vec<_> = cases.denied.iter().filter(|(_, code)| !denied.contains(code)).cloned().collect();
    cases.check(missing.is_empty(), || format!("the audit log has nothing of {missing:?}"));
    let plain = |line: &&String| {
        serde_json::from_str::<Value>(line).is_ok_and(|line| line["level"] != "forged")
            && !line.chars().any(char::is_control)
    };
    let wrong: Vec<&String> = log.iter().filter(|line| !plain(line)).collect();
    cases.check(wrong.is_empty(), || format!("the log has {wrong:?}"));
    let written = log.into_iter().chain(records.iter().map(Value::to_string));
    let wrong: Vec<String> = written.filter(|line| secrets.iter().any(|secret| line.contains(secret))).collect();
    cases.check(wrong.is_empty(), || format!("a secret stands in {wrong:?}"));
    all.ended.append(&mut cases.ended);
    all.complaints.append(&mut cases.complaints);
}
