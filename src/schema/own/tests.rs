#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::schema::{Member, Schema};

const TICKET: &str = "\"acme.ticket\" = { kind = \"keyword\", about = \"Ticket.\" }\n";

fn read(lines: &str) -> Result<Vec<OwnField>, Vec<String>> {
    parse(&format!("[custom]\n{lines}")).map_err(|mistakes| mistakes.iter().map(ToString::to_string).collect())
}

#[track_caller]
fn mistake(lines: &str) -> String {
    let mistakes = read(lines).unwrap_err();
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    mistakes.into_iter().next().unwrap()
}

/// What is wrong with a field in line 2 that has these keys besides its description.
#[track_caller]
fn wrong(keys: &str) -> String {
    let found = mistake(&format!("\"acme.x\" = {{ about = \"x\", {keys} }}"));
    found.strip_prefix("line 2: acme.x: ").unwrap_or_else(|| panic!("{found}")).to_owned()
}

#[test]
fn a_field_has_the_keys_of_fields_toml() {
    let text = "# Ours.\n\"acme.stage\" = { kind = \"keyword\", about = \" Stage. \", multi = true, max_bytes = 10, also = \"text\", \
                one_of = [\"a\", \"b\"], scalar = true, example = [\"a\"] }\n";
    let stage = OwnField {
        path: "acme.stage".to_owned(),
        kind: Kind::Keyword,
        multi: true,
        takes_scalars: true,
        max_bytes: 10,
        search: Search::ValueAndWords,
        about: "Stage.".to_owned(),
        one_of: vec!["a".to_owned(), "b".to_owned()],
        example: Some(serde_json::json!(["a"])),
    };
    assert_eq!(read(text), Ok(vec![stage]));
    let ticket = &read(TICKET).unwrap()[0];
    assert_eq!((ticket.max_bytes, ticket.search, ticket.multi), (LONGEST_TERM, Search::Value, false));
    let unindexed = TICKET.replace("about", "index = false, about");
    assert_eq!((read(&unindexed).unwrap()[0].max_bytes, read(&unindexed).unwrap()[0].search), (0, Search::Never));
    assert_eq!(parse(""), Ok(Vec::new()));
    for (name, kind) in KINDS {
        let found = read(&format!("\"acme.x\" = {{ kind = \"{name}\", about = \"x\" }}")).unwrap();
        assert_eq!(found[0].kind, kind);
    }
}

/// A field of a kind is in the schema as the generator would have put it there.
#[test]
fn a_field_is_as_the_generated_ones_of_its_kind() {
    for (keys, like) in [
        ("kind = \"keyword\"", "host.name"),
        ("kind = \"keyword\", multi = true", "tags"),
        ("kind = \"keyword\", also = \"text\"", "user.name"),
        ("kind = \"keyword\", index = false", "event.original"),
        ("kind = \"keyword\", index = false, also = \"text\"", "error.stack_trace"),
        ("kind = \"text\", also = \"keyword\"", "message"),
        ("kind = \"long\"", "host.uptime"),
        ("kind = \"long64\"", "event.duration"),
        ("kind = \"float\"", "event.risk_score"),
        ("kind = \"boolean\"", "process.interactive"),
        ("kind = \"date\"", "event.created"),
        ("kind = \"date_range\"", "kibana.alert.rule.gap.range"),
        ("kind = \"ip\"", "client.ip"),
        ("kind = \"geo_point\"", "client.geo.location"),
        ("kind = \"flattened\"", "http.request.headers"),
        ("kind = \"json\"", "annals.payload"),
    ] {
        let own = read(&format!("\"acme.x\" = {{ {keys}, about = \"x\" }}")).unwrap();
        let like = crate::schema::field(like).unwrap();
        assert_eq!(own[0].to_field(), Field { path: "acme.x", ..like.clone() }, "{keys}");
    }
}

