#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, ops::Bound, path::Path};

use proptest::prelude::*;

use super::{
    syntax::{Comparison, Expression, Literal, Span, Symbol, Values},
    *,
};
use crate::query::{
    Pattern, Subject,
    filter::{Test, Value},
};

/// 2021-03-02T12:00:00Z, a Tuesday.
const NOW: UnixMillis = UnixMillis(1_614_686_400_000);

// Filters, as the golden files show them

fn render(filter: &Filter) -> String {
    match filter {
        Filter::All(parts) if parts.is_empty() => "everything".to_owned(),
        Filter::Any(parts) if parts.is_empty() => "nothing".to_owned(),
        Filter::Any(parts) if parts.len() > 25 => {
            format!("any of {}({}; …; {})", parts.len(), list(&parts[..2]), list(&parts[parts.len() - 2..]))
        }
        Filter::All(parts) => format!("all({})", list(parts)),
        Filter::Any(parts) => format!("any({})", list(parts)),
        Filter::Not(inner) => format!("not({})", render(inner)),
        Filter::Element(field, inner) => format!("element of {}({})", field.path, render(inner)),
        Filter::Value(subject, test) => {
            let name = match subject {
                Subject::Field(field) => field.path.to_owned(),
                Subject::Label(label) => format!("label {:?}", label.name()),
            };
            format!("{name} {}", render_test(test))
        }
    }
}

fn list(parts: &[Filter]) -> String {
    parts.iter().map(render).collect::<Vec<_>>().join("; ")
}

fn render_test(test: &Test) -> String {
    match test {
        Test::Exists => "exists".to_owned(),
        Test::OneOf(values) => match values.as_slice() {
            [one] => format!("is {}", render_value(one)),
            values => format!("is one of {}", values.iter().map(render_value).collect::<Vec<_>>().join(", ")),
        },
        Test::Range { low, high } => {
            let low = match low {
                Bound::Included(value) => format!("from {}", render_value(value)),
                Bound::Excluded(value) => format!("above {}", render_value(value)),
                Bound::Unbounded => String::new(),
            };
            let high = match high {
                Bound::Included(value) => format!("to {}", render_value(value)),
                Bound::Excluded(value) => format!("below {}", render_value(value)),
                Bound::Unbounded => String::new(),
            };
            format!("{low} {high}").trim().to_owned()
        }
        Test::Like(pattern) => format!("like {}", render_pattern(pattern)),
        Test::Words(words) => format!("has a word of {words:?}"),
        Test::Phrase(words) => format!("has in a row {words:?}"),
        Test::WordLike(pattern) => format!("has a word like {}", render_pattern(pattern)),
    }
}

fn render_pattern(pattern: &Pattern) -> String {
    pattern.pieces().iter().map(|piece| format!("{piece:?}")).collect::<Vec<_>>().join("*")
}

fn render_value(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("{text:?}"),
        Value::Integer(number) => number.to_string(),
        Value::Number(number) => format!("{number:?}"),
        Value::Boolean(truth) => truth.to_string(),
        Value::Millis(millis) => crate::time::format_time(*millis),
        Value::Address(address) => address.to_canonical().to_string(),
    }
}

fn answer(text: &str) -> String {
    match parse(text, NOW) {
        Ok(filter) => format!("= {}", render(&filter)),
        Err(error) => format!("! {}", error.render().replace('\n', "\n! ")),
    }
}

/// Lines with `>` are a filter, lines with `=` or `!` its result. `UPDATE_GOLDEN=1` rewrites the results.
#[test]
fn filters_parse_as_in_the_golden_files() {
    for name in ["filters", "mistakes"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/kql/{name}.txt"));
        let table = fs::read_to_string(&path).unwrap();
        let mut current = String::new();
        for block in table.split("\n\n") {
            let (asked, rest): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with('>'));
            rest.iter().filter(|line| line.starts_with('#')).for_each(|line| current.push_str(&format!("{line}\n")));
            if !asked.is_empty() {
                asked.iter().for_each(|line| current.push_str(&format!("{line}\n")));
                let text =
                    asked.iter().map(|line| line.strip_prefix("> ").unwrap_or("")).collect::<Vec<_>>().join("\n");
                current.push_str(&format!("{}\n", answer(&text)));
            }
            current.push('\n');
        }
        let current = format!("{}\n", current.trim_end());
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &current).unwrap();
            continue;
        }
        assert_eq!(table, current, "{name}");
    }
}

