//! Where events belong, and who logged them.

use serde_json::{Value, json};

use super::{super::*, accept, contents, event, intake_with, violations};

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
    for path in ["annals.principal.name", "annals.principal.realm", "annals.node", "annals.kind", "annals.sequence"] {
        assert_eq!(violations(&event(&format!(r#","{path}":"x""#)))[0].0, path);
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
