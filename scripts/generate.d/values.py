"""The sections of docs/fields.md about values."""

# The repairs are those of src/intake/repair.rs.
VALUES = """\
## Texts that are repaired

Whoever is logged may have chosen a name or an address, and must not keep an event out of the log by it. So these texts are repaired
(`events.on_bad_text` decides):

- U+FFFD (�) takes the place of U+0000, of a lone surrogate (`"\\ud800"`), and of bytes that are not UTF-8, in texts and in names of
  labels and of members of any objects and of payloads. If a name becomes that of another member by it, `#2` follows it, or `#3` and so on.
- A text that is longer than its field takes is kept whole in `annals.originals`; its field has the beginning, by which every store finds
  it: as much as the limit of the field says, and of a keyword without a limit of its own {ignore_above} characters (UTF-16 units, as the
  engines count them). A filter such as `user.name:annabel*` finds it. The same holds for texts and names of labels and of any objects.
  If the names in an object of any members are too long only together, each has {flattened_name} bytes at most.
- Of an address with a zone, such as `fe80::1%eth0`, the field has the address, and `annals.originals` the text as it was sent.

`annals.repaired` has the paths of the fields in question: sorted, each once, without indexes of elements and without names of
labels; if there are more than 100 of them, the first 100 and `…`. `annals.originals` has, sorted by path, the texts of each field in the order of the
event; a text of a label has its name in the path (`labels.team`), and a name that was too long is under `labels` itself. Both are part of
the sealed content.

Everything else that is wrong is refused: wrong types, unknown fields, what is no JSON (such as control characters that are not escaped), too many
values, nesting that is too deep, two members of the same name. So are bad texts that identify something, which are marked as *never
repaired* below, and in the default properties of providers."""
