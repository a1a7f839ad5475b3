//! What a component says of its functions; the host checks a job's graph against it before anything runs.

use crate::raw;

/// A function that `#[udf]` made callable by batches. The macro implements it; nobody else needs to.
pub trait Udf {
    /// The function's name and ports.
    fn describe() -> Function;

    /// Runs the function over a batch with the columns of its input port.
    ///
    /// # Errors
    /// A message when the batch as a whole cannot be processed.
    fn call(batch: raw::Batch) -> Result<raw::Output, String>;
}

/// One function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// The name: that of the Rust function.
    pub name: String,
    /// Named inputs; one for now.
    pub inputs: Vec<Port>,
    /// Named outputs; the first is the main one, the others are side outputs.
    pub outputs: Vec<Port>,
    /// Open attributes, as `#[udf(attribute("key" = "value"))]` gives them.
    pub attributes: Vec<(String, String)>,
}

/// A named input or output.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
    /// The name: "in" and "out" unless a batch function names further outputs.
    pub name: String,
    /// The columns.
    pub fields: Vec<Field>,
}

impl Port {
    /// A port with the fields that `fill` adds.
    pub fn new(name: &str, fill: impl FnOnce(&mut Vec<Field>)) -> Self {
        let mut fields = Vec::new();
        fill(&mut fields);
        Self { name: name.to_owned(), fields }
    }
}

/// A column of a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Field {
    /// The name.
    pub name: String,
    /// The logical type as text, "float64" for example.
    pub logical: String,
    /// Whether the column may hold nulls: that of an `Option`. The null rule can add nulls to a result that is none.
    pub nullable: bool,
    /// Open attributes, as `#[row(attribute("key" = "value"))]` gives them.
    pub attributes: Vec<(String, String)>,
}

impl Field {
    /// A field without attributes.
    pub fn new(name: &str, logical: impl Into<String>, nullable: bool) -> Self {
        Self { name: name.to_owned(), logical: logical.into(), nullable, attributes: Vec::new() }
    }

    /// Adds an attribute.
    pub fn with_attribute(mut self, key: &str, value: &str) -> Self {
        self.attributes.push((key.to_owned(), value.to_owned()));
        self
    }
}
