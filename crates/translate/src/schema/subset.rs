use super::{
    Loss,
    gemini::{constant, merge_all_of},
    modern_definitions, rename,
};
use crate::json::{Json, Object, Raw};

const KEPT: [&str; 20] = [
    "type",
    "format",
    "title",
    "description",
    "nullable",
    "enum",
    "items",
    "maxItems",
    "minItems",
    "properties",
    "required",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "anyOf",
    "default",
];

/// References are followed so deep.
const REFERENCES: usize = 8;
/// A schema grows to so many schemas by its references: beyond, an object is any object.
const MOST: usize = 4096;

/// The OpenAPI subset of older Gemini models; `None` for an object without properties.
pub(crate) fn openapi<'a>(schema: &'a Raw, loss: &mut Loss) -> Option<Json<'a>> {
    let tree = schema.tree();
    let mut subset = Subset { root: &tree, loss, left: MOST };
    let object = subset.schema(&tree, 0);
    let empty =
        object.get("type").and_then(Json::as_str) == Some("OBJECT") && !object.has("properties");
    (!empty).then_some(Json::Object(object))
}

struct Subset<'a, 'b> {
    root: &'b Json<'a>,
    loss: &'b mut Loss,
    /// How many schemas may still be written.
    left: usize,
}

impl<'a> Subset<'a, '_> {
    /// `references`: how many were followed to get here.
    fn schema(&mut self, schema: &Json<'a>, references: usize) -> Object<'a> {
        let Json::Object(object) = schema else { return Object::new() };
        let mut object = object.clone();
        modern_definitions(&mut object);
        if let Some(target) = object.get("$ref").and_then(Json::as_str) {
            return self.reference(target, references);
        }
        constant(&mut object);
        merge_all_of(&mut object);
        rename(&mut object, "oneOf", "anyOf");
        nulls(&mut object);
        self.values(&mut object);
        let kept = object.0.into_iter().filter(|(key, _)| self.keeps(key));
        let kept: Vec<_> = kept.collect();
        self.assemble(kept, references)
    }

    fn keeps(&mut self, key: &str) -> bool {
        let keep = KEPT.contains(&key);
        self.loss.downgraded |= !keep && !matches!(key, "$schema" | "$comment" | "$defs" | "$id");
        keep
    }

    fn assemble(
        &mut self,
        kept: Vec<(std::borrow::Cow<'a, str>, Json<'a>)>,
        references: usize,
    ) -> Object<'a> {
        let mut out = Object::new();
        for (key, value) in kept {
            let value = match (key.as_ref(), value) {
                ("properties", Json::Object(map)) if map.is_empty() => continue,
                ("properties", Json::Object(map)) => {
                    let each = map.0.into_iter();
                    let each = each.map(|(name, s)| (name, self.schema(&s, references).into()));
                    Json::Object(Object(each.collect()))
                }
                ("items", value) => self.schema(&value, references).into(),
                ("anyOf", Json::Array(list)) => list
                    .iter()
                    .map(|s| self.schema(s, references).into())
                    .collect::<Vec<_>>()
                    .into(),
                (_, value) => value,
            };
            out.put(key, value);
        }
        tidy(out)
    }

    fn reference(&mut self, target: &str, references: usize) -> Object<'a> {
        self.left = self.left.saturating_sub(1);
        let found = (references < REFERENCES && self.left > 0).then(|| self.find(target)).flatten();
        match found {
            Some(schema) => self.schema(&schema, references + 1),
            None => {
                self.loss.downgraded = true;
                Object::of("OBJECT")
            }
        }
    }

    fn find(&self, target: &str) -> Option<Json<'a>> {
        let mut at = self.root;
        for step in target.strip_prefix("#/")?.split('/') {
            let step = step.replace("~1", "/").replace("~0", "~");
            let object = at.as_object()?;
            let older = || object.get("definitions").filter(|_| step == "$defs");
            at = object.get(&step).or_else(older)?;
        }
        Some(at.clone())
    }

    /// Type names upper-case, enumerations of strings alone, formats that are known.
    fn values(&mut self, object: &mut Object<'a>) {
        infer_type(object);
        if let Some(Json::Str(kind)) = object.get_mut("type") {
            *kind = kind.to_ascii_uppercase().into();
        }
        let text = object.get("type").and_then(Json::as_str) == Some("STRING");
        let known =
            matches!(object.get("format").and_then(Json::as_str), Some("enum" | "date-time"));
        if text && object.has("format") && !known {
            object.remove("format");
            self.loss.downgraded = true;
        }
        self.enumeration(object, text);
    }

    fn enumeration(&mut self, object: &mut Object<'a>, text: bool) {
        let Some(Json::Array(values)) = object.get_mut("enum") else { return };
        values.retain(|value| !value.is_null());
        let all_text = values.iter().all(|value| value.as_str().is_some());
        if text {
            for value in values {
                if value.as_str().is_none() {
                    *value = value.to_string().into();
                }
            }
        } else if !all_text {
            object.remove("enum");
            self.loss.downgraded = true;
        }
    }
}

