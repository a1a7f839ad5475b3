//! Planted files: what lies in the TaskManager's folders is as little believed as what comes over the plane.

use super::stage::{Fails, Harmless, Site};
use lockgate_core::error::code;
use std::fs;

const GROUP: &str = "planted";

pub fn cases(site: &mut Site) {
    site.case(GROUP, "another bundle under the digest that will be asked for", Harmless, |site, said| {
        let planted = site.honest().bundle;
        fs::write(site.taskmanager.path("state/bundles").join(said.assignment.bundle.hex()), planted).map_err(text)
    });
    site.case(GROUP, "a link under the digest that will be asked for", Harmless, |site, said| {
        let link = site.taskmanager.path("state/bundles").join(said.assignment.bundle.hex());
        std::os::unix::fs::symlink(site.taskmanager.path("elsewhere/secret.json"), link).map_err(text)
    });
    site.case(GROUP, "compiled components with a byte changed", Harmless, |site, said| {
        site.run(said).map_err(|why| format!("at first {why}"))?;
        said.assignment.epoch += 1;
        said.begin_anew(site);
        for (path, mut bytes) in site.taskmanager.files("cache") {
            if bytes.windows(4).any(|window| window == b"\x7fELF") {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                fs::write(site.taskmanager.path(&path), bytes).map_err(text)?;
            }
        }
        Ok(())
    });
    site.case(GROUP, "another tenant's compiled component", Harmless, |site, said| {
        site.run(said).map_err(|why| format!("at first {why}"))?;
        said.assignment.epoch += 1;
        said.begin_anew(site);
        // All that were compiled in each other's place.
        let cached = site.taskmanager.files("cache");
        let compiled: Vec<_> = cached.iter().filter(|(_, bytes)| bytes.windows(4).any(|w| w == b"\x7fELF")).collect();
        for (at, (path, _)) in compiled.iter().enumerate() {
            let (_, other) = compiled[(at + 1) % compiled.len()];
            fs::write(site.taskmanager.path(path), other).map_err(text)?;
        }
        Ok(())
    });
    site.case(GROUP, "no marks of a tenant that was seen", Fails(&[code::MARKS_MISSING]), |site, said| {
        site.run(said).map_err(|why| format!("at first {why}"))?;
        said.assignment.epoch += 1;
        said.begin_anew(site);
        fs::remove_file(site.taskmanager.path("state/marks").join(said.tenant.name.as_str())).map_err(text)?;
        // That tenant is lost to this machine: whoever comes next is another one.
        let other = site.honest();
        (said.tenant, said.package) = (other.tenant, other.package);
        Ok(())
    });
}

fn text(error: std::io::Error) -> String {
    error.to_string()
}
