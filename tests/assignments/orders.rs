//! Where, how often and for how long: assignments that ask for more than is signed or possible, or contradict each other.

use super::papers::name;
use super::stage::{Delayed, Fails, Harmless, Ignored, Refused, Said, Site, Verdict};
use super::wire::Answer;
use lockgate_core::error::code;
use lockgate_core::plane::{MAX_ORDERS, MAX_TASKS};
use serde_json::{Value, json};

const GROUP: &str = "orders";

pub fn cases(site: &mut Site) {
    beyond_what_is_signed(site);
    names(site);
    contradictions(site);
}

fn beyond_what_is_signed(site: &mut Site) {
    type Change = fn(&mut Said);
    let cases: [(&str, Verdict, Change); 9] = [
        ("a parameter above its bound", Refused(&[code::PARAMETER_REFUSED]), |said| {
            said.assignment.parameters.insert(name("weight"), "1.5".into());
        }),
        ("a parameter of another kind", Refused(&[code::PARAMETER_REFUSED]), |said| {
            said.assignment.parameters.insert(name("weight"), "../../etc/passwd".into());
        }),
        ("a parameter that is not declared", Refused(&[code::UNKNOWN_PARAMETER]), |said| {
            said.assignment.parameters.insert(name("path"), "secret/*.json".into());
        }),
        ("parallelism above the signed range", Refused(&[code::WRONG_ASSIGNMENT]), |said| {
            said.assignment.parallelism = 3
        }),
        ("parallelism of none", Ignored, |said| said.assignment.parallelism = 0),
        ("more slots than the job has", Ignored, |said| said.assignment.slots = 2),
        ("slots behind the job's last", Ignored, |said| said.assignment.first = 1),
        ("slots whose numbers overflow", Ignored, |said| {
            (said.assignment.first, said.assignment.slots) = (u32::MAX, 1);
        }),
        ("more slots than the TaskManager has", Fails(&[code::NOT_ENOUGH_SLOTS]), |said| {
            (said.assignment.slots, said.assignment.parallelism) = (1_000_000, 1_000_000);
        }),
    ];
    for (name, verdict, change) in cases {
        site.case(GROUP, name, verdict, move |_, said| {
            change(said);
            Ok(())
        });
    }
}

/// Changes what the orders say of all jobs, as JSON.
fn rewrite(site: &Site, change: impl Fn(&mut Value) + Send + Sync + 'static) {
    site.lie_at("heartbeat", move |_, honest| {
        let mut orders: Value = serde_json::from_slice(&honest.body).expect("orders");
        if orders["assignments"].as_array().is_some_and(|all| !all.is_empty()) {
            change(&mut orders);
        }
        let body = orders.to_string();
        honest.with(body)
    });
}

/// Names that are none: the whole message is not understood, and nothing of it is obeyed.
fn names(site: &mut Site) {
    let long = "a".repeat(100_000);
    let tricks = ["../../etc", "..", ".", "", "/etc", "Acme", "a/b", "a\\b", "a\0b", "a%2f..", "ä", &long];
    for (key, what) in [("tenant", "a tenant"), ("name", "a job")] {
        for trick in tricks {
            let (key, trick) = (key.to_owned(), trick.to_owned());
            let shown: String = trick.chars().take(12).collect();
            site.case(GROUP, &format!("{what} called {shown:?}"), Ignored, move |site, _| {
                rewrite(site, move |orders| orders["assignments"][0]["job"][&key] = json!(trick));
                Ok(())
            });
        }
    }
    for (key, wrong) in [
        ("bundle", json!("sha256:../../../../etc/passwd")),
        ("bundle", json!("sha256:00")),
        ("bundle", json!("md5:d41d8cd98f00b204e9800998ecf8427e")),
        ("epoch", json!(-1)),
        ("epoch", json!(1e300)),
        ("slots", json!(u64::MAX)),
        ("release", json!(null)),
        ("parameters", json!({ "../x": "1" })),
    ] {
        site.case(GROUP, &format!("{key} {wrong}"), Ignored, move |site, _| {
            rewrite(site, move |orders| orders["assignments"][0][key] = wrong.clone());
            Ok(())
        });
    }
    // Ids are a JobManager's own words: what cannot be shown is refused, and none ever becomes a path.
    for id in ["", "a\u{202e}b\u{7}", &"x".repeat(200_000)] {
        let (id, shown) = (id.to_owned(), id.chars().take(12).collect::<String>());
        site.case(GROUP, &format!("an id {shown:?}"), Ignored, move |site, _| {
            rewrite(site, move |orders| orders["assignments"][0]["id"] = json!(id));
            Ok(())
        });
    }
    site.case(GROUP, "an id that looks like a path", Harmless, |_, said| {
        said.assignment.id = "../../../../tmp/x".into();
        Ok(())
    });
}

