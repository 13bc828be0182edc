//! Parses an event in one pass: checks grammar and schema, canonicalizes values, and reports every violation, not just
//! the first.

use std::borrow::Cow;

use super::{
    Limits, OnBadText, Violation,
    builder::{EventBuilder, Slot},
    canonical::{self, CanonicalError, Form, describe},
    composite::{self, LabelName, LabelReading, Labels},
    date::{canonical_date, is_fixed_form},
    kinds::{
        MAX_LONG_DIGITS, MAX_SAFE_DIGITS, address_in_zone, expected_of, is_integer, is_ip, is_short_integer,
        is_version, plain, plural,
    },
    known::KnownFields,
    number,
    predictor::MemberPosition,
    repair::{Repairs, beginning},
    scan::{BadText, ByteRange, Decoded, Expected, Scanner, Syntax, Token, decode},
    unknown::UnknownMember,
};
use crate::schema::{Field, FieldId, Kind, Member, NodeId, SetBy, Tree};

/// Reads one event, after its opening brace, into the builder. After an error, the rest of the input cannot be
/// interpreted.
pub(super) fn event(scanner: &mut Scanner<'_>, builder: &mut EventBuilder, limits: &Limits) -> Result<(), Syntax> {
    let mut parser = Parser { scanner, builder, limits, tree: Tree::get() };
    parser.object(NodeId::ROOT, None)?;
    parser.finish_labels()
}

/// The element of an array of objects that is read, if any.
type Element<'e> = Option<&'e ArrayElement<'e>>;

struct ArrayElement<'e> {
    array: FieldId,
    index: usize,
    /// The element that has the array.
    outer: Element<'e>,
}

/// What a name of several names joined by dots means.
enum Resolved<'n> {
    Member(Member),
    /// The label of this name.
    Label(FieldId, &'n [u8]),
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
        let bad = decoded.as_ref().and_then(|decoded| decoded.bad);
        if let Some(member) = self.tree.member(node, name) {
            self.builder.predictor.note(place, member);
            self.member(member, token, element)?;
            return Ok(MemberPosition::after(member));
        }
        match self.resolve(node, name) {
            Some(Resolved::Member(member)) => self.member(member, token, element)?,
            Some(Resolved::Label(field, _)) if bad.is_some() && self.refuses(field.field()) => {
                let expected = bad.map_or("", BadText::expected);
                self.violate(field.field().path, element, expected, token)?;
            }
            Some(Resolved::Label(field, name)) => {
                let text = String::from_utf8_lossy(name).into_owned();
                self.label(field, LabelName { text, is_repaired: bad.is_some() }, token)?;
            }
            None => self.unknown_member(node, name, bad.is_some(), token, element)?,
        }
        // A dotted or unknown name has no position of its own for predictions.
        Ok(place)
    }

    /// Resolves several names joined by dots.
    fn resolve<'n>(&self, node: NodeId, name: &'n [u8]) -> Option<Resolved<'n>> {
        let dot = name.iter().position(|byte| *byte == b'.')?;
        let (first, rest) = name.split_at_checked(dot)?;
        let rest = rest.get(1..).filter(|rest| !rest.is_empty())?;
        match self.tree.member(node, first)? {
            Member::Object(child) => {
                self.tree.member(child, rest).map(Resolved::Member).or_else(|| self.resolve(child, rest))
            }
            Member::Field(field) if field.field().kind == Kind::Labels => Some(Resolved::Label(field, rest)),
            Member::Field(_) | Member::Array(..) => None,
        }
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
            _ if field.kind == Kind::Labels => self.labels(field, token)?,
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

    /// Reads an object of labels. Its final value also has the labels that come by themselves.
    fn labels(&mut self, field: &'static Field, token: Token) -> Result<Option<Slot>, Syntax> {
        if token != Token::Object {
            return self.violate(field.path, None, &plain(field.kind), token).map(|()| None);
        }
        self.read_labels(field, token, |labels, scanner, reading| {
            labels.read_object(scanner, &LabelName::default(), reading.limits.max_depth, reading)
        })?;
        Ok(Some(self.builder.keep(b"{}")))
    }

    /// Reads a label that comes by itself: `"labels.team": "a"`.
    fn label(&mut self, id: FieldId, name: LabelName, token: Token) -> Result<(), Syntax> {
        if name.is_repaired {
            self.builder.repairs.add(id.field());
        }
        self.read_labels(id.field(), token, |labels, scanner, reading| match token {
            Token::Object => labels.read_object(scanner, &name, reading.limits.max_depth, reading),
            _ => labels.read(scanner, name, token, reading),
        })
    }

    fn read_labels(
        &mut self,
        field: &'static Field,
        token: Token,
        read: impl FnOnce(&mut Labels, &mut Scanner<'i>, &mut LabelReading<'_>) -> Result<(), CanonicalError>,
    ) -> Result<(), Syntax> {
        let before = self.scanner.clone();
        let EventBuilder { labels, repairs, .. } = &mut *self.builder;
        match read(labels, self.scanner, &mut LabelReading { field, limits: self.limits, repairs }) {
            Ok(()) => {
                self.note_repairs(field, before.repaired);
                Ok(())
            }
            Err(refusal) => self.report_refusal(token, before, refusal).map(drop),
        }
    }

    fn finish_labels(&mut self) -> Result<(), Syntax> {
        if self.builder.labels.is_empty() {
            return Ok(());
        }
        let id = KnownFields::get().labels;
        let EventBuilder { labels, repairs, .. } = &mut *self.builder;
        match labels.take(&mut LabelReading { field: id.field(), limits: self.limits, repairs }) {
            Ok(labels) => self.builder.put(id, &labels),
            Err(CanonicalError::Syntax(syntax)) => return Err(syntax),
            Err(CanonicalError::Violation(violation)) => self.builder.violations.add(|| violation),
        }
        Ok(())
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

    fn unknown_member(
        &mut self,
        node: NodeId,
        name: &[u8],
        is_repaired: bool,
        token: Token,
        element: Element<'_>,
    ) -> Result<(), Syntax> {
        let name = String::from_utf8_lossy(name);
        let object = self.tree.node(node).path.as_str();
        let path = || {
            let path = if object.is_empty() { name.clone().into_owned() } else { format!("{object}.{name}") };
            path_in_element(&path, element)
        };
        let unmapped = KnownFields::get().unmapped.field();
        if !self.builder.unknown.are_collected || is_repaired && self.refuses(unmapped) {
            self.builder.refuse_unknown(node, &name, path);
            return self.skip(token);
        }
        let (before, path) = (self.scanner.clone(), path());
        let mut value = Vec::new();
        match canonical::put_value(self.scanner, token, &path, Form::unmapped(self.limits.max_depth), &mut value) {
            Ok(()) => {
                self.note_repairs(unmapped, before.repaired);
                if is_repaired {
                    self.builder.repairs.add(unmapped);
                }
                let member = UnknownMember { object: node, name: name.into_owned(), path, is_repaired, value };
                self.builder.unknown.add(member, self.limits);
            }
            Err(refusal) => return self.report_refusal(token, before, refusal).map(drop),
        }
        Ok(())
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
