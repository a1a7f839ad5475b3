//! Who vouches: trust documents that are forged, of others, replayed, withheld or out of their time.

use super::leases::held_at;
use super::papers::{DAY, Operator, Tenant, audience, now, stranger};
use super::stage::{Harmless, Refused, Said, Site};
use lockgate_core::Code;
use lockgate_core::error::code;
use lockgate_core::keys::{Role, SecretKey};
use lockgate_core::plane::Status;
use lockgate_core::trust::{
    Document, Documents, OperatorRoot, OperatorStatus, Reference, TenantRoot, TenantStatus, create,
};

const GROUP: &str = "documents";
const FORGED: &[Code] = &[code::UNTRUSTED_SIGNER];

pub fn cases(site: &mut Site) {
    forged(site);
    of_others(site);
    out_of_time(site);
    operator_roots(site);
    replayed(site);
    revoked(site);
    while_it_runs(site);
}

/// Each document signed by whom it is not for.
fn forged(site: &mut Site) {
    type Forge = fn(&Site, &Said) -> Documents;
    let cases: [(&str, &'static [Code], Forge); 7] = [
        ("a tenant root of strangers", FORGED, |_, said| Documents {
            tenant_root: create(&said.tenant.root, &[&stranger()]).expect("a document"),
            ..said.documents.clone()
        }),
        ("a tenant root that the signers signed", FORGED, |_, said| Documents {
            tenant_root: create(&said.tenant.root, &[&said.tenant.keys.signer]).expect("a document"),
            ..said.documents.clone()
        }),
        ("a tenant's status that the signers signed", FORGED, |_, said| Documents {
            tenant_status: create(&said.tenant.status, &[&said.tenant.keys.signer]).expect("a document"),
            ..said.documents.clone()
        }),
        ("a policy that the tenant signed", FORGED, |_, said| {
            let mut policy = said.tenant.policy.clone();
            policy.version += 1;
            policy.grants.iter_mut().for_each(|grant| grant.prefix = String::new());
            let policy = create(&policy, &[&said.tenant.keys.tenant_root]).expect("a document");
            Documents { policies: vec![policy], ..said.documents.clone() }
        }),
        ("an operator's status of strangers", FORGED, |site, said| Documents {
            operator_status: create(&site.operator.status, &[&stranger()]).expect("a document"),
            ..said.documents.clone()
        }),
        ("an operator's status that the root key signed", FORGED, |site, said| Documents {
            operator_status: create(&site.operator.status, &[&site.operator.keys.operator_root]).expect("a document"),
            ..said.documents.clone()
        }),
        ("a tenant's status for its root, and the other way round", &[code::WRONG_PAYLOAD_TYPE], |_, said| Documents {
            tenant_root: said.documents.tenant_status.clone(),
            tenant_status: said.documents.tenant_root.clone(),
            ..said.documents.clone()
        }),
    ];
    for (name, codes, forge) in cases {
        site.case(GROUP, name, Refused(codes), move |site, said| {
            said.documents = forge(site, said);
            Ok(())
        });
    }
    site.case(GROUP, "a policy that the status does not name", Refused(&[code::NOT_CURRENT]), |site, said| {
        let mut policy = said.tenant.policy.clone();
        policy.max_parallelism = 1;
        said.documents.policies = vec![site.operator.policy(&policy)];
        Ok(())
    });
    site.case(GROUP, "no policy", Refused(&[code::NOT_CURRENT]), |_, said| {
        said.documents.policies.clear();
        Ok(())
    });
    site.case(GROUP, "a key in two roles", Refused(&[code::KEY_IN_TWO_ROLES]), |site, said| {
        let mut root = said.tenant.root.clone();
        root.version += 1;
        root.status = Role::single(said.tenant.keys.signer.public());
        said.documents.tenant_root = create(&root, &[&said.tenant.keys.tenant_root]).expect("a document");
        let reference = Reference::of::<TenantRoot>(&said.documents.tenant_root).expect("a reference");
        let status = TenantStatus { root: reference, ..said.tenant.status.clone() };
        said.documents.tenant_status = create(&status, &[&said.tenant.keys.signer]).expect("a document");
        // What was learnt of it stays learnt or not; an honest tenant goes on with the next version either way.
        said.tenant.root.version += 2;
        said.tenant.status.version += 1;
        let _ = site;
        Ok(())
    });
}

fn of_others(site: &mut Site) {
    const OF_OTHERS: &[Code] = &[code::WRONG_TENANT];
    site.case(GROUP, "all documents of another tenant", Refused(OF_OTHERS), |site, said| {
        said.documents = site.honest().documents;
        Ok(())
    });
    site.case(GROUP, "documents and bundle of another tenant", Refused(OF_OTHERS), |site, said| {
        let other = site.honest();
        said.documents = other.documents.clone();
        said.give(&other.package);
        Ok(())
    });
    site.case(
        GROUP,
        "root and status of another tenant",
        Refused(&[code::UNTRUSTED_SIGNER, code::WRONG_TENANT]),
        |site, said| {
            let other = site.honest();
            said.documents.tenant_root = other.documents.tenant_root;
            said.documents.tenant_status = other.documents.tenant_status;
            Ok(())
        },
    );
    site.case(GROUP, "another operator's documents", Refused(FORGED), |_, said| {
        said.documents = Operator::new(8).documents(&said.tenant);
        Ok(())
    });
    type ForElsewhere = fn(&mut Said);
    let elsewhere: [(&str, ForElsewhere); 2] = [
        ("a tenant's status for another cluster", |said| {
            said.tenant.status.audience = audience("other.test");
        }),
        ("a tenant root for another cluster", |said| said.tenant.root.audience = audience("other.test")),
    ];
    for (name, change) in elsewhere {
        site.case(GROUP, name, Refused(&[code::WRONG_AUDIENCE]), move |site, said| {
            change(said);
            said.documents = site.operator.documents(&said.tenant);
            said.tenant.status.audience = audience(super::papers::DOMAIN);
            said.tenant.root.audience = audience(super::papers::DOMAIN);
            said.tenant.root.version += 1;
            said.tenant.status.version += 1;
            Ok(())
        });
    }
    site.case(GROUP, "a tenant root of an earlier life of the tenant", Refused(&[code::WRONG_EPOCH]), |site, said| {
        let of_the_first_life = (said.documents.tenant_root.clone(), said.documents.tenant_status.clone());
        said.tenant.policy.epoch = 2;
        said.documents = site.operator.documents(&said.tenant);
        (said.documents.tenant_root, said.documents.tenant_status) = of_the_first_life;
        said.tenant.root.epoch = 2;
        said.tenant.status.epoch = 2;
        Ok(())
    });
}

fn out_of_time(site: &mut Site) {
    type Change = fn(&mut Tenant);
    let frozen: [(&str, &'static [Code], Change); 5] = [
        ("a tenant's status that has expired", &[code::STALE_STATUS], |tenant| {
            tenant.status.issued = now().plus(-6 * DAY);
            tenant.status.expires = now().plus(-1);
        }),
        ("a tenant's status of the future", &[code::NOT_YET_VALID], |tenant| {
            tenant.status.issued = now().plus(DAY);
        }),
        ("a tenant's status that lives too long", &[code::STATUS_TOO_LONG], |tenant| {
            tenant.status.expires = now().plus(20 * DAY);
        }),
        ("a tenant root that has expired", &[code::EXPIRED], |tenant| tenant.root.expires = now().plus(-1)),
        ("a policy that has expired", &[code::EXPIRED], |tenant| tenant.policy.expires = now().plus(-1)),
    ];
    for (name, codes, change) in frozen {
        site.case(GROUP, name, Refused(codes), move |site, said| {
            let fresh = (said.tenant.status.clone(), said.tenant.root.clone(), said.tenant.policy.clone());
            change(&mut said.tenant);
            said.documents = site.operator.documents(&said.tenant);
            (said.tenant.status, said.tenant.root, said.tenant.policy) = fresh;
            // Expired documents teach: what comes after them are newer ones.
            said.tenant.status.version += 1;
            said.tenant.root.version += 1;
            said.tenant.policy.version += 1;
            Ok(())
        });
    }
    site.case(GROUP, "an operator's status that has expired", Refused(&[code::STALE_STATUS]), |site, said| {
        let status =
            OperatorStatus { issued: now().plus(-20 * DAY), expires: now().plus(-1), ..site.operator.status.clone() };
        said.documents.operator_status = sign(&status, &site.operator.keys.operator_status);
        site.operator.status.version += 1;
        Ok(())
    });
}

fn sign<D: Document>(document: &D, key: &SecretKey) -> lockgate_core::dsse::Envelope {
    create(document, &[key]).expect("a document")
}

/// Successors of the pinned root.
fn operator_roots(site: &mut Site) {
    let mallory = Operator::new(66);
    type Roots = fn(&Site, &Operator) -> Vec<lockgate_core::dsse::Envelope>;
    let cases: [(&str, &'static [Code], Roots); 3] = [
        ("an operator root that only itself signed", FORGED, |site, mallory| {
            let root = OperatorRoot { version: 2, ..mallory.root.clone() };
            let _ = site;
            vec![sign(&root, &mallory.keys.operator_root)]
        }),
        ("an operator root that only its predecessor signed", FORGED, |site, mallory| {
            let root = OperatorRoot { version: 2, ..mallory.root.clone() };
            vec![sign(&root, &site.operator.keys.operator_root)]
        }),
        ("an operator root that leaves one out", &[code::ROOT_CHAIN], |site, mallory| {
            let root = OperatorRoot { version: 3, ..site.operator.root.clone() };
            let _ = mallory;
            vec![sign(&root, &site.operator.keys.operator_root)]
        }),
    ];
    for (name, codes, roots) in cases {
        site.case(GROUP, name, Refused(codes), |site, said| {
            let mut usurper = Operator::new(66);
            usurper.roots = roots(site, &mallory);
            let root = usurper.roots.last().and_then(|root| Reference::of::<OperatorRoot>(root).ok());
            usurper.status.root = root.expect("a reference");
            usurper.status.version = site.operator.status.version + 1;
            said.documents = usurper.documents(&said.tenant);
            Ok(())
        });
    }
}

/// What was good once.
fn replayed(site: &mut Site) {
    site.case(GROUP, "a tenant's status from before another was seen", Refused(&[code::ROLLBACK]), |site, said| {
        let old = (said.package.clone(), said.documents.clone());
        said.package = said.tenant.sign(said.tenant.draft(2), Some(&said.package));
        said.tenant.release(&said.package);
        run_first(site, said)?;
        said.documents = old.1;
        said.give(&old.0);
        Ok(())
    });
    site.case(
        GROUP,
        "a version from before another was seen, under fresh documents",
        Refused(&[code::NOT_CURRENT]),
        |site, said| {
            let old = said.package.clone();
            said.package = said.tenant.sign(said.tenant.draft(2), Some(&said.package));
            said.tenant.release(&said.package);
            run_first(site, said)?;
            said.documents = site.operator.documents(&said.tenant);
            said.give(&old);
            Ok(())
        },
    );
    site.case(
        GROUP,
        "a version that was replaced before this TaskManager came",
        Refused(&[code::NOT_CURRENT]),
        |site, said| {
            let old = said.package.clone();
            said.package = said.tenant.sign(said.tenant.draft(2), Some(&said.package));
            said.tenant.release(&said.package);
            said.documents = site.operator.documents(&said.tenant);
            said.give(&old);
            Ok(())
        },
    );
    for (name, verdict, named) in [
        ("an earlier version as a fallback that nobody named", Refused(&[code::NOT_A_FALLBACK]), false),
        // Not hostile: so that it is known for what the one above is refused.
        ("an earlier version as a fallback that the tenant named", Harmless, true),
    ] {
        site.case(GROUP, name, verdict, move |site, said| {
            let old = said.package.clone();
            let mut draft = said.tenant.draft(2);
            if named {
                draft.fallback.push(old.release().expect("a release"));
            }
            said.package = said.tenant.sign(draft, Some(&old));
            said.tenant.release(&said.package);
            said.documents = site.operator.documents(&said.tenant);
            said.give(&old);
            let current = said.package.to_bytes().expect("bytes");
            let digest = lockgate_core::Digest::of(&current);
            let at = (said.tenant.name.clone(), digest.to_string());
            site.jobmanager.change(|state| state.bundles.insert(at, current));
            said.assignment.fallback_of = Some(digest);
            Ok(())
        });
    }
    site.case(GROUP, "an upgrade that touches more than it lists", Refused(&[code::WIDENED]), |site, said| {
        let narrow = said.tenant.manifest(1).replace("rows/*.json", "rows/a*.json");
        let narrow = said.tenant.sign(said.tenant.draft_of(&narrow), None);
        said.tenant.status.jobs.clear();
        said.tenant.release(&narrow);
        // Seen, but it finds no file: enough for the marks.
        let first = site.said(clone(&said.tenant), narrow.clone(), 1);
        site.say(&first);
        site.jobmanager.end(&first.assignment)?;
        let middle = said.tenant.sign(said.tenant.draft(2), Some(&narrow));
        // It says that it replaces one that touched all of it already, which this TaskManager has not seen.
        let wide = said.tenant.sign(said.tenant.draft(3), Some(&middle));
        said.assignment.epoch = 2;
        said.give_released(site, &wide);
        said.package = said.tenant.sign(said.tenant.draft(4), None);
        said.tenant.release(&said.package);
        Ok(())
    });
    site.case(GROUP, "one version with two contents", Refused(&[code::SAME_VERSION_TWICE]), |site, said| {
        run_first(site, said)?;
        let mut draft = said.tenant.draft(1);
        draft.expires = now().plus(91 * DAY);
        let other = said.tenant.sign(draft, None);
        said.give_released(site, &other);
        said.package = said.tenant.sign(said.tenant.draft(2), None);
        said.tenant.release(&said.package);
        Ok(())
    });
    site.case(
        GROUP,
        "an operator's status from before another tenant's brought a newer one",
        Refused(&[code::ROLLBACK]),
        |site, said| {
            // Everything of this tenant's is as it was; the operator has since said something else, to another tenant's job.
            run_first(site, said)?;
            let old = said.documents.clone();
            site.operator.status.version += 1;
            let other = site.honest();
            site.run(&other).map_err(|why| format!("the other {why}"))?;
            said.documents = old;
            said.begin_anew(site);
            Ok(())
        },
    );
    site.case(
        GROUP,
        "documents from before others were seen, behind a restart",
        Refused(&[code::ROLLBACK]),
        |site, said| {
            let old = said.documents.clone();
            said.tenant.status.version += 1;
            run_first(site, said)?;
            site.jobmanager.change(|state| state.assignments.clear());
            site.taskmanager.restart();
            site.jobmanager.beats(1)?;
            said.documents = old;
            said.assignment.epoch += 1;
            Ok(())
        },
    );
}

/// Runs the tenant's job as it is, honestly, and leaves `said` to be said next.
fn run_first(site: &mut Site, said: &mut Said) -> Result<(), String> {
    let first = site.said(clone(&said.tenant), said.package.clone(), said.assignment.epoch);
    site.run(&first).map_err(|why| format!("at first {why}"))?;
    said.assignment.epoch += 1;
    Ok(())
}

/// The tenant as it is, with its keys.
pub fn clone(tenant: &Tenant) -> Tenant {
    let mut again = Tenant::new(tenant.name.as_str());
    again.policy = tenant.policy.clone();
    again.root = tenant.root.clone();
    again.status = tenant.status.clone();
    again
}

fn revoked(site: &mut Site) {
    type Revoke = fn(&mut Said);
    let cases: [(&str, &'static [Code], Revoke); 4] = [
        ("a revoked job", &[code::REVOKED], |said| {
            said.tenant.status.revoked_jobs.push(said.assignment.job.name.clone())
        }),
        ("revoked content", &[code::REVOKED], |said| {
            said.tenant.status.revoked_digests.push(said.assignment.release.digest)
        }),
        ("a revoked signer", &[code::THRESHOLD], |said| {
            said.tenant.status.revoked_keys.push(said.tenant.second.public())
        }),
        ("content that the tenant root revoked", &[code::REVOKED], |said| {
            said.tenant.root.version += 1;
            said.tenant.root.revoked_digests.push(said.assignment.release.digest);
        }),
    ];
    for (name, codes, revoke) in cases {
        site.case(GROUP, name, Refused(codes), move |site, said| {
            revoke(said);
            said.tenant.status.version += 1;
            said.documents = site.operator.documents(&said.tenant);
            pardon(said);
            Ok(())
        });
        site.case(
            GROUP,
            &format!("{name}, withheld after it was seen"),
            Refused(&[code::ROLLBACK]),
            move |site, said| {
                let before = said.documents.clone();
                revoke(said);
                said.tenant.status.version += 1;
                let revoking = site.operator.documents(&said.tenant);
                let mut seen = site.said(clone(&said.tenant), said.package.clone(), said.assignment.epoch);
                seen.documents = revoking;
                site.say(&seen);
                let ended = site.jobmanager.end(&seen.assignment)?;
                if !matches!(ended, Status::Failed(_)) {
                    return Err(format!("what is revoked ended as {ended:?}"));
                }
                said.documents = before;
                said.assignment.epoch += 1;
                pardon(said);
                Ok(())
            },
        );
    }
}

/// Lets the tenant think otherwise, in a newer version.
fn pardon(said: &mut Said) {
    let Tenant { root, status, .. } = &mut said.tenant;
    status.revoked_jobs.clear();
    status.revoked_keys.clear();
    status.revoked_digests.clear();
    root.revoked_digests.clear();
    root.version += 1;
    status.version += 1;
}

/// Revocations of a job that runs already.
fn while_it_runs(site: &mut Site) {
    /// Says that the job is revoked, by a status that `key` signs.
    fn revoke(site: &Site, held: &Said, key: impl Fn(&Tenant) -> &SecretKey) -> Result<(), String> {
        let mut status = held.tenant.status.clone();
        status.version += 1;
        status.revoked_jobs.push(held.assignment.job.name.clone());
        status.root = Reference::of::<TenantRoot>(&held.documents.tenant_root).expect("a reference");
        let tenant_status = sign(&status, key(&held.tenant));
        let asked = site.jobmanager.change(|state| {
            let documents = Documents { tenant_status, ..held.documents.clone() };
            state.documents.insert(held.tenant.name.clone(), documents);
            let mut assignment = held.assignment.clone();
            assignment.documents += 1;
            state.order(assignment);
            state.asked(held.job(), "trust")
        });
        let again = |state: &super::jobmanager::State| (state.asked(held.job(), "trust") > asked).then_some(());
        site.jobmanager.wait("a look at the new documents", again)
    }
    site.case(GROUP, "a revocation that nobody signed, while the job runs", Harmless, |site, said| {
        let held = held_at(site, said, "claim")?;
        revoke(site, &held, |_| Box::leak(Box::new(stranger())))?;
        site.jobmanager.beats(3)?;
        site.jobmanager.change(|state| state.lie = None);
        let ended = site.jobmanager.end(&held.assignment)?;
        if ended != Status::Finished {
            return Err(format!("what ran ended as {ended:?}"));
        }
        site.rows_are_right(&held)?;
        said.assignment.epoch += 1;
        Ok(())
    });
    site.case(GROUP, "a revocation that the tenant signed, while the job runs", Harmless, |site, said| {
        let held = held_at(site, said, "claim")?;
        revoke(site, &held, |tenant| &tenant.keys.tenant_status)?;
        let ended = site.jobmanager.end(&held.assignment)?;
        let revoked = matches!(&ended, Status::Failed(failure) if failure.code == code::REVOKED.to_string());
        if !revoked {
            return Err(format!("what is revoked ended as {ended:?}"));
        }
        site.jobmanager.change(|state| state.lie = None);
        // The tenant thinks otherwise, in a newer version.
        said.tenant.status.version += 2;
        said.documents = site.operator.documents(&said.tenant);
        said.assignment.epoch += 1;
        Ok(())
    });
}
