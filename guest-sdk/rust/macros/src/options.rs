//! The options of `#[udf(…)]` and `#[row(…)]`.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Error, Ident, LitStr, Result, Token, Type, parenthesized};

/// The options of `#[udf(…)]`.
#[derive(Default)]
pub struct Options {
    pub filter: bool,
    pub flat_map: bool,
    pub batch: bool,
    pub input: Option<Vec<Column>>,
    /// Named as in `output late(…)`, the main one "out".
    pub outputs: Vec<(String, Vec<Column>)>,
    pub attributes: Vec<(LitStr, LitStr)>,
}

/// `name: Type`.
pub struct Column {
    pub name: Ident,
    pub ty: Type,
}

impl Parse for Column {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(<Ident as syn::ext::IdentExt>::parse_any)?;
        input.parse::<Token![:]>()?;
        Ok(Self { name, ty: input.parse()? })
    }
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let mut options = Self::default();
        while !input.is_empty() {
            let option: Ident = input.parse()?;
            match option.to_string().as_str() {
                "filter" => options.filter = true,
                "flat_map" => options.flat_map = true,
                "batch" => options.batch = true,
                "input" if options.input.is_none() => options.input = Some(columns(input)?),
                "input" => return Err(Error::new(option.span(), "a function has one input")),
                "output" => options.output(input)?,
                "attribute" => options.attributes.push(attribute(input)?),
                other => {
                    let message = format!(
                        "unknown option `{other}`: there are filter, flat_map, batch, input(…), output(…) and \
                         attribute(\"key\" = \"value\")"
                    );
                    return Err(Error::new(option.span(), message));
                }
            }
            comma(input)?;
        }
        options.check()
    }
}

impl Options {
    fn output(&mut self, input: ParseStream<'_>) -> Result<()> {
        let span = input.span();
        let name = match input.parse::<Option<Ident>>()? {
            Some(name) => name.to_string(),
            None => "out".to_owned(),
        };
        if self.outputs.iter().any(|(other, _)| *other == name) {
            return Err(Error::new(span, format!("there are two outputs named `{name}`")));
        }
        self.outputs.push((name, columns(input)?));
        Ok(())
    }

    fn check(self) -> Result<Self> {
        let forms = [self.filter, self.flat_map, self.batch].into_iter().filter(|form| *form).count();
        let here = proc_macro2::Span::call_site();
        if forms > 1 {
            return Err(Error::new(here, "a function is a filter, a flat_map or takes a batch: choose one"));
        }
        if self.batch && (self.input.is_none() || self.outputs.is_empty()) {
            let message =
                "a batch function says what its columns are: #[udf(batch, input(price: f64), output(eur: f64))]";
            return Err(Error::new(here, message));
        }
        if !self.batch && (self.input.is_some() || !self.outputs.is_empty()) {
            let message = "input(…) and output(…) are for #[udf(batch)]; otherwise the signature says it";
            return Err(Error::new(here, message));
        }
        Ok(self)
    }
}

/// The options of `#[row(…)]` on a field.
#[derive(Default)]
pub struct FieldOptions {
    pub name: Option<LitStr>,
    pub attributes: Vec<(LitStr, LitStr)>,
}

impl FieldOptions {
    pub fn of(attributes: &[syn::Attribute]) -> Result<Self> {
        let mut options = Self::default();
        for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("row")) {
            attribute.parse_args_with(|input: ParseStream<'_>| options.add(input))?;
        }
        Ok(options)
    }

    fn add(&mut self, input: ParseStream<'_>) -> Result<()> {
        while !input.is_empty() {
            let option: Ident = input.parse()?;
            match option.to_string().as_str() {
                "name" => {
                    input.parse::<Token![=]>()?;
                    self.name = Some(input.parse()?);
                }
                "attribute" => self.attributes.push(attribute(input)?),
                other => {
                    let message =
                        format!("unknown option `{other}`: there are name = \"…\" and attribute(\"key\" = \"value\")");
                    return Err(Error::new(option.span(), message));
                }
            }
            comma(input)?;
        }
        Ok(())
    }
}

/// `(a: A, b: B)`.
fn columns(input: ParseStream<'_>) -> Result<Vec<Column>> {
    let content;
    parenthesized!(content in input);
    Ok(Punctuated::<Column, Token![,]>::parse_terminated(&content)?.into_iter().collect())
}

/// `("key" = "value")`.
fn attribute(input: ParseStream<'_>) -> Result<(LitStr, LitStr)> {
    let content;
    parenthesized!(content in input);
    let key = content.parse()?;
    content.parse::<Token![=]>()?;
    Ok((key, content.parse()?))
}

fn comma(input: ParseStream<'_>) -> Result<()> {
    if !input.is_empty() {
        input.parse::<Token![,]>()?;
    }
    Ok(())
}
