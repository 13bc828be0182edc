//! Conditions as Lucene, SQL and programming languages write them. KQL would refuse some of them without saying why, and
//! search for the text of the others.

use super::{names, quote, syntax::is_special};

/// A condition that is not KQL.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// In bytes, from the beginning of the text.
    pub(super) length: usize,
    /// What to write instead.
    pub(super) kql: String,
    /// Whether KQL would search for it as a text.
    pub(super) is_text: bool,
}

impl Foreign {
    fn new(length: usize, kql: String) -> Self {
        Self { length, kql, is_text: false }
    }

    fn of_text(length: usize, kql: String) -> Self {
        Self { length, kql, is_text: true }
    }

    pub(super) fn message(&self) -> String {
        let or = if self.is_text { ", or put the text in quotes to search for it" } else { "" };
        format!("This is not KQL; write `{}`{or}", self.kql)
    }
}

/// How far to look ahead, in bytes.
const WINDOW: usize = 400;

/// Stands for a value that is too long, or missing.
const SOMETHING: &str = "…";

fn window(text: &str) -> &str {
    text.get(..text.floor_char_boundary(WINDOW)).unwrap_or_default()
}

/// Recognizes a condition at the beginning of a text: `a = b`, `a != b`, `a in (b, c)`, `a is null`, `a{ b:c }`, `!a:b`.
pub(super) fn condition(text: &str) -> Option<Foreign> {
    let text = window(text);
    if let Some(sign) = text.chars().next().filter(|first| matches!(first, '!' | '-')) {
        return negation(sign, text.get(1..)?);
    }
    let (name, rest) = split_name(text)?;
    let operator = rest.trim_start();
    let after = |rest: &str| text.len() - rest.len();
    if let Some(rest) = operator.strip_prefix('{') {
        return Some(Foreign::new(after(rest), format!("{name}:{{ {SOMETHING} }}")));
    }
    equation(name, rest, operator).or_else(|| statement(name, operator)).map(|(rest, kql, is_text)| Foreign {
        length: after(rest),
        kql,
        is_text,
    })
}

/// What follows the condition, the condition in KQL, and whether KQL would search for it as a text.
type Recognized<'a> = Option<(&'a str, String, bool)>;

/// `a = b`. A text such as `status=200` is none, unless there is such a field.
fn equation<'a>(name: &str, rest: &str, operator: &'a str) -> Recognized<'a> {
    let end = operator.find(|sign| !matches!(sign, '=' | '!' | '<' | '>'))?;
    let (signs, operand) = operator.split_at_checked(end)?;
    let (value, after) = operand_of(operand.trim_start());
    let is_condition = signs.len() > 1 || rest.starts_with(char::is_whitespace) || names::is_known(name);
    match signs {
        "=" | "==" | "===" if is_condition && value != SOMETHING => Some((after, format!("{name}:{value}"), true)),
        "!=" | "!==" if value != SOMETHING => Some((after, format!("not {name}:{value}"), true)),
        "<>" => Some((after, format!("not {name}:{value}"), false)),
        "=>" => Some((after, format!("{name} >= {value}"), false)),
        "=<" => Some((after, format!("{name} <= {value}"), false)),
        _ => None,
    }
}

/// The operators of SQL that are words. Those that could be words of a text need the path of a field before them.
fn statement<'a>(name: &str, operator: &'a str) -> Recognized<'a> {
    let (is_negated, positive) = match word(operator, "not") {
        Some(rest) => (true, rest),
        None => (false, operator),
    };
    let not = if is_negated { "not " } else { "" };
    if let Some(rest) = word(positive, "in").and_then(|rest| rest.strip_prefix('(')) {
        let end = rest.find(')').unwrap_or(rest.len());
        let (values, rest) = rest.split_at_checked(end)?;
        let values: Vec<String> = values.split(',').map(|value| operand_of(value.trim()).0).collect();
        let after = rest.strip_prefix(')').unwrap_or(rest);
        return Some((after, format!("{not}{name}:({})", values.join(" or ")), false));
    }
    if !name.contains(['.', '@']) || !names::is_known(name) {
        return None;
    }
    if let Some(rest) = word(operator, "is") {
        return match word(rest, "not") {
            Some(rest) => Some((word(rest, "null")?, format!("{name}:*"), false)),
            None => Some((word(rest, "null")?, format!("not {name}:*"), true)),
        };
    }
    if let Some(rest) = word(positive, "like") {
        let (value, after) = operand_of(rest);
        return Some((after, format!("{not}{name}:{}", value.trim_matches('"').replace('%', "*")), true));
    }
    let (low, rest) = operand_of(word(positive, "between")?);
    let (high, after) = operand_of(word(rest.trim_start(), "and")?);
    let between = format!("{name} >= {low} and {name} <= {high}");
    Some((after, if is_negated { format!("not ({between})") } else { between }, true))
}

/// `!a:b`, `-a:b`, `-a`, without the sign. A number may be negative.
fn negation(sign: char, text: &str) -> Option<Foreign> {
    let signed = text.trim_start();
    let length = |rest: &str| sign.len_utf8() + text.len() - rest.len();
    if signed.len() < text.len() && sign == '-' {
        return None;
    }
    if signed.starts_with('(') {
        return Some(Foreign::new(length(signed), format!("not ({SOMETHING})")));
    }
    if signed.starts_with('"') {
        let (value, after) = operand_of(signed);
        return Some(Foreign::new(length(after), format!("not {value}")));
    }
    let (name, rest) = split_name(signed)?;
    let operator = rest.trim_start();
    if operator.starts_with([':', '<', '>']) {
        let signs = operator.find(|sign| !matches!(sign, ':' | '<' | '>' | '=')).unwrap_or(operator.len());
        let (signs, operand) = operator.split_at_checked(signs)?;
        let signs = if signs == ":" { signs.to_owned() } else { format!(" {} ", signs.trim_start_matches(':')) };
        let operand = operand.trim_start();
        let (value, after) = match operand.chars().next() {
            Some('(') => (format!("({SOMETHING})"), operand),
            Some('{') => (format!("{{ {SOMETHING} }}"), operand),
            _ => operand_of(operand),
        };
        return Some(Foreign::new(length(after), format!("not {name}{signs}{value}")));
    }
    let is_word = name.starts_with(char::is_alphabetic);
    is_word.then(|| Foreign::of_text(length(rest), format!("not {name}")))
}

