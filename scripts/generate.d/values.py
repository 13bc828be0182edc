"""How long a text may be to be a value, which is found, sorted by and counted as a whole."""

# Lucene refuses a document with a longer term.
LONGEST_TERM = 32766
# In units of UTF-16, as the engines count. Usually, and for texts that are searched by their parts: this many characters of
# four bytes still fit into one term.
LONGEST_VALUE = 1024
LONGEST_TEXT = LONGEST_TERM // 4

IN_WORDS = f"""\
- The limit is in bytes of UTF-8. Where there is none, a keyword has {LONGEST_VALUE} units of UTF-16 at most, and everything else is only limited by the
  size of the event, as are `annals.changes.from`, `annals.changes.to` and what ECS calls a *wildcard*.
- Of the latter, a keyword, or the whole of a text, of more than {LONGEST_VALUE} units, or of the number that the table gives, is *long*: it is kept, but has no value. On every store it neither exists nor is found by its
  value or a part of it, and it is neither sorted by nor counted; [kql.md](kql.md#texts) says how to find it. The words of a text are found whatever its length."""


def usual(kind):
    """Returns the `longest_value` of a field of this kind that does not give one."""
    return LONGEST_TEXT if kind in ("json", "labels", "flattened") else LONGEST_VALUE


def keyword(field):
    return {"type": "keyword", "ignore_above": field.longest_value}


def is_unusual(field):
    return field.index and field.longest_value != usual(field.kind)
