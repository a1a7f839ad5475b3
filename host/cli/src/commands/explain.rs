//! `lockgate explain`: the page behind a code.

use super::Outcome;
use crate::output::{Output, table};
use lockgate_core::Error;
use lockgate_core::error::{ALL, Code, code, page};
use serde_json::json;

#[derive(Debug, clap::Args)]
pub struct Explain {
    /// The code, such as LG0412; without one, all codes are listed.
    code: Option<String>,
}

impl Explain {
    pub fn run(&self, output: &Output) -> Outcome {
        let Some(text) = &self.code else {
            let all: Vec<_> =
                ALL.iter().map(|(code, title)| json!({ "code": code.to_string(), "title": title })).collect();
            output
                .result(&all, || table(None, ALL.iter().map(|(code, title)| vec![code.to_string(), (*title).into()])));
            return Ok(());
        };
        let code: Code = text
            .to_uppercase()
            .parse()
            .map_err(|cause: String| Error::new(code::USAGE, cause).help("`lockgate explain` lists all codes"))?;
        let page = page(code).unwrap_or_default();
        let value = json!({ "code": code.to_string(), "title": code.title(), "page": page });
        output.result(&value, || page.to_owned());
        Ok(())
    }
}
