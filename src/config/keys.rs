//! The table of every key: what it is called, what it takes, what it is when nobody sets it.
//!
//! The loader reads values by this table and the reference (`docs/configuration.md`) is printed from it. `<name>` stands
//! for a name that the operator chooses.

use crate::access::{AuthenticatorKind, AuthorityKind, Role};

/// One key.
#[derive(Debug)]
pub struct Key {
    /// Dotted, from the root.
    pub path: &'static str,
    pub kind: Kind,
    pub default: Preset,
    pub doc: &'static str,
    /// The only kinds of store that have this key; none for a key that is no store's, or of every kind.
    pub stores: &'static [StoreKind],
}

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Path,
    /// An IP address and a port.
    Address,
    Integer {
        least: u64,
        most: u64,
    },
    Boolean,
    Duration,
    Size,
    Choice(&'static [&'static str]),
    /// Several of these, in an order that counts; in the environment and in flags separated by commas.
    ChoiceList(&'static [&'static str]),
    /// Texts; in the environment and in flags separated by commas.
    TextList,
    /// `http` and `https` addresses; in the environment and in flags separated by commas.
    UrlList,
    /// Addresses and networks; in the environment and in flags separated by commas.
    NetworkList,
    /// Text that is never shown.
    Secret,
    /// A table of any content; in the environment and in flags a JSON object.
    Object,
}

/// What a key is when nobody sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preset {
    /// This, written as in the environment.
    Is(&'static str),
    /// Nothing, which means what the text says.
    Unset(&'static str),
    /// It has to be set wherever its section is.
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    Sqlite,
    Elasticsearch,
    Postgres,
}

impl StoreKind {
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::Elasticsearch, Self::Postgres];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Elasticsearch => "elasticsearch",
            Self::Postgres => "postgres",
        }
    }
}

const fn key(path: &'static str, kind: Kind, default: Preset, doc: &'static str) -> Key {
    Key { path, kind, default, doc, stores: &[] }
}

const fn sqlite(path: &'static str, kind: Kind, default: Preset, doc: &'static str) -> Key {
    Key { path, kind, default, doc, stores: &[StoreKind::Sqlite] }
}

const fn elastic(path: &'static str, kind: Kind, default: Preset, doc: &'static str) -> Key {
    Key { path, kind, default, doc, stores: &[StoreKind::Elasticsearch] }
}

const fn postgres(path: &'static str, kind: Kind, default: Preset, doc: &'static str) -> Key {
    Key { path, kind, default, doc, stores: &[StoreKind::Postgres] }
}

const fn of(stores: &'static [StoreKind], key: Key) -> Key {
    Key { stores, ..key }
}

const fn integer(least: u64, most: u64) -> Kind {
    Kind::Integer { least, most }
}