#[test]
fn a_wrong_key_or_value_is_named_with_what_was_expected() {
    let kinds =
        "keyword, text, long, long64, float, boolean, date, date_range, ip, geo_point, version, flattened, json";
    let keys = "kind, about, multi, max_bytes, index, also, one_of, scalar, example";
    let keyword = |more: &str| wrong(&format!("kind = \"keyword\", {more}"));
    for (found, expected) in [
        (wrong("multi = false"), format!("kind: expected one of {kinds}, found nothing")),
        (wrong("kind = \"keywrd\""), format!("kind: expected one of {kinds}, found \"keywrd\"; did you mean keyword?")),
        (wrong("kind = \"nested\""), format!("kind: expected one of {kinds}, found \"nested\"")),
        (wrong("kind = 1"), format!("kind: expected one of {kinds}, found 1")),
        (keyword("multy = true"), format!("expected only the keys {keys}, found multy; did you mean multi?")),
        (keyword("set_by = \"client\""), format!("expected only the keys {keys}, found set_by")),
        (keyword("required = true"), format!("expected only the keys {keys}, found required")),
        (keyword("multi = 1"), "multi: expected true or false, found 1".to_owned()),
        (keyword("one_of = [1]"), "one_of: expected a list of texts, found [1]".to_owned()),
        (keyword("one_of = []"), "one_of: expected a list of texts, found []".to_owned()),
        (keyword("also = \"keyword\""), "also: expected \"text\", found \"keyword\"".to_owned()),
        (keyword("max_bytes = -1"), format!("max_bytes: expected an integer from 0 to {LONGEST_TERM}, found -1")),
        (keyword("max_bytes = 32767"), format!("max_bytes: expected an integer from 0 to {LONGEST_TERM}, found 32767")),
        (wrong("kind = \"json\", multi = true"), "multi: expected false for this kind, found true".to_owned()),
        (wrong("kind = \"geo_point\", multi = true"), "multi: expected false for this kind, found true".to_owned()),
        (
            wrong("kind = \"long\", also = \"text\""),
            "also: expected it only with the kinds keyword and text, found \"text\"".to_owned(),
        ),
        (
            wrong("kind = \"long\", max_bytes = 1"),
            "max_bytes: expected it only with the kinds keyword and text, found 1".to_owned(),
        ),
        (
            wrong("kind = \"text\", index = false"),
            "index: expected only with the kind keyword, found it with another".to_owned(),
        ),
        (
            wrong("kind = \"long\", scalar = true"),
            "scalar: expected only with the kind keyword, found it with another".to_owned(),
        ),
        (
            wrong("kind = \"long\", one_of = [\"a\"]"),
            "one_of: expected only with the kind keyword, found it with another".to_owned(),
        ),
    ] {
        assert_eq!(found, expected);
    }
    let about = |about: &str| mistake(&format!("\"acme.x\" = {{ kind = \"long\"{about} }}"));
    assert_eq!(about(""), "line 2: acme.x: about: expected a description, found nothing");
    assert_eq!(about(", about = \" \""), "line 2: acme.x: about: expected a description, found \" \"");
}

#[test]
fn a_path_that_events_have_already_or_cannot_have_is_refused() {
    let name = "expected a path of names that begin with a lower-case letter and go on with lower-case letters, digits and \
                underscores, joined by dots";
    for (path, expected) in [
        ("host.name", "expected a path that events do not have, found a field of ECS"),
        ("user", "expected a path that events do not have, found an object of ECS"),
        ("message.keyword", "expected a path that is not within another field, found message"),
        ("labels.acme", "expected a path that is not within another field, found labels"),
        ("http.request.headers.x", "expected a path that is not within another field, found http.request.headers"),
        ("threat.enrichments.x", "expected a path outside arrays of objects, found it within threat.enrichments"),
        ("annals.x", "expected a path outside annals, ecs, kibana, found annals"),
        ("kibana.alert.x", "expected a path outside annals, ecs, kibana, found kibana"),
        ("ecs", "expected a path outside annals, ecs, kibana, found ecs"),
        ("", name),
        ("acme.", name),
        ("acme..x", name),
        ("Acme.x", name),
        ("acme.1x", name),
        ("acme-x", name),
        ("@acme", name),
        ("acme.ä", name),
    ] {
        let found = mistake(&format!("\"{path}\" = {{ kind = \"long\", about = \"x\" }}"));
        assert_eq!(found, format!("line 2: {path}: {expected}"));
    }
    let long = "a".repeat(256);
    let found = mistake(&format!("\"{long}\" = {{ kind = \"long\", about = \"x\" }}"));
    assert!(found.ends_with("expected a path of at most 255 bytes, found 256") && found.len() < 200, "{found}");
    for path in ["acme", "user.desk", "client.user.desk", "a_1.b2"] {
        assert!(read(&format!("\"{path}\" = {{ kind = \"long\", about = \"x\" }}")).is_ok(), "{path}");
    }
}

