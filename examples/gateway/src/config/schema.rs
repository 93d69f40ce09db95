//! The configuration file's JSON Schema.

use serde_json::Value;

use super::file::File;

/// Returns the JSON Schema of the configuration file, of draft 2020-12.
///
/// Beside what that draft knows, a key has `x-unit`, what its value counts or is, `x-env` where
/// `env:NAME` may stand for it, and `x-default` where its default takes words.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(File).to_value();
    schema["title"] = "The configuration of Tollgate".into();
    without_null(&mut schema);
    schema
}

/// TOML has no `null`: what may be absent is just not required.
fn without_null(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            members.retain(|_, value| !value.is_null());
            members.values_mut().for_each(without_null);
            if let Some(Value::Array(kinds)) = members.get_mut("type") {
                kinds.retain(|kind| kind != "null");
                if let [only] = &kinds[..] {
                    let only = only.clone();
                    members.insert("type".to_owned(), only);
                }
            }
            if let Some(Value::Array(words)) = members.get_mut("enum") {
                words.retain(|word| !word.is_null());
            }
            let Some(Value::Array(either)) = members.get_mut("anyOf") else { return };
            either.retain(|one| one["type"] != "null");
            if let [Value::Object(only)] = &either[..] {
                let only = only.clone();
                members.remove("anyOf");
                members.extend(only);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_null),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// The defaults of a table as a TOML file would say them.
    fn said(schema: &Value, table: &str) -> String {
        let keys = schema["$defs"][table]["properties"].as_object().unwrap().iter();
        let given = keys.filter_map(|(key, of)| Some(format!("{key} = {}\n", of.get("default")?)));
        given.collect()
    }

    #[test]
    fn the_defaults_it_names_are_those_in_force() {
        let schema = schema();
        let tables =
            [("server", "Server"), ("server.timeouts", "Timeouts"), ("server.cors", "Cors")];
        let server = tables.map(|(name, table)| format!("[{name}]\n{}", said(&schema, table)));
        let text = format!("{}[deadlines]\n{}", server.concat(), said(&schema, "Deadlines"));
        assert!(
            text.contains("max_body = 33554432\n") && text.contains("idle = \"2m\"\n"),
            "{text}"
        );
        let (said, silent) = (Config::parse("t", &text, true), Config::parse("t", "", true));
        let (said, silent) = (said.unwrap(), silent.unwrap());
        assert_eq!(said.server.differences(&silent.server), Vec::<&str>::new());
        assert_eq!(said.server.listen, silent.server.listen);
        assert_eq!(said.patience().usual, silent.patience().usual);
    }

    #[test]
    fn nothing_in_it_is_null() {
        assert!(!schema().to_string().contains("null"));
    }
}
