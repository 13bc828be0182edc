//! Statements, their parameters and results, and the differences between the databases.

use super::text::encode_text;
use crate::query::Pattern;

/// The databases that statements are built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Dialect {
    Sqlite,
    Postgres,
}

/// A parameter of a statement.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Parameter {
    Integer(i64),
    Number(f64),
    Text(String),
    Bytes(Vec<u8>),
    /// Bound as a JSON array in SQLite.
    Texts(Vec<String>),
}

/// A value in a result row.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) enum Cell {
    Null,
    Integer(i64),
    Number(f64),
    Text(String),
}

/// A statement, and the values of its parameters in order.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::store) struct Statement {
    pub(in crate::store) text: String,
    pub(in crate::store) values: Vec<Parameter>,
}

/// Builds a statement: collects its parameters, and writes conditions in the dialect.
#[derive(Clone, Debug)]
pub(super) struct StatementBuilder {
    pub(super) dialect: Dialect,
    bound: Vec<Parameter>,
}

/// How many leading characters of a text PostgreSQL indexes, because an index entry may not exceed 2.7 kB. The indexes
/// in the migrations repeat this number.
const INDEXED_PREFIX: usize = 200;

impl StatementBuilder {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, bound: Vec::new() }
    }

    /// Adds a parameter with this value and returns its placeholder.
    pub(super) fn bind(&mut self, value: Parameter) -> String {
        self.bound.push(value);
        let number = self.bound.len();
        match self.dialect {
            Dialect::Sqlite => format!("?{number}"),
            Dialect::Postgres => format!("${number}"),
        }
    }

    pub(super) fn text(&mut self, text: &str) -> String {
        self.bind(Parameter::Text(encode_text(text).into_owned()))
    }

    pub(super) fn integer(&mut self, integer: i64) -> String {
        self.bind(Parameter::Integer(integer))
    }

    pub(super) fn build(self, text: String) -> Statement {
        Statement { text, values: self.bound }
    }

    /// Returns the condition that the value is one of these texts.
    pub(super) fn is_one_of(&mut self, value: &str, texts: &[String]) -> String {
        self.is_in(value, texts.iter().map(|text| encode_text(text).into_owned()).collect())
    }

    /// Like [`Self::is_one_of`], for an indexed column.
    pub(super) fn indexed_is_one_of(&mut self, column: &str, texts: &[String]) -> String {
        if self.dialect == Dialect::Sqlite {
            return self.is_one_of(column, texts);
        }
        let beginnings: Vec<String> =
            texts.iter().map(|text| encode_text(text).chars().take(INDEXED_PREFIX).collect()).collect();
        // A text shorter than the indexed prefix is equal if its prefix is. Testing both would make PostgreSQL expect
        // far too few rows, as it takes the two conditions for independent.
        let is_short = beginnings.iter().all(|beginning| beginning.chars().count() < INDEXED_PREFIX);
        let begins = self.is_in(&format!("left({column}, {INDEXED_PREFIX})"), beginnings);
        if is_short { begins } else { format!("{begins} AND {}", self.is_one_of(column, texts)) }
    }

    fn is_in(&mut self, value: &str, mut texts: Vec<String>) -> String {
        if let [_] = texts.as_slice() {
            return format!("{value} = {}", self.bind(Parameter::Text(texts.remove(0))));
        }
        let list = self.bind(Parameter::Texts(texts));
        match self.dialect {
            Dialect::Sqlite => format!("{value} IN (SELECT value FROM json_each({list}))"),
            Dialect::Postgres => format!("{value} = ANY({list})"),
        }
    }

    /// Returns the condition that the text contains this part.
    pub(super) fn contains(&mut self, text: &str, part: &str) -> String {
        let part = self.text(part);
        match self.dialect {
            Dialect::Sqlite => format!("instr({text}, {part}) > 0"),
            Dialect::Postgres => format!("strpos({text}, {part}) > 0"),
        }
    }
}

/// A query of the full-text index.
pub(super) enum FullTextQuery {
    Any(Vec<String>),
    All(Vec<String>),
    Beginning(String),
}

impl FullTextQuery {
    pub(super) fn is_useful(&self) -> bool {
        match self {
            Self::Any(words) | Self::All(words) => !words.is_empty(),
            Self::Beginning(_) => true,
        }
    }
}