/// Every key, section by section.
pub const KEYS: &[Key] = &[
    key(
        "data_dir",
        Kind::Path,
        Preset::Is("annals-data"),
        "The writer's own folder: keys, journal, chains, registered providers, and the SQLite store unless it is placed \
         elsewhere. One running writer per folder.",
    ),
    key("server.listen", Kind::Address, Preset::Is("127.0.0.1:6780"), "Where HTTP is served; port 0 takes a free one."),
    key(
        "server.max_batch_bytes",
        Kind::Size,
        Preset::Is("16mb"),
        "The largest request body, after decompression; more is answered with 413.",
    ),
    key("server.max_batch_events", integer(1, 1_000_000), Preset::Is("10000"), "The most events in one request."),
    key("server.max_event_bytes", Kind::Size, Preset::Is("1mb"), "The largest single event, as it was sent."),
    key("server.max_depth", integer(4, 128), Preset::Is("32"), "How deep objects and arrays of an event may nest."),
    key(
        "server.max_array_length",
        integer(1, 100_000),
        Preset::Is("1000"),
        "The most elements in one array of an event, such as `tags`; of one of objects, such as `kibana.saved_objects`, 5000 at most.",
    ),
    key(
        "server.request_timeout",
        Kind::Duration,
        Preset::Is("30s"),
        "How long one request may take, reading its body included.",
    ),
    key(
        "server.shutdown_timeout",
        Kind::Duration,
        Preset::Is("10s"),
        "How long a stop waits for open requests and for shipping; what is left stays in the journal.",
    ),
    key(
        "server.max_concurrent_bytes",
        Kind::Size,
        Preset::Is("64mb"),
        "The most bytes of events' bodies that are worked on at once; above it requests wait, and are answered with 503 when their time is over. Other bodies may take a quarter of it, and at least 8mb, besides.",
    ),
    key(
        "server.max_answer_bytes",
        Kind::Size,
        Preset::Is("256mb"),
        "The most bytes that pages of events may take up at once, from the store to the client. Above it questions wait, and are answered \
         with 503 when their time is over. At least 128mb, which the largest page takes, is used whatever is set.",
    ),
    key(
        "server.connections_per_address",
        integer(1, 1024),
        Preset::Is("256"),
        "How many connections one client address (of IPv6, one /64) may have open at once; 1024 are open in all, or half as many as the process may have files. A further one is closed without an \
         answer, and counted in `annals_http_refused_connections_total`. `server.trusted_proxies` are exempt.",
    ),
    key(
        "server.exports_per_caller",
        integer(1, 8),
        Preset::Is("4"),
        "How many exports one caller may have running at once; eight run in all. Others are answered with 429.",
    ),
    key(
        "server.tails_per_caller",
        integer(1, 64),
        Preset::Is("16"),
        "How many tails one caller may have running at once; 64 run in all. Others are answered with 429.",
    ),
    key(
        "server.tls.cert_file",
        Kind::Path,
        Preset::Unset("plain HTTP is served"),
        "PEM file of the server's certificate and those that vouch for it; with `server.tls.key_file`. A change is seen within seconds.",
    ),
    key("server.tls.key_file", Kind::Path, Preset::Unset("plain HTTP is served"), "PEM file of the certificate's key."),
    key(
        "server.trusted_proxies",
        Kind::NetworkList,
        Preset::Unset("no proxy is believed"),
        "Addresses or networks of the proxies before this log, such as `[\"10.0.0.0/8\"]`. What they say of a client's address is believed.",
    ),
    key(
        "server.proxy_header",
        Kind::Choice(&["x-forwarded-for", "forwarded"]),
        Preset::Is("x-forwarded-for"),
        "The header in which these proxies say it; the other one is the client's own and ignored.",
    ),
    key(
        "log.level",
        Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        Preset::Is("info"),
        "The least grave line of the program's own log.",
    ),
    key(
        "log.format",
        Kind::Choice(&["text", "json"]),
        Preset::Is("text"),
        "How the program's own log is written, on standard error: for people, or one JSON object a line.",
    ),
    key(
        "log.events",
        Kind::Boolean,
        Preset::Is("false"),
        "Copy each valid event to the program's own log as well (Kibana's `logEntries`).",
    ),
    key(
        "events.enabled",
        Kind::Boolean,
        Preset::Is("true"),
        "With `false` the event log is off (Kibana's `enabled`): events are checked and answered, those that are valid with the \
         status `not_kept`, and go nowhere. Nothing is logged of the log's own start and end either. What was kept before can be found.",
    ),
    key(
        "events.keep",
        Kind::Boolean,
        Preset::Is("true"),
        "With `false` events are not made durable and reach no store (Kibana's `indexEntries`); they are checked, answered with \
         `not_kept` and, with `log.events`, copied to the program's own log, those of the log's own start and end included.",
    ),
    key(
        "journal.max_bytes",
        Kind::Size,
        Preset::Is("4gb"),
        "The most bytes on disk that events may take up while they wait for a store; then `journal.overflow` decides.",
    ),
    key("journal.segment_bytes", Kind::Size, Preset::Is("64mb"), "The size of one file of the journal."),
    key(
        "journal.overflow",
        Kind::Choice(&["reject", "drop"]),
        Preset::Is("reject"),
        "What happens to new events when the journal is full: `reject` answers 429 with `Retry-After`; `drop` takes the \
         request, loses the events, and counts and logs each.",
    ),
    key(
        "seal.chaining",
        Kind::Boolean,
        Preset::Is("true"),
        "Whether events are hashed, linked and sealed. With `false` they are numbered only, and nobody can tell whether one was changed; \
         each change of this key begins a new chain that names the one before it.",
    ),
    key(
        "seal.epoch",
        Kind::Duration,
        Preset::Is("1h"),
        "How long one sealing key is used before the next is derived and the old one forgotten.",
    ),
    key(
        "seal.secret_file",
        Kind::Path,
        Preset::Unset("made at first start, in `data_dir`"),
        "A file with the installation's sealing secret, where other deployment secrets are kept.",
    ),
    key(
        "writer.version",
        Kind::Text,
        Preset::Unset("the program's own version"),
        "`kibana.version` of each event: the version of the product that logs.",
    ),
    key(
        "stores.<name>.kind",
        Kind::Choice(&["sqlite", "elasticsearch", "postgres"]),
        Preset::Required,
        "What the store is; `elasticsearch` is OpenSearch as well. With no store configured there is one of kind `sqlite`, \
         named `sqlite`.",
    ),
    sqlite("stores.<name>.path", Kind::Path, Preset::Unset("`events.db` in `data_dir`"), "The database file."),
    of(
        &[StoreKind::Sqlite, StoreKind::Postgres],
        key(
            "stores.<name>.query_timeout",
            Kind::Duration,
            Preset::Is("30s"),
            "How long a query may take before it is given up.",
        ),
    ),
    sqlite(
        "stores.<name>.concurrent_queries",
        integer(1, 64),
        Preset::Is("4"),
        "How many queries run at a time; further ones wait for their turn.",
    ),
    elastic(
        "stores.<name>.urls",
        Kind::UrlList,
        Preset::Unset("`cloud_id` is used"),
        "The nodes, such as `[\"https://node-1:9200\", \"https://node-2:9200\"]`.",
    ),
    elastic(
        "stores.<name>.cloud_id",
        Kind::Text,
        Preset::Unset("`urls` is used"),
        "The id of an Elastic Cloud deployment, in place of `urls`; asks for `auth`.",
    ),
    elastic(
        "stores.<name>.auth.basic.login",
        Kind::Text,
        Preset::Unset("none"),
        "Name of the user; with `auth.basic.password` or `auth.basic.password_file`. At most one of `auth.basic`, \
         `auth.bearer` and `auth.api_key` may be set.",
    ),
    elastic("stores.<name>.auth.basic.password", Kind::Secret, Preset::Unset("none"), "Password of the user."),
    elastic(
        "stores.<name>.auth.basic.password_file",
        Kind::Path,
        Preset::Unset("none"),
        "A file with the password of the user, in place of `auth.basic.password`.",
    ),
    elastic("stores.<name>.auth.bearer.token", Kind::Secret, Preset::Unset("none"), "Bearer token."),
    elastic(
        "stores.<name>.auth.bearer.token_file",
        Kind::Path,
        Preset::Unset("none"),
        "A file with the bearer token, in place of `auth.bearer.token`.",
    ),
    elastic(
        "stores.<name>.auth.api_key.id",
        Kind::Text,
        Preset::Unset("none"),
        "Id of the API key; with `auth.api_key.key` or `auth.api_key.key_file`.",
    ),
    elastic("stores.<name>.auth.api_key.key", Kind::Secret, Preset::Unset("none"), "The API key."),
    elastic(
        "stores.<name>.auth.api_key.key_file",
        Kind::Path,
        Preset::Unset("none"),
        "A file with the API key, in place of `auth.api_key.key`.",
    ),
    elastic(
        "stores.<name>.auth.api_key.encoded",
        Kind::Secret,
        Preset::Unset("none"),
        "Id and key in one, in Base64, as the engine gives them out; in place of `auth.api_key.id` and its key.",
    ),
    elastic(
        "stores.<name>.auth.api_key.encoded_file",
        Kind::Path,
        Preset::Unset("none"),
        "A file with id and key in one, in place of `auth.api_key.encoded`.",
    ),
    of(
        &[StoreKind::Elasticsearch, StoreKind::Postgres],
        key(
            "stores.<name>.ca_file",
            Kind::Path,
            Preset::Unset("the public authorities"),
            "PEM file of the authorities that may have signed the certificates of the nodes or of the server.",
        ),
    ),
    elastic(
        "stores.<name>.request_timeout",
        Kind::Duration,
        Preset::Is("30s"),
        "How long a query or a set-up request may take.",
    ),
    elastic("stores.<name>.bulk_timeout", Kind::Duration, Preset::Is("60s"), "How long one bulk request may take."),
    elastic(
        "stores.<name>.bulk_bytes",
        Kind::Size,
        Preset::Is("2mb"),
        "How large a bulk request grows before it is sent.",
    ),
    elastic("stores.<name>.concurrency", integer(1, 32), Preset::Is("4"), "The most bulk requests in flight."),
    elastic(
        "stores.<name>.index_prefix",
        Kind::Text,
        Preset::Is(".annals"),
        "What the names of indices, templates and the policy begin with; `.kibana` gives Kibana's own names.",
    ),
    elastic(
        "stores.<name>.version",
        Kind::Text,
        Preset::Unset("the program's own version"),
        "The version in the names of indices.",
    ),
    postgres(
        "stores.<name>.url",
        Kind::Secret,
        Preset::Unset("`host`, `user` and `database` are used"),
        "Where the database is and as whom to use it: `postgres://user:password@host:port/database`. Never shown, as it \
         may hold a password. The next keys say the same in parts, and are stronger.",
    ),
    postgres(
        "stores.<name>.host",
        Kind::Text,
        Preset::Unset("as in `url`"),
        "The server, or the folder of its socket.",
    ),
    postgres("stores.<name>.port", integer(1, 65_535), Preset::Unset("as in `url`, or 5432"), "The server's port."),
    postgres("stores.<name>.user", Kind::Text, Preset::Unset("as in `url`"), "Name of the user."),
    postgres("stores.<name>.password", Kind::Secret, Preset::Unset("as in `url`"), "Password of the user."),
    postgres(
        "stores.<name>.password_file",
        Kind::Path,
        Preset::Unset("none"),
        "A file with the password of the user, in place of `password`.",
    ),
    postgres("stores.<name>.database", Kind::Text, Preset::Unset("as in `url`"), "Name of the database."),
    postgres(
        "stores.<name>.schema",
        Kind::Text,
        Preset::Is("annals"),
        "The schema that the tables are in. It is made if it is absent, and belongs to Annals.",
    ),
    postgres(
        "stores.<name>.tls",
        Kind::Choice(&["required", "off"]),
        Preset::Is("required"),
        "Whether connections are encrypted, and the server's certificate checked. `off` is for a server on the same machine.",
    ),
    postgres(
        "stores.<name>.connections",
        integer(2, 256),
        Preset::Is("8"),
        "The most connections at a time; what needs one more waits.",
    ),
    postgres(
        "stores.<name>.connect_timeout",
        Kind::Duration,
        Preset::Is("5s"),
        "How long making a connection may take.",
    ),
    postgres("stores.<name>.append_timeout", Kind::Duration, Preset::Is("60s"), "How long one append may take."),
    key(
        "query.store",
        Kind::Text,
        Preset::Unset("the only store, or the one named first"),
        "The name of the store that answers queries.",
    ),
    key(
        "access.authenticators",
        Kind::ChoiceList(AuthenticatorKind::NAMES),
        Preset::Is("api_keys"),
        "Who is asked who a caller is, in this order; the first that knows them decides.",
    ),
    key(
        "access.authority",
        Kind::Choice(AuthorityKind::NAMES),
        Preset::Is("roles"),
        "Who decides whether a `reader` may read the events of a saved object: `roles` (no reader may), `grants` (`access.grants`), \
         `elasticsearch` (Kibana's privileges, kept there) or `kibana` (it gives the object to the caller).",
    ),
    key(
        "access.log_finds",
        Kind::Boolean,
        Preset::Is("true"),
        "Log each find by a caller who may read all events, as an event `find` of provider `annals`.",
    ),
    key(
        "access.lockout.failures",
        integer(1, 1_000_000),
        Preset::Is("10"),
        "How often one client address may fail with one login before it has to wait; with all logins together it is five times as much, and for one login from all addresses a hundred times.",
    ),
    key(
        "access.lockout.longest",
        Kind::Duration,
        Preset::Is("15m"),
        "The longest wait, and how long failures are remembered.",
    ),
    key(
        "access.timeout",
        Kind::Duration,
        Preset::Is("5s"),
        "How long Elasticsearch, Kibana or an issuer may take to answer about a caller.",
    ),
    key(
        "access.cache",
        Kind::Duration,
        Preset::Is("30s"),
        "How long what Elasticsearch or Kibana said of a caller is believed.",
    ),
    key(
        "access.elasticsearch.urls",
        Kind::UrlList,
        Preset::Unset("those of the store that is queried, if it is of kind `elasticsearch`"),
        "The nodes that callers' credentials are passed to.",
    ),
    key(
        "access.elasticsearch.ca_file",
        Kind::Path,
        Preset::Unset("that of the same store; else only public authorities are trusted"),
        "PEM file of authorities that may have signed the nodes' certificates, besides the public ones.",
    ),
    key(
        "access.elasticsearch.application",
        Kind::Text,
        Preset::Is("kibana-.kibana"),
        "The name under which Kibana keeps its privileges in Elasticsearch, for the authority `elasticsearch`.",
    ),
    key(
        "access.elasticsearch.privilege",
        Kind::Text,
        Preset::Is("saved_object:{type}/get"),
        "The privilege that a reader of objects of `{type}` has there. Older Kibanas put their version into it: `saved_object:8.3.0:{type}/get`.",
    ),
    key(
        "access.kibana.urls",
        Kind::UrlList,
        Preset::Unset("Kibana is not asked"),
        "Where Kibana is, with its base path if it has one; sessions and credentials are passed to it.",
    ),
    key(
        "access.kibana.ca_file",
        Kind::Path,
        Preset::Unset("only public authorities are trusted"),
        "PEM file of authorities that may have signed Kibana's certificate, besides the public ones.",
    ),
    key(
        "access.kibana.cookie",
        Kind::Text,
        Preset::Is("sid"),
        "The name of the session's cookie (Kibana's `xpack.security.cookieName`).",
    ),
    key(
        "access.oidc.issuer",
        Kind::Text,
        Preset::Unset("no tokens are taken"),
        "The issuer of bearer tokens, exactly as their claim `iss` has it.",
    ),
    key(
        "access.oidc.audience",
        Kind::TextList,
        Preset::Unset("no tokens are taken"),
        "What this log is called in the claim `aud`; one of these has to be in it.",
    ),
    key(
        "access.oidc.jwks_url",
        Kind::Text,
        Preset::Unset("found by the issuer's `/.well-known/openid-configuration`"),
        "Where the issuer publishes its keys.",
    ),
    key(
        "access.oidc.ca_file",
        Kind::Path,
        Preset::Unset("only public authorities are trusted"),
        "PEM file of authorities that may have signed the issuer's certificate, besides the public ones.",
    ),
    key("access.oidc.name_claim", Kind::Text, Preset::Is("sub"), "The claim that is the caller's name."),
    key(
        "access.oidc.leeway",
        Kind::Duration,
        Preset::Is("60s"),
        "How far the issuer's clock may differ when a token's `exp` and `nbf` are compared with ours.",
    ),
    key(
        "access.rules.<name>.authenticator",
        Kind::Choice(&["elasticsearch", "kibana", "oidc"]),
        Preset::Required,
        "Whose word the rule is about. A caller has what all rules together give; a caller that no rule fits is known and may do nothing.",
    ),
    key(
        "access.rules.<name>.claim",
        Kind::Text,
        Preset::Is("roles"),
        "What is looked at: a field of the answer to `_security/_authenticate` or `/internal/security/me`, such as `roles` or \
         `username`, or a claim of the token; dots lead into objects.",
    ),
    key(
        "access.rules.<name>.values",
        Kind::TextList,
        Preset::Required,
        "What it has to be, or to have one of; a `*` at the end stands for anything.",
    ),
    key("access.rules.<name>.role", Kind::Choice(Role::NAMES), Preset::Required, "The role that the caller then has."),
    key(
        "access.rules.<name>.spaces",
        Kind::TextList,
        Preset::Unset("none, as for `admin`, `auditor` and `monitor`"),
        "The spaces in which the caller has it, or `*`.",
    ),
    key(
        "access.rules.<name>.providers",
        Kind::TextList,
        Preset::Unset("none; a `writer` needs some"),
        "The providers that a `writer` may log as, or `*`.",
    ),
    key(
        "access.grants.<name>.callers",
        Kind::TextList,
        Preset::Required,
        "Readers, by system and name: `api_key:shop`, `oidc:alice`; a `*` at the end stands for anything.",
    ),
    key(
        "access.grants.<name>.spaces",
        Kind::TextList,
        Preset::Required,
        "The spaces in which the grant holds, or `*`.",
    ),
    key(
        "access.grants.<name>.types",
        Kind::TextList,
        Preset::Required,
        "The types of the saved objects; a `*` at the end stands for anything.",
    ),
    key(
        "access.grants.<name>.ids",
        Kind::TextList,
        Preset::Is("*"),
        "The ids of the saved objects; a `*` at the end stands for anything.",
    ),
    key(
        "providers.<name>.actions",
        Kind::TextList,
        Preset::Required,
        "The actions that the provider may log, registered at start beside those registered over HTTP.",
    ),
    key(
        "providers.<name>.defaults",
        Kind::Object,
        Preset::Is("{}"),
        "Properties that are merged under each event of the provider.",
    ),
];

impl Key {
    pub fn segments(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('.')
    }

    /// Which of its segments is a name that the operator chooses.
    pub(super) fn name_at(&self) -> Option<usize> {
        self.segments().position(|segment| segment == "<name>")
    }

    /// The environment variable that sets the key.
    pub fn environment_name(&self) -> String {
        let name = self.path.replace("<name>", "<NAME>").replace('.', "__").to_uppercase();
        format!("{PREFIX}{name}")
    }
}

/// What every environment variable of the program begins with.
pub const PREFIX: &str = "ANNALS_";
