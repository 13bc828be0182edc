//! What is known of one field. The entries are in the generated `table.rs`.

/// One mapped field.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Dotted, from the root of the document: `kibana.saved_objects.id`.
    pub path: &'static str,
    pub kind: Kind,
    /// The value is an array of the kind.
    pub multi: bool,
    pub set_by: SetBy,
    /// The longest text accepted, in bytes of UTF-8; 0 = bounded by the event's size alone.
    pub max_bytes: u32,
    pub search: Search,
}

impl Field {
    /// The longest text that is found by its whole value, in UTF-16 units: `ignore_above` of the engines' mappings.
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

/// What a field can be searched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Search {
    /// Nothing: it is only returned.
    Never,
    /// Its whole value.
    Value,
    /// The words of its text.
    Words,
    /// Both, by two indexes of the engines: `message` and `message.keyword`, `user.name` and `user.name.text`.
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

/// How a field's value is checked, made canonical and mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text that matches as a whole.
    Keyword,
    /// Text that is searched by its words.
    Text,
    /// RFC 3339 date and time in; `YYYY-MM-DDThh:mm:ss.sssZ` (more digits only if they are not zero) out.
    Date,
    /// An integer within ±(2^53−1), as a number.
    Long,
    /// A 64-bit integer: a number or a decimal string in, a decimal string out.
    Long64,
    /// A number that is not necessarily whole.
    Float,
    Boolean,
    /// An IPv4 or IPv6 address.
    Ip,
    /// A semantic version.
    Version,
    /// An object of any names, each with a text, number or boolean, kept as text (`labels`).
    Labels,
    /// Any JSON, kept as its canonical text.
    Json,
    /// An array of objects, whose fields follow in the table.
    Nested,
}

/// Who writes a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetBy {
    /// The program that logs the event.
    Client,
    /// The log; what a client sends in its place is replaced without a word, as Kibana does.
    LogReplaces,
    /// The log; a client that sends it gets an error.
    LogRefuses,
}
