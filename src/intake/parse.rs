//! Parses an event in one pass: checks grammar and schema, canonicalizes values, and reports every violation, not just
//! the first.

use std::net::IpAddr;

use super::{
    Limits, Violation,
    builder::{EventBuilder, Slot},
    canonical::{self, CanonicalError, abbreviate},
    date::{canonical_date, is_fixed_form},
    known::KnownFields,
    predictor::MemberPosition,
    scan::{ByteRange, Expected, Scanner, Syntax, Token, decode},
};
use crate::schema::{FIELDS, Field, FieldId, Kind, Member, NodeId, SetBy, Tree, closest};

/// Reads one event, after its opening brace, into the builder. After an error, the rest of the input cannot be
/// interpreted.
pub(super) fn event(scanner: &mut Scanner<'_>, builder: &mut EventBuilder, limits: &Limits) -> Result<(), Syntax> {
    Parser { scanner, builder, limits, tree: Tree::get() }.object(NodeId::ROOT, None)
}

/// An element of a nested field: the field and the element's index.
type Element = Option<(FieldId, usize)>;

struct Parser<'p, 'i> {
    scanner: &'p mut Scanner<'i>,
    builder: &'p mut EventBuilder,
    limits: &'p Limits,
    tree: &'static Tree,
}

impl<'i> Parser<'_, 'i> {
    fn object(&mut self, node: NodeId, element: Element) -> Result<(), Syntax> {
        if self.scanner.take(b'}') {
            return Ok(());
        }
        let mut place = MemberPosition::start_of(node);
        loop {
            place = match self.predicted_member(place) {
                Some(member) => {
                    let token = self.scanner.value()?;
                    self.member(member, token, element)?;
                    MemberPosition::after(member)
                }
                None => self.any_member(node, place, element)?,
            };
            if !self.scanner.more(b'}')? {
                return Ok(());
            }
        }
    }

    /// Reads the name of the member that usually comes here, if it is next.
    fn predicted_member(&mut self, place: MemberPosition) -> Option<Member> {
        let member = self.builder.predictor.at(place)?;
        self.scanner.take_all(self.tree.key(member)).then_some(member)
    }

    /// Reads a member with any name, and returns the place after it.
    fn any_member(&mut self, node: NodeId, place: MemberPosition, element: Element) -> Result<MemberPosition, Syntax> {
        let (quoted, escaped) = self.scanner.string()?;
        self.scanner.expect(b':', Expected::Colon)?;
        let token = self.scanner.value()?;
        let input = self.scanner.input();
        let decoded = if escaped { decode(quoted.of(input)).ok() } else { None };
        let name = decoded.as_ref().map_or(quoted.inner().of(input), |text| text.as_bytes());
        if let Some(member) = self.tree.member(node, name) {
            self.builder.predictor.note(place, member);
            self.member(member, token, element)?;
            return Ok(MemberPosition::after(member));
        }
        match self.resolve(node, name) {
            Some(member) => self.member(member, token, element)?,
            None => self.unknown_member(node, name, token, element)?,
        }
        // A dotted or unknown name has no position of its own for predictions.
        Ok(place)
    }

    /// Resolves several names joined by dots.
    fn resolve(&self, node: NodeId, name: &[u8]) -> Option<Member> {
        let dot = name.iter().position(|byte| *byte == b'.')?;
        let (first, rest) = name.split_at_checked(dot)?;
        let Member::Object(child) = self.tree.member(node, first)? else { return None };
        let rest = rest.get(1..)?;
        self.tree.member(child, rest).or_else(|| self.resolve(child, rest))
    }

    fn member(&mut self, member: Member, token: Token, element: Element) -> Result<(), Syntax> {
        match member {
            Member::Object(child) => self.child(child, token, element),
            Member::Nested(field, child) => self.nested(field, child, token),
            Member::Field(field) => self.field(field, token, element),
        }
    }

    fn child(&mut self, node: NodeId, token: Token, element: Element) -> Result<(), Syntax> {
        let path = &self.tree.node(node).path;
        if !matches!(token, Token::Object) {
            return self.violate(path, element, "an object", token);
        }
        if !self.builder.enter(node) {
            return self.violate(path, element, "only one member with this name", token);
        }
        self.object(node, element)
    }

    fn field(&mut self, id: FieldId, token: Token, element: Element) -> Result<(), Syntax> {
        let field = id.field();
        match field.set_by {
            SetBy::Client => {}
            SetBy::LogReplaces => return self.skip(token),
            SetBy::LogRefuses => return self.violate(field.path, element, "nothing, because the log sets it", token),
        }
        if self.builder.has(id) {
            return self.violate(field.path, element, "only one member with this name", token);
        }
        let slot =
            if field.multi { self.array(field, token, element)? } else { self.single_value(field, token, element)? };
        if let Some(slot) = slot {
            self.builder.set(id, slot);
        }
        Ok(())
    }

    fn array(&mut self, field: &'static Field, token: Token, element: Element) -> Result<Option<Slot>, Syntax> {
        if !matches!(token, Token::Array) {
            self.violate(field.path, element, &format!("an array of {}", plural(field.kind)), token)?;
            return Ok(None);
        }
        let start = self.scanner.offset() - 1;
        let mut text = self.builder.begin_array();
        let mut is_given = true;
        let mut count = 0_usize;
        if !self.scanner.take(b']') {
            loop {
                let inner = self.scanner.value()?;
                count += 1;
                if count > self.limits.max_array_length {
                    self.skip(inner)?;
                } else if let Some(slot) = self.single_value(field, inner, element)? {
                    is_given &= slot.is_given();
                    if text.len() > 1 {
                        text.push(b',');
                    }
                    text.extend_from_slice(self.builder.given_bytes(slot, self.scanner.input()));
                }
                if !self.scanner.more(b']')? {
                    break;
                }
            }
        }
        self.check_length(field.path, element, count, self.limits.max_array_length);
        let given = ByteRange::new(start..self.scanner.offset());
        let has_white_space = given.len() > text.len() + 1;
        Ok(Some(if is_given && !has_white_space {
            self.builder.drop_array(text, given)
        } else {
            self.builder.keep_array(text)
        }))
    }

    fn nested(&mut self, id: FieldId, node: NodeId, token: Token) -> Result<(), Syntax> {
        let field = id.field();
        if !matches!(token, Token::Array) {
            return self.violate(field.path, None, "an array of objects", token);
        }
        if self.builder.has(id) {
            return self.violate(field.path, None, "only one member with this name", token);
        }
        let members = KnownFields::get().members_of(id);
        let limit = self.limits.max_array_length.min(MAX_OBJECTS);
        let mut text = self.builder.begin_array();
        let mut count = 0_usize;
        if !self.scanner.take(b']') {
            loop {
                let inner = self.scanner.value()?;
                let element = Some((id, count));
                count += 1;
                if count > limit {
                    self.skip(inner)?;
                } else if matches!(inner, Token::Object) {
                    self.object(node, element)?;
                    if text.len() > 1 {
                        text.push(b',');
                    }
                    self.builder.write_element(node, members, self.scanner.input(), &mut text);
                } else {
                    self.violate(field.path, element, "an object", inner)?;
                }
                if !self.scanner.more(b']')? {
                    break;
                }
            }
        }
        self.check_length(field.path, None, count, limit);
        let slot = self.builder.keep_array(text);
        self.builder.set(id, slot);
        Ok(())
    }

    fn check_length(&mut self, path: &str, element: Element, count: usize, limit: usize) {
        if count > limit {
            self.report(path, element, || (format!("at most {limit} elements"), format!("{count} elements")));
        }
    }

    /// Reads a value of the field's kind; reports any other value and returns `None`.
    fn single_value(&mut self, field: &'static Field, token: Token, element: Element) -> Result<Option<Slot>, Syntax> {
        let input = self.scanner.input();
        let given = |span| Ok(Slot::given(span));
        let slot = match (field.kind, token) {
            (Kind::Keyword | Kind::Text, Token::Text(span)) => given(span),
            (Kind::Keyword | Kind::Text, Token::Escaped(span)) => match decode(span.of(input)) {
                Ok(text) => {
                    let mut quoted = Vec::with_capacity(span.len());
                    canonical::put_text(&text, &mut quoted);
                    Ok(self.builder.keep(&quoted))
                }
                Err(bad) => Err(bad.expected().to_owned()),
            },
            (Kind::Date, Token::Text(span)) if is_fixed_form(span.of(input)) => given(span),
            (Kind::Date, Token::Text(span)) => match canonical_date(span.of(input)) {
                Some(text) => Ok(self.builder.keep(text.as_bytes())),
                None => Err(plain(field.kind)),
            },
            (Kind::Long, Token::Whole(span)) if is_short_integer(span.of(input), MAX_SAFE_DIGITS) => given(span),
            (Kind::Long, Token::Whole(span) | Token::Fraction(span)) => match canonical::safe_integer(span.of(input)) {
                Some(number) => Ok(self.builder.keep(number.to_string().as_bytes())),
                None => Err(plain(field.kind)),
            },
            (Kind::Long, Token::Text(span)) => {
                match parse_integer(span.inner().of(input)).filter(|number| number.abs() <= canonical::MAX_SAFE_INTEGER)
                {
                    Some(number) => Ok(self.builder.keep(number.to_string().as_bytes())),
                    None => Err(plain(field.kind)),
                }
            }
            (Kind::Long64, Token::Whole(span)) if is_short_integer(span.of(input), MAX_LONG_DIGITS) => {
                Ok(self.builder.keep_quoted(span.of(input)))
            }
            (Kind::Long64, Token::Whole(span)) => self.long64(span.of(input)),
            (Kind::Long64, Token::Text(span)) => self.long64(span.inner().of(input)),
            (Kind::Float, Token::Whole(span) | Token::Fraction(span)) => {
                match canonical::float_number(span.of(input)) {
                    Some(text) => Ok(self.builder.keep(text.as_bytes())),
                    None => Err(plain(field.kind)),
                }
            }
            (Kind::Boolean, Token::True(span) | Token::False(span)) => given(span),
            (Kind::Ip, Token::Text(span)) if is_ip(span.inner().of(input)) => given(span),
            (Kind::Version, Token::Text(span)) if is_version(span.of(input)) => given(span),
            (Kind::Labels, Token::Object) => return self.labels(field, token),
            (Kind::Json, _) => return self.json(field, token, element),
            _ => Err(plain(field.kind)),
        };
        match slot {
            Ok(slot) => Ok(self.within_length(field, slot, element)),
            Err(expected) => self.violate(field.path, element, &expected, token).map(|()| None),
        }
    }

    #[inline]
    fn within_length(&mut self, field: &'static Field, slot: Slot, element: Element) -> Option<Slot> {
        let most = field.max_bytes as usize;
        if most == 0 || slot.len() <= most + 2 {
            return Some(slot);
        }
        let length = text_length(self.builder.given_bytes(slot, self.scanner.input()));
        if length <= most {
            return Some(slot);
        }
        let wrong = || (format!("a text of at most {} bytes", field.max_bytes), format!("{length} bytes"));
        self.report(field.path, element, wrong);
        None
    }

    fn long64(&mut self, digits: &[u8]) -> Result<Slot, String> {
        let number = parse_integer(digits).ok_or_else(|| plain(Kind::Long64))?;
        Ok(self.builder.keep_quoted(itoa::Buffer::new().format(number).as_bytes()))
    }

    fn labels(&mut self, field: &'static Field, token: Token) -> Result<Option<Slot>, Syntax> {
        let before = self.scanner.clone();
        match labels(self.scanner, field, self.limits) {
            Ok(canonical) => Ok(Some(self.builder.keep(&canonical))),
            Err(refusal) => self.report_refusal(token, before, refusal),
        }
    }

    fn json(&mut self, field: &'static Field, token: Token, element: Element) -> Result<Option<Slot>, Syntax> {
        let before = self.scanner.clone();
        let mut text = Vec::new();
        match canonical::put_value(self.scanner, token, &field.path, self.limits.max_depth, &mut text) {
            Ok(()) => {
                let mut quoted = Vec::with_capacity(text.len() + 16);
                canonical::put_text(&String::from_utf8_lossy(&text), &mut quoted);
                let slot = self.builder.keep(&quoted);
                Ok(self.within_length(field, slot, element))
            }
            Err(refusal) => self.report_refusal(token, before, refusal),
        }
    }

    /// Reports why a value was refused, and skips it.
    fn report_refusal(
        &mut self,
        token: Token,
        before: Scanner<'i>,
        refusal: CanonicalError,
    ) -> Result<Option<Slot>, Syntax> {
        match refusal {
            CanonicalError::Syntax(syntax) => Err(syntax),
            CanonicalError::Violation(violation) => {
                self.builder.violations.add(|| violation);
                *self.scanner = before;
                self.skip(token).map(|()| None)
            }
        }
    }

    fn unknown_member(&mut self, node: NodeId, name: &[u8], token: Token, element: Element) -> Result<(), Syntax> {
        let object = self.tree.node(node).path.as_str();
        let may_guess = self.builder.violations.may_guess();
        self.builder.violations.add(|| {
            let name = String::from_utf8_lossy(name);
            let path = if object.is_empty() { name.clone().into_owned() } else { format!("{object}.{name}") };
            let sibling = || {
                let near = closest(&name, self.tree.names(node))?;
                Some(if object.is_empty() { near.to_owned() } else { format!("{object}.{near}") })
            };
            let anywhere = || closest(&path, FIELDS.iter().map(|field| field.path)).map(str::to_owned);
            let expected = match Some(()).filter(|()| may_guess).and_then(|()| sibling().or_else(anywhere)) {
                Some(near) => format!("a known field (did you mean {near}?)"),
                None => "a known field".to_owned(),
            };
            Violation { path: path_in_element(&path, element), expected, found: "an unknown field".to_owned() }
        });
        self.skip(token)
    }

    fn violate(&mut self, path: &str, element: Element, expected: &str, token: Token) -> Result<(), Syntax> {
        let input = self.scanner.input();
        self.report(path, element, || (expected.to_owned(), describe(token, input)));
        self.skip(token)
    }

    /// Reports a violation; `wrong` returns what was expected and what was found.
    fn report(&mut self, path: &str, element: Element, wrong: impl FnOnce() -> (String, String)) {
        self.builder.violations.add(|| {
            let (expected, found) = wrong();
            Violation { path: path_in_element(path, element), expected, found }
        });
    }

    fn skip(&mut self, token: Token) -> Result<(), Syntax> {
        self.scanner.skip(token, self.limits.max_depth)
    }
}

