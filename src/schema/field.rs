//! The definition of a field. The generated `table.rs` has the entries.

/// One mapped field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Dotted, from the root of the document: `kibana.saved_objects.id`.
    pub path: &'static str,
    pub kind: Kind,
    /// The value is an array of this kind.
    pub multi: bool,
    pub set_by: SetBy,
    /// Maximum length of a text, in bytes of UTF-8; 0 = bounded by the event's size alone.
    pub max_bytes: u32,
    pub search: Search,
}

impl Field {
    /// Maximum length of a text that is indexed as a whole, in UTF-16 units: `ignore_above` in the engines' mappings.
    pub const fn longest_value(&self) -> usize {
        match self.kind {
            Kind::Json | Kind::Labels => 8191,
            Kind::Keyword
            | Kind::Text
            | Kind::Date
            | Kind::Long
            | Kind::Long64
            | Kind::Float
            | Kind::Boolean
            | Kind::Ip
            | Kind::Version
            | Kind::Nested => 1024,
        }
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
    /// An integer within ±(2^53−1), as a number.
    Long,
    /// A 64-bit integer. In: a number or a decimal string. Out: a decimal string.
    Long64,
    /// A number, possibly fractional.
    Float,
    Boolean,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A semantic version.
    Version,
    /// An object with arbitrary names; the values are texts, numbers or booleans, stored as text (`labels`).
    Labels,
    /// Any JSON, stored as its canonical text.
    Json,
    /// An array of objects; their fields follow in the table.
    Nested,
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
