//! The definition of a field. The generated `table.rs` has the entries.

/// One mapped field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Dotted, from the root of the document: `kibana.saved_objects.id`.
    pub path: &'static str,
    pub kind: Kind,
    /// The value is an array of this kind.
    pub multi: bool,
    /// Whether it is within a field of [`Kind::Objects`], so that an event may have several values of it.
    pub in_objects: bool,
    /// Whether a number or a boolean is taken as its text.
    pub takes_scalars: bool,
    pub set_by: SetBy,
    /// Maximum length of a text, in bytes of UTF-8; 0 = bounded by the event's size alone.
    pub max_bytes: u32,
    /// Whether a text is refused rather than repaired, as it identifies something.
    pub exact: bool,
    /// Maximum length of a text that is a value, in UTF-16 units: `ignore_above` in the engines' mappings.
    pub longest_value: u16,
    pub search: Search,
}

/// A field of the generated table.
pub(super) const fn field(path: &'static str, kind: Kind) -> Field {
    let max_bytes = if matches!(kind, Kind::Keyword) { LONGEST_TERM } else { 0 };
    Field {
        path,
        kind,
        multi: false,
        in_objects: false,
        takes_scalars: false,
        set_by: SetBy::Client,
        max_bytes,
        exact: false,
        longest_value: longest_value(kind),
        search: Search::Value,
    }
}

/// Lucene refuses a document with a longer term.
pub(super) const LONGEST_TERM: u32 = 32_766;

/// The usual [`Field::longest_value`], and that of fields whose texts are searched by their parts.
pub const LONGEST_VALUE: u16 = 1_024;
pub const LONGEST_TEXT: u16 = 8_191;

/// The [`Field::longest_value`] of a field of this kind that does not give one.
pub(super) const fn longest_value(kind: Kind) -> u16 {
    if matches!(kind, Kind::Json | Kind::Labels | Kind::Flattened) { LONGEST_TEXT } else { LONGEST_VALUE }
}

/// Whether a text has at most this many UTF-16 units.
pub fn has_at_most(text: &str, units: u16) -> bool {
    let units = usize::from(units);
    // Each byte of UTF-8 makes at most one unit of UTF-16.
    text.len() <= units || text.encode_utf16().take(units + 1).count() <= units
}

/// How an entry of the generated table differs from the usual one.
impl Field {
    pub(super) const fn multi(mut self) -> Self {
        self.multi = true;
        self
    }

    pub(super) const fn in_objects(mut self) -> Self {
        self.in_objects = true;
        self
    }

    pub(super) const fn scalar(mut self) -> Self {
        self.takes_scalars = true;
        self
    }

    pub(super) const fn set_by(mut self, set_by: SetBy) -> Self {
        self.set_by = set_by;
        self
    }

    pub(super) const fn max_bytes(mut self, max_bytes: u32) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    pub(super) const fn exact(mut self) -> Self {
        self.exact = true;
        self
    }

    pub(super) const fn longest_value(mut self, units: u16) -> Self {
        self.longest_value = units;
        self
    }

    pub(super) const fn never(mut self) -> Self {
        self.search = Search::Never;
        self
    }

    pub(super) const fn words(mut self) -> Self {
        self.search = Search::Words;
        self
    }

    pub(super) const fn value_and_words(mut self) -> Self {
        self.search = Search::ValueAndWords;
        self
    }
}

impl Field {
    /// Whether an event, or an element of a nested field, may have several values of it.
    pub const fn has_several(&self) -> bool {
        self.multi || self.in_objects || matches!(self.kind, Kind::Labels | Kind::Flattened)
    }

    /// Whether a text is short enough to be a value: to be found, sorted by and counted as a whole.
    pub fn is_value(&self, text: &str) -> bool {
        has_at_most(text, self.longest_value)
    }
}

/// How a field can be searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Not at all: it is only returned.
    Never,
    /// By its whole value.
    Value,
    /// By the words of its text.
    Words,
    /// Both: the engines have two indexes, such as `message` and `message.keyword`, `user.name` and `user.name.text`.
    ValueAndWords,
}

impl Search {
    pub const fn by_value(self) -> bool {
        matches!(self, Self::Value | Self::ValueAndWords)
    }

    pub const fn by_words(self) -> bool {
        matches!(self, Self::Words | Self::ValueAndWords)
    }
}

/// How a field's value is checked, canonicalized and mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that matches as a whole.
    Keyword,
    /// Text searched by its words.
    Text,
    /// In: an RFC 3339 date and time. Out: `YYYY-MM-DDThh:mm:ss.sssZ`, with more digits only if they are not zero.
    Date,
    /// In and out: `{"gte": date, "lte": date}`, both included.
    DateRange,
    /// An integer within ±(2^53−1), as a number.
    Long,
    /// A 64-bit integer. In: a number or a decimal string. Out: a decimal string.
    Long64,
    /// A number, possibly fractional.
    Float,
    Boolean,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A place on earth. In: an object, a text `lat,lon` or an array `[lon, lat]`, in degrees. Out:
    /// `{"lat": number, "lon": number}`.
    GeoPoint,
    /// A semantic version.
    Version,
    /// An object with arbitrary names; the values are texts, numbers or booleans, stored as text (`labels`).
    Labels,
    /// An object with any members, searched by the values in it.
    Flattened,
    /// Any JSON, stored as its canonical text.
    Json,
    /// An array of objects, each searched by itself; their fields follow in the table.
    Nested,
    /// An array of objects, searched as if they were one whose fields have several values. Their fields follow in the
    /// table.
    Objects,
}

/// Who writes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The program that logs the event.
    Client,
    /// The log; it silently replaces a value from the client, as Kibana does.
    LogReplaces,
    /// The log; a client that sends it gets an error.
    LogRefuses,
}
