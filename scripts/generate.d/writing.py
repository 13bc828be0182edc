"""JSON as people read it."""

import json


def render_json(value, inline=lambda value: False):
    """Writes JSON of one member per line; `inline` tells which objects are short enough for one line."""
    return written(value, "", inline) + "\n"


def written(value, indent, inline):
    below = indent + "  "
    if isinstance(value, dict) and value and not inline(value):
        members = [f"{below}{json.dumps(name, ensure_ascii=False)}: {written(member, below, inline)}" for name, member in value.items()]
        return "{\n" + ",\n".join(members) + f"\n{indent}}}"
    if isinstance(value, list) and value and any(isinstance(element, dict) and not inline(element) for element in value):
        return "[\n" + ",\n".join(f"{below}{written(element, below, inline)}" for element in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)
