//! Parses an event in one pass: checks grammar and schema, canonicalizes values, and reports every violation, not just
//! the first.

use std::{
    borrow::Cow,
    net::{IpAddr, Ipv6Addr},
};

use super::{
    Limits, OnBadText, Violation,
    builder::{EventBuilder, Slot},
    canonical::{self, CanonicalError, Form, describe},
    composite,
    date::{canonical_date, is_fixed_form},
    number,
    predictor::MemberPosition,
    repair::{Repairs, beginning},
    scan::{ByteRange, Decoded, Expected, Scanner, Syntax, Token, decode},
};
use crate::schema::{Field, FieldId, Kind, Member, NodeId, SetBy, Tree, closest, nearest};

/// Reads one event, after its opening brace, into the builder. After an error, the rest of the input cannot be
/// interpreted.
pub(super) fn event(scanner: &mut Scanner<'_>, builder: &mut EventBuilder, limits: &Limits) -> Result<(), Syntax> {
    Parser { scanner, builder, limits, tree: Tree::get() }.object(NodeId::ROOT, None)
}

/// The element of an array of objects that is read, if any.
type Element<'e> = Option<&'e ArrayElement<'e>>;

struct ArrayElement<'e> {
    array: FieldId,
    index: usize,
    /// The element that has the array.
    outer: Element<'e>,
}

struct Parser<'p, 'i> {
    scanner: &'p mut Scanner<'i>,
    builder: &'p mut EventBuilder,
    limits: &'p Limits,
    tree: &'static Tree,
}

