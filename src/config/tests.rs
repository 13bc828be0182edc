#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::{fs, path::PathBuf, time::Duration};

use super::{
    Config, Flag, Invalid, LogFormat, Overflow, Sources, Store, paths,
    setting::{DefaultValue, Setting, SettingKind, StoreKind},
    settings::SETTINGS,
};
use crate::store::elastic::ElasticConfig;

/// The layers of one test, including a file that lives as long as they do.
struct Layers {
    sources: Sources,
    folder: tempfile::TempDir,
}

fn layers() -> Layers {
    Layers { sources: Sources::default(), folder: tempfile::tempdir().unwrap() }
}

impl Layers {
    fn file(mut self, text: &str) -> Self {
        let path = self.folder.path().join("annals.toml");
        fs::write(&path, text).unwrap();
        self.sources.file = Some(path);
        self
    }

    fn environment(mut self, variable: &str, value: &str) -> Self {
        self.sources.environment.push((variable.to_owned(), value.to_owned()));
        self
    }

    fn set(mut self, key: &str, value: &str) -> Self {
        self.sources.flags.push(Flag { name: "--set".to_owned(), key: key.to_owned(), value: value.to_owned() });
        self
    }

    fn load(&self) -> Result<Config, Invalid> {
        Config::load(&self.sources)
    }

    fn show(&self) -> String {
        Config::load_with_origins(&self.sources).unwrap().1.to_string()
    }

