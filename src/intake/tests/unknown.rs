//! Members that the schema does not have.

use serde_json::json;

use super::{super::*, contents, event, intake_with};

const KEEP: UnknownFields = UnknownFields::Keep;
const REFUSE: UnknownFields = UnknownFields::Refuse;

fn register(intake: &Intake, space: Option<&Space>, unknown_fields: UnknownFields) {
    let registration =
        Registration { actions: vec!["a".to_owned()], defaults: None, unknown_fields: Some(unknown_fields) };
    intake.registry().register("p", space, registration, |_| Ok::<_, RegisterError>(())).unwrap();
}

fn accept(intake: &Intake, space: Option<&Space>, body: &str) -> Accepted {
    intake.accept(&Author::anyone(), space, body.as_bytes()).unwrap()
}

#[test]
fn kept_fields_are_in_one_object_by_their_paths_in_canonical_form() {
    let (intake, _folder) = intake_with(serde_json::Value::Null);
    let intake = intake.with_unknown_fields(KEEP);
    let extra = r#", "zeta": {"b": [1.0, null, 9007199254740993, -1E400, {"y":"caf\u00e9"}], "a": 1e2}, "event.mood": "good", "app.tenant": 7,
        "error": {"deep": {"er": true}}, "kibana.saved_objects": [{"id":"1"}, {"id":"2","color":"red"}]"#;
    let accepted = accept(&intake, None, &event(&extra.replace('\n', " ")));
    let content = &contents(&accepted)[0];
    let expected = json!({
        "app.tenant": 7, "error.deep": {"er": true}, "event.mood": "good",
        "kibana.saved_objects[1].color": "red", "zeta": {"a": 100, "b": [1, null, "9007199254740993", "-1E400", {"y": "café"}]},
    });
    assert_eq!(content["annals"]["unmapped"], expected);
    assert_eq!(content["kibana"]["saved_objects"], json!([{"id": "1"}, {"id": "2"}]));
    assert!(content.get("error").is_none() && content.get("zeta").is_none());
    let text = String::from_utf8_lossy(accepted.contents.iter().next().unwrap().bytes).into_owned();
    assert!(text.contains(r#""unmapped":{"app.tenant":7,"error.deep":{"er":true},"event.mood""#), "{text}");
    assert_eq!(accepted.unmapped, BTreeMap::from([("p".to_owned(), 5)]));
}

#[test]
fn bad_names_and_texts_of_unknown_fields_are_repaired_and_stay_apart() {
    let (intake, _folder) = intake_with(serde_json::Value::Null);
    let intake = intake.with_unknown_fields(KEEP);
    for (extra, expected) in [
        (r#","x\ud800":1,"x\ufffd":2"#, json!({"x\u{fffd}": 2, "x\u{fffd}#2": 1})),
        (r#","y":{"a\u0000":"\ud800"}"#, json!({"y": {"a\u{fffd}": "\u{fffd}"}})),
    ] {
        let content = &contents(&accept(&intake, None, &event(extra)))[0];
        assert_eq!(content["annals"]["unmapped"], expected);
        assert_eq!(content["annals"]["repaired"], json!(["annals.unmapped"]));
    }
}

#[test]
fn keeping_unknown_fields_excuses_no_other_mistake() {
    let (intake, _folder) = intake_with(serde_json::Value::Null);
    let intake = intake.with_unknown_fields(KEEP);
    let refused = |extra: &str| match accept(&intake, None, &event(extra)).items.remove(0) {
        Item::Rejected(violations) => violations.into_iter().map(|violation| violation.to_string()).collect::<Vec<_>>(),
        item => panic!("{extra}: {item:?}"),
    };
    assert_eq!(refused(r#","message":7,"x":1"#), ["message: expected a text, found 7"]);
    assert_eq!(
        refused(r#","annals.unmapped":{}"#),
        ["annals.unmapped: expected nothing, because the log sets it, found an object"]
    );
    assert_eq!(refused(r#","x":1,"x":2"#), ["expected members with different names, found \"x\" twice"]);
    assert_eq!(
        refused(r#","event.x":1,"event.x":2"#),
        ["expected members with different names, found \"event.x\" twice"]
    );
    assert_eq!(
        refused(r#","a":1,"b":1,"c":1,"d":1,"e":1,"f":1"#),
        ["expected at most 5 unknown fields, found 6 unknown fields"]
    );
    let depth = format!(r#","x":{}{}"#, "[".repeat(9), "]".repeat(9));
    assert!(!refused(&depth).is_empty());
}

#[test]
fn a_provider_chooses_for_its_space_over_the_configuration() {
    let team = Space::parse("team").unwrap();
    for (setting, fixed, own, in_team, elsewhere) in [
        (REFUSE, None, None, false, false),
        (KEEP, None, None, true, true),
        (REFUSE, None, Some(KEEP), true, false),
        (KEEP, None, Some(REFUSE), false, true),
        (REFUSE, Some(KEEP), None, true, true),
        (KEEP, Some(REFUSE), Some(KEEP), true, false),
    ] {
        let (intake, folder) = intake_with(serde_json::Value::Null);
        let intake = intake.with_unknown_fields(setting);
        if let Some(fixed) = fixed {
            let registration =
                Registration { actions: vec!["a".to_owned()], defaults: None, unknown_fields: Some(fixed) };
            intake.registry().add_fixed("p", registration).unwrap();
        }
        if let Some(own) = own {
            register(&intake, team.as_ref(), own);
            let stored = Registry::open(folder.path().join("providers.json"), Limits::default()).unwrap();
            assert_eq!(stored.list(team.as_ref())["p"].unknown_fields, Some(own));
        }
        let is_kept = |space| accept(&intake, space, &event(r#","x":1"#)).items[0].is_accepted();
        assert_eq!((is_kept(team.as_ref()), is_kept(None)), (in_team, elsewhere), "{setting:?} {fixed:?} {own:?}");
    }
}

#[test]
fn if_only_some_providers_keep_them_others_get_the_same_errors_as_ever() {
    let (strict, _folder) = intake_with(serde_json::Value::Null);
    let (lenient, _other_folder) = intake_with(serde_json::Value::Null);
    let registration = Registration { actions: vec!["a".to_owned()], defaults: None, unknown_fields: Some(KEEP) };
    lenient.registry().register("q", None, registration, |_| Ok::<_, RegisterError>(())).unwrap();
    let body = event(r#","mesage":1,"zzzzzz":{"a":[1]},"event.durration":2"#);
    let items = |intake: &Intake| accept(intake, None, &body).items;
    assert_eq!(items(&strict), items(&lenient));
    let unregistered = r#"{"event":{"provider":"nobody","action":"a"},"x":1}"#;
    let paths: Vec<_> = accept(&lenient, None, unregistered).items[0].violations().unwrap().to_vec();
    assert_eq!(paths.iter().map(|violation| violation.path.as_str()).collect::<Vec<_>>(), ["x", "event.provider"]);
}