#[test]
fn a_value_without_a_field_is_looked_up_in_the_documented_fields() {
    let Ok(Filter::Any(parts)) = parse("10.0.0.1", NOW) else { panic!() };
    let field = |filter: &Filter| match filter {
        Filter::Element(_, inner) => match &**inner {
            Filter::Value(subject, _) => subject.path(),
            other => panic!("{other:?}"),
        },
        Filter::Value(subject, _) => subject.path(),
        other => panic!("{other:?}"),
    };
    let mut fields: Vec<String> = parts.iter().map(field).collect();
    let mut expected: Vec<&str> = names::IDENTIFYING.into_iter().chain(names::TEXTS).collect();
    fields.sort();
    expected.sort();
    assert_eq!(fields, expected);
    let page = include_str!("../../../docs/kql.md");
    for field in expected {
        assert!(page.contains(&format!("`{field}`")), "docs/kql.md does not name {field}");
    }
}

/// In each table the first column is one filter or several; the last begins with 400 if they are refused.
#[test]
fn the_filters_in_the_documentation_are_answered_as_documented() {
    let page = include_str!("../../../docs/kql.md");
    let rows: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")).collect();
    assert!(rows.len() > 60);
    for row in rows {
        let (text, rest) = row.split_once("` |").unwrap();
        let text = text.replace("\\|", "|");
        let is_refused = rest.trim_end_matches(" |").rsplit("| ").next().unwrap().trim_start().starts_with("400");
        for text in text.split("`, `") {
            assert_eq!(parse(text, NOW).is_err(), is_refused, "{text}");
        }
    }
    let example = page.split("```text\n").nth(1).unwrap().split("\n```").next().unwrap();
    assert_eq!(parse(example.lines().next().unwrap(), NOW).unwrap_err().render(), example);
}

