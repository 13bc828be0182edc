//! Where events belong, and who logged them.

use std::collections::BTreeSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{super::*, FixedClock, accept, contents, event, intake_with, registration, violations};

#[test]
fn references_belong_to_the_space_of_the_request() {
    let (intake, _folder) = intake_with(Value::Null);
    let space = Space::parse("red").unwrap();
    let references = |space: Option<&Space>, references: &str| {
        let body = event(&format!(r#","kibana":{{"saved_objects":{references}}}"#));
        let accepted = intake.accept(&Author::anyone(), space, body.as_bytes()).unwrap();
        contents(&accepted).first().map(|content| content["kibana"].clone())
    };
    let filled =
        references(space.as_ref(), r#"[{"rel":"primary","type":"t","id":"1"},{"space_agnostic":true,"id":"2"}]"#)
            .unwrap();
    assert_eq!(
        filled["saved_objects"],
        json!([{"id":"1","namespace":"red","rel":"primary","type":"t"}, {"id":"2","space_agnostic":true}])
    );
    assert_eq!(filled["space_ids"], json!(["red"]));
    assert_eq!(references(space.as_ref(), r#"[{"namespace":"blue","id":"1"}]"#), None);
    assert_eq!(
        references(space.as_ref(), r#"[{"namespace":"default","id":"1"}]"#).unwrap()["saved_objects"][0]["namespace"],
        "red"
    );
    assert_eq!(
        references(None, r#"[{"namespace":"default","id":"1"}]"#).unwrap()["saved_objects"],
        json!([{"id":"1"}])
    );
    assert_eq!(
        references(None, r#"[{"namespace":"blue","id":"1"}]"#).unwrap()["saved_objects"][0]["namespace"],
        "blue"
    );
}

#[test]
fn an_event_without_spaces_belongs_to_those_of_its_primary_objects() {
    let (intake, _folder) = intake_with(Value::Null);
    let spaces = |kibana: &str| {
        let body = event(&format!(r#","kibana":{{{kibana}}}"#));
        contents(&intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap())[0]["kibana"]["space_ids"].clone()
    };
    let primary = |more: &str| format!(r#"{{"rel":"primary","type":"t","id":"1"{more}}}"#);
    let (red, blue) = (primary(r#","namespace":"red""#), primary(r#","namespace":"blue""#));
    let everywhere = primary(r#","namespace":"green","space_agnostic":true"#);
    let default = primary("");
    for (references, expected) in [
        (red.clone(), json!(["red"])),
        (format!("{red},{blue},{red},{everywhere}"), json!(["red", "blue"])),
        (format!("{default},{red}"), json!(["default", "red"])),
        (default, json!(["default"])),
        (everywhere, json!(["default"])),
        (red.replace(r#""rel":"primary","#, ""), json!(["default"])),
        (primary(r#","namespace":"No Space""#), json!(["default"])),
    ] {
        assert_eq!(spaces(&format!(r#""saved_objects":[{references}]"#)), expected, "{references}");
    }
    assert_eq!(spaces(&format!(r#""saved_objects":[{red}],"space_ids":["blue"]"#)), json!(["blue"]));
    assert_eq!(spaces(&format!(r#""saved_objects":[{red}],"space_ids":[]"#)), json!(["red"]));
}

#[test]
fn an_event_says_who_logged_it_and_where() {
    let (intake, _folder) = intake_with(Value::Null);
    let long = format!("{}é", "x".repeat(1_023));
    let scope = Author::anyone().scope;
    for (name, kept) in [("bob \"x\"", "bob \"x\""), (long.as_str(), &long[..1_023])] {
        let author = Author::new(name.to_owned(), "oidc", scope.clone());
        let annals = contents(&intake.accept(&author, None, event("").as_bytes()).unwrap())[0]["annals"].clone();
        assert_eq!(annals["principal"], json!({"name": kept, "realm": "oidc"}));
        assert_eq!(annals["node"], "node-1");
    }
    for name in ["principal.name", "principal.realm", "node", "kind", "sequence", "objects", "object_types"] {
        let path = format!("annals.{name}");
        assert_eq!(violations(&event(&format!(r#","{path}":"x""#)))[0].0, path);
    }
}

/// What `annals.objects` and `annals.object_types` of an event with these references are.
fn flat_objects(references: &Value) -> [Value; 2] {
    let (intake, _folder) = intake_with(Value::Null);
    let body = event(&format!(r#","kibana":{{"saved_objects":{references}}}"#));
    let annals = contents(&intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap())[0]["annals"].clone();
    ["objects", "object_types"].map(|name| annals[name].clone())
}

#[test]
fn an_event_has_a_flat_copy_of_its_primary_objects() {
    let primary = |object_type: &str, id: &str| json!({"rel": "primary", "type": object_type, "id": id, "name": "n"});
    let (rule, other) = (primary("rule", "7"), primary("order", "é\"\\,}:1"));
    for (references, objects, types) in [
        (json!([rule]), json!(["rule:7"]), json!(["rule"])),
        (json!([other]), json!(["order:é\"\\,}:1"]), json!(["order"])),
        (json!([{"id": "7", "rel": "primary", "type": "rule"}]), json!(["rule:7"]), json!(["rule"])),
        (json!([{"id": "7", "rel": "primary", "type": "a\"b"}]), json!(["a\"b:7"]), json!(["a\"b"])),
        (json!([{"id": "7", "rel": "primary", "type": "rule", "type_id": "x"}]), json!(["rule:7"]), json!(["rule"])),
        (json!([rule, other, rule]), json!(["order:é\"\\,}:1", "rule:7"]), json!(["order", "rule"])),
        (json!([rule, primary("rule", "10")]), json!(["rule:10", "rule:7"]), json!(["rule"])),
        (
            json!([{"type": "rule", "id": "8"}, {"rel": "primary", "type": "rule"}, {"rel": "primary", "id": "9"}, {}]),
            Value::Null,
            Value::Null,
        ),
        (
            json!([{}, {"type": "a", "id": "b"}, {"rel": "primary", "type": "t", "id": "", "space_agnostic": false, "type_id": "x"}]),
            json!(["t:"]),
            json!(["t"]),
        ),
        (json!([]), Value::Null, Value::Null),
    ] {
        assert_eq!(flat_objects(&references), [objects, types], "{references}");
    }
}

/// An event may have many objects, in whatever order, many times each.
#[test]
fn many_objects_are_copied_once_each() {
    let folder = tempfile::tempdir().unwrap();
    let registry = Registry::open(folder.path().join("providers.json"), Limits::default()).unwrap();
    registry.register("p", None, registration(&["a"], Value::Null), |_| Ok::<_, RegisterError>(())).unwrap();
    let source = Source { node: "n".to_owned(), server_uuid: "u".to_owned(), version: "1.2.3".to_owned() };
    let intake = Intake::new(Arc::new(registry), Limits::default(), Arc::new(FixedClock), &source);
    let references: Vec<Value> = (0..900)
        .map(|n| json!({"rel": "primary", "type": format!("t{}", n % 3), "id": format!("{:03}", n * 7 % 450)}))
        .collect();
    let body = event(&format!(r#","kibana.saved_objects":{}"#, json!(references)));
    let annals = contents(&intake.accept(&Author::anyone(), None, body.as_bytes()).unwrap())[0]["annals"].clone();
    let expected: BTreeSet<String> = references
        .iter()
        .map(|one| format!("{}:{}", one["type"].as_str().unwrap(), one["id"].as_str().unwrap()))
        .collect();
    assert_eq!(annals["objects"], json!(expected));
    assert_eq!(annals["object_types"], json!(["t0", "t1", "t2"]));
}

/// Texts with everything that JSON and the copy itself use as signs.
fn text() -> impl Strategy<Value = Option<String>> {
    prop::option::of("[ab\"\\\\:,{}é\n]{0,3}")
}

proptest! {
    #[test]
    fn the_flat_copy_has_exactly_the_primary_objects(
        references in prop::collection::vec((any::<bool>(), text(), text(), text()), 0..5),
    ) {
        let mut objects = BTreeSet::new();
        let mut spelt = Vec::new();
        for (is_primary, object_type, id, name) in references {
            if let (true, Some(object_type), Some(id)) = (is_primary, &object_type, &id) {
                objects.insert((object_type.clone(), id.clone()));
            }
            let rel = is_primary.then(|| "primary".to_owned());
            let members = [("type", object_type), ("rel", rel), ("name", name), ("id", id)];
            spelt.push(members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect());
        }
        let texts: BTreeSet<_> = objects.iter().map(|(object_type, id)| format!("{object_type}:{id}")).collect();
        let types: BTreeSet<_> = objects.into_iter().map(|(object_type, _)| object_type).collect();
        let as_set = |value: Value| match value {
            Value::Null => BTreeSet::new(),
            value => {
                let texts: Vec<String> = serde_json::from_value(value).unwrap();
                let set: BTreeSet<_> = texts.iter().cloned().collect();
                assert!(!texts.is_empty() && set.len() == texts.len(), "{texts:?}");
                set
            }
        };
        prop_assert_eq!(flat_objects(&Value::Array(spelt)).map(as_set), [texts, types]);
    }
}

#[test]
fn fields_that_the_log_owns_are_replaced() {
    let accepted = accept(&event(r#","ecs":{"version":"0"},"kibana":{"server_uuid":5,"version":"9.9.9"}"#));
    let content = &contents(&accepted)[0];
    assert_eq!(content["ecs"]["version"], ECS_VERSION);
    assert_eq!(content["kibana"]["server_uuid"], "uuid");
    assert_eq!(content["kibana"]["version"], "1.2.3");
}
