//! The pages behind the codes, compiled in so that `lockgate explain` works anywhere.
//!
//! A page is a section `## LG0101: title` of one of the files in `docs/errors/`.

use super::Code;

const FILES: &[&str] = &[
    include_str!("../../../../docs/errors/00-command-line.md"),
    include_str!("../../../../docs/errors/01-manifest.md"),
    include_str!("../../../../docs/errors/02-types.md"),
    include_str!("../../../../docs/errors/03-bundle.md"),
    include_str!("../../../../docs/errors/04-trust.md"),
    include_str!("../../../../docs/errors/05-components.md"),
    include_str!("../../../../docs/errors/06-running.md"),
    include_str!("../../../../docs/errors/07-data.md"),
    include_str!("../../../../docs/errors/08-connectors.md"),
    include_str!("../../../../docs/errors/09-executor.md"),
    include_str!("../../../../docs/errors/10-api.md"),
    include_str!("../../../../docs/errors/10-client.md"),
    include_str!("../../../../docs/errors/10-routes.md"),
    include_str!("../../../../docs/errors/11-access.md"),
    include_str!("../../../../docs/errors/12-store.md"),
    include_str!("../../../../docs/errors/13-scheduling.md"),
    include_str!("../../../../docs/errors/14-cluster.md"),
];

/// The page of `code` in Markdown, its heading included.
pub fn page(code: Code) -> Option<&'static str> {
    sections().find(|(name, _)| name.parse() == Ok(code)).map(|(_, text)| text)
}

/// Every code that has a page.
#[cfg(test)]
pub(super) fn documented() -> Vec<Code> {
    sections().map(|(name, _)| name.parse().unwrap_or_else(|error| panic!("{error}"))).collect()
}

/// `(code, section)` of every section of every file.
fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().flat_map(|file| {
        let starts: Vec<usize> = file.match_indices("\n## LG").map(|(at, _)| at + 1).collect();
        let ends: Vec<usize> = starts.iter().skip(1).copied().chain([file.len()]).collect();
        starts.into_iter().zip(ends).filter_map(|(start, end)| {
            let text = file.get(start..end)?.trim_end();
            Some((text.get(3..9)?, text))
        })
    })
}