#[test]
fn exceeded_limits_are_reported() {
    let refused = |text: &str| parse(text, NOW).unwrap_err();
    let deep = |levels: usize| format!("{}event.action:a{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse(&deep(MAX_NESTING), NOW).is_ok());
    let error = refused(&deep(MAX_NESTING + 1));
    assert_eq!(error.to_string(), "line 1, column 65: The filter is nested deeper than 64 levels");
    assert!(refused(&deep(8000)).message.contains("64 levels"));
    assert!(refused(&"kibana.saved_objects:{".repeat(700)).message.contains("64 levels"));
    assert!(refused(&format!("event.action:{}", "(".repeat(8000))).message.contains("64 levels"));

    // Siblings do not nest.
    assert!(parse(&vec!["(event.action:(a))"; 100].join(" or "), NOW).is_ok());

    let text = format!("event.action:{}", "a".repeat(MAX_BYTES - 13));
    assert!(parse(&text, NOW).is_ok());
    assert_eq!(refused(&format!("{text}a")).message, "The filter has 16385 bytes, but may have at most 16384");
    assert_eq!(refused(&"ü".repeat(10_000)).position.column, MAX_BYTES / 2 + 1);

    let values = |count: usize| format!("event.action:({})", vec!["a"; count].join(" or "));
    assert!(parse(&values(MAX_CLAUSES), NOW).is_ok());
    assert!(refused(&values(MAX_CLAUSES + 1)).message.contains("more than 500 values"));
    assert!(
        refused(&format!("message:{}", (0..=MAX_CLAUSES).map(|word| format!("{word} ")).collect::<String>()))
            .message
            .contains("more than 500 values")
    );
    assert!(refused(&vec!["x"; 31].join(" or ")).message.contains("more than 500 values"));
    // Length alone makes nothing slow or deep.
    assert!(parse(&"not ".repeat(4000), NOW).is_err());
    assert!(parse(&" ".repeat(MAX_BYTES), NOW).is_ok());
    assert!(parse(&format!("x{}y", " ".repeat(MAX_BYTES - 2)), NOW).is_ok());
    assert!(parse(&"\\".repeat(MAX_BYTES - 1), NOW).is_err());
}

#[test]
fn errors_have_a_position_in_lines_and_characters() {
    let error = parse("message:\"ä\u{1f600}\"\n  and  ü:1", NOW).unwrap_err();
    assert_eq!(error.position, Position { offset: 24, line: 2, column: 8 });
    assert_eq!(error.to_string(), "line 2, column 8: There is no field \"ü\"");
    assert_eq!(error.render(), "  and  ü:1\n       ^\nThere is no field \"ü\"");
    let far = format!("{}akshun:x{}", "event.action:a or ".repeat(50), " or event.action:b".repeat(50));
    let rendered = parse(&far, NOW).unwrap_err().render();
    let lines: Vec<&str> = rendered.lines().collect();
    assert!(lines[0].len() <= 100, "{rendered}");
    assert_eq!(&lines[0][lines[1].find('^').unwrap()..][..6], "akshun");
}

// Printing of expressions, to compare them with what the parser reads

fn printed(expression: &Expression) -> String {
    let inner = |inner: &Expression| match inner {
        Expression::Or(_) | Expression::And(_) | Expression::Not(_) => format!("({})", printed(inner)),
        Expression::Group(..) | Expression::Compare(..) | Expression::Field(..) | Expression::Free(_) => printed(inner),
    };
    let join = |parts: &[Expression], word: &str| parts.iter().map(inner).collect::<Vec<_>>().join(word);
    match expression {
        Expression::Or(parts) => join(parts, " or "),
        Expression::And(parts) => join(parts, " AND "),
        Expression::Not(part) => format!("not {}", inner(part)),
        Expression::Group(name, part) => format!("{}:{{ {} }}", printed_literal(name), printed(part)),
        Expression::Compare(name, comparison, value) => {
            let sign = match comparison {
                Comparison::Less => "<",
                Comparison::AtMost => "<=",
                Comparison::More => ">",
                Comparison::AtLeast => ">=",
            };
            format!("{} {sign} {}", printed_literal(name), printed_literal(value))
        }
        Expression::Field(name, values @ Values::One(_)) => {
            // Without the blank it may look like an address or a time.
            format!("{}: {}", printed_literal(name), printed_values(values))
        }
        Expression::Field(name, values) => format!("{}:({})", printed_literal(name), printed_values(values)),
        Expression::Free(value) => printed_literal(value),
    }
}

fn printed_values(values: &Values) -> String {
    let inner = |inner: &Values| match inner {
        Values::One(_) => printed_values(inner),
        Values::Or(_) | Values::And(_) | Values::Not(_) => format!("({})", printed_values(inner)),
    };
    let join = |parts: &[Values], word: &str| parts.iter().map(inner).collect::<Vec<_>>().join(word);
    match values {
        Values::One(literal) => printed_literal(literal),
        Values::Or(parts) => join(parts, " Or "),
        Values::And(parts) => join(parts, " and "),
        Values::Not(part) => format!("NOT {}", inner(part)),
    }
}

fn printed_literal(literal: &Literal) -> String {
    if literal.quoted {
        return quote(&literal.text().unwrap());
    }
    let last = literal.symbols.len() - 1;
    let mut text = String::new();
    for (index, symbol) in literal.symbols.iter().enumerate() {
        match symbol {
            Symbol::Wildcard => text.push('*'),
            Symbol::Character(' ') if index != 0 && index != last => text.push(' '),
            Symbol::Character(blank) if blank.is_whitespace() => {
                text.push_str(&format!("\\u{:04x}", u32::from(*blank)))
            }
            Symbol::Character(special) if syntax::is_special(*special) => text.extend(['\\', *special]),
            // What other languages write with these is refused.
            Symbol::Character(sign @ ('=' | '!' | '-' | '&' | '|' | '[')) => {
                text.push_str(&format!("\\u{:04x}", u32::from(*sign)))
            }
            Symbol::Character(character) => text.push(*character),
        }
    }
    let words = text.split(' ').map(|word| match word.to_ascii_lowercase().as_str() {
        "and" | "or" | "not" => format!("\\{word}"),
        "to" => format!("\\u{:04x}{}", u32::from(word.as_bytes()[0]), &word[1..]),
        _ => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

fn literals() -> impl Strategy<Value = Literal> {
    let span = Span { start: 0, end: 0 };
    let character = prop_oneof![
        4 => proptest::sample::select("abnotr AND or:*()<>\"{}\\\t\u{a0}u0ü漢".chars().collect::<Vec<_>>()),
        1 => any::<char>(),
    ];
    let quoted = proptest::collection::vec(character.clone(), 0..8);
    let quoted = quoted.prop_map(|text| text.into_iter().map(Symbol::Character).collect());
    let symbol = prop_oneof![4 => character.prop_map(Symbol::Character), 1 => Just(Symbol::Wildcard)];
    let unquoted = proptest::collection::vec(symbol, 1..8);
    let words =
        proptest::sample::select(vec!["and", "or x", "not x", "a or b", "ORder", "a not", "nothing", "event.action"]);
    let words = words.prop_map(|text| text.chars().map(Symbol::Character).collect());
    prop_oneof![
        quoted.prop_map(move |symbols| Literal { symbols, quoted: true, span }),
        unquoted.prop_map(move |symbols| Literal { symbols, quoted: false, span }),
        words.prop_map(move |symbols| Literal { symbols, quoted: false, span }),
    ]
}

fn value_lists() -> impl Strategy<Value = Values> {
    literals().prop_map(Values::One).prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Values::Or),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Values::And),
            inner.prop_map(|inner| Values::Not(Box::new(inner))),
        ]
    })
}

