use super::{Loss, each, modern_definitions, rename};
use crate::json::{Json, Object, Raw};

/// What Anthropic does not check, and is told in words instead.
const CONSTRAINTS: [&str; 15] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "maxItems",
    "uniqueItems",
    "minContains",
    "maxContains",
    "minProperties",
    "maxProperties",
    "propertyNames",
];
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];

/// The schema of a tool's input: always of an object, in today's draft.
pub(crate) fn input_schema<'a>(schema: Option<&'a Raw>, strict: bool, loss: &mut Loss) -> Json<'a> {
    let mut tree = schema.map_or_else(|| Json::Object(Object::new()), Raw::tree);
    each(&mut tree, &mut modern);
    if strict {
        each(&mut tree, &mut |object| constrain(object, loss));
    }
    let Json::Object(object) = &mut tree else {
        return Object::of("object").with("properties", Object::new()).into();
    };
    if !object.has("type") {
        object.0.insert(0, ("type".into(), "object".into()));
    }
    if schema.is_none() {
        object.put("properties", Object::new());
    }
    tree
}

/// The schema of an answer, in the subset that is enforced.
pub(crate) fn answer_schema<'a>(schema: &'a Raw, loss: &mut Loss) -> Json<'a> {
    let mut tree = schema.tree();
    each(&mut tree, &mut |object| {
        modern(object);
        constrain(object, loss);
    });
    tree
}

/// Older drafts in the words of 2020-12.
fn modern(object: &mut Object<'_>) {
    modern_definitions(object);
    if matches!(object.get("items"), Some(Json::Array(_))) {
        rename(object, "items", "prefixItems");
        rename(object, "additionalItems", "items");
    }
    exclusive(object, "exclusiveMinimum", "minimum");
    exclusive(object, "exclusiveMaximum", "maximum");
}

/// `"minimum": 1, "exclusiveMinimum": true` becomes `"exclusiveMinimum": 1`.
fn exclusive(object: &mut Object<'_>, flag: &'static str, bound: &'static str) {
    let Some(Json::Raw(value)) = object.get(flag) else { return };
    let exclusive = match value.as_ref() {
        "true" => true,
        "false" => false,
        _ => return,
    };
    object.remove(flag);
    if exclusive {
        rename(object, bound, flag);
    }
}

fn constrain(object: &mut Object<'_>, loss: &mut Loss) {
    rename(object, "oneOf", "anyOf");
    close(object);
    let mut words = Vec::new();
    object.0.retain(|(key, value)| {
        let keep = !is_unchecked(key, value);
        if !keep {
            words.push(format!("{key}: {value}"));
        }
        keep
    });
    if words.is_empty() {
        return;
    }
    loss.constraint = true;
    let words = format!("{{{}}}", words.join(", "));
    let text = match object.get("description").and_then(Json::as_str) {
        Some(before) => format!("{before}\n\n{words}"),
        None => words,
    };
    object.set("description", text);
}

fn is_unchecked(key: &str, value: &Json<'_>) -> bool {
    match key {
        "minItems" => !matches!(value, Json::Raw(n) if n == "0" || n == "1"),
        "format" => value.as_str().is_some_and(|format| !FORMATS.contains(&format)),
        key => CONSTRAINTS.contains(&key),
    }
}

/// Every object is closed.
fn close(object: &mut Object<'_>) {
    let kind = object.get("type").and_then(Json::as_str);
    if kind == Some("object") || (kind.is_none() && object.has("properties")) {
        object.set("additionalProperties", false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_without_a_schema_takes_an_empty_object() {
        let schema = input_schema(None, false, &mut Loss::default());
        assert_eq!(schema.to_string(), r#"{"type":"object","properties":{}}"#);
    }

    #[test]
    fn older_drafts_become_todays() {
        let raw = Raw::parse(
            r##"{"properties":{"a":{"items":[{"type":"string"}]},"b":{"minimum":1,"exclusiveMinimum":true},"c":{"$ref":"#/definitions/D"}},"definitions":{"D":{}}}"##,
        )
        .unwrap();
        let schema = input_schema(Some(&raw), false, &mut Loss::default());
        assert_eq!(
            schema.to_string(),
            r##"{"type":"object","properties":{"a":{"prefixItems":[{"type":"string"}]},"b":{"exclusiveMinimum":1},"c":{"$ref":"#/$defs/D"}},"$defs":{"D":{}}}"##
        );
    }

    #[test]
    fn constraints_that_are_not_checked_become_words() {
        let raw = Raw::parse(
            r#"{"type":"object","properties":{"pattern":{"type":"string","pattern":"^a$","format":"date"}}}"#,
        )
        .unwrap();
        let mut loss = Loss::default();
        let schema = answer_schema(&raw, &mut loss);
        assert_eq!(
            schema.to_string(),
            r#"{"type":"object","properties":{"pattern":{"type":"string","format":"date","description":"{pattern: \"^a$\"}"}},"additionalProperties":false}"#
        );
        assert!(loss.constraint);
    }
}
