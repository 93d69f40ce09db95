//! JSON Schemas rewritten to what a protocol takes of them.

mod anthropic;
mod gemini;
mod openai;
mod subset;

pub(crate) use self::{
    anthropic::{answer_schema, input_schema},
    gemini::{from_gemini, json_schema},
    openai::keeps_strict_promises,
    subset::openapi,
};

use crate::json::{Json, Object};

/// What a rewriting lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Loss {
    /// A constraint is gone or became words.
    pub(crate) constraint: bool,
    /// The schema says less than it did.
    pub(crate) downgraded: bool,
}

/// Members that hold a schema by name each.
const MAPS: [&str; 5] =
    ["properties", "$defs", "definitions", "patternProperties", "dependentSchemas"];
/// Members that hold a list of schemas.
const LISTS: [&str; 4] = ["anyOf", "oneOf", "allOf", "prefixItems"];
/// Members that hold one schema.
const SINGLES: [&str; 8] =
    ["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"];

/// No schema nests deeper than this; what lies below is left as it is.
const DEPTH: usize = 64;

/// Visits every schema within one, innermost first.
fn each(schema: &mut Json<'_>, visit: &mut impl FnMut(&mut Object<'_>)) {
    within(schema, visit, 0);
}

fn within(schema: &mut Json<'_>, visit: &mut impl FnMut(&mut Object<'_>), depth: usize) {
    let Json::Object(object) = schema else { return };
    if depth > DEPTH {
        return;
    }
    for (key, value) in &mut object.0 {
        match value {
            Json::Object(map) if MAPS.contains(&&**key) => {
                map.0.iter_mut().for_each(|(_, value)| within(value, visit, depth + 1));
            }
            Json::Array(list) if LISTS.contains(&&**key) || key == "items" => {
                list.iter_mut().for_each(|value| within(value, visit, depth + 1));
            }
            Json::Object(_) if SINGLES.contains(&&**key) => within(value, visit, depth + 1),
            _ => {}
        }
    }
    visit(object);
}

fn rename(object: &mut Object<'_>, from: &str, to: &'static str) {
    for (key, _) in &mut object.0 {
        if key == from {
            *key = to.into();
        }
    }
}

/// `definitions` of older drafts become `$defs`, references too.
fn modern_definitions(object: &mut Object<'_>) {
    rename(object, "definitions", "$defs");
    if let Some(Json::Str(target)) = object.get_mut("$ref")
        && let Some(name) = target.strip_prefix("#/definitions/")
    {
        *target = format!("#/$defs/{name}").into();
    }
}
