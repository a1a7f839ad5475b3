//! Functions: arguments against parameters, results beside the columns that pass through.
//!
//! Nulls follow SQL's rule. A parameter that is not nullable may be fed from a nullable column: the guest then gives
//! null for a null without calling the function, so every result of that function may be null.

use super::{Problems, Typed, cast, check_columns, column};
use crate::error::{Error, code};
use crate::manifest::{Manifest, Operator};
use crate::name::Name;
use crate::plan::{Function, NodeKind, OnError, Output, Plan};
use crate::suggest;
use crate::types::{Field, FunctionDescription, Port};
use std::collections::{BTreeMap, BTreeSet};

/// The most functions of a component, and outputs of a function.
const MAX_FUNCTIONS: usize = 1_000;
const MAX_OUTPUTS: usize = 16;
/// The longest name of a port.
const MAX_PORT_NAME: usize = 63;

/// A call as the manifest has it, its policies and settings resolved.
pub(super) struct Call<'m> {
    pub(super) operator: &'m Operator,
    /// `component/function`.
    pub(super) function: &'m str,
    pub(super) on_error: OnError,
    pub(super) on_overrun: OnError,
    pub(super) config: BTreeMap<String, String>,
}

/// Checks every component by itself: described, used, each function and column there once.
pub(super) fn check_components(
    manifest: &Manifest,
    descriptions: &BTreeMap<Name, Vec<FunctionDescription>>,
    problems: &mut Problems,
) {
    let functions = manifest.operator.values().filter_map(|operator| operator.function.as_deref());
    let used: BTreeSet<&str> =
        functions.filter_map(|function| function.split_once('/')).map(|(component, _)| component).collect();
    for name in manifest.component.keys() {
        let place = format!("component {name}");
        if !used.contains(name.as_str()) {
            let error = Error::new(code::UNUSED, format!("no operator calls {place}"));
            problems.add(&place, error.help(format!("call it with `function = \"{name}/FUNCTION\"`, or remove it")));
        }
        let Some(functions) = descriptions.get(name) else {
            let error = Error::new(code::NOT_DESCRIBED, format!("{place} has no description"));
            problems.add(&place, error.help("run `lockgate build`, which asks the component for it"));
            continue;
        };
        if functions.len() > MAX_FUNCTIONS {
            let cause = format!("{place} has {} functions, more than {MAX_FUNCTIONS}", functions.len());
            problems.add(&place, Error::new(code::TOO_MANY, cause));
            continue;
        }
        let mut seen = BTreeSet::new();
        for function in functions {
            if !seen.insert(function.name.as_str()) {
                let error =
                    Error::new(code::FUNCTION_TWICE, format!("{place} describes function {:?} twice", function.name));
                problems.add(&place, error.help("rename one of them in the component's source"));
            }
            for port in function.inputs.iter().chain(&function.outputs) {
                check_columns(&port.fields, &format!("port {:?} of {}", port.name, function.name), &place, problems);
            }
        }
    }
}

/// Types an operator that calls a function.
pub(super) fn typed(
    call: Call<'_>,
    input: &[Field],
    descriptions: &BTreeMap<Name, Vec<FunctionDescription>>,
    place: &str,
    problems: &mut Problems,
) -> Option<Typed> {
    let (component, index, function) = find(call.function, descriptions, place, problems)?;
    let port = check_shape(function, place, problems)?;
    let arguments = arguments(&call, function, port, input, place, problems);
    let keep = keep(&call, input, place, problems);
    let unknown = check_renames(&call, function, place, problems);
    let (arguments, keep) = (arguments?, keep?);
    if unknown {
        return None;
    }
    let fed = arguments.iter().filter_map(|column| input.get(*column as usize));
    let nulls = fed.zip(&port.fields).any(|(column, parameter)| column.nullable && !parameter.nullable);
    let mut outputs = Vec::new();
    for port in &function.outputs {
        let mut fields: Vec<Field> = keep.iter().filter_map(|column| input.get(*column as usize)).cloned().collect();
        for result in &port.fields {
            let name = call.operator.rename.get(&result.name).unwrap_or(&result.name);
            if let Some(kept) = fields.iter().find(|field| field.name == *name) {
                problems.add(place, collision(&kept.name, result, input));
                return None;
            }
            fields.push(Field { name: name.clone(), nullable: result.nullable || nulls, ..result.clone() });
        }
        if !check_columns(&fields, &format!("output {}", port.name), place, problems) {
            return None;
        }
        outputs.push(Output { name: port.name.clone(), fields });
    }
    let kind = NodeKind::Function(Function {
        component: component.clone(),
        digest: None,
        index,
        name: function.name.clone(),
        arguments,
        nullable: port.fields.iter().map(|parameter| parameter.nullable).collect(),
        keep: vec![keep; outputs.len()],
        config: call.config,
        on_error: call.on_error,
        on_overrun: call.on_overrun,
    });
    Some(Typed { kind, outputs })
}