impl<'i> Parser<'_, 'i> {
    fn object(&mut self, node: NodeId, element: Element<'_>) -> Result<(), Syntax> {
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
    fn any_member(
        &mut self,
        node: NodeId,
        place: MemberPosition,
        element: Element<'_>,
    ) -> Result<MemberPosition, Syntax> {
        let (quoted, escaped) = self.scanner.string()?;
        self.scanner.expect(b':', Expected::Colon)?;
        let token = self.scanner.value()?;
        let input = self.scanner.input();
        let decoded = if escaped { decode(quoted.of(input)).ok() } else { None };
        let name = decoded.as_ref().map_or(quoted.inner().of(input), |decoded| decoded.text.as_bytes());
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

    fn member(&mut self, member: Member, token: Token, element: Element<'_>) -> Result<(), Syntax> {
        match member {
            Member::Object(child) => self.child(child, token, element),
            Member::Array(field, child) => self.objects(field, child, token, element),
            Member::Field(field) => self.field(field, token, element),
        }
    }

    fn child(&mut self, node: NodeId, token: Token, element: Element<'_>) -> Result<(), Syntax> {
        let path = &self.tree.node(node).path;
        if !matches!(token, Token::Object) {
            return self.violate(path, element, "an object", token);
        }
        if !self.builder.enter(node) {
            return self.violate(path, element, "only one member with this name", token);
        }
        self.object(node, element)
    }

    fn field(&mut self, id: FieldId, token: Token, element: Element<'_>) -> Result<(), Syntax> {
        let field = id.field();
        match field.set_by {
            SetBy::Client => {}
            SetBy::LogReplaces => return self.skip(token),
            SetBy::LogRefuses => return self.violate(field.path, element, SET_BY_THE_LOG, token),
        }
        if self.builder.has(id) {
            return self.violate(field.path, element, "only one member with this name", token);
        }
        let slot = match token {
            _ if field.multi => self.array(field, token, element)?,
            Token::Array if !matches!(field.kind, Kind::GeoPoint | Kind::Json) => {
                self.only_element(field, token, element)?
            }
            token => self.single_value(field, token, element)?,
        };
        if let Some(slot) = slot {
            self.builder.set(id, slot);
        }
        Ok(())
    }

    /// Reads an array of values, or a single value as an array of one.
    fn array(&mut self, field: &'static Field, token: Token, element: Element<'_>) -> Result<Option<Slot>, Syntax> {
        if !matches!(token, Token::Array) {
            let Some(slot) = self.value(field, token, element, |kind| format!("an array of {}", plural(kind)))? else {
                return Ok(None);
            };
            let mut text = self.builder.begin_array();
            text.extend_from_slice(self.builder.given_bytes(slot, self.scanner.input()));
            return Ok(Some(self.builder.keep_array(text)));
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

    /// Reads an array of one value as that value.
    #[cold]
    fn only_element(
        &mut self,
        field: &'static Field,
        token: Token,
        element: Element<'_>,
    ) -> Result<Option<Slot>, Syntax> {
        let mut ahead = self.scanner.clone();
        if !ahead.take(b']') {
            let inner = ahead.value()?;
            ahead.skip(inner, self.limits.max_depth)?;
            if ahead.take(b']') && inner != Token::Array {
                let inner = self.scanner.value()?;
                let slot = self.single_value(field, inner, element)?;
                return self.scanner.expect(b']', Expected::MoreElements).map(|()| slot);
            }
        }
        self.violate(field.path, element, &expected_of(field), token).map(|()| None)
    }

    /// Reads an array of objects, or a single object as an array of one.
    fn objects(&mut self, id: FieldId, node: NodeId, token: Token, outer: Element<'_>) -> Result<(), Syntax> {
        let field = id.field();
        if field.set_by == SetBy::LogRefuses {
            return self.violate(field.path, outer, SET_BY_THE_LOG, token);
        }
        if !matches!(token, Token::Array | Token::Object) {
            return self.violate(field.path, outer, "an array of objects", token);
        }
        if self.builder.has(id) {
            return self.violate(field.path, outer, "only one member with this name", token);
        }
        let mut text = self.builder.begin_array();
        if matches!(token, Token::Object) {
            self.element(&ArrayElement { array: id, index: 0, outer }, node, token, &mut text)?;
        } else {
            let limit = self.limits.max_array_length;
            let mut count = 0_usize;
            if !self.scanner.take(b']') {
                loop {
                    let inner = self.scanner.value()?;
                    count += 1;
                    if count > limit {
                        self.skip(inner)?;
                    } else {
                        self.element(&ArrayElement { array: id, index: count - 1, outer }, node, inner, &mut text)?;
                    }
                    if !self.scanner.more(b']')? {
                        break;
                    }
                }
            }
            self.check_length(field.path, outer, count, limit);
        }
        let slot = self.builder.keep_array(text);
        self.builder.set(id, slot);
        Ok(())
    }

    /// Reads an element of an array of objects, and appends it.
    fn element(
        &mut self,
        element: &ArrayElement<'_>,
        node: NodeId,
        token: Token,
        text: &mut Vec<u8>,
    ) -> Result<(), Syntax> {
        let path = element.array.field().path;
        if !matches!(token, Token::Object) {
            return self.violate(path, Some(element), "an object", token);
        }
        self.builder.nested_objects += usize::from(element.array.field().kind == Kind::Nested);
        if self.builder.nested_objects > MAX_OBJECTS {
            if self.builder.nested_objects == MAX_OBJECTS + 1 {
                let wrong = || (format!("at most {MAX_OBJECTS} objects in all arrays of objects"), "more".to_owned());
                self.report(path, element.outer, wrong);
            }
            return self.skip(token);
        }
        self.object(node, Some(element))?;
        if text.len() > 1 {
            text.push(b',');
        }
        self.builder.write_element(node, self.scanner.input(), text);
        Ok(())
    }

    fn check_length(&mut self, path: &str, element: Element<'_>, count: usize, limit: usize) {
        if count > limit {
            self.report(path, element, || (format!("at most {limit} elements"), format!("{count} elements")));
        }
    }

    /// Reads a value of the field's kind; reports any other value and returns `None`.
    fn single_value(
        &mut self,
        field: &'static Field,
        token: Token,
        element: Element<'_>,
    ) -> Result<Option<Slot>, Syntax> {
        self.value(field, token, element, plain)
    }

    /// Like [`Self::single_value`]; `expected` says what a value of another type should be.
    #[inline]
    fn value(
        &mut self,
        field: &'static Field,
        token: Token,
        element: Element<'_>,
        expected: fn(Kind) -> String,
    ) -> Result<Option<Slot>, Syntax> {
        let input = self.scanner.input();
        let given = |span| Ok(Slot::given(span));
        let slot = match (field.kind, token) {
            (Kind::Keyword | Kind::Text, Token::Text(span)) => given(span),
            (Kind::Keyword | Kind::Text, Token::Escaped(span)) => self.escaped_text(field, span.of(input)),
            (Kind::Keyword, Token::Whole(_) | Token::Fraction(_) | Token::True(_) | Token::False(_))
                if field.takes_scalars =>
            {
                let mut quoted = vec![b'"'];
                match canonical::put_value(self.scanner, token, &field.path, Form::text(1), &mut quoted) {
                    Ok(()) => {
                        quoted.push(b'"');
                        Ok(self.builder.keep(&quoted))
                    }
                    Err(CanonicalError::Syntax(syntax)) => return Err(syntax),
                    Err(CanonicalError::Violation(violation)) => Err(violation.expected),
                }
            }
            (Kind::Date, Token::Text(span)) if is_fixed_form(span.of(input)) => given(span),
            (Kind::Long, Token::Whole(span)) if is_short_integer(span.of(input), MAX_SAFE_DIGITS) => given(span),
            (Kind::Long, Token::Whole(span) | Token::Fraction(span)) => match number::safe_integer(span.of(input)) {
                Some(number) => Ok(self.builder.keep(number.to_string().as_bytes())),
                None => Err(plain(field.kind)),
            },
            (Kind::Long64, Token::Whole(span)) if is_short_integer(span.of(input), MAX_LONG_DIGITS) => {
                Ok(self.builder.keep_quoted(span.of(input)))
            }
            (Kind::Long64, Token::Whole(span) | Token::Fraction(span)) => {
                number::whole(span.of(input)).map(|number| self.long64(number)).ok_or_else(|| plain(field.kind))
            }
            (Kind::Float, Token::Whole(span) | Token::Fraction(span)) => {
                number::float(span.of(input)).map(|text| self.builder.keep(text.as_bytes()))
            }
            (Kind::Boolean, Token::True(span) | Token::False(span)) => given(span),
            (Kind::Ip, Token::Text(span)) if is_ip(span.inner().of(input)) => given(span),
            (Kind::Version, Token::Text(span)) if is_version(span.inner().of(input)) => given(span),
            (
                Kind::Date | Kind::Long | Kind::Long64 | Kind::Ip | Kind::Version,
                Token::Text(span) | Token::Escaped(span),
            ) => self.other_text(field, span.of(input)),
            (Kind::Labels, Token::Object) => {
                return self.composite(field, token, |scanner, limits, repairs| {
                    composite::labels(scanner, field, limits, repairs)
                });
            }
            (Kind::Flattened, Token::Object) => {
                let path = path_in_element(field.path, element);
                return self.composite(field, token, |scanner, limits, repairs| {
                    composite::flattened(scanner, token, &path, limits, |text| {
                        repairs.keep_original(field, field.path, text);
                    })
                });
            }
            (Kind::GeoPoint, Token::Object | Token::Array | Token::Text(_) | Token::Escaped(_)) => {
                let path = path_in_element(field.path, element);
                return self.composite(field, token, |scanner, _, _| composite::geo_point(scanner, token, &path));
            }
            (Kind::DateRange, Token::Object) => {
                let path = path_in_element(field.path, element);
                return self.composite(field, token, |scanner, _, _| composite::date_range(scanner, token, &path));
            }
            (Kind::Json, _) => return self.json(field, token, element),
            _ if field.takes_scalars => Err(expected_of(field)),
            _ => Err(expected(field.kind)),
        };
        match slot {
            Ok(slot) => Ok(self.within_length(field, slot, element)),
            Err(expected) => self.violate(field.path, element, &expected, token).map(|()| None),
        }
    }

    /// Whether a bad text of this field is refused rather than repaired.
    fn refuses(&self, field: &Field) -> bool {
        field.exact || self.limits.on_bad_text == OnBadText::Refuse
    }

    /// Reads a text that has escapes or is not UTF-8.
    fn escaped_text(&mut self, field: &'static Field, quoted: &[u8]) -> Result<Slot, String> {
        let Decoded { text, bad } = decode(quoted).map_err(|bad| bad.expected().to_owned())?;
        if let Some(bad) = bad {
            if self.refuses(field) {
                return Err(bad.expected().to_owned());
            }
            self.builder.repairs.add(field);
        }
        Ok(self.keep_text(&text, quoted.len()))
    }

    fn keep_text(&mut self, text: &str, likely_bytes: usize) -> Slot {
        let mut quoted = Vec::with_capacity(likely_bytes);
        canonical::put_text(text, &mut quoted);
        self.builder.keep(&quoted)
    }

    /// Reads a text of a field that is not text.
    fn other_text(&mut self, field: &'static Field, quoted: &[u8]) -> Result<Slot, String> {
        let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
        let text = match std::str::from_utf8(inner).ok().filter(|text| !text.contains('\\')) {
            Some(plain) => Cow::Borrowed(plain),
            None => Cow::Owned(decode(quoted).map_err(|bad| bad.expected().to_owned())?.text),
        };
        let quoted = format!("\"{text}\"");
        let slot = match field.kind {
            Kind::Date if is_fixed_form(quoted.as_bytes()) => Some(self.builder.keep(quoted.as_bytes())),
            Kind::Date => canonical_date(quoted.as_bytes()).map(|date| self.builder.keep(date.as_bytes())),
            Kind::Long if is_integer(&text) => {
                let number = number::safe_integer(text.as_bytes());
                number.map(|number| self.builder.keep(number.to_string().as_bytes()))
            }
            Kind::Long64 if is_integer(&text) => number::whole(text.as_bytes()).map(|number| self.long64(number)),
            Kind::Ip if is_ip(text.as_bytes()) => Some(self.builder.keep(quoted.as_bytes())),
            Kind::Ip => address_in_zone(&text).filter(|_| !self.refuses(field)).map(|address| {
                self.builder.repairs.keep_original(field, field.path, &text);
                self.builder.keep_quoted(address.as_bytes())
            }),
            Kind::Version if is_version(text.as_bytes()) => Some(self.builder.keep(quoted.as_bytes())),
            _ => None,
        };
        slot.ok_or_else(|| plain(field.kind))
    }

    #[inline]
    fn within_length(&mut self, field: &'static Field, slot: Slot, element: Element<'_>) -> Option<Slot> {
        let most = field.max_bytes as usize;
        if most == 0 || slot.len() <= most.min(ALWAYS_SHORT) + 2 {
            return Some(slot);
        }
        self.long_text(field, slot, element)
    }

    /// Shortens a text that is too long, or refuses it.
    #[cold]
    fn long_text(&mut self, field: &'static Field, slot: Slot, element: Element<'_>) -> Option<Slot> {
        let text = decode(self.builder.given_bytes(slot, self.scanner.input())).map(|decoded| decoded.text).ok()?;
        if !self.refuses(field) {
            let kept = beginning(&text, field);
            if kept.len() == text.len() {
                return Some(slot);
            }
            self.builder.repairs.keep_original(field, field.path, &text);
            return Some(self.keep_text(kept, kept.len() + 2));
        }
        if text.len() <= field.max_bytes as usize {
            return Some(slot);
        }
        let wrong = || (format!("a text of at most {} bytes", field.max_bytes), format!("{} bytes", text.len()));
        self.report(field.path, element, wrong);
        None
    }

    fn long64(&mut self, number: i64) -> Slot {
        self.builder.keep_quoted(itoa::Buffer::new().format(number).as_bytes())
    }

    /// Reads a value that is an object, and keeps its canonical form.
    fn composite(
        &mut self,
        field: &'static Field,
        token: Token,
        read: impl FnOnce(&mut Scanner<'i>, &Limits, &mut Repairs) -> Result<Vec<u8>, CanonicalError>,
    ) -> Result<Option<Slot>, Syntax> {
        let before = self.scanner.clone();
        match read(self.scanner, self.limits, &mut self.builder.repairs) {
            Ok(canonical) => {
                self.note_repairs(field, before.repaired);
                Ok(Some(self.builder.keep(&canonical)))
            }
            Err(refusal) => self.report_refusal(token, before, refusal),
        }
    }

    fn json(&mut self, field: &'static Field, token: Token, element: Element<'_>) -> Result<Option<Slot>, Syntax> {
        let before = self.scanner.clone();
        let mut text = Vec::new();
        let form = Form::text(self.limits.max_depth);
        match canonical::put_value(self.scanner, token, &field.path, form, &mut text) {
            Ok(()) => {
                self.note_repairs(field, before.repaired);
                let mut quoted = Vec::with_capacity(text.len() + 16);
                canonical::put_text(&String::from_utf8_lossy(&text), &mut quoted);
                let slot = self.builder.keep(&quoted);
                Ok(self.within_length(field, slot, element))
            }
            Err(refusal) => self.report_refusal(token, before, refusal),
        }
    }

    /// Notes the field if texts were repaired in it, given their number before it.
    fn note_repairs(&mut self, field: &Field, before: usize) {
        if self.scanner.repaired != before {
            self.builder.repairs.add(field);
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

    fn unknown_member(&mut self, node: NodeId, name: &[u8], token: Token, element: Element<'_>) -> Result<(), Syntax> {
        let object = self.tree.node(node).path.as_str();
        let may_guess = self.builder.violations.may_guess();
        self.builder.violations.add(|| {
            let name = String::from_utf8_lossy(name);
            let path = if object.is_empty() { name.clone().into_owned() } else { format!("{object}.{name}") };
            let sibling = || {
                let near = closest(&name, self.tree.names(node))?;
                Some(if object.is_empty() { near.to_owned() } else { format!("{object}.{near}") })
            };
            let anywhere = || nearest(&path).map(str::to_owned);
            let expected = match Some(()).filter(|()| may_guess).and_then(|()| sibling().or_else(anywhere)) {
                Some(near) => format!("a known field (did you mean {near}?)"),
                None => "a known field".to_owned(),
            };
            Violation { path: path_in_element(&path, element), expected, found: "an unknown field".to_owned() }
        });
        self.skip(token)
    }

    fn violate(&mut self, path: &str, element: Element<'_>, expected: &str, token: Token) -> Result<(), Syntax> {
        let input = self.scanner.input();
        self.report(path, element, || (expected.to_owned(), describe(token, input)));
        self.skip(token)
    }

    /// Reports a violation; `wrong` returns what was expected and what was found.
    fn report(&mut self, path: &str, element: Element<'_>, wrong: impl FnOnce() -> (String, String)) {
        self.builder.violations.add(|| {
            let (expected, found) = wrong();
            Violation { path: path_in_element(path, element), expected, found }
        });
    }

    fn skip(&mut self, token: Token) -> Result<(), Syntax> {
        self.scanner.skip(token, self.limits.max_depth)
    }
}

/// Returns the path of a field, with the indexes of the elements around it.
fn path_in_element(path: &str, element: Element<'_>) -> String {
    let Some(ArrayElement { array, index, outer }) = element else { return path.to_owned() };
    let own = array.field().path;
    format!("{}[{index}]{}", path_in_element(own, *outer), path.strip_prefix(own).unwrap_or(path))
}

/// A text of this many bytes is short enough for every field that has no smaller limit of its own.
const ALWAYS_SHORT: usize = 1024;

const SET_BY_THE_LOG: &str = "nothing, because the log sets it";

/// Maximum number of objects in the nested fields of an event together. The engines accept 10,000, with those of the
/// provider's defaults.
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

/// Returns the address of one with a zone, such as `fe80::1%eth0`.
fn address_in_zone(text: &str) -> Option<&str> {
    let (address, zone) = text.split_once('%')?;
    (!zone.is_empty() && address.parse::<Ipv6Addr>().is_ok()).then_some(address)
}

/// Whether a text has digits only, with an optional minus sign.
fn is_integer(text: &str) -> bool {
    text.strip_prefix('-').unwrap_or(text).bytes().all(|byte| byte.is_ascii_digit())
}

fn expected_of(field: &Field) -> String {
    if field.takes_scalars { "a text, a number or a boolean".to_owned() } else { plain(field.kind) }
}

fn plain(kind: Kind) -> String {
    match kind {
        Kind::Keyword | Kind::Text => "a text",
        Kind::Date => "a date and time in RFC 3339, such as \"2026-11-24T12:00:00.000Z\"",
        Kind::Long => "a whole number within ±(2^53−1), as a number or as decimal digits in a text",
        Kind::Long64 => "a whole number from −2^63 to 2^63−1, as a number or as decimal digits in a text",
        Kind::Float => "a number within ±3.4028235e38 (32 bits)",
        Kind::Boolean => "true or false",
        Kind::Ip => "an IPv4 or IPv6 address",
        Kind::Version => "a version such as \"1.2.3\"",
        Kind::DateRange => composite::RANGE,
        Kind::GeoPoint => composite::PLACE,
        Kind::Labels => "an object of texts, numbers and booleans",
        Kind::Flattened => "an object",
        Kind::Json => "any JSON",
        Kind::Nested | Kind::Objects => "an array of objects",
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
        Kind::DateRange => "ranges of dates",
        Kind::GeoPoint => "places",
        Kind::Labels | Kind::Flattened | Kind::Nested | Kind::Objects => "objects",
        Kind::Json => "values",
    }
}

/// Three whole numbers separated by dots, and anything that semantic versions allow after them.
fn is_version(text: &[u8]) -> bool {
    let text = std::str::from_utf8(text).unwrap_or_default();
    let core = text.split(['-', '+']).next().unwrap_or_default();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(is_number)
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'+'))
}
