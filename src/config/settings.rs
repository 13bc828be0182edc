//! The table of all keys: names, kinds of values, and defaults.
//!
//! Values are checked against this table, and the reference (`docs/configuration.md`) is generated from it. `<name>`
//! stands for a name that the operator chooses.

use super::setting::{
    DefaultValue::{Fixed, Required, Unset},
    Setting, SettingKind, StoreKind, elastic, integer, of, postgres, setting, sqlite,
};
use crate::access::{AuthenticatorKind, AuthorityKind, Role};

/// Every key, section by section.
pub const SETTINGS: &[Setting] = &[
    setting(
        "data_dir",
        SettingKind::Path,
        Fixed("annals-data"),
        "The writer's own folder: keys, journal, chains, registered providers, and the SQLite store unless it is placed \
         elsewhere. One running writer per folder.",
    ),
    setting(
        "server.listen",
        SettingKind::Address,
        Fixed("127.0.0.1:6780"),
        "The address on which HTTP is served; port 0 selects a free one.",
    ),
    setting(
        "server.max_batch_bytes",
        SettingKind::Size,
        Fixed("16mb"),
        "The maximum size of a request body, after decompression; a larger one is answered with 413.",
    ),
    setting(
        "server.max_batch_events",
        integer(1, 1_000_000),
        Fixed("10000"),
        "The maximum number of events in one request.",
    ),
    setting(
        "server.max_event_bytes",
        SettingKind::Size,
        Fixed("1mb"),
        "The maximum size of a single event, as it was sent.",
    ),
    setting("server.max_depth", integer(4, 128), Fixed("32"), "How deep objects and arrays of an event may be nested."),
    setting(
        "server.max_array_length",
        integer(1, 100_000),
        Fixed("1000"),
        "The maximum number of elements in an array of an event, such as `tags`; an array of objects, such as \
         `kibana.saved_objects`, has at most 5000.",
    ),
    setting(
        "server.request_timeout",
        SettingKind::Duration,
        Fixed("30s"),
        "How long one request may take, including reading its body.",
    ),
    setting(
        "server.shutdown_timeout",
        SettingKind::Duration,
        Fixed("10s"),
        "How long the shutdown waits for open requests and for shipping; events that are left stay in the journal.",
    ),
    setting(
        "server.memory_limit",
        SettingKind::Size,
        Fixed("512mb"),
        "The maximum size of everything together that callers send, request and are sent; the program itself and its stores take \
         some more. One caller may use a share of it; requests beyond that wait, and are answered with 503 when their time is over \
         (see [operations.md](operations.md#memory)). At least 391mb, and 32 times `server.max_batch_bytes`.",
    ),
    setting(
        "server.connections_per_address",
        integer(1, 1024),
        Fixed("256"),
        "How many connections one client address (for IPv6, one /64) may have open at once; in total it is 1024, half as \
         many as the process may have files, or one for each 512kb of `server.memory_limit`, whichever is least. A further one is \
         closed without an answer, and counted in `annals_http_refused_connections_total`. `server.trusted_proxies` are exempt.",
    ),
    setting(
        "server.exports_per_caller",
        integer(1, 8),
        Fixed("4"),
        "How many exports one caller may have running at once; the total is limited to eight. Others are answered with 429.",
    ),
    setting(
        "server.tails_per_caller",
        integer(1, 64),
        Fixed("16"),
        "How many tails one caller may have running at once; the total is limited to 64. Others are answered with 429.",
    ),
    setting(
        "server.tls.cert_file",
        SettingKind::Path,
        Unset("plain HTTP is served"),
        "PEM file of the server's certificate and its chain; with `server.tls.key_file`. A change is noticed within seconds.",
    ),
    setting(
        "server.tls.key_file",
        SettingKind::Path,
        Unset("plain HTTP is served"),
        "PEM file of the certificate's key.",
    ),
    setting(
        "server.trusted_proxies",
        SettingKind::NetworkList,
        Unset("no proxy is trusted"),
        "Addresses or networks of the proxies in front of this log, such as `[\"10.0.0.0/8\"]`. The client addresses that they \
         report are trusted.",
    ),
    setting(
        "server.proxy_header",
        SettingKind::Choice(&["x-forwarded-for", "forwarded"]),
        Fixed("x-forwarded-for"),
        "The header in which these proxies report the client's address; the other one is ignored, because the client can set \
         it.",
    ),
    setting(
        "log.level",
        SettingKind::Choice(&["error", "warn", "info", "debug", "trace"]),
        Fixed("info"),
        "The minimum level of the program's own log.",
    ),
    setting(
        "log.format",
        SettingKind::Choice(&["text", "json"]),
        Fixed("text"),
        "The format of the program's own log, on standard error: for people, or one JSON object per line.",
    ),
    setting(
        "log.events",
        SettingKind::Boolean,
        Fixed("false"),
        "Copy each valid event to the program's own log as well (Kibana's `logEntries`).",
    ),
    setting(
        "events.enabled",
        SettingKind::Boolean,
        Fixed("true"),
        "With `false` the event log is off (Kibana's `enabled`): events are checked and answered, valid ones with the status \
         `not_kept`, but not kept. The log's own start and end are not logged either. Events that were kept before can be \
         found.",
    ),
    setting(
        "events.keep",
        SettingKind::Boolean,
        Fixed("true"),
        "With `false` events are not made durable and reach no store (Kibana's `indexEntries`); they are checked, answered \
         with `not_kept` and, with `log.events`, copied to the program's own log, including those of the log's own start and \
         end.",
    ),
    setting(
        "events.unknown_fields",
        SettingKind::Choice(&["refuse", "keep"]),
        Fixed("refuse"),
        "What is done with fields that the log does not know: `refuse` rejects the event, so that a misspelt name is found at \
         once; `keep` moves them to `annals.unmapped`, where they are sealed, stored and shown, but cannot be searched. \
         A provider may differ: see `providers.<name>.unknown_fields`, and `unknown_fields` of a registration.",
    ),
    setting(
        "events.repeat_window",
        SettingKind::Duration,
        Fixed("10m"),
        "For how long an event that came with its own `event.id` is recognized if the same caller sends it again, for the same \
         provider and in a request to the same space: the answer is then `duplicate` with the first one's receipt.",
    ),
    setting(
        "events.repeat_count",
        integer(0, 10_000_000),
        Fixed("100000"),
        "How many events are remembered for that, at most; about 120 bytes of memory each. `0` switches it off. Each of the \
         journal's files begins with them, in an eighth of `journal.segment_bytes` at most, which limits the number too.",
    ),
    setting(
        "events.on_bad_text",
        SettingKind::Choice(&["repair", "refuse"]),
        Fixed("repair"),
        "Whether a text that no store can keep or find as it is gets [repaired](fields.md#texts-that-are-repaired), or the event is refused.",
    ),
    setting(
        "events.rejected_bytes",
        SettingKind::SizeOrZero,
        Fixed("16mb"),
        "The size of the files in `data_dir` with the newest events that were rejected, for `annals rejected`: `0`, or at least 1mb.",
    ),
    setting(
        "events.fields_file",
        SettingKind::Path,
        Unset("events have the fields of [fields.md](fields.md) only"),
        "TOML file with fields of your own that events may have too ([own fields](own-fields.md)); read at the start.",
    ),
    setting(
        "journal.max_bytes",
        SettingKind::Size,
        Fixed("4gb"),
        "The maximum size on disk of the events that wait for a store; beyond it, `journal.overflow` decides.",
    ),
    setting("journal.segment_bytes", SettingKind::Size, Fixed("64mb"), "The size of one file of the journal."),
    setting(
        "journal.overflow",
        SettingKind::Choice(&["reject", "drop"]),
        Fixed("reject"),
        "What happens to new events when the journal is full: `reject` answers 429 with `Retry-After`; `drop` accepts the \
         request, discards the events, and counts and logs each.",
    ),
    setting(
        "seal.chaining",
        SettingKind::Boolean,
        Fixed("true"),
        "Whether events are hashed, linked and sealed. With `false` they are only numbered, and changes to them cannot be \
         detected; each change of this key begins a new chain that names the previous one.",
    ),
    setting(
        "seal.epoch",
        SettingKind::Duration,
        Fixed("1h"),
        "How long one sealing key is used before the next is derived and the old one discarded.",
    ),
    setting(
        "seal.secret_file",
        SettingKind::Path,
        Unset("created at the first start, in `data_dir`"),
        "A file with the sealing secret of the installation, in the place where other deployment secrets are kept.",
    ),
    setting(
        "node.name",
        SettingKind::Text,
        Unset("the name of the host"),
        "`annals.node` of each event: the name of this node among those that log to the same stores.",
    ),
    setting(
        "writer.version",
        SettingKind::Text,
        Unset("the program's own version"),
        "`kibana.version` of each event: the version of the product that logs it.",
    ),
    setting(
        "writer.max_clock_jump",
        SettingKind::Duration,
        Fixed("1h"),
        "How far the clock may jump ahead while the program runs. While it is further ahead, events are refused with \
         `clock_jumped`, as all later ones would be dated after them; once it is set back, they are accepted. A start takes \
         the clock as it is.",
    ),
    setting(
        "stores.<name>.kind",
        SettingKind::Choice(StoreKind::NAMES),
        Required,
        "The kind of the store; `elasticsearch` also stands for OpenSearch. Without any configured store there is one of kind \
         `sqlite`, named `sqlite`.",
    ),
    sqlite("stores.<name>.path", SettingKind::Path, Unset("`events.db` in `data_dir`"), "The database file."),
    of(
        &[StoreKind::Sqlite, StoreKind::Postgres],
        setting(
            "stores.<name>.query_timeout",
            SettingKind::Duration,
            Fixed("30s"),
            "How long a query may take before it is cancelled.",
        ),
    ),
    sqlite(
        "stores.<name>.concurrent_queries",
        integer(1, 64),
        Fixed("4"),
        "How many queries run at a time; further ones wait for their turn.",
    ),
    elastic(
        "stores.<name>.urls",
        SettingKind::UrlList,
        Unset("`cloud_id` is used"),
        "The nodes, such as `[\"https://node-1:9200\", \"https://node-2:9200\"]`.",
    ),
    elastic(
        "stores.<name>.cloud_id",
        SettingKind::Text,
        Unset("`urls` is used"),
        "The id of an Elastic Cloud deployment, instead of `urls`; requires `auth`.",
    ),
    elastic(
        "stores.<name>.auth.basic.login",
        SettingKind::Text,
        Unset("none"),
        "Name of the user; with `auth.basic.password` or `auth.basic.password_file`. At most one of `auth.basic`, \
         `auth.bearer` and `auth.api_key` may be set.",
    ),
    elastic("stores.<name>.auth.basic.password", SettingKind::Secret, Unset("none"), "Password of the user."),
    elastic(
        "stores.<name>.auth.basic.password_file",
        SettingKind::Path,
        Unset("none"),
        "A file with the password of the user, instead of `auth.basic.password`.",
    ),
    elastic("stores.<name>.auth.bearer.token", SettingKind::Secret, Unset("none"), "Bearer token."),
    elastic(
        "stores.<name>.auth.bearer.token_file",
        SettingKind::Path,
        Unset("none"),
        "A file with the bearer token, instead of `auth.bearer.token`.",
    ),
    elastic(
        "stores.<name>.auth.api_key.id",
        SettingKind::Text,
        Unset("none"),
        "Id of the API key; with `auth.api_key.key` or `auth.api_key.key_file`.",
    ),
    elastic("stores.<name>.auth.api_key.key", SettingKind::Secret, Unset("none"), "The API key."),
    elastic(
        "stores.<name>.auth.api_key.key_file",
        SettingKind::Path,
        Unset("none"),
        "A file with the API key, instead of `auth.api_key.key`.",
    ),
    elastic(
        "stores.<name>.auth.api_key.encoded",
        SettingKind::Secret,
        Unset("none"),
        "Id and key together, in Base64, as the engine returns them; instead of `auth.api_key.id` and its key.",
    ),
    elastic(
        "stores.<name>.auth.api_key.encoded_file",
        SettingKind::Path,
        Unset("none"),
        "A file with id and key together, instead of `auth.api_key.encoded`.",
    ),
    of(
        &[StoreKind::Elasticsearch, StoreKind::Postgres],
        setting(
            "stores.<name>.ca_file",
            SettingKind::Path,
            Unset("the public authorities"),
            "PEM file of the authorities that may have signed the certificates of the nodes or of the server.",
        ),
    ),
    elastic("stores.<name>.request_timeout", SettingKind::Duration, Fixed("30s"), "How long a query or set-up takes."),
    elastic("stores.<name>.bulk_timeout", SettingKind::Duration, Fixed("60s"), "How long one bulk request may take."),
    elastic("stores.<name>.bulk_bytes", SettingKind::Size, Fixed("2mb"), "The size at which a bulk request is sent."),
    elastic("stores.<name>.concurrency", integer(1, 32), Fixed("4"), "The maximum number of bulk requests in flight."),
    elastic(
        "stores.<name>.index_prefix",
        SettingKind::Text,
        Fixed(".annals"),
        "The prefix of the names of indices, templates and the policy; `.kibana` results in Kibana's own names.",
    ),
    elastic(
        "stores.<name>.version",
        SettingKind::Text,
        Unset("the program's own version"),
        "The version in the names of indices.",
    ),
    postgres(
        "stores.<name>.url",
        SettingKind::Secret,
        Unset("`host`, `user` and `database` are used"),
        "Address, user and name of the database: `postgres://user:password@host:port/database`. Never shown, because it may \
         contain a password. The next keys set the parts separately, and take precedence.",
    ),
    postgres("stores.<name>.host", SettingKind::Text, Unset("as in `url`"), "The server, or the folder of its socket."),
    postgres("stores.<name>.port", integer(1, 65_535), Unset("as in `url`, or 5432"), "The server's port."),
    postgres("stores.<name>.user", SettingKind::Text, Unset("as in `url`"), "Name of the user."),
    postgres("stores.<name>.password", SettingKind::Secret, Unset("as in `url`"), "Password of the user."),
    postgres(
        "stores.<name>.password_file",
        SettingKind::Path,
        Unset("none"),
        "A file with the password of the user, instead of `password`.",
    ),
    postgres("stores.<name>.database", SettingKind::Text, Unset("as in `url`"), "Name of the database."),
    postgres(
        "stores.<name>.schema",
        SettingKind::Text,
        Fixed("annals"),
        "The schema of the tables. It is created if it is absent, and belongs to Annals.",
    ),
    postgres(
        "stores.<name>.tls",
        SettingKind::Choice(&["required", "off"]),
        Fixed("required"),
        "Whether connections are encrypted and the server's certificate is checked. `off` is for a server on the same machine.",
    ),
    postgres(
        "stores.<name>.connections",
        integer(2, 256),
        Fixed("8"),
        "The maximum number of connections; operations that need another one wait.",
    ),
    postgres(
        "stores.<name>.connect_timeout",
        SettingKind::Duration,
        Fixed("5s"),
        "How long establishing a connection may take.",
    ),
    postgres("stores.<name>.append_timeout", SettingKind::Duration, Fixed("60s"), "How long one append may take."),
    setting(
        "query.store",
        SettingKind::Text,
        Unset("the only store, or the one named first"),
        "The name of the store that answers queries.",
    ),
    setting(
        "query.max_staleness",
        SettingKind::ShortDuration { max_seconds: 60 },
        Fixed("1s"),
        "How long ago `query.store` may have confirmed an event that a query does not see yet. With `0s` queries see everything \
         that was confirmed when they began, as exports always do. The shorter, the more often Elasticsearch and OpenSearch \
         refresh ([what that costs](operations.md#what-queries-see)); SQLite and PostgreSQL always show everything.",
    ),
    setting(
        "access.authenticators",
        SettingKind::ChoiceList(AuthenticatorKind::NAMES),
        Fixed("api_keys"),
        "The systems that are asked to identify a caller, in this order; the first that knows the caller decides.",
    ),
    setting(
        "access.authority",
        SettingKind::Choice(AuthorityKind::NAMES),
        Fixed("roles"),
        "What decides whether a `reader` may read the events of a saved object: `roles` (no reader may), `grants` \
         (`access.grants`), `elasticsearch` (Kibana's privileges, which are kept there) or `kibana` (whether it returns the \
         object to the caller).",
    ),
    setting(
        "access.log_finds",
        SettingKind::Boolean,
        Fixed("true"),
        "Log each find by a caller who may read all events, as an event `find` of provider `annals`.",
    ),
    setting(
        "access.lockout.failures",
        integer(1, 1_000_000),
        Fixed("10"),
        "How often one client address may fail with one login before it has to wait; the limit for all its logins together is \
         five times as high, and that for one login from all addresses a hundred times.",
    ),
    setting(
        "access.lockout.longest",
        SettingKind::Duration,
        Fixed("15m"),
        "The longest wait, and how long failures are remembered.",
    ),
    setting(
        "access.timeout",
        SettingKind::Duration,
        Fixed("5s"),
        "How long Elasticsearch, Kibana or an issuer may take to answer about a caller.",
    ),
    setting(
        "access.cache",
        SettingKind::Duration,
        Fixed("30s"),
        "How long an answer of Elasticsearch or Kibana about a caller is used.",
    ),
    setting(
        "access.elasticsearch.urls",
        SettingKind::UrlList,
        Unset("those of the queried store, if it is of kind `elasticsearch`"),
        "The nodes that callers' credentials are passed to.",
    ),
    setting(
        "access.elasticsearch.ca_file",
        SettingKind::Path,
        Unset("that of the same store; else only public authorities are trusted"),
        "PEM file of authorities that may have signed the nodes' certificates, besides the public ones.",
    ),
    setting(
        "access.elasticsearch.application",
        SettingKind::Text,
        Fixed("kibana-.kibana"),
        "The application name of Kibana's privileges in Elasticsearch, for the authority `elasticsearch`.",
    ),
    setting(
        "access.elasticsearch.privilege",
        SettingKind::Text,
        Fixed("saved_object:{type}/get"),
        "The privilege that a reader of objects of `{type}` has there. Older versions of Kibana include their version: \
         `saved_object:8.3.0:{type}/get`.",
    ),
    setting(
        "access.kibana.urls",
        SettingKind::UrlList,
        Unset("Kibana is not asked"),
        "The address of Kibana, with its base path if it has one; sessions and credentials are passed to it.",
    ),
    setting(
        "access.kibana.ca_file",
        SettingKind::Path,
        Unset("only public authorities are trusted"),
        "PEM file of authorities that may have signed Kibana's certificate, besides the public ones.",
    ),
    setting(
        "access.kibana.cookie",
        SettingKind::Text,
        Fixed("sid"),
        "The name of the session's cookie (Kibana's `xpack.security.cookieName`).",
    ),
    setting(
        "access.oidc.issuer",
        SettingKind::Text,
        Unset("no tokens are accepted"),
        "The issuer of bearer tokens, exactly as in their claim `iss`.",
    ),
    setting(
        "access.oidc.audience",
        SettingKind::TextList,
        Unset("no tokens are accepted"),
        "The names of this log in the claim `aud`, which has to contain one of them.",
    ),
    setting(
        "access.oidc.jwks_url",
        SettingKind::Text,
        Unset("found by the issuer's `/.well-known/openid-configuration`"),
        "The address at which the issuer publishes its keys.",
    ),
    setting(
        "access.oidc.ca_file",
        SettingKind::Path,
        Unset("only public authorities are trusted"),
        "PEM file of authorities that may have signed the issuer's certificate, besides the public ones.",
    ),
    setting("access.oidc.name_claim", SettingKind::Text, Fixed("sub"), "The claim that is the caller's name."),
    setting(
        "access.oidc.leeway",
        SettingKind::Duration,
        Fixed("60s"),
        "How far the issuer's clock may differ from ours when a token's `exp` and `nbf` are checked.",
    ),
    setting(
        "access.rules.<name>.authenticator",
        SettingKind::Choice(&["elasticsearch", "kibana", "oidc"]),
        Required,
        "The system that the rule is about. A caller has the roles of all matching rules together; a caller whom no rule \
         matches is known, but may do nothing.",
    ),
    setting(
        "access.rules.<name>.claim",
        SettingKind::Text,
        Fixed("roles"),
        "What the rule tests: a field of the answer to `_security/_authenticate` or `/internal/security/me`, such as `roles` \
         or `username`, or a claim of the token; dots lead into objects.",
    ),
    setting(
        "access.rules.<name>.values",
        SettingKind::TextList,
        Required,
        "The values, one of which the claim must be or contain; a `*` at the end matches anything.",
    ),
    setting("access.rules.<name>.role", SettingKind::Choice(Role::NAMES), Required, "The role of a matching caller."),
    setting(
        "access.rules.<name>.spaces",
        SettingKind::TextList,
        Unset("none, as for `admin`, `auditor` and `monitor`"),
        "The spaces in which the caller has the role, or `*`.",
    ),
    setting(
        "access.rules.<name>.providers",
        SettingKind::TextList,
        Unset("none; a `writer` needs some"),
        "The providers that a `writer` may log as, or `*`.",
    ),
    setting(
        "access.grants.<name>.callers",
        SettingKind::TextList,
        Required,
        "Readers, by system and name: `api_key:shop`, `oidc:alice`; a `*` at the end matches anything.",
    ),
    setting(
        "access.grants.<name>.spaces",
        SettingKind::TextList,
        Required,
        "The spaces in which the grant applies, or `*`.",
    ),
    setting(
        "access.grants.<name>.types",
        SettingKind::TextList,
        Required,
        "The types of the saved objects; a `*` at the end matches anything.",
    ),
    setting(
        "access.grants.<name>.ids",
        SettingKind::TextList,
        Fixed("*"),
        "The ids of the saved objects; a `*` at the end matches anything.",
    ),
    setting(
        "providers.<name>.actions",
        SettingKind::TextList,
        Required,
        "The actions that the provider may log, registered at start in addition to those registered over HTTP.",
    ),
    setting(
        "providers.<name>.unknown_fields",
        SettingKind::Choice(&["refuse", "keep"]),
        Unset("`events.unknown_fields`"),
        "What is done with fields of the provider's events that the log does not know.",
    ),
    setting(
        "providers.<name>.defaults",
        SettingKind::Object,
        Fixed("{}"),
        "Properties that are merged under each event of the provider.",
    ),
];