/// Returns the path of a field, with the index of its element inside a nested field.
fn path_in_element(path: &str, element: Element) -> String {
    let Some((nested, index)) = element else { return path.to_owned() };
    let outer = nested.field().path;
    format!("{outer}[{index}]{}", path.strip_prefix(outer).unwrap_or(path))
}

/// Returns the length in bytes of a quoted text after decoding its escapes.
fn text_length(quoted: &[u8]) -> usize {
    decode(quoted).map_or(quoted.len() - 2, |text| text.len())
}

/// Maximum number of objects in a nested field. The engines accept 10,000 per event, in both nested fields together.
const MAX_OBJECTS: usize = 5_000;

/// Numbers of up to this many digits are exact as a `long` in JSON, and as a 64-bit integer.
const MAX_SAFE_DIGITS: usize = 15;
const MAX_LONG_DIGITS: usize = 18;

/// Whether a whole number is in canonical form, judging by its length alone.
fn is_short_integer(digits: &[u8], longest: usize) -> bool {
    digits.len() <= longest && digits != b"-0"
}

fn is_ip(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| text.parse::<IpAddr>().is_ok())
}

/// Parses a number of digits only, with an optional minus sign.
fn parse_integer(digits: &[u8]) -> Option<i64> {
    let unsigned = digits.strip_prefix(b"-").unwrap_or(digits);
    let is_plain = unsigned.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_plain)?.parse().ok()
}

