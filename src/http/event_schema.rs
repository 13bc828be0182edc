//! The JSON Schema of an event: the generated one, with the operator's own fields.

use serde_json::{Map, Value, json};

use crate::schema::{Kind, OwnField};

const GENERATED: &str = include_str!("../../docs/event.schema.json");

/// Greatest integer that is exact in JavaScript.
const MAX_SAFE: i64 = (1 << 53) - 1;
/// Greatest number that is finite in 32 bits.
const GREATEST_FLOAT: f64 = 3.402_823_567_797_336_2e38;

/// Returns the schema as indented JSON with a newline at the end.
pub(super) fn text(own: &[OwnField]) -> serde_json::Result<String> {
    if own.is_empty() {
        return Ok(GENERATED.to_owned());
    }
    let mut schema: Value = serde_json::from_str(GENERATED)?;
    let definitions = schema.get("$defs").cloned().unwrap_or_default();
    for field in own {
        add(&mut schema, &field.path, describe(field), &definitions);
    }
    Ok(serde_json::to_string_pretty(&schema)? + "\n")
}

/// Adds a property to the object at a path below this one.
fn add(object: &mut Value, path: &str, described: Value, definitions: &Value) {
    // The other places of the same object do not have the property.
    if let Some(definition) = definition(object, definitions) {
        *object = definition.clone();
    }
    let Some(Value::Object(properties)) = object.get_mut("properties") else { return };
    match path.split_once('.') {
        None => drop(properties.insert(path.to_owned(), described)),
        Some((first, rest)) => {
            let object = || json!({"type": "object", "properties": {}, "additionalProperties": false});
            add(properties.entry(first).or_insert_with(object), rest, described, definitions);
        }
    }
}

/// Returns the definition that a schema refers to, if it refers to any.
fn definition<'d>(schema: &Value, definitions: &'d Value) -> Option<&'d Value> {
    definitions.get(schema.get("$ref")?.as_str()?.strip_prefix("#/$defs/")?)
}

fn describe(field: &OwnField) -> Value {
    let mut value = if field.one_of.is_empty() { of_kind(field) } else { object(json!({"enum": field.one_of})) };
    if field.max_bytes > 0 && value.get("type").is_some_and(|kind| kind == "string") {
        value.insert("maxLength".to_owned(), field.max_bytes.into());
    }
    if field.multi {
        // A single value is taken as an array of one.
        value = object(json!({"anyOf": [{"type": "array", "items": value.clone()}, value]}));
    }
    value.insert("description".to_owned(), field.about.as_str().into());
    if let Some(example) = &field.example {
        value.insert("examples".to_owned(), json!([example]));
    }
    value.into()
}

fn of_kind(field: &OwnField) -> Map<String, Value> {
    let number = r"(0|[1-9]\d*)";
    let names = r"[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*";
    let date = json!({"type": "string", "format": "date-time"});
    let latitude = json!({"type": "number", "minimum": -90, "maximum": 90});
    let longitude = json!({"type": "number", "minimum": -180, "maximum": 180});
    object(match field.kind {
        Kind::Keyword if field.takes_scalars => json!({"type": ["string", "number", "boolean"]}),
        Kind::Keyword | Kind::Text => json!({"type": "string"}),
        Kind::Date => date,
        Kind::DateRange => {
            json!({"type": "object", "properties": {"gte": date, "lte": date}, "required": ["gte", "lte"]})
        }
        Kind::Long => json!({"type": "integer", "minimum": -MAX_SAFE, "maximum": MAX_SAFE}),
        Kind::Long64 => json!({"anyOf": [
            {"type": "integer", "minimum": i64::MIN, "maximum": i64::MAX},
            {"type": "string", "pattern": "^(0|-?[1-9][0-9]{0,18})$"},
        ]}),
        Kind::Float => json!({"type": "number", "minimum": -GREATEST_FLOAT, "maximum": GREATEST_FLOAT}),
        Kind::Boolean => json!({"type": "boolean"}),
        Kind::Ip => json!({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}),
        Kind::GeoPoint => json!({"anyOf": [
            {"type": "object", "properties": {"lat": latitude, "lon": longitude}, "required": ["lat", "lon"]},
            {"type": "array", "prefixItems": [longitude, latitude], "minItems": 2, "items": false},
            {"type": "string", "pattern": r"^-?[0-9.]+, ?-?[0-9.]+$"},
        ]}),
        Kind::Version => {
            json!({"type": "string", "pattern": format!(r"^{number}\.{number}\.{number}(-{names})?(\+{names})?$")})
        }
        Kind::Labels | Kind::Flattened => json!({"type": "object"}),
        Kind::Json | Kind::Nested | Kind::Objects => json!({}),
    })
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
mod tests {
    use super::*;
    use crate::schema::{self, Field, SetBy};

    fn described_at<'s>(path: &str, root: &'s Value) -> &'s Value {
        let mut found = root;
        for name in path.split('.') {
            let object = found.get("anyOf").map_or(found, |either| &either[1]);
            let object = definition(object, &root["$defs"]).unwrap_or(object);
            found = &object["properties"][name];
        }
        definition(found, &root["$defs"]).unwrap_or(found)
    }

    #[test]
    fn a_field_is_described_as_the_generated_schema_describes_it() {
        let root: Value = serde_json::from_str(GENERATED).unwrap();
        let is_alike = |field: &&Field| {
            field.set_by == SetBy::Client && !matches!(field.kind, Kind::Labels | Kind::Nested | Kind::Objects)
        };
        let mut compared = 0;
        for field in schema::fields().iter().filter(is_alike) {
            let mut generated = described_at(field.path, &root).clone();
            generated.as_object_mut().unwrap().remove("minLength");
            let one_of =
                |found: &Value| found.as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect();
            let own = OwnField {
                path: field.path.to_owned(),
                kind: field.kind,
                multi: field.multi,
                takes_scalars: field.takes_scalars,
                max_bytes: field.max_bytes,
                search: field.search,
                about: generated["description"].as_str().unwrap().to_owned(),
                one_of: generated.get("enum").map(one_of).unwrap_or_default(),
                example: None,
            };
            assert_eq!(describe(&own), generated, "{}", field.path);
            compared += 1;
        }
        assert!(compared > 2_000);
    }

    #[test]
    fn own_fields_are_added_in_their_place_only() {
        let own = "[custom]\n\"acme.ticket\" = { kind = \"keyword\", about = \"Ticket.\", one_of = [\"a\"] }\n\
                   \"client.user.desk\" = { kind = \"long\", multi = true, about = \"Desks.\", example = [1] }\n";
        let schema: Value = serde_json::from_str(&text(&schema::parse_own(own).unwrap()).unwrap()).unwrap();
        assert_eq!(described_at("acme.ticket", &schema), &json!({"description": "Ticket.", "enum": ["a"]}));
        assert_eq!(schema["properties"]["acme"]["additionalProperties"], json!(false));
        let desk = json!({"type": "integer", "minimum": -MAX_SAFE, "maximum": MAX_SAFE});
        let expected =
            json!({"description": "Desks.", "anyOf": [{"type": "array", "items": desk}, desk], "examples": [[1]]});
        assert_eq!(described_at("client.user.desk", &schema), &expected);
        assert_eq!(described_at("client.user.name", &schema)["type"], "string", "what was there stays");
        assert!(described_at("server.user", &schema)["properties"].get("desk").is_none());
        assert_eq!(text(&[]).unwrap(), GENERATED);
    }
}