fn expressions() -> impl Strategy<Value = Expression> {
    let comparison =
        proptest::sample::select(vec![Comparison::Less, Comparison::AtMost, Comparison::More, Comparison::AtLeast]);
    let leaf = prop_oneof![
        literals().prop_map(Expression::Free),
        (literals(), comparison, literals()).prop_map(|(name, sign, value)| Expression::Compare(name, sign, value)),
        (literals(), value_lists()).prop_map(|(name, values)| Expression::Field(name, values)),
    ];
    leaf.prop_recursive(4, 24, 3, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expression::Or),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expression::And),
            inner.clone().prop_map(|inner| Expression::Not(Box::new(inner))),
            (literals(), inner).prop_map(|(name, inner)| Expression::Group(name, Box::new(inner))),
        ]
    })
}

/// Resets all spans to those of the strategies.
fn without_spans(expression: Expression) -> Expression {
    let each = |parts: Vec<Expression>| parts.into_iter().map(without_spans).collect();
    match expression {
        Expression::Or(parts) => Expression::Or(each(parts)),
        Expression::And(parts) => Expression::And(each(parts)),
        Expression::Not(inner) => Expression::Not(Box::new(without_spans(*inner))),
        Expression::Group(name, inner) => Expression::Group(without_span(name), Box::new(without_spans(*inner))),
        Expression::Compare(name, sign, value) => Expression::Compare(without_span(name), sign, without_span(value)),
        Expression::Field(name, values) => Expression::Field(without_span(name), values_without_spans(values)),
        Expression::Free(value) => Expression::Free(without_span(value)),
    }
}

fn values_without_spans(values: Values) -> Values {
    let each = |parts: Vec<Values>| parts.into_iter().map(values_without_spans).collect();
    match values {
        Values::One(literal) => Values::One(without_span(literal)),
        Values::Or(parts) => Values::Or(each(parts)),
        Values::And(parts) => Values::And(each(parts)),
        Values::Not(inner) => Values::Not(Box::new(values_without_spans(*inner))),
    }
}

