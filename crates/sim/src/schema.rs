//! A value that fits a JSON Schema.

use serde_json::{Map, Value};

/// Nesting after which only required members are given.
const DEEP: usize = 8;

/// Makes a value for `schema`; `name` colours its strings. The same schema gives the same value.
///
/// Knows what tool and output schemas use: types (Gemini's upper case too), enums, constants,
/// references, unions, required members, bounds of numbers, strings and arrays.
pub(crate) fn example(schema: &Value, name: &str) -> Value {
    Maker { root: schema }.make(schema, name, 0)
}

struct Maker<'a> {
    root: &'a Value,
}

impl Maker<'_> {
    fn make(&self, schema: &Value, name: &str, depth: usize) -> Value {
        if let Some(value) = given(schema) {
            return value;
        }
        if depth > 4 * DEEP {
            return Value::Null;
        }
        if let Some(inner) = self.inner(schema) {
            return self.make(inner, name, depth + 1);
        }
        match kind(schema).as_str() {
            "object" => self.object(schema, depth),
            "array" => self.array(schema, name, depth),
            "integer" => integer(schema),
            "number" => number(schema),
            "boolean" => true.into(),
            "null" => Value::Null,
            _ => string(schema, name).into(),
        }
    }

    /// The schema that stands for this one: a reference's or a union's.
    fn inner<'a>(&'a self, schema: &'a Value) -> Option<&'a Value> {
        if let Some(path) = schema["$ref"].as_str() {
            return self.root.pointer(path.strip_prefix('#')?);
        }
        let union = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema[*key].as_array())?;
        union.iter().find(|option| kind(option) != "null").or(union.first())
    }

    fn object(&self, schema: &Value, depth: usize) -> Value {
        let required = schema["required"].as_array();
        let wanted = |key: &str| match required {
            Some(names) => names.iter().any(|name| name == key),
            None => depth < DEEP,
        };
        let members = schema["properties"].as_object().into_iter().flatten();
        let members = members.filter(|(key, _)| wanted(key));
        let made = members.map(|(key, inner)| (key.clone(), self.make(inner, key, depth + 1)));
        made.collect::<Map<_, _>>().into()
    }

    fn array(&self, schema: &Value, name: &str, depth: usize) -> Value {
        let least = schema["minItems"].as_u64().unwrap_or(1).min(64);
        let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
        let n = if depth < DEEP { least.max(1).min(most) } else { least };
        (0..n).map(|_| self.make(&schema["items"], name, depth + 1)).collect()
    }
}

fn given(schema: &Value) -> Option<Value> {
    let constant = schema.get("const").or(schema.get("default")).filter(|value| !value.is_null());
    constant.or_else(|| schema["enum"].get(0)).cloned()
}

/// The type's name in lower case; of several the first that is not null.
fn kind(schema: &Value) -> String {
    let named = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().find(|kind| *kind != "null").and_then(Value::as_str),
        one => one.as_str(),
    };
    match named {
        Some(name) => name.to_ascii_lowercase(),
        None if schema["properties"].is_object() => "object".to_owned(),
        None => String::new(),
    }
}

fn integer(schema: &Value) -> Value {
    let above = schema["exclusiveMinimum"].as_i64().map(|n| n + 1);
    let least = schema["minimum"].as_i64().or(above).unwrap_or(1);
    schema["maximum"].as_i64().map_or(least.max(1), |most| least.max(1).min(most)).into()
}

fn number(schema: &Value) -> Value {
    let above = schema["exclusiveMinimum"].as_f64().map(|n| n + 0.5);
    let least = schema["minimum"].as_f64().or(above).unwrap_or(1.5);
    schema["maximum"].as_f64().map_or(least, |most| least.min(most)).into()
}

fn string(schema: &Value, name: &str) -> String {
    let text = match schema["format"].as_str() {
        Some("date") => "2026-01-02".to_owned(),
        Some("date-time") => "2026-01-02T03:04:05Z".to_owned(),
        Some("time") => "03:04:05Z".to_owned(),
        Some("uuid") => "00000000-0000-4000-8000-000000000000".to_owned(),
        Some("email") => "sim@example.com".to_owned(),
        Some("uri") => "https://example.com/".to_owned(),
        _ if name.is_empty() => "sim".to_owned(),
        _ => format!("sim {name}"),
    };
    let least = schema["minLength"].as_u64().unwrap_or(0).min(4096) as usize;
    let most = schema["maxLength"].as_u64().map_or(usize::MAX, |n| n as usize);
    format!("{text:-<least$}").chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fits_what_it_is_made_for() {
        let schema = json!({"type": "object", "required": ["city", "days", "unit", "who"],
            "properties": {"city": {"type": "string", "minLength": 12}, "left out": {"type": "null"},
                "days": {"type": "array", "items": {"type": "integer", "minimum": 3}, "minItems": 2},
                "unit": {"enum": ["c", "f"]}, "who": {"$ref": "#/$defs/who"}},
            "$defs": {"who": {"anyOf": [{"type": "null"}, {"type": "OBJECT",
                "properties": {"at": {"type": ["null", "string"], "format": "date"}}}]}}});
        let value = example(&schema, "");
        let wanted = json!({"city": "sim city----", "days": [3, 3], "unit": "c",
            "who": {"at": "2026-01-02"}});
        assert_eq!(value, wanted);
        assert_eq!(example(&json!({}), ""), "sim");
    }

    #[test]
    fn a_schema_of_itself_ends() {
        let schema = json!({"properties": {"next": {"$ref": "#"}}});
        assert!(example(&schema, "").is_object());
        assert!(example(&json!({"$ref": "#"}), "").is_null());
    }
}
