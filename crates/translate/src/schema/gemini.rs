use super::{Loss, each, modern_definitions, rename};
use crate::json::{Json, Number, Object, Raw};

const KEPT: [&str; 23] = [
    "$id",
    "$defs",
    "$ref",
    "$anchor",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "properties",
    "additionalProperties",
    "required",
    "propertyOrdering",
    "nullable",
    "allOf",
];

/// Words whose loss changes nothing.
const SILENT: [&str; 3] = ["$schema", "$comment", "examples"];

/// The part of JSON Schema Gemini takes.
pub(crate) fn json_schema<'a>(schema: &'a Raw, loss: &mut Loss) -> Json<'a> {
    let mut tree = schema.tree();
    each(&mut tree, &mut |object| keep(object, loss));
    tree
}

fn keep(object: &mut Object<'_>, loss: &mut Loss) {
    modern_definitions(object);
    constant(object);
    merge_all_of(object);
    if object.has("$ref") {
        object.0.retain(|(key, _)| key.starts_with('$'));
    }
    object.0.retain(|(key, _)| {
        let keep = KEPT.contains(&&**key);
        loss.constraint |= !keep && !SILENT.contains(&&**key);
        keep
    });
}

/// `const` becomes an enumeration of one.
pub(super) fn constant(object: &mut Object<'_>) {
    if let Some(value) = object.get_mut("const") {
        *value = Json::Array(vec![std::mem::replace(value, Json::Null)]);
        rename(object, "const", "enum");
    }
}

/// `allOf` becomes one schema: members of the first that has them, properties of all.
pub(super) fn merge_all_of(object: &mut Object<'_>) {
    let Some(Json::Array(schemas)) = object.remove("allOf") else { return };
    for schema in schemas {
        let Json::Object(schema) = schema else { continue };
        for (key, value) in schema.0 {
            match (object.get_mut(&key), value) {
                (None, value) => object.0.push((key, value)),
                (Some(Json::Object(mine)), Json::Object(more)) => mine.0.extend(more.0),
                (Some(Json::Array(mine)), Json::Array(more)) if key == "required" => {
                    mine.extend(more);
                }
                _ => {}
            }
        }
    }
}

/// What a Gemini client writes, in JSON Schema's words.
pub(crate) fn from_gemini(schema: &Raw) -> Raw {
    let mut tree = schema.tree();
    each(&mut tree, &mut plain);
    tree.into()
}

const NUMBERS: [&str; 8] = [
    "minItems",
    "maxItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
];

/// The types as numbers, which some clients write.
const TYPES: [&str; 8] =
    ["object", "string", "number", "integer", "boolean", "array", "object", "null"];

fn plain(object: &mut Object<'_>) {
    match object.get_mut("type") {
        Some(Json::Str(kind)) => *kind = kind.to_ascii_lowercase().into(),
        Some(Json::Raw(number)) => {
            let named = number.parse::<usize>().ok().and_then(|at| TYPES.get(at));
            object.set("type", named.copied().unwrap_or("object"));
        }
        _ => {}
    }
    for key in NUMBERS {
        if let Some(value) = object.get_mut(key)
            && let Some(number) = value.as_str().and_then(Number::parse)
        {
            *value = Json::Raw(number.as_str().to_owned().into());
        }
    }
    rename(object, "any_of", "anyOf");
    rename(object, "property_ordering", "propertyOrdering");
    object.remove("propertyOrdering");
    if let Some(example) = object.remove("example") {
        object.put("examples", Json::Array(vec![example]));
    }
    nullable(object);
}

/// `nullable` becomes a type, or an alternative.
fn nullable(object: &mut Object<'_>) {
    if !object.remove("nullable").is_some_and(|value| value.is_true()) {
        return;
    }
    match object.get_mut("type") {
        Some(kind) => *kind = Json::Array(vec![kind.clone(), "null".into()]),
        None => {
            if let Some(Json::Array(schemas)) = object.get_mut("anyOf") {
                schemas.push(Object::of("null").into());
            }
        }
    }
    if let Some(Json::Array(values)) = object.get_mut("enum") {
        values.push(Json::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_named_like_words_stay() {
        let raw = Raw::parse(
            r#"{"type":"object","properties":{"pattern":{"type":"string","pattern":"x"},"default":{"const":1}}}"#,
        )
        .unwrap();
        let mut loss = Loss::default();
        assert_eq!(
            json_schema(&raw, &mut loss).to_string(),
            r#"{"type":"object","properties":{"pattern":{"type":"string"},"default":{"enum":[1]}}}"#
        );
        assert!(loss.constraint);
    }

    #[test]
    fn all_of_becomes_one_schema() {
        let raw = Raw::parse(
            r#"{"allOf":[{"type":"object","properties":{"a":{}},"required":["a"]},{"properties":{"b":{}},"required":["b"]}]}"#,
        )
        .unwrap();
        assert_eq!(
            json_schema(&raw, &mut Loss::default()).to_string(),
            r#"{"type":"object","properties":{"a":{},"b":{}},"required":["a","b"]}"#
        );
    }

    #[test]
    fn a_gemini_schema_is_read_as_json_schema() {
        let raw = Raw::parse(
            r#"{"type":"OBJECT","properties":{"type":{"type":"STRING","nullable":true,"enum":["a"]},"n":{"type":"ARRAY","minItems":"1"}}}"#,
        )
        .unwrap();
        assert_eq!(
            from_gemini(&raw).as_str(),
            r#"{"type":"object","properties":{"type":{"type":["string","null"],"enum":["a",null]},"n":{"type":"array","minItems":1}}}"#
        );
    }
}