fn find<'d>(
    reference: &str,
    descriptions: &'d BTreeMap<Name, Vec<FunctionDescription>>,
    place: &str,
    problems: &mut Problems,
) -> Option<(&'d Name, u32, &'d FunctionDescription)> {
    let shown: String = reference.chars().take(160).collect();
    let Some((component, name)) = reference.split_once('/') else {
        let error = Error::new(
            code::UNKNOWN_COMPONENT,
            format!("`function` of {place} is {shown:?}, which names no component"),
        );
        problems.add(place, error.help("write `function = \"COMPONENT/FUNCTION\"`"));
        return None;
    };
    let Some((component, functions)) = descriptions.get_key_value(component) else {
        let error = Error::new(
            code::UNKNOWN_COMPONENT,
            format!("`function` of {place} is {shown:?}, but there is no such component"),
        );
        problems.add(place, error.help(suggest::help(component, descriptions.keys().map(|name| name.as_str()))));
        return None;
    };
    let found = functions.iter().position(|function| function.name == name);
    let Some((index, function)) = found.and_then(|index| Some((u32::try_from(index).ok()?, functions.get(index)?)))
    else {
        let error = Error::new(
            code::UNKNOWN_FUNCTION,
            format!("component {component} has no function {:?}", name.chars().take(80).collect::<String>()),
        );
        problems.add(place, error.help(suggest::help(name, functions.iter().map(|function| function.name.as_str()))));
        return None;
    };
    Some((component, index, function))
}

/// Refuses functions that this version does not run; otherwise their one input.
fn check_shape<'d>(function: &'d FunctionDescription, place: &str, problems: &mut Problems) -> Option<&'d Port> {
    let name = &function.name;
    if function.kind != "transform" {
        let shown: String = function.kind.chars().take(80).collect();
        let error = Error::new(code::FUNCTION_KIND, format!("function {name} is of kind {shown:?}"));
        problems.add(place, error.help("this version runs `transform`"));
        return None;
    }
    let [input] = function.inputs.as_slice() else {
        let cause = format!("function {name} has {} inputs", function.inputs.len());
        problems.add(place, Error::new(code::FUNCTION_PORTS, cause).help("this version runs functions with one input"));
        return None;
    };
    if function.outputs.len() > MAX_OUTPUTS {
        let cause = format!("function {name} has {} outputs, more than {MAX_OUTPUTS}", function.outputs.len());
        problems.add(place, Error::new(code::TOO_MANY, cause));
        return None;
    }
    if input.fields.len() > Plan::MAX_COLUMNS {
        let cause = format!("function {name} reads {} columns, more than {}", input.fields.len(), Plan::MAX_COLUMNS);
        problems.add(place, Error::new(code::TOO_MANY, cause));
        return None;
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    let mut seen = BTreeSet::new();
    let bad = function.outputs.iter().any(|port| {
        port.name.is_empty()
            || port.name.len() > MAX_PORT_NAME
            || !port.name.chars().all(allowed)
            || !seen.insert(&port.name)
    });
    if bad || function.outputs.is_empty() {
        let cause = format!("function {name} has no output, or outputs whose names are not allowed or not unique");
        problems
            .add(place, Error::new(code::FUNCTION_PORTS, cause).help("correct the ports in the component's source"));
        return None;
    }
    Some(input)
}

/// For each parameter the index of its column.
fn arguments(
    call: &Call<'_>,
    function: &FunctionDescription,
    port: &Port,
    input: &[Field],
    place: &str,
    problems: &mut Problems,
) -> Option<Vec<u32>> {
    let given = &call.operator.arguments;
    let mut whole = true;
    for unknown in given.keys().filter(|name| !port.fields.iter().any(|parameter| parameter.name == **name)) {
        let shown: String = unknown.chars().take(80).collect();
        let error =
            Error::new(code::UNKNOWN_ARGUMENT, format!("function {} has no parameter `{shown}`", function.name));
        problems.add(
            place,
            error.help(suggest::help(unknown, port.fields.iter().map(|parameter| parameter.name.as_str()))),
        );
        whole = false;
    }
    let mut columns = Vec::new();
    for parameter in &port.fields {
        match argument(given.get(&parameter.name), function, parameter, input, place, problems) {
            Some(column) => columns.push(column),
            None => whole = false,
        }
    }
    whole.then_some(columns)
}