fn without_span(literal: Literal) -> Literal {
    Literal { span: Span { start: 0, end: 0 }, ..literal }
}

/// Texts that resemble filters.
fn texts() -> impl Strategy<Value = String> {
    let parts = vec![
        "event.action",
        "message",
        "@timestamp",
        "kibana.saved_objects",
        "labels.x",
        "source.ip",
        "event.*",
        "user.name",
        "event.duration",
        ":",
        ":",
        ":",
        "(",
        ")",
        "{",
        "}",
        "\"",
        "\\",
        "*",
        "<",
        "<=",
        ">",
        ">=",
        " ",
        " ",
        " and ",
        " or ",
        "not ",
        "x",
        "fail",
        "5",
        "2021-03-02",
        "10:15",
        "10.0.0.0/8",
        "now-1d/d",
        "null",
        "true",
        "\n",
        "\\u00e4",
        "\\u",
        "ü",
        "漢字",
        "👩‍👩‍👧",
        "\u{301}",
    ];
    let part = prop_oneof![
        8 => proptest::sample::select(parts).prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    proptest::collection::vec(part, 0..24).prop_map(|parts| parts.concat())
}

fn document() -> serde_json::Value {
    let text = include_str!("../../../tests/golden/events/every-field.json");
    serde_json::from_str(text).unwrap()
}

#[test]
fn conditions_on_objects_may_have_the_word_to() {
    for text in ["kibana.saved_objects:{ type:alert and id:go to x }", "kibana.saved_objects:{ id:(a to b) or type:x }"]
    {
        assert!(parse(text, NOW).is_ok(), "{text}");
    }
    for range in ["event.duration:{1 TO 5}", "event.duration:[1 to *]"] {
        assert!(parse(range, NOW).unwrap_err().to_string().contains("event.duration >"), "{range}");
    }
}

proptest! {
    #[test]
    fn a_printed_expression_parses_back(expression in expressions()) {
        let text = printed(&expression);
        let read = parser::parse(&text);
        prop_assert!(read.is_ok(), "{text}: {read:?}");
        prop_assert_eq!(read.unwrap().map(without_spans), Some(expression), "{}", text);
    }

    #[test]
    fn any_text_is_a_filter_or_an_error_with_a_position(text in texts()) {
        match parse(&text, NOW) {
            Ok(filter) => {
                let found = filter.matches(&document());
                prop_assert_eq!(filter.negated().matches(&document()), !found);
            }
            Err(error) => {
                prop_assert!(text.is_char_boundary(error.position.offset));
                let before = &text[..error.position.offset];
                prop_assert_eq!(error.position.line, before.matches('\n').count() + 1);
                prop_assert_eq!(error.position.column, before.rsplit('\n').next().unwrap().chars().count() + 1);
                prop_assert!(error.render().lines().count() == 3 && !error.to_string().contains('\n'));
            }
        }
    }

    #[test]
    fn a_quoted_value_is_literal(value in any::<String>()) {
        let expected = Filter::value(
            Subject::Field(crate::schema::field("event.action").unwrap()),
            Test::OneOf(vec![Value::Text(value.clone())]),
        );
        prop_assert_eq!(parse(&format!("event.action:{}", quote(&value)), NOW), Ok(expected.unwrap()));
    }

    #[test]
    fn a_contained_value_is_literal(part in "\\PC{1,40}|[ \t\n*:(){}<>\"\\\\]{1,10}|(not|and |or:| ){1,6}") {
        let test = Test::Like(Pattern::containing(&part));
        let expected = Filter::value(Subject::Field(crate::schema::field("event.action").unwrap()), test);
        prop_assert_eq!(parse(&containing("event.action", &part), NOW), Ok(expected.unwrap()));
    }
}

#[test]
fn containing_searches_the_whole_value_of_a_text() {
    assert_eq!(containing("message", "a b"), r"message.keyword:*a\u0020b*");
    assert_eq!(containing("tags", "*"), r"tags:*\**");
}
