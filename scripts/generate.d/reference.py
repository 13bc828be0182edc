"""The sections of docs/fields.md about values."""

# The repairs are those of src/intake/repair.rs.
VALUES = """\
## Texts that are repaired

Whoever is logged may have chosen a name or an address, and must not keep an event out of the log by it. So these texts are repaired
(`events.on_bad_text` decides):

- U+FFFD (�) takes the place of U+0000, of a lone surrogate (`"\\ud800"`), and of bytes that are not UTF-8, in texts and in names of
  labels and of members of any objects and of payloads. If a name becomes that of another member by it, `#2` follows it, or `#3` and so on.
- A text that is longer than its field takes is kept whole in `annals.originals`; its field has the beginning, by which every store finds
  it: as much as the limit of the field says, and of a keyword without a limit of its own {longest_value} characters (UTF-16 units, as the
  engines count them). A filter such as `user.name:annabel*` finds it. The same holds for texts and names of labels and of any objects.
  If the names in an object of any members are too long only together, each has {flattened_name} bytes at most.
- Of an address with a zone, such as `fe80::1%eth0`, the field has the address, and `annals.originals` the text as it was sent.

`annals.repaired` has the paths of the fields in question: sorted, each once, without indexes of elements and without names of
labels; if there are more than 100 of them, the first 100 and `…`. `annals.originals` has, sorted by path, the texts of each field in the order of the
event; a text of a label has its name in the path (`labels.team`), and a name that was too long is under `labels` itself. Both are part of
the sealed content.

Everything else that is wrong is refused: wrong types, unknown fields, what is no JSON (such as control characters that are not escaped), too many
values, nesting that is too deep, two members of the same name. So are bad texts that identify something, which are marked as *never
repaired* below, and in the default properties of providers.

## Numbers

One number has one form and one answer, in whatever notation it is sent: `1e18`, `1.0E18` and `1000000000000000000` are the same, and `-0` is `0`.

- *integer*: whole, within ±(2^53−1), which every JSON reader has exactly; `5.0` and `5e0` are 5, `5.5` is refused. A text of decimal digits is taken too.
- *integer, 64 bits*: whole, from −2^63 to 2^63−1; kept as a text of decimal digits.
- *number*, *place*, and numbers within *any object*: a double (64 bits), as RFC 8785 writes it; a fraction becomes the nearest one. Digits of whole numbers are not lost: beyond
  ±(2^53−1), a number is only taken if the double has the digits that were sent. 9007199254740992 and 1e30 are, 9007199254740993 is refused, and the answer says what it would become.
  *number* must also be finite in 32 bits, within ±3.4028235·10^38, because engines store it so; all stores compare it in 32 bits.
- Numbers that are kept as text (*labels*, `annals.changes`, *any JSON*) keep all of their digits, and must be within the range of a double, ±1.7976931348623157·10^308.

## Dates

A date is one of RFC 3339: `2026-03-02T08:30:00Z`, with at most nine fractional digits, `Z` or an offset from `-23:59` to `+23:59`; `t` and `z` may be lower-case. It is kept in UTC,
where it must be within the years 0000 to 9999. A leap second (`:60`) is refused, as no store can keep it. Queries take such dates too, and
shorter ones ([kql.md](kql.md#numbers-times-addresses)).

## Payloads

`annals.payload` takes any JSON value (RFC 8259): objects, arrays, texts, numbers, booleans and null, of any size that the event may have. Refused are only two members of the same name in one object, nesting
deeper than `server.max_depth`, and numbers beyond the range of a double. It is kept as a text in the form of RFC 8785: no blanks, members sorted, one form of each text and
number, except that no number loses digits: where a double has others, all that were sent are kept (`9007199254740993`, `18446744073709551615`, `0.1000000000000000055`), whole numbers without an exponent up to 100 digits.
Python, Java, Go (`json.Number`) and SQL read such numbers exactly. JavaScript's `JSON.parse` rounds them to the nearest double; a reviver gets the digits as `context.source`."""