fn contradictions(site: &mut Site) {
    site.case(GROUP, "a lease older than one that was known", Ignored, |site, said| {
        said.assignment.epoch = 9;
        site.run(said).map_err(|why| format!("at first {why}"))?;
        said.assignment.epoch = 8;
        Ok(())
    });
    site.case(GROUP, "one job twice", Ignored, |site, _| {
        rewrite(site, |orders| {
            let again = orders["assignments"][0].clone();
            orders["assignments"].as_array_mut().expect("assignments").push(again);
        });
        Ok(())
    });
    site.case(GROUP, "one job twice, under two leases", Ignored, |site, _| {
        rewrite(site, |orders| {
            let mut again = orders["assignments"][0].clone();
            again["epoch"] = json!(7);
            again["id"] = json!("fedcba9876543210");
            orders["assignments"].as_array_mut().expect("assignments").push(again);
        });
        Ok(())
    });
    // Nothing of what contradicts itself is obeyed, and the honest job beside it runs.
    site.case(GROUP, "contradictions beside an honest job", Harmless, |site, said| {
        let honest = said.job().name.clone();
        rewrite(site, |orders| {
            let all = orders["assignments"].as_array_mut().expect("assignments");
            let one = all[0].clone();
            let other = |name: &str, change: &dyn Fn(&mut Value)| {
                let mut other = one.clone();
                other["job"]["name"] = json!(name);
                change(&mut other);
                other
            };
            all.insert(0, other("twice", &|_| {}));
            all.push(other("twice", &|other| other["epoch"] = json!(7)));
            all.push(other("overflows", &|other| other["first"] = json!(u32::MAX)));
            all.push(other("behind", &|other| other["slots"] = json!(2)));
            all.push(other("nameless", &|other| other["id"] = json!("")));
        });
        site.run(said)?;
        let strangers = |state: &super::jobmanager::State| {
            let tasks = state.heartbeat.iter().flat_map(|heartbeat| &heartbeat.tasks);
            tasks.filter(|task| task.job.name != honest).map(|task| task.job.to_string()).collect::<Vec<_>>()
        };
        let strangers = site.jobmanager.change(|state| strangers(state));
        if !strangers.is_empty() {
            return Err(format!("{strangers:?} became tasks"));
        }
        said.assignment.epoch += 1;
        said.begin_anew(site);
        Ok(())
    });
    site.case(GROUP, "more assignments than the plane allows", Ignored, |site, _| {
        rewrite(site, |orders| {
            let one = orders["assignments"][0].clone();
            let all = (0..=MAX_TASKS).map(|n| {
                let mut one = one.clone();
                one["job"]["name"] = json!(format!("job-{n}"));
                one
            });
            orders["assignments"] = all.collect();
        });
        Ok(())
    });
    site.case(GROUP, "orders longer than the plane allows", Ignored, |site, _| {
        rewrite(site, |orders| orders["later"] = json!("x".repeat(MAX_ORDERS)));
        Ok(())
    });
    site.case(GROUP, "no lease at all", Delayed, |site, _| {
        rewrite(site, |orders| orders["lease_ms"] = json!(0));
        Ok(())
    });
    site.case(GROUP, "revisions that go back", Harmless, |site, _| {
        rewrite(site, |orders| {
            let revision = orders["revision"].as_u64().unwrap_or_default();
            orders["revision"] = json!(u64::MAX - revision);
        });
        Ok(())
    });
    site.case(GROUP, "the job of a tenant that never was", Fails(&[code::NOT_PLACED]), |site, said| {
        let tenant = said.tenant.name.clone();
        site.lie_at("trust", move |request, honest| match request.path.contains(tenant.as_str()) {
            true => Answer::problem(404, "LG1412"),
            false => honest,
        });
        Ok(())
    });
}