/// Recognizes a comparison or a range after a name and a colon: `a:>5`, `a:[1 TO 5]`.
pub(super) fn after_colon(name: &str, text: &str) -> Option<Foreign> {
    let text = window(text);
    let after = |rest: &str| text.len() - rest.len();
    for sign in ["<=", ">=", "<", ">"] {
        if let Some(operand) = text.strip_prefix(sign) {
            let (value, rest) = operand_of(operand.trim_start());
            return Some(Foreign::new(after(rest), format!("{name} {sign} {value}")));
        }
    }
    let range = text.strip_prefix(['[', '{'])?;
    let (range, rest) = range.split_at_checked(range.find([']', '}'])?)?;
    let lower = range.to_ascii_lowercase();
    let (low, high) = (range.get(..lower.find(" to ")?)?.trim(), range.get(lower.find(" to ")? + 4..)?.trim());
    // What has more in it is a condition on objects.
    if [low, high].iter().any(|bound| !operand_of(bound).1.trim().is_empty()) {
        return None;
    }
    let bound = |sign: char, is_included: bool, value: &str| {
        let or_equal = if is_included { "=" } else { "" };
        (value != "*").then(|| format!("{name} {sign}{or_equal} {}", operand_of(value).0))
    };
    let bounds = [bound('>', text.starts_with('['), low), bound('<', rest.starts_with(']'), high)];
    let bounds: Vec<String> = bounds.into_iter().flatten().collect();
    let kql = if bounds.is_empty() { format!("{name}:*") } else { bounds.join(" and ") };
    Some(Foreign::of_text(after(rest) + 1, kql))
}

/// The operators of programming languages, as words of their own.
pub(super) fn connective(text: &str) -> Option<Foreign> {
    let (sign, kql) = [("&&", "and"), ("||", "or")].into_iter().find(|(sign, _)| text.starts_with(sign))?;
    let next = text.get(sign.len()..)?.chars().next();
    let is_word = next.is_none_or(|next| next.is_whitespace() || matches!(next, '(' | '"' | '!'));
    is_word.then(|| Foreign::of_text(sign.len(), kql.to_owned()))
}

/// Returns what precedes and follows a colon as one quoted text if it looks like a URL, a time or an address.
pub(super) fn text_with_colon(before: &str, after: &str) -> Option<String> {
    let is_digit = |character: char| character.is_ascii_digit();
    let is_text = after.starts_with("//")
        || after.starts_with(':')
        || before.ends_with(is_digit)
            && before.starts_with(is_digit)
            && after.starts_with(|c| char::is_ascii_hexdigit(&c));
    is_text.then(|| quoted_with_colon(before, after))
}

/// Quotes the last word before a colon, the colon, and the word after it.
pub(super) fn quoted_with_colon(before: &str, after: &str) -> String {
    let after = window(after);
    let end = after.find(|next: char| next.is_whitespace() || matches!(next, '(' | ')' | '{' | '}' | '"'));
    let after = after.get(..end.unwrap_or(after.len())).unwrap_or_default();
    quote(&format!("{}:{after}", last_word(before)))
}

pub(super) fn last_word(text: &str) -> &str {
    text.rsplit(char::is_whitespace).next().unwrap_or(text)
}

/// The name of a field at the beginning of the text, and the rest.
fn split_name(text: &str) -> Option<(&str, &str)> {
    let is_of_name = |next: char| next.is_alphanumeric() || matches!(next, '_' | '.' | '@' | '*' | '-');
    let end = text.find(|next| !is_of_name(next)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(name, _)| !name.is_empty())
}

/// What follows this word and blanks.
fn word<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (first, rest) = text.split_at_checked(word.len())?;
    let ends = rest.chars().next().is_none_or(|next| !next.is_alphanumeric());
    (ends && first.eq_ignore_ascii_case(word)).then(|| rest.trim_start())
}

/// The value at the beginning of the text as KQL writes it, and the rest. A value ends at a quote's end, or before `and`,
/// `or`, a bracket or a comma.
fn operand_of(text: &str) -> (String, &str) {
    if let Some(quote_mark) = text.chars().next().filter(|first| matches!(first, '"' | '\''))
        && let Some((value, rest)) = text.get(1..).and_then(|text| text.split_once(quote_mark))
    {
        return (as_value(value), rest);
    }
    let ends = |at: usize| {
        let rest = text.get(at..).unwrap_or_default();
        let is_word = |name| word(rest.trim_start(), name).is_some();
        rest.starts_with([')', '}', ']', ','])
            || rest.starts_with(char::is_whitespace)
                && (is_word("and") || is_word("or") || connective(rest.trim_start()).is_some())
    };
    let end = text.char_indices().map(|(at, _)| at).find(|at| ends(*at)).unwrap_or(text.len());
    let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
    (as_value(value.trim()), rest)
}

fn as_value(text: &str) -> String {
    let is_plain = |next: char| !(is_special(next) && next != '*' || next.is_whitespace());
    match text {
        "" => SOMETHING.to_owned(),
        text if text.chars().all(is_plain) => text.to_owned(),
        text => quote(text),
    }
}