/// `null` among the types or alternatives becomes `nullable`.
fn nulls(object: &mut Object<'_>) {
    let mut nullable = false;
    if let Some(Json::Array(types)) = object.get_mut("type") {
        let before = types.len();
        types.retain(|kind| kind.as_str() != Some("null"));
        nullable |= types.len() < before;
        let mut types = std::mem::take(types);
        if types.len() == 1 {
            object.set("type", types.remove(0));
        } else {
            object.remove("type");
            let each = types.into_iter().map(|kind| Object::new().with("type", kind).into());
            object.set("anyOf", each.collect::<Vec<_>>());
        }
    }
    if let Some(Json::Array(schemas)) = object.get_mut("anyOf") {
        let is_null = |schema: &Json<'_>| {
            let kind = schema.as_object().and_then(|object| object.get("type"));
            kind.and_then(Json::as_str) == Some("null")
        };
        let before = schemas.len();
        schemas.retain(|schema| !is_null(schema));
        nullable |= schemas.len() < before;
    }
    if nullable {
        object.set("nullable", true);
    }
}

/// A schema without a type whose values show one.
fn infer_type(object: &mut Object<'_>) {
    if object.has("type") || object.has("anyOf") {
        return;
    }
    let kind = if object.has("properties") {
        "object"
    } else if object.has("items") {
        "array"
    } else if let Some([Json::Str(_), ..]) = object.get("enum").and_then(Json::as_array) {
        "string"
    } else {
        return;
    };
    object.0.insert(0, ("type".into(), kind.into()));
}

/// With alternatives nothing else says the type, one alternative is none, and nothing is required
/// of an object without properties.
fn tidy(mut object: Object<'_>) -> Object<'_> {
    if object.has("anyOf") {
        object.remove("type");
    }
    if let Some(Json::Array(schemas)) = object.get_mut("anyOf")
        && schemas.len() == 1
        && let Some(Json::Object(only)) = schemas.pop()
    {
        object.remove("anyOf");
        for (key, value) in only.0 {
            if !object.has(&key) {
                object.put(key, value);
            }
        }
    }
    if !object.has("properties") {
        object.remove("required");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subset(text: &str) -> (String, Loss) {
        let raw = Raw::parse(text).unwrap();
        let mut loss = Loss::default();
        let schema = openapi(&raw, &mut loss);
        (schema.map(|schema| schema.to_string()).unwrap_or_default(), loss)
    }

    #[test]
    fn a_reference_to_itself_ends() {
        let (schema, loss) = subset(
            r##"{"type":"object","properties":{"n":{"$ref":"#/$defs/N"}},"$defs":{"N":{"type":"object","properties":{"next":{"$ref":"#/$defs/N"}}}}}"##,
        );
        assert!(loss.downgraded && !schema.contains("$ref") && schema.len() < 800, "{schema}");
    }

    #[test]
    fn references_cannot_make_a_schema_explode() {
        let many = |to: &str| {
            let each: Vec<_> =
                (0..40).map(|i| format!(r##""p{i}":{{"$ref":"#/$defs/{to}"}}"##)).collect();
            format!(r#"{{"type":"object","properties":{{{}}}}}"#, each.join(","))
        };
        let defs: Vec<_> =
            (0..8).map(|i| format!(r#""d{i}":{}"#, many(&format!("d{}", i + 1)))).collect();
        let leaf = r#""d8":{"type":"string"}"#;
        let text = format!(
            r##"{{"type":"object","properties":{{"a":{{"$ref":"#/$defs/d0"}}}},"$defs":{{{},{leaf}}}}}"##,
            defs.join(",")
        );
        let (schema, loss) = subset(&text);
        assert!(loss.downgraded && schema.len() < 1 << 20, "{}", schema.len());
    }

    #[test]
    fn null_becomes_nullable_wherever_it_stands() {
        let (schema, _) = subset(
            r#"{"type":"object","properties":{"a":{"anyOf":[{"type":"string"},{"type":"null"}]},"b":{"type":["integer","string","null"]}}}"#,
        );
        assert_eq!(
            schema,
            r#"{"type":"OBJECT","properties":{"a":{"nullable":true,"type":"STRING"},"b":{"anyOf":[{"type":"INTEGER"},{"type":"STRING"}],"nullable":true}}}"#
        );
    }

    #[test]
    fn an_object_without_properties_is_left_out_at_the_top() {
        assert_eq!(subset(r#"{"type":"object","properties":{}}"#).0, "");
    }
}
