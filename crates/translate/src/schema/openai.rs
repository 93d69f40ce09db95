use crate::json::{Json, Object, Raw};

use super::each;

/// Whether a schema keeps what OpenAI's strict mode wants: every object closed, every property
/// required.
pub(crate) fn keeps_strict_promises(schema: &Raw) -> bool {
    let mut tree = schema.tree();
    let mut keeps = matches!(&tree, Json::Object(root) if is_object(root));
    each(&mut tree, &mut |object| {
        if is_object(object) {
            keeps &= is_closed(object) && requires_all(object);
        }
    });
    keeps
}

fn is_object(schema: &Object<'_>) -> bool {
    schema.has("properties") || schema.get("type").and_then(Json::as_str) == Some("object")
}

fn is_closed(schema: &Object<'_>) -> bool {
    matches!(schema.get("additionalProperties"), Some(Json::Raw(text)) if text == "false")
}

fn requires_all(schema: &Object<'_>) -> bool {
    let Some(properties) = schema.get("properties").and_then(Json::as_object) else { return true };
    let required = schema.get("required").and_then(Json::as_array).unwrap_or_default();
    properties.0.iter().all(|(name, _)| required.iter().any(|r| r.as_str() == Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_needs_closed_objects_with_every_property_required() {
        let keeps = |text| keeps_strict_promises(&Raw::parse(text).unwrap());
        assert!(keeps(
            r#"{"type":"object","properties":{"a":{}},"required":["a"],"additionalProperties":false}"#
        ));
        assert!(!keeps(r#"{"type":"object","properties":{"a":{}},"additionalProperties":false}"#));
        assert!(!keeps(r#"{"type":"object","properties":{"a":{}},"required":["a"]}"#));
        assert!(!keeps(
            r#"{"type":"object","properties":{"a":{"type":"object"}},"required":["a"],"additionalProperties":false}"#
        ));
        assert!(!keeps("true"));
    }
}