/// Reads an object of labels and turns its values into texts. The field's limit applies to each name and each value.
fn labels(scanner: &mut Scanner<'_>, field: &Field, limits: &Limits) -> Result<Vec<u8>, CanonicalError> {
    let path = field.path;
    let limit = field.max_bytes as usize;
    let refuse = |path: String, expected: String, found: String| {
        Err(CanonicalError::Violation(Violation { path, expected, found }))
    };
    let max_members = limits.max_array_length;
    let mut count = 0_usize;
    let mut members = Vec::new();
    if !scanner.take(b'}') {
        loop {
            count += 1;
            if count > max_members {
                scanner.member(limits.max_depth)?;
                if !scanner.more(b'}')? {
                    break;
                }
                continue;
            }
            let name = canonical::member_name(scanner, &path)?;
            // Only refused values are shown.
            let shown = || format!("{path}.{}", name.chars().take(60).collect::<String>());
            let token = scanner.value()?;
            let mut value = Vec::new();
            match token {
                Token::Text(span) => value.extend_from_slice(span.of(scanner.input())),
                Token::Escaped(_) => canonical::put_value(scanner, token, &shown(), 1, &mut value)?,
                Token::Whole(_) | Token::Fraction(_) | Token::True(_) | Token::False(_) => {
                    value.push(b'"');
                    canonical::put_value(scanner, token, &shown(), 1, &mut value)?;
                    value.push(b'"');
                }
                Token::Null | Token::Object | Token::Array => {
                    return refuse(
                        shown(),
                        "a text, a number or a boolean".to_owned(),
                        describe(token, scanner.input()),
                    );
                }
            }
            if limit != 0 && name.len().max(value.len() - 2) > limit {
                let longest = name.len().max(text_length(&value));
                if longest > limit {
                    let expected = format!("a name and a text of at most {limit} bytes");
                    return refuse(shown(), expected, format!("{longest} bytes"));
                }
            }
            members.push((name, value));
            if !scanner.more(b'}')? {
                break;
            }
        }
    }
    if count > max_members {
        return refuse(path.to_owned(), format!("at most {max_members} members"), format!("{count} members"));
    }
    let mut text = Vec::new();
    canonical::put_members(members, &path, &mut text)?;
    Ok(text)
}