#[test]
fn a_mistake_of_the_file_names_its_line() {
    for (text, expected) in [
        ("[custom]\n\"a\" = {\n", "line 2: not TOML: "),
        (&format!("[custom]\n{TICKET}{TICKET}"), "line 3: not TOML: duplicate key"),
        ("# x\n[fields]\n", "line 2: expected only the table [custom], found fields"),
        ("custom = 1\n", "line 1: expected only the table [custom], found custom"),
        ("[custom]\n\"acme.x\" = \"keyword\"\n", "line 2: acme.x: expected a table such as"),
        (
            "[custom]\nacme.ticket = { kind = \"keyword\", about = \"x\" }\n",
            "line 2: acme: expected the whole path in quotes, such as \"acme.ticket\", found tables",
        ),
        (
            "[custom.\"acme.x\"]\nkind = \"long\"\nabout = \"x\"\nmulti = 3\n",
            "line 1: acme.x: multi: expected true or false, found 3",
        ),
    ] {
        let mistakes = parse(text).unwrap_err();
        assert!(mistakes.len() == 1 && mistakes[0].to_string().starts_with(expected), "{mistakes:?}");
    }
    let all = read("\"b\" = { kind = \"x\" }\n\"acme.A\" = { kind = \"long\", about = \"x\" }\n").unwrap_err();
    let lines: Vec<_> = all.iter().map(|mistake| mistake.split_once(':').unwrap().0).collect();
    assert_eq!(lines, ["line 2", "line 2", "line 3"], "all of them, in the order of the file: {all:?}");
}

#[test]
fn a_field_is_not_within_another_one() {
    let found = mistake(&format!("{TICKET}\"acme.ticket.id\" = {{ kind = \"long\", about = \"x\" }}\n"));
    let expected = "line 3: acme.ticket.id: expected a path that is not within another field, found acme.ticket";
    assert_eq!(found, expected);
}

/// The engines count fields, objects and second indexes of fields.
#[test]
fn the_fields_fit_into_an_index() {
    for (template, name) in [
        (include_str!("../../../mappings/elasticsearch.json"), "elasticsearch"),
        (include_str!("../../../mappings/opensearch.json"), "opensearch"),
    ] {
        let template: serde_json::Value = serde_json::from_str(template).unwrap();
        let limit = template.pointer("/template/settings/index/mapping/total_fields/limit").unwrap();
        assert_eq!(limit, MAX_MAPPED, "{name}");
        assert_eq!(count(template.pointer("/template/mappings").unwrap()), mapped_fields().count, "{name}");
    }
    let room = MAX_MAPPED - mapped_fields().count;
    let field =
        |number: usize, also: &str| format!("\"acme.f{number}\" = {{ kind = \"keyword\", about = \"x\"{also} }}\n");
    // The object takes a place, too.
    let lines: String = (1..room).map(|number| field(number, "")).collect();
    assert_eq!(read(&lines).unwrap().len(), room - 1);
    let expected = format!(
        "line {}: acme.f1: expected at most {MAX_MAPPED} fields and objects in total, with those of ECS, found more",
        room
    );
    let lines: String =
        (1..room).rev().map(|number| field(number, if number == 1 { ", also = \"text\"" } else { "" })).collect();
    assert_eq!(mistake(&lines), expected);
    assert_eq!(read(&(lines + &field(room, ""))).unwrap_err().len(), 1, "reported once");
}

fn count(mapping: &serde_json::Value) -> usize {
    let members =
        |name: &str| mapping.get(name).and_then(serde_json::Value::as_object).into_iter().flat_map(|it| it.values());
    members("properties").chain(members("fields")).map(|inner| 1 + count(inner)).sum()
}

#[test]
fn a_schema_with_own_fields_is_in_canonical_order_and_finds_them() {
    let own = read(&format!(
        "{TICKET}\"user.desk\" = {{ kind = \"long\", about = \"x\" }}\n\"zz\" = {{ kind = \"date\", about = \"x\" }}\n"
    ));
    let schema = Schema::with(own.unwrap());
    assert!(schema.fields.iter().map(|field| field.path).is_sorted());
    assert_eq!(schema.fields.len(), FIELDS.len() + 3);
    for (index, field) in schema.fields.iter().enumerate() {
        let Some(Member::Field(found) | Member::Array(found, _)) = schema.tree.find(field.path) else {
            panic!("{}", field.path)
        };
        assert_eq!(found.index(), index, "{}", field.path);
    }
    let ticket = schema.fields.iter().position(|field| field.path == "acme.ticket").unwrap();
    assert_eq!(ticket, 1, "directly behind @timestamp");
    assert!(matches!(schema.tree.find("acme"), Some(Member::Object(_))));
    assert_eq!(schema.tree.find("acme.other"), None);
    let without = Schema::with(Vec::new());
    assert_eq!(without.fields.as_ptr(), FIELDS.as_ptr(), "not copied");
}

#[test]
fn an_object_may_have_more_names_than_a_byte_can_number() {
    let lines: String = (0..300).map(|n| format!("\"acme.f{n}\" = {{ kind = \"long\", about = \"x\" }}\n")).collect();
    let schema = Schema::with(read(&lines).unwrap());
    assert!((0..300).all(|n| schema.tree.find(&format!("acme.f{n}")).is_some()));
}
