//! `select`: columns chosen, renamed and cast.

use super::{Problems, Typed, cast, casts::Cast, check_columns, column, refuse_options};
use crate::error::{Error, code};
use crate::manifest::{Operator, Selected};
use crate::plan::{NodeKind, SelectColumn};
use crate::types::{Field, LogicalType};

/// Types a `select`.
pub(super) fn typed(
    operator: &Operator,
    columns: &[Selected],
    input: &[Field],
    place: &str,
    problems: &mut Problems,
) -> Option<Typed> {
    let of_functions = [
        ("arguments", !operator.arguments.is_empty()),
        ("keep", operator.keep.is_some()),
        ("rename", !operator.rename.is_empty()),
        ("config", !operator.config.is_empty()),
        ("on-error", operator.on_error.is_some()),
        ("on-overrun", operator.on_overrun.is_some()),
    ];
    refuse_options(&of_functions, "a `select`", place, problems);
    let (mut chosen, mut fields, mut whole) = (Vec::new(), Vec::new(), true);
    for selected in columns {
        match one(selected, input, place, problems) {
            Some((column, field)) => {
                chosen.push(column);
                fields.push(field);
            }
            None => whole = false,
        }
    }
    if !whole {
        return None;
    }
    let mut names = std::collections::BTreeSet::new();
    if let Some(twice) = fields.iter().find(|field: &&Field| !names.insert(field.name.as_str())) {
        let error = Error::new(code::COLUMN_COLLISION, format!("`select` makes two columns `{}`", twice.name));
        problems.add(place, error.help("give one of them another `name`"));
        return None;
    }
    check_columns(&fields, "`select`", place, problems).then(|| Typed::single(NodeKind::Select(chosen), fields))
}

fn one(selected: &Selected, input: &[Field], place: &str, problems: &mut Problems) -> Option<(SelectColumn, Field)> {
    let (wanted, name, data_type): (&str, Option<&String>, Option<LogicalType>) = match selected {
        Selected::Column(column) => (column, None, None),
        Selected::As(entry) => (&entry.column, entry.name.as_ref(), entry.data_type),
    };
    let index = column(wanted, input, "`select`", place, problems)?;
    let mut field = input.get(index as usize)?.clone();
    let to = data_type.filter(|to| *to != field.data_type);
    if let Some(to) = to {
        match cast(field.data_type, to) {
            Some(how) => field.nullable |= how == Cast::Partial,
            None => {
                let cause = format!("column `{}` is {}, which cannot be cast to {to}", field.name, field.data_type);
                problems.add(
                    place,
                    Error::new(code::CAST_NOT_ALLOWED, cause)
                        .help("cast it by way of utf8, or write a function for it"),
                );
                return None;
            }
        }
        field.data_type = to;
    }
    if let Some(name) = name {
        field.name.clone_from(name);
    }
    Some((SelectColumn { column: index, cast: to }, field))
}