/// Describes a value, for a message.
pub(super) fn describe(token: Token, input: &[u8]) -> String {
    match token {
        Token::Text(span) | Token::Escaped(span) | Token::Whole(span) | Token::Fraction(span) => {
            abbreviate(span.of(input))
        }
        Token::True(_) => "true".to_owned(),
        Token::False(_) => "false".to_owned(),
        Token::Null => "null".to_owned(),
        Token::Object => "an object".to_owned(),
        Token::Array => "an array".to_owned(),
    }
}

fn plain(kind: Kind) -> String {
    match kind {
        Kind::Keyword | Kind::Text => "a text",
        Kind::Date => "a date and time in RFC 3339, such as \"2026-11-24T12:00:00.000Z\"",
        Kind::Long => "a whole number within ±(2^53−1), as a number or as decimal digits in a text",
        Kind::Long64 => "a whole number within ±2^63, as a number or as decimal digits in a text",
        Kind::Float => "a number within ±3.4028235e38 (32 bits)",
        Kind::Boolean => "true or false",
        Kind::Ip => "an IPv4 or IPv6 address",
        Kind::Version => "a version such as \"1.2.3\"",
        Kind::Labels => "an object of texts, numbers and booleans",
        Kind::Json => "any JSON",
        Kind::Nested => "an array of objects",
    }
    .to_owned()
}

fn plural(kind: Kind) -> &'static str {
    match kind {
        Kind::Keyword | Kind::Text => "texts",
        Kind::Date => "dates",
        Kind::Long | Kind::Long64 | Kind::Float => "numbers",
        Kind::Boolean => "booleans",
        Kind::Ip => "IP addresses",
        Kind::Version => "versions",
        Kind::Labels | Kind::Nested => "objects",
        Kind::Json => "values",
    }
}

/// Three whole numbers separated by dots, and anything that semantic versions allow after them.
fn is_version(quoted: &[u8]) -> bool {
    let text = std::str::from_utf8(quoted).unwrap_or_default().trim_matches('"');
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
}