    /// Returns the problems, one per line, without the folder.
    fn problems(&self) -> String {
        let shown = self.load().map(drop).unwrap_err().to_string();
        shown.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[track_caller]
fn check_problems(layers: &Layers, expected: &[&str]) {
    assert_eq!(layers.problems().lines().collect::<Vec<_>>(), expected);
}

#[test]
fn without_configuration_there_is_one_sqlite_store_in_the_data_folder() {
    let config = layers().load().unwrap();
    assert_eq!(config.query.store, "sqlite");
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:6780");
    assert_eq!(config.journal.max_bytes.as_u64(), 4 << 30);
    assert_eq!(config.stores.len(), 1);
    match config.stores.get("sqlite") {
        Some(Store::Sqlite(store)) => assert_eq!(store.path, PathBuf::from("annals-data/events.db")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_default_store_follows_the_data_folder() {
    let shown = layers().environment("ANNALS_DATA_DIR", "/var/lib/annals").show();
    assert!(shown.contains("stores.sqlite.path = \"/var/lib/annals/events.db\"  # default\n"), "{shown}");
}

#[test]
fn a_later_layer_wins_key_by_key() {
    let file = "log.format = \"json\"\nserver.max_depth = 8\njournal.overflow = \"drop\"\n";
    let layers = layers()
        .file(file)
        .environment("ANNALS_SERVER__MAX_DEPTH", "9")
        .environment("ANNALS_JOURNAL__OVERFLOW", "drop")
        .set("journal.overflow", "reject");
    let config = layers.load().unwrap();
    assert_eq!(config.log.format, LogFormat::Json);
    assert_eq!(config.server.max_depth, 9);
    assert_eq!(config.journal.overflow, Overflow::Reject);
    let shown = layers.show();
    assert!(shown.contains("annals.toml line 1\n"), "{shown}");
    assert!(shown.contains("server.max_depth = 9  # environment ANNALS_SERVER__MAX_DEPTH\n"), "{shown}");
    assert!(shown.contains("journal.overflow = \"reject\"  # flag --set\n"), "{shown}");
}

#[test]
fn unknown_keys_are_refused_by_their_full_name_in_every_layer() {
    let layers = layers()
        .file("[server]\nlistn = \"127.0.0.1:1\"\n[serve]\nlisten = \"127.0.0.1:1\"\n\n[colours]\n")
        .environment("ANNALS_SERVER__MAX_DEPHT", "9")
        .environment("ANNALS_DATADIR", "x")
        .environment("ANNALS_LISTEN", "127.0.0.1:1")
        .set("listen", "127.0.0.1:1")
        .set("stores.main.uls", "http://127.0.0.1:9200")
        .set("nonsense at all", "1");
    let unknown = [
        "annals.toml line 2: unknown key server.listn; did you mean server.listen?",
        "annals.toml line 4: unknown key serve.listen; did you mean server.listen?",
        "annals.toml line 6: unknown key colours",
        "environment ANNALS_DATADIR: unknown key datadir; did you mean data_dir?",
        "environment ANNALS_LISTEN: unknown key listen; did you mean server.listen?",
        "environment ANNALS_SERVER__MAX_DEPHT: unknown key server.max_depht; did you mean server.max_depth?",
        "flag --set: unknown key listen; did you mean server.listen?",
        "flag --set: unknown key stores.main.uls; did you mean stores.main.urls?",
        "flag --set: unknown key \"nonsense at all\"",
    ];
    check_problems(&layers, &unknown);
}

#[test]
fn foreign_variables_with_our_prefix_are_ignored() {
    let layers = layers()
        .environment("ANNALS_PORT", "tcp://10.0.0.1:6780")
        .environment("ANNALS_PORT_6780_TCP_ADDR", "10.0.0.1")
        .environment("ANNALS_SERVICE_HOST", "10.0.0.1")
        .environment("ANNALS_SERVICE_PORT_HTTP", "6780")
        .environment("ANNALS_CONFIG", "annals.toml")
        .environment("ANNALS_ENGINES_DIR", "engines")
        .environment("ANNALS_URL", "http://127.0.0.1:6780")
        .environment("ANNALS_API_KEY", "x");
    assert!(layers.load().is_ok());
}

#[test]
fn wrong_values_name_key_expectation_finding_and_layer() {
    let layers = layers()
        .file("server = 3\n[log]\nlevel = \"loud\"\nevents = \"yes\"\n[journal]\nmax_bytes = 64\nsegment_bytes = { a = 1 }\n")
        .environment("ANNALS_SERVER__MAX_DEPTH", "deep")
        .set("server.request_timeout", "30")
        .set("server.listen", "localhost");
    let wrong = [
        "annals.toml line 1: server: expected a table, found an integer",
        "annals.toml line 7: journal.segment_bytes: expected a size above zero with its unit, such as \"64mb\" \
         (b, kb, mb, gb, tb), found a table (with journal.segment_bytes.a)",
        "annals.toml line 3: log.level: expected one of \"error\", \"warn\", \"info\", \"debug\", \"trace\", found the text \"loud\"",
        "annals.toml line 4: log.events: expected true or false, found the text \"yes\"",
        "annals.toml line 6: journal.max_bytes: expected a size above zero with its unit, such as \"64mb\" \
         (b, kb, mb, gb, tb), found the number 64",
        "environment ANNALS_SERVER__MAX_DEPTH: server.max_depth: expected an integer from 4 to 128, found the text \"deep\"",
        "flag --set: server.request_timeout: expected a duration of at least 1ms with its unit, such as \"30s\", \
         \"1h 30m\" or \"7d\", found the text \"30\"",
        "flag --set: server.listen: expected an IP address and port such as \"127.0.0.1:6780\", found the text \"localhost\"",
    ];
    check_problems(&layers, &wrong);
}

#[test]
fn a_broken_file_is_named_with_the_line() {
    let layers = layers().file("[server]\nlisten = \n");
    assert!(layers.problems().starts_with("annals.toml: line 2: not TOML: "), "{}", layers.problems());
}

#[test]
fn a_file_that_is_named_must_exist_and_the_usual_one_need_not() {
    let missing = Some(PathBuf::from("absent/annals.toml"));
    assert!(Config::load(&Sources { usual_file: missing.clone(), ..Sources::default() }).is_ok());
    let refused = Config::load(&Sources { file: missing, ..Sources::default() }).unwrap_err().to_string();
    assert!(refused.starts_with("absent/annals.toml: the file cannot be read: "), "{refused}");
}

/// Returns the layers of a store of kind `elasticsearch` with these lines.
fn engine(lines: &str) -> Layers {
    layers().file(&format!("[stores.main]\nkind = \"elasticsearch\"\n{lines}\n"))
}

const NODE: &str = "urls = [\"http://127.0.0.1:9200\"]";

#[test]
fn two_ways_of_authentication_are_an_error_that_names_both() {
    let auth = "auth.basic = { login = \"a\", password = \"b\" }\nauth.bearer.token = \"c\"";
    let expected = "stores.main.auth: expected one kind of credentials, found auth.basic and auth.bearer";
    check_problems(&engine(&format!("{NODE}\n{auth}")), &[expected]);
}

#[test]
fn incomplete_credentials_are_an_error() {
    let check = |auth: &str, expected: &str| check_problems(&engine(&format!("{NODE}\n{auth}")), &[expected]);
    let password = "stores.main.auth.basic.password or auth.basic.password_file: expected one of them, found neither";
    check("auth.basic.login = \"a\"", password);
    check("auth.basic.password = \"a\"", "stores.main.auth.basic.login: not set, but the rest of its section is");
    let key = "stores.main.auth.api_key: expected an id and a key, or both in one, found an id alone";
    check("auth.api_key.id = \"a\"", key);
}

#[test]
fn a_store_is_addressed_in_one_way() {
    let expected = |found: &str| format!("stores.main.urls or cloud_id: expected one of them, found {found}");
    check_problems(&engine(""), &[&expected("neither")]);
    check_problems(&engine(&format!("{NODE}\ncloud_id = \"n:x\"")), &[&expected("both")]);
    let expected = "stores.main.cloud_id: expected \"name:\" and the Base64 text that the cloud console shows";
    check_problems(&engine("cloud_id = \"n:!\"\nauth.bearer.token = \"c\""), &[expected]);
    let expected = "stores.main.cloud_id: a cloud deployment requires auth, which is not set";
    check_problems(&engine("cloud_id = \"n:ZXUkYWJj\""), &[expected]);
}

#[test]
fn all_problems_of_a_store_and_its_files_are_reported_at_once() {
    let layers = engine(
        "url = \"x\"\nurls = [\"http://127.0.0.1:9200\"]\nca_file = \"absent/ca.pem\"\nindex_prefix = \"A\"\n\
         auth.basic = { login = \"a\", password_file = \"absent/password\" }",
    );
    let expected = [
        "annals.toml line 3: stores.main.url: expected no such key, for the store is of the kind \"elasticsearch\", found a \
         value",
        "stores.main.index_prefix: expected 1 to 64 lower-case letters, digits, dots, hyphens and underscores, the first of \
         which is not a hyphen or underscore, without the part \"-event-log\", found \"A\"",
        "stores.main.auth.basic.password_file: cannot read absent/password: No such file or directory (os error 2)",
        "stores.main.ca_file: cannot read absent/ca.pem: No such file or directory (os error 2)",
        "seal.secret_file: cannot use absent/seal: No such file or directory (os error 2)",
    ];
    check_problems(&layers.set("seal.secret_file", "absent/seal"), &expected);
}

#[test]
fn own_fields_are_read_and_every_mistake_in_them_is_a_problem() {
    let own = layers();
    let path = own.folder.path().join("fields.toml");
    let own = own.set("events.fields_file", path.to_str().unwrap());
    check_problems(&own, &["events.fields_file: cannot read fields.toml: No such file or directory (os error 2)"]);
    fs::write(&path, "[custom]\n\"acme.n\" = { kind = \"long\", about = \"N.\" }\n").unwrap();
    let fields = own.load().unwrap().own_fields;
    assert_eq!(fields.iter().map(|field| field.path.as_str()).collect::<Vec<_>>(), ["acme.n"]);
    fs::write(
        &path,
        "[custom]\n\"acme.n\" = { kind = \"long\" }\n\"host.name\" = { kind = \"long\", about = \"x\" }\n",
    )
    .unwrap();
    check_problems(
        &own.set("journal.segment_bytes", "3gb"),
        &[
            "journal.segment_bytes (3gb) is more than half of journal.max_bytes (4gb)",
            "fields.toml: line 2: acme.n: about: expected a description, found nothing",
            "fields.toml: line 3: host.name: expected a path that events do not have, found a field of ECS",
        ],
    );
    assert!(layers().load().unwrap().own_fields.is_empty());
}

#[test]
fn the_size_of_rejected_events_is_0_or_has_room_for_one() {
    let size = |layers: Layers| layers.load().unwrap().events.rejected_bytes.as_u64();
    assert_eq!(size(layers()), 16 << 20);
    assert_eq!(size(layers().set("events.rejected_bytes", "0")), 0);
    assert_eq!(size(layers().file("events.rejected_bytes = 0")), 0);
    assert_eq!(size(layers().set("events.rejected_bytes", "1mb")), 1 << 20);
    let small = layers().set("events.rejected_bytes", "1023kb");
    check_problems(&small, &["events.rejected_bytes (1023kb) is neither 0 nor at least 1mb"]);
    let wrong = layers().file("events.rejected_bytes = 1");
    let expected = "annals.toml line 1: events.rejected_bytes: expected a size above zero with its unit, such as \"64mb\" \
                    (b, kb, mb, gb, tb), or 0, found the number 1";
    check_problems(&wrong, &[expected]);
}

#[test]
fn queries_may_be_stale_for_0_to_60_seconds() {
    let staleness = |layers: Layers| layers.load().unwrap().query.max_staleness;
    assert_eq!(staleness(layers()), Duration::from_secs(1));
    for (text, millis) in [("0s", 0), ("250ms", 250), ("1m", 60_000)] {
        assert_eq!(staleness(layers().set("query.max_staleness", text)), Duration::from_millis(millis));
    }
    for wrong in ["60001ms", "1us"] {
        let expected = format!(
            "flag --set: query.max_staleness: expected a duration from 0s to 60s with its unit, such as \"500ms\", found the \
             text \"{wrong}\""
        );
        check_problems(&layers().set("query.max_staleness", wrong), &[&expected]);
    }
}

#[test]
fn the_data_folder_is_known_despite_other_problems() {
    let folder = |layers: &Layers| Config::data_dir_of(&layers.sources).unwrap();
    assert_eq!(folder(&layers()), PathBuf::from("annals-data"));
    let wrong = layers().file("data_dir = \"mine\"\nstores.main.kind = \"odd\"\n");
    assert_eq!(folder(&wrong), PathBuf::from("mine"));
}

#[test]
fn impossible_stores_are_refused() {
    let layers = layers()
        .set("stores.Main.kind", "sqlite")
        .set("stores.other.path", "x.db")
        .set("stores.third.kind", "sqlite")
        .set("stores.third.urls", "http://127.0.0.1:9200");
    let problems = [
        "stores.\"Main\": expected a name of lower-case letters, digits, hyphens and underscores",
        "stores.other.kind: not set; expected one of \"sqlite\", \"elasticsearch\", \"postgres\"",
        "flag --set: stores.third.urls: expected no such key, for the store is of the kind \"sqlite\", found a value",
    ];
    check_problems(&layers, &problems);
}

#[test]
fn contradictory_values_are_refused() {
    let layers = layers()
        .set("server.max_event_bytes", "32mb")
        .set("server.memory_limit", "1mb")
        .set("journal.segment_bytes", "3gb")
        .set("query.store", "main")
        .set("stores.a.kind", "sqlite")
        .set("stores.b.kind", "sqlite");
    let problems = [
        "server.max_event_bytes (32mb) is more than server.max_batch_bytes (16mb)",
        "server.memory_limit (1mb) is less than 512mb, which requests of server.max_batch_bytes (16mb) need",
        "journal.segment_bytes (3gb) is more than half of journal.max_bytes (4gb)",
        "query.store: no store is named \"main\"; expected one of a, b",
        "stores.a and stores.b share the file annals-data/events.db",
    ];
    check_problems(&layers, &problems);
}

#[test]
fn the_store_named_first_answers_queries() {
    let layers = layers().file(
        "[stores.zebra]\nkind = \"sqlite\"\n[stores.ant]\nkind = \"elasticsearch\"\nurls = [\"http://127.0.0.1:9200\"]\n",
    );
    assert_eq!(layers.load().unwrap().query.store, "zebra");
}

#[test]
fn secrets_are_shown_nowhere() {
    let url = "https://elastic:hunter2@node:9200";
    let wrong = layers().set("stores.main.kind", "elasticsearch").set("stores.main.urls", url);
    let problems = wrong.problems();
    assert!(problems.contains("[redacted]@node:9200") && !problems.contains("hunter2"), "{problems}");

    let right = layers()
        .set("stores.main.kind", "elasticsearch")
        .set("stores.main.urls", "https://node:9200")
        .set("stores.main.auth.api_key.id", "me")
        .environment("ANNALS_STORES__MAIN__AUTH__API_KEY__KEY", "hunter2");
    let config = right.load().unwrap();
    assert!(everything(&config).ends_with(" hunter2"));
    assert!(!format!("{config:?}{}", right.show()).contains("hunter2"));
    assert!(right.show().contains("stores.main.auth.api_key.key = \"[redacted]\""), "{}", right.show());

    let query = "https://node:9200/?token=hunter2";
    let wrong = layers().set("stores.main.kind", "elasticsearch").set("stores.main.urls", query).problems();
    assert!(wrong.contains("https://node:9200/?[redacted]") && !wrong.contains("hunter2"), "{wrong}");
    let issuer = layers().set("access.oidc.issuer", query).set("access.oidc.audience", "annals").show();
    assert!(issuer.contains("https://node:9200/?[redacted]") && !issuer.contains("hunter2"), "{issuer}");

    let not_text = layers().file("stores.main.auth.bearer.token = 48151623\n").problems();
    assert!(!not_text.contains("48151623"), "{not_text}");
}

#[test]
fn providers_come_from_the_file_under_any_name() {
    let layers = layers().file(
        "[providers.\"Admin.EventLog\"]\nactions = [\"Note\"]\n[providers.alerting]\nactions = [\"execute\"]\n\
         defaults = { event = { category = [\"process\"] }, labels.since = 2021-03-02 }\n",
    );
    let config = layers.load().unwrap();
    assert_eq!(config.providers.get("Admin.EventLog").unwrap().actions, ["Note"]);
    let defaults = serde_json::to_string(&config.providers.get("alerting").unwrap().defaults).unwrap();
    assert_eq!(defaults, r#"{"event":{"category":["process"]},"labels":{"since":"2021-03-02"}}"#);
}

#[test]
fn a_flag_sets_a_key_below_a_name_with_capitals_and_dots() {
    let layers = layers()
        .file("[providers.\"Admin.EventLog\"]\nactions = [\"Note\"]\n[providers.Other]\nactions = [\"Note\"]\n")
        .set("providers.\"Admin.EventLog\".actions", "first,second")
        .set("providers.\"New.One\".actions", "third");
    let config = layers.load().unwrap();
    assert_eq!(config.providers.keys().collect::<Vec<_>>(), ["Admin.EventLog", "New.One", "Other"]);
    assert_eq!(config.providers.get("Admin.EventLog").unwrap().actions, ["first", "second"]);
    let shown = layers.show();
    let line = "providers.\"Admin.EventLog\".actions = [\"first\", \"second\"]  # flag --set\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn a_table_replaces_the_table_of_a_weaker_layer() {
    let layers = layers()
        .file("[providers.shop]\nactions = [\"Note\"]\ndefaults = { message = \"a\", tags = [\"b\"] }\n")
        .environment("ANNALS_PROVIDERS__SHOP__DEFAULTS", "{\"message\":\"c\"}");
    let shown = layers.show();
    let line = "providers.shop.defaults = { message = \"c\" }  # environment ANNALS_PROVIDERS__SHOP__DEFAULTS\n";
    assert!(shown.contains(line), "{shown}");
}

#[test]
fn a_wrong_value_is_reported_though_a_stronger_layer_has_a_right_one() {
    let layers = layers().file("server.max_depth = 1\n").set("server.max_depth", "8");
    check_problems(
        &layers,
        &["annals.toml line 1: server.max_depth: expected an integer from 4 to 128, found the number 1"],
    );
}

#[test]
fn a_number_beyond_64_bits_is_named_with_its_line() {
    let problems = layers().file("[server]\nmax_depth = 99999999999999999999\n").problems();
    assert!(problems.starts_with("annals.toml: line 2: number too large"), "{problems}");
}

#[test]
fn what_is_shown_can_be_read_back() {
    let first = layers()
        .file("[providers.\"Admin.EventLog\"]\nactions = [\"Note\"]\ndefaults = { event = { kind = \"a \\\"b\\\" \\n\" } }\n")
        .set("stores.main.kind", "elasticsearch")
        .set("stores.main.urls", "https://node:9200,https://other:9200");
    let second = layers().file(&first.show());
    assert_eq!(format!("{:?}", first.load().unwrap()), format!("{:?}", second.load().unwrap()));
}

const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBQjCB9aADAgECAhRbJJqDAnx2a1X/0NVr5jrLNMsDDTAFBgMrZXAwFjEUMBIG\n\
A1UEAwwLYW5uYWxzLXRlc3QwIBcNMjYxMTI0MDMxNzU1WhgPMjEyNjEwMzEwMzE3\n\
NTVaMBYxFDASBgNVBAMMC2FubmFscy10ZXN0MCowBQYDK2VwAyEAVolGS0frrvup\n\
FmHilepEvvBZz5TLBxWsUYZ+wNaH4RCjUzBRMB0GA1UdDgQWBBStgLuPGHdKU56A\n\
dDDEByPia3FHPjAfBgNVHSMEGDAWgBStgLuPGHdKU56AdDDEByPia3FHPjAPBgNV\n\
HRMBAf8EBTADAQH/MAUGAytlcANBAAutNZKLUEySAAdQOpPmUkYA8zPLdpvP89Cf\n\
SQnIxLngMHY3MycmXCLOk9OUZVyyeDZTErFgWrmjMNVUyQ58qgY=\n\
-----END CERTIFICATE-----\n";

/// Returns a value for the key that is neither its default nor the one in [`surroundings`].
fn another_value(key: &Setting) -> String {
    match key.kind {
        SettingKind::Text if key.path == "stores.<name>.cloud_id" => "other:ZXUkYWJj".to_owned(),
        SettingKind::Text if matches!(key.path, "access.oidc.issuer" | "access.oidc.jwks_url") => {
            "http://other".to_owned()
        }
        SettingKind::Text if key.path == "access.elasticsearch.privilege" => "{type}".to_owned(),
        SettingKind::Text | SettingKind::Path => "other".to_owned(),
        SettingKind::Secret if key.path == "stores.<name>.url" => "postgres://other".to_owned(),
        SettingKind::Secret => "b3RoZXI=".to_owned(),
        SettingKind::Address => "127.0.0.2:1".to_owned(),
        SettingKind::Integer { min, .. } => (min + 5).to_string(),
        SettingKind::Boolean => (key.default != DefaultValue::Fixed("true")).to_string(),
        SettingKind::Duration => "77s".to_owned(),
        SettingKind::ShortDuration { .. } => "0s".to_owned(),
        SettingKind::Size if key.path == "server.memory_limit" => "700mb".to_owned(),
        SettingKind::Size | SettingKind::SizeOrZero => "3mb".to_owned(),
        SettingKind::Choice(_) if key.path == "access.rules.<name>.role" => "reader".to_owned(),
        SettingKind::Choice(_) if key.path == "access.authority" => "roles".to_owned(),
        SettingKind::ChoiceList(_) => "oidc,api_keys".to_owned(),
        SettingKind::Choice(names) => {
            names.iter().find(|name| key.default != DefaultValue::Fixed(name)).unwrap().to_string()
        }
        SettingKind::TextList => "one,two".to_owned(),
        SettingKind::NetworkList => "10.0.0.0/8".to_owned(),
        SettingKind::UrlList => "http://other:1".to_owned(),
        SettingKind::Object => "{\"a\":1}".to_owned(),
    }
}

/// Returns a file in which the key is allowed; `FOLDER` stands for the folder of the files it names.
fn surroundings(key: &Setting) -> String {
    let mut file = "journal.segment_bytes = \"1mb\"\nstores.other = { kind = \"sqlite\", path = \"b\" }\n".to_owned();
    let address = match key.path {
        "stores.<name>.cloud_id" => "cloud_id = \"a:ZXUkYWJj\"",
        _ => "urls = [\"http://a\"]",
    };
    let auth = match key.path.strip_prefix("stores.<name>.auth.") {
        Some("basic.password_file") => "basic = { login = \"a\", password_file = \"FOLDER/first\" }",
        Some("bearer.token") => "bearer.token = \"a\"",
        Some("bearer.token_file") => "bearer.token_file = \"FOLDER/first\"",
        Some("api_key.id" | "api_key.key") => "api_key = { id = \"a\", key = \"b\" }",
        Some("api_key.key_file") => "api_key = { id = \"a\", key_file = \"FOLDER/first\" }",
        Some("api_key.encoded") => "api_key.encoded = \"YQ==\"",
        Some("api_key.encoded_file") => "api_key.encoded_file = \"FOLDER/first\"",
        Some(_) | None => "basic = { login = \"a\", password = \"b\" }",
    };
    file += &match key.stores.last() {
        Some(StoreKind::Sqlite) => "[stores.x]\nkind = \"sqlite\"\n".to_owned(),
        Some(StoreKind::Elasticsearch) => {
            format!("[stores.x]\nkind = \"elasticsearch\"\n{address}\nauth.{auth}\n")
        }
        Some(StoreKind::Postgres) => {
            "[stores.x]\nkind = \"postgres\"\nhost = \"a\"\nuser = \"b\"\ndatabase = \"c\"\n".to_owned()
        }
        None if key.path.starts_with("server.tls.") => {
            "server.tls = { cert_file = \"FOLDER/first\", key_file = \"FOLDER/first\" }\n".to_owned()
        }
        None if key.path.starts_with("access.") => access(key).to_owned(),
        None if key.path.starts_with("providers.") => "[providers.x]\nactions = [\"a\"]\n".to_owned(),
        None => "query.store = \"sqlite\"\nstores.sqlite.kind = \"sqlite\"\nstores.sqlite.path = \"a\"\n".to_owned(),
    };
    file
}

fn access(key: &Setting) -> &'static str {
    match key.path {
        "access.authority" => "access.authority = \"kibana\"\naccess.kibana.urls = [\"http://a\"]\n",
        grants if grants.starts_with("access.grants.") => {
            "access.authority = \"grants\"\n\
             access.grants.x = { callers = [\"a\"], spaces = [\"a\"], types = [\"a\"] }\n"
        }
        "access.rules.<name>.providers" => {
            "access.authenticators = [\"api_keys\", \"oidc\"]\naccess.oidc = { issuer = \"http://a\", audience = [\"a\"] }\n\
             [access.rules.x]\nauthenticator = \"oidc\"\nvalues = [\"a\"]\nrole = \"writer\"\nspaces = [\"a\"]\nproviders = [\"a\"]\n"
        }
        _ => {
            "access.authenticators = [\"api_keys\", \"oidc\", \"kibana\", \"elasticsearch\"]\n\
             access.oidc = { issuer = \"http://a\", audience = [\"a\"] }\naccess.kibana.urls = [\"http://a\"]\n\
             access.elasticsearch.urls = [\"http://a\"]\n\
             [access.rules.x]\nauthenticator = \"oidc\"\nvalues = [\"a\"]\nrole = \"space-admin\"\nspaces = [\"a\"]\n"
        }
    }
}

#[test]
fn the_requirements_of_access_on_its_keys_are_checked() {
    let cases = [
        ("access.authenticators = [\"elasticsearch\"]", "access.elasticsearch.urls: not set"),
        ("access.authenticators = [\"kibana\"]", "access.kibana.urls: not set"),
        ("access.authenticators = [\"oidc\"]", "access.oidc.issuer: not set"),
        ("access.authenticators = [\"oidc\"]\naccess.oidc.issuer = \"https://a\"", "access.oidc.audience: not set"),
        (
            "access.authenticators = [\"oidc\"]\naccess.oidc.issuer = \"a\"",
            "access.oidc.issuer: \"a\": expected an http",
        ),
        (
            "access.authenticators = [\"oidc\"]\naccess.oidc.ca_file = \"/nowhere\"",
            "access.oidc.ca_file: cannot read /nowhere: No such file",
        ),
        (
            "access.authority = \"kibana\"\naccess.kibana.ca_file = \"Cargo.toml\"",
            "access.kibana.ca_file: expected PEM certificates in Cargo.toml",
        ),
        ("access.authenticators = [\"ldap\"]", "expected a list of some of \"api_keys\", \"elasticsearch\""),
        ("[access.rules.x]\nauthenticator = \"oidc\"\nrole = \"admin\"", "access.rules.x.values: not set"),
        (
            "[access.rules.x]\nauthenticator = \"oidc\"\nrole = \"admin\"\nvalues = [\"a\"]",
            "access.rules.x.authenticator: it is not in access.authenticators",
        ),
        (
            "[access.rules.x]\nauthenticator = \"oidc\"\nrole = \"reader\"\nvalues = [\"a\"]",
            "access.rules.x.spaces: expected the spaces of the reader",
        ),
        (
            "access.authority = \"elasticsearch\"",
            "access.elasticsearch.urls: not set, but access.authority is elasticsearch",
        ),
        ("access.authority = \"kibana\"", "access.kibana.urls: not set, but access.authority is kibana"),
        ("access.authority = \"grants\"", "access.grants: none"),
        ("server.tls.cert_file = \"/nowhere\"", "server.tls.key_file: not set"),
        ("server.tls.key_file = \"/nowhere\"", "server.tls.key_file: cannot read /nowhere"),
        ("access.elasticsearch.privilege = \"read\"", "access.elasticsearch.privilege: expected {type} in it"),
        (
            "[access.grants.x]\ncallers = [\"*\"]\nspaces = [\"Team\"]\ntypes = [\"*\"]",
            "access.grants.x.spaces: expected names of spaces",
        ),
        ("[providers.annals]\nactions = [\"find\"]", "providers.annals: the provider is the log's own"),
        ("server.trusted_proxies = [\"10.0.0.0/33\"]", "expected a list of addresses, or networks"),
        ("[access.rules.x]\nauthenticatr = \"oidc\"", "did you mean access.rules.x.authenticator?"),
    ];
    for (file, expected) in cases {
        let problems = layers().file(file).problems();
        assert!(problems.contains(expected), "{file}: {problems}");
    }
    let engine = "[stores.main]\nkind = \"elasticsearch\"\nurls = [\"https://node:9200\"]\n[access]\nauthenticators = [\"elasticsearch\"]";
    let config = layers().file(engine).load().unwrap();
    assert_eq!(config.access.elasticsearch.urls, ["https://node:9200"]);
}

/// Returns the whole configuration with its secrets, which `Debug` would leave out.
fn everything(config: &Config) -> String {
    let secrets = |ElasticConfig { auth, .. }: &ElasticConfig| {
        let basic = auth.basic.as_ref().and_then(|basic| basic.password.clone());
        let bearer = auth.bearer.as_ref().and_then(|bearer| bearer.token.clone());
        let key = auth.api_key.as_ref().and_then(|api_key| api_key.key.clone());
        let encoded = auth.api_key.as_ref().and_then(|api_key| api_key.encoded.clone());
        let given = [basic, bearer, key, encoded].into_iter().flatten();
        given.map(|secret| secret.expose().to_owned()).collect::<String>()
    };
    let secrets = config.stores.values().map(|store| match store {
        Store::Elasticsearch(engine) => secrets(engine),
        Store::Sqlite(_) => String::new(),
        Store::Postgres(postgres) => {
            let given = [postgres.url.clone(), postgres.password.clone()].into_iter().flatten();
            given.map(|secret| secret.expose().to_owned()).collect::<String>()
        }
    });
    format!("{config:?} {}", secrets.collect::<String>())
}

#[test]
fn every_key_of_the_table_can_be_set_from_the_environment_and_reaches_the_program() {
    // A store's kind determines which other keys it has; other tests set it.
    for key in SETTINGS.iter().filter(|key| key.path != "stores.<name>.kind") {
        let variable = key.environment_name().replace("<NAME>", "X");
        let files = tempfile::tempdir().unwrap();
        for file in ["first", "other"] {
            let text = match key.path {
                "events.fields_file" => "[custom]\n",
                path if path.ends_with("encoded_file") => "YQ==\n",
                _ => CERTIFICATE,
            };
            fs::write(files.path().join(file), text).unwrap();
        }
        let folder = files.path().to_str().unwrap();
        let value = match another_value(key) {
            file if key.path.ends_with("_file") => format!("{folder}/{file}"),
            value => value,
        };
        let before = layers().file(&surroundings(key).replace("FOLDER", folder));
        let after = layers().file(&surroundings(key).replace("FOLDER", folder)).environment(&variable, &value);
        let load = |layers: &Layers| layers.load().unwrap_or_else(|invalid| panic!("{}: {invalid}", key.path));
        assert_ne!(everything(&load(&before)), everything(&load(&after)), "{} changes nothing", key.path);
    }
}

#[test]
fn the_defaults_of_the_table_pass_its_own_checks_and_each_key_is_documented_once() {
    for (index, key) in SETTINGS.iter().enumerate() {
        assert!(key.doc.ends_with('.') && key.doc.len() > 10, "{} has no documentation", key.path);
        assert!(SETTINGS.iter().skip(index + 1).all(|other| other.path != key.path), "{} stands twice", key.path);
        if let DefaultValue::Fixed(text) = key.default {
            assert_eq!(key.kind.check(&key.kind.value_of(text)), Ok(()), "{}", key.path);
        }
    }
    assert!(matches!(paths::look_up(&paths::KeyPath(vec!["server".to_owned()])), paths::Lookup::Section));
}