/// Quotes a trusted text as an SQL literal.
pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl StatementBuilder {
    /// Returns the condition that the text matches the pattern.
    pub(super) fn is_like(&mut self, value: &str, pattern: &Pattern) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("annals_like({value}, {})", self.pieces(pattern)),
            Dialect::Postgres => format!("{value} LIKE {} ESCAPE '\\'", self.like(pattern)),
        }
    }

    /// Returns the condition that one of the joined words matches the pattern.
    pub(super) fn has_word_like(&mut self, joined: &str, pattern: &Pattern) -> String {
        match self.dialect {
            Dialect::Sqlite => format!("annals_word_like({joined}, {})", self.pieces(pattern)),
            Dialect::Postgres => format!(
                "EXISTS (SELECT 1 FROM unnest(string_to_array({joined}, ' ')) AS w (word)
                    WHERE w.word <> '' AND w.word LIKE {} ESCAPE '\\')",
                self.like(pattern)
            ),
        }
    }

    /// Returns the condition that the message has these words, according to the full-text index.
    pub(super) fn look_up_words(&mut self, terms: &FullTextQuery) -> String {
        let dialect = self.dialect;
        let asked = match terms {
            FullTextQuery::Any(words) => dialect.terms(words).join(dialect.or()),
            FullTextQuery::All(words) => dialect.all_of(words),
            FullTextQuery::Beginning(word) => dialect.term(word) + dialect.prefix_operator(),
        };
        let asked = self.bind(Parameter::Text(asked));
        match dialect {
            Dialect::Sqlite => {
                format!("e.id IN (SELECT rowid FROM message_words WHERE message_words MATCH {asked})")
            }
            // Messages with too many words for this index are in an index of their own.
            Dialect::Postgres => {
                format!(
                    "(word_set(e.words) @@ CAST({asked} AS tsquery) OR octet_length(e.words) > {MAX_INDEXED_BYTES})"
                )
            }
        }
    }

    fn pieces(&mut self, pattern: &Pattern) -> String {
        let pieces: Vec<_> = pattern.pieces().iter().map(|piece| encode_text(piece)).collect();
        self.bind(Parameter::Text(serde_json::Value::from_iter(pieces).to_string()))
    }

    fn like(&mut self, pattern: &Pattern) -> String {
        let escaped = pattern.pieces().iter().map(|piece| {
            let piece = encode_text(piece).replace('\\', "\\\\");
            piece.replace('%', "\\%").replace('_', "\\_")
        });
        let text = escaped.collect::<Vec<_>>().join("%");
        self.bind(Parameter::Text(text))
    }
}

/// The size in bytes up to which PostgreSQL's full-text index takes the joined words of a message; the migrations
/// repeat it.
const MAX_INDEXED_BYTES: usize = 1_000_000;

impl Dialect {
    /// Returns the query of the full-text index for texts with all of these words.
    pub(in crate::store) fn all_of(self, words: &[impl AsRef<str>]) -> String {
        self.terms(words).join(self.and())
    }

    fn terms(self, words: &[impl AsRef<str>]) -> Vec<String> {
        words.iter().map(|word| self.term(word.as_ref())).collect()
    }

    /// Quotes a word in the query language of the full-text index.
    fn term(self, word: &str) -> String {
        match self {
            Self::Sqlite => format!("\"{}\"", word.replace('"', "\"\"")),
            Self::Postgres => format!("'{}'", word.replace('\\', "\\\\").replace('\'', "''")),
        }
    }

    const fn and(self) -> &'static str {
        match self {
            Self::Sqlite => " AND ",
            Self::Postgres => " & ",
        }
    }

    const fn or(self) -> &'static str {
        match self {
            Self::Sqlite => " OR ",
            Self::Postgres => " | ",
        }
    }

    const fn prefix_operator(self) -> &'static str {
        match self {
            Self::Sqlite => " *",
            Self::Postgres => ":*",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds the condition for PostgreSQL.
    fn is_one_of(texts: &[&str]) -> Statement {
        let mut values = StatementBuilder::new(Dialect::Postgres);
        let texts: Vec<String> = texts.iter().map(|&text| text.to_owned()).collect();
        let condition = values.indexed_is_one_of("c", &texts);
        values.build(condition)
    }

    #[test]
    fn a_text_is_compared_as_a_whole_only_if_its_prefix_does_not_suffice() {
        let short = "ä".repeat(199);
        let long = "ä".repeat(200);
        assert_eq!(is_one_of(&[&short]).text, "left(c, 200) = $1");
        assert_eq!(is_one_of(&[&long]).text, "left(c, 200) = $1 AND c = $2");
        assert_eq!(is_one_of(&[&short, &long]).text, "left(c, 200) = ANY($1) AND c = ANY($2)");
        // The tables write NUL as two characters.
        assert_eq!(is_one_of(&[&"\0".repeat(100)]).text, "left(c, 200) = $1 AND c = $2");
    }
}
