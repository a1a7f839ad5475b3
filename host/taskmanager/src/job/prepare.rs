//! From a verified bundle to something that can run: the plan, and the artefacts of its components.

use crate::artefact_cache::{ArtefactCache, ArtefactId};
use crate::checkpoint::Identity;
use lockgate_core::error::code;
use lockgate_core::plan::{NodeKind, Plan};
use lockgate_core::planner::Planner;
use lockgate_core::types::FunctionDescription;
use lockgate_core::verify::{Bundle, Verified};
use lockgate_core::{Digest, Error, Name, Result};
use lockgate_executor::Compiler;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A job that is ready to run.
pub struct Prepared {
    /// Which job it is.
    pub identity: Identity,
    /// Its graph.
    pub plan: Arc<Plan>,
    pub(super) artefacts: BTreeMap<Name, Artefact>,
}

/// A compiled component.
pub(super) struct Artefact {
    /// The component's digest.
    pub(super) digest: Digest,
    pub(super) bytes: Arc<[u8]>,
    pub(super) describe: Vec<FunctionDescription>,
}

/// Plans a verified bundle with the values of its parameters and compiles what is not in the cache, one component after
/// another: how much of the machine a tenant's components take is then the compiler's bound, and not theirs.
///
/// # Errors
/// `LG01nn` and `LG02nn` if the graph or a parameter is wrong, `LG05nn` if a component cannot be compiled.
pub fn prepare(
    bundle: &Verified<Bundle>,
    parameters: &BTreeMap<Name, String>,
    compiler: &Compiler,
    cache: &ArtefactCache,
) -> Result<Prepared> {
    let manifest = bundle.manifest();
    let described: BTreeMap<Name, Vec<FunctionDescription>> =
        bundle.components().map(|component| (component.name.clone(), component.describe.to_vec())).collect();
    let mut plan = Planner::plan(manifest, &described, parameters).map_err(|errors| {
        errors.into_iter().next().unwrap_or_else(|| Error::new(code::INTERNAL, "the planner refused without a reason"))
    })?;
    let compatibility = compiler.compatibility()?;
    let mut artefacts = BTreeMap::new();
    for component in bundle.components() {
        let used = plan.nodes.iter().any(|node| match &node.kind {
            NodeKind::Function(function) => function.component == *component.name,
            _ => false,
        });
        if !used {
            continue;
        }
        let id = ArtefactId { tenant: manifest.job.tenant.clone(), component: component.digest, compatibility };
        let bytes = match cache.get(&id) {
            Some(bytes) => {
                compiler.check(bundle, component.name)?;
                bytes
            }
            None => {
                let bytes = compiler.compile(bundle, component.name)?;
                // Without a cache the next start is slower, no more.
                if let Err(error) = cache.put(&id, &bytes) {
                    tracing::warn!(%error, "a compiled component cannot be kept");
                }
                bytes
            }
        };
        let describe = component.describe.to_vec();
        artefacts.insert(component.name.clone(), Artefact { digest: component.digest, bytes: bytes.into(), describe });
    }
    for node in &mut plan.nodes {
        if let NodeKind::Function(function) = &mut node.kind {
            function.digest = artefacts.get(&function.component).map(|artefact| artefact.digest);
        }
    }
    let identity = Identity {
        tenant: manifest.job.tenant.clone(),
        name: manifest.job.name.clone(),
        version: bundle.version(),
        payload: bundle.digest(),
        parameters: parameters.clone(),
    };
    Ok(Prepared { identity, plan: Arc::new(plan), artefacts })
}