fn argument(
    given: Option<&String>,
    function: &FunctionDescription,
    parameter: &Field,
    input: &[Field],
    place: &str,
    problems: &mut Problems,
) -> Option<u32> {
    let (name, wanted) = (&parameter.name, parameter.data_type);
    let index = match given {
        Some(given) => column(given, input, &format!("argument `{name}`"), place, problems)?,
        None => match input.iter().position(|field| field.name == *name) {
            Some(index) => u32::try_from(index).ok()?,
            None => {
                let cause = format!("parameter `{name}` ({wanted}) of function {} has no column", function.name);
                problems.add(place, Error::new(code::MISSING_ARGUMENT, cause).help(missing(parameter, input)));
                return None;
            }
        },
    };
    let field = input.get(index as usize)?;
    if field.data_type != wanted {
        let cause = format!(
            "column `{}` is {}, but parameter `{name}` of function {} is {wanted}",
            field.name, field.data_type, function.name
        );
        let help = if cast(field.data_type, wanted).is_some() {
            format!(
                "cast it before: `select = [{{ column = \"{}\", type = \"{wanted}\" }}, …]`, or change the function",
                field.name
            )
        } else {
            "name another column in `arguments`, or change the function".into()
        };
        problems.add(place, Error::new(code::TYPE_MISMATCH, cause).help(help));
        return None;
    }
    let refused = function.attributes.iter().any(|(key, value)| key == "nulls" && value == "refused");
    if field.nullable && !parameter.nullable && refused {
        let cause = format!(
            "column `{}` may hold nulls, but parameter `{name}` of function {} may not",
            field.name, function.name
        );
        let help = "make the parameter nullable in the component's source, or drop the null rows before";
        problems.add(place, Error::new(code::NULLABLE_ARGUMENT, cause).help(help));
        return None;
    }
    Some(index)
}

/// What to write where a parameter has no column: one of the same type that is named alike, or any of that type.
fn missing(parameter: &Field, input: &[Field]) -> String {
    let of_type =
        || input.iter().filter(|field| field.data_type == parameter.data_type).map(|field| field.name.as_str());
    let near = suggest::nearest(&parameter.name, of_type()).or_else(|| of_type().next());
    match near {
        Some(near) => format!("name one: `arguments = {{ {} = \"{near}\" }}`", parameter.name),
        None => format!("the input has no column of type {}: add one with a `select` before", parameter.data_type),
    }
}

/// The columns that pass through.
fn keep(call: &Call<'_>, input: &[Field], place: &str, problems: &mut Problems) -> Option<Vec<u32>> {
    let Some(names) = &call.operator.keep else {
        return (0..input.len()).map(|index| u32::try_from(index).ok()).collect();
    };
    let (mut columns, mut whole) = (Vec::new(), true);
    for name in names {
        match column(name, input, "`keep`", place, problems) {
            Some(column) if columns.contains(&column) => {
                let error = Error::new(code::COLUMN_COLLISION, format!("`keep` names column `{name}` twice"));
                problems.add(place, error.help("remove one of the two"));
                whole = false;
            }
            Some(column) => columns.push(column),
            None => whole = false,
        }
    }
    whole.then_some(columns)
}

/// Whether `rename` has a key that is no result.
fn check_renames(call: &Call<'_>, function: &FunctionDescription, place: &str, problems: &mut Problems) -> bool {
    let results: BTreeSet<&str> =
        function.outputs.iter().flat_map(|port| &port.fields).map(|result| result.name.as_str()).collect();
    let mut bad = false;
    for unknown in call.operator.rename.keys().filter(|name| !results.contains(name.as_str())) {
        let shown: String = unknown.chars().take(80).collect();
        let error = Error::new(code::UNKNOWN_RESULT, format!("function {} has no result `{shown}`", function.name));
        problems.add(place, error.help(suggest::help(unknown, results.iter().copied())));
        bad = true;
    }
    bad
}

fn collision(kept: &str, result: &Field, input: &[Field]) -> Error {
    let cause = format!("result `{}` would be a second column `{kept}`", result.name);
    let others: Vec<String> =
        input.iter().filter(|field| field.name != kept).take(4).map(|field| format!("\"{}\"", field.name)).collect();
    let more = if input.len() > 5 { ", …" } else { "" };
    Error::new(code::COLUMN_COLLISION, cause).help(format!(
        "call it otherwise with `rename = {{ {} = \"…\" }}`, or replace the old column with `keep = [{}{more}]`",
        result.name,
        others.join(", ")
    ))
}
