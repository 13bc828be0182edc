//! A key of the configuration: its name, the values that it takes, and its default.

use strum::VariantArray;

/// A row of the table: a key and the values it takes.
#[derive(Debug)]
pub struct Setting {
    /// Dotted, from the root.
    pub path: &'static str,
    pub kind: SettingKind,
    pub default: DefaultValue,
    pub doc: &'static str,
    /// The kinds of store that have this key; empty for keys of all kinds, and for keys that are not a store's.
    pub stores: &'static [StoreKind],
}

/// The kind of a key's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SettingKind {
    Text,
    Path,
    /// An IP address and a port.
    Address,
    Integer {
        min: u64,
        max: u64,
    },
    Boolean,
    Duration,
    /// A duration from 0 on.
    ShortDuration {
        max_seconds: u64,
    },
    Size,
    /// A size, or 0.
    SizeOrZero,
    Choice(&'static [&'static str]),
    /// Several of these, where the order matters; in the environment and in flags separated by commas.
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

/// The default of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// This text, read as if from the environment.
    Fixed(&'static str),
    /// No value; the text says what that means.
    Unset(&'static str),
    /// Required wherever its section is present.
    Required,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
pub enum StoreKind {
    Sqlite,
    Elasticsearch,
    Postgres,
}

impl StoreKind {
    pub const ALL: &'static [Self] = Self::VARIANTS;

    pub const NAMES: &'static [&'static str] =
        &[Self::Sqlite.as_str(), Self::Elasticsearch.as_str(), Self::Postgres.as_str()];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Elasticsearch => "elasticsearch",
            Self::Postgres => "postgres",
        }
    }
}

pub(super) const fn setting(
    path: &'static str,
    kind: SettingKind,
    default: DefaultValue,
    doc: &'static str,
) -> Setting {
    Setting { path, kind, default, doc, stores: &[] }
}

pub(super) const fn sqlite(path: &'static str, kind: SettingKind, default: DefaultValue, doc: &'static str) -> Setting {
    Setting { path, kind, default, doc, stores: &[StoreKind::Sqlite] }
}

pub(super) const fn elastic(
    path: &'static str,
    kind: SettingKind,
    default: DefaultValue,
    doc: &'static str,
) -> Setting {
    Setting { path, kind, default, doc, stores: &[StoreKind::Elasticsearch] }
}

pub(super) const fn postgres(
    path: &'static str,
    kind: SettingKind,
    default: DefaultValue,
    doc: &'static str,
) -> Setting {
    Setting { path, kind, default, doc, stores: &[StoreKind::Postgres] }
}

pub(super) const fn of(stores: &'static [StoreKind], setting: Setting) -> Setting {
    Setting { stores, ..setting }
}

pub(super) const fn integer(min: u64, max: u64) -> SettingKind {
    SettingKind::Integer { min, max }
}

impl Setting {
    pub fn segments(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('.')
    }

    /// Returns the index of the segment that stands for the operator's choice of a name.
    pub(super) fn name_at(&self) -> Option<usize> {
        self.segments().position(|segment| segment == "<name>")
    }

    /// Returns the environment variable for the key.
    pub fn environment_name(&self) -> String {
        let name = self.path.replace("<name>", "<NAME>").replace('.', "__").to_uppercase();
        format!("{PREFIX}{name}")
    }
}

/// The prefix of all environment variables of the program.
pub const PREFIX: &str = "ANNALS_";
