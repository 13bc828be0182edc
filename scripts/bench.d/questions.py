"""The queries of `scripts/bench find`: each as a path for Annals, and some also as a body for the engine."""

import json
import random
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import quote

import events

SPAN = timedelta(days=30)
END = f"{events.START + SPAN:%Y-%m-%dT%H:%M:%S}.000Z"
# No event of the benchmark is later, not even those logged during the queries.
LAST = "2026-10-01"
SPACES = ("", "", "", "sales", "", "", "support", "marketing")
PATH = "/api/event_log"


@dataclass
class Question:
    """One kind of query in many variants."""

    name: str
    paths: list
    bodies: list | None = None
    # Whether its time is promised; a query of everything takes time in proportion to the number of events.
    is_bounded: bool = True


def of_objects(rng, world, count):
    """Find by object, without and with KQL; objects are queried as often as they are logged."""
    plain, filtered = Question("find by object", [], []), Question("find by object, KQL", [], [])
    for _ in range(count):
        object_type, identity = world.target(rng)
        action = rng.choice(events.ACTIONS)
        path = f"{PATH}/{object_type}/{identity}/_find?sort_order=desc"
        plain.paths.append(path)
        plain.bodies.append(page(object_type, identity, []))
        kql = f'event.action:"{action}" and not event.outcome:failure'
        filtered.paths.append(f"{path}&filter={quote(kql)}")
        not_failed = {"bool": {"must_not": [{"terms": {"event.outcome": ["failure"]}}]}}
        conditions = {"bool": {"filter": [{"terms": {"event.action": [action]}}, not_failed]}}
        filtered.bodies.append(page(object_type, identity, [conditions]))
    return [plain, filtered]


def page(object_type, identity, conditions):
    """Returns the same query for the engine, in minimal form."""
    prefix = "kibana.saved_objects"
    reference = {
        "bool": {
            "filter": [
                {"term": {f"{prefix}.rel": "primary"}},
                {"term": {f"{prefix}.type": object_type}},
                {"term": {f"{prefix}.id": identity}},
            ],
            "must_not": [{"exists": {"field": f"{prefix}.namespace"}}],
        }
    }
    about = {"nested": {"path": prefix, "score_mode": "none", "query": reference}}
    body = {
        "track_total_hits": True,
        "query": {"bool": {"filter": [about, *conditions]}},
        "sort": [{"@timestamp": "desc"}, {"annals.sequence": "desc"}, {"annals.chain": "desc"}],
        "size": 10,
    }
    return json.dumps(body).encode()


def of_the_last_day(rng, count):
    """The last 24 hours, with a slightly different start each time."""

    def start():
        when = events.START + SPAN - timedelta(days=1, milliseconds=rng.randrange(600_000))
        # To the end of the history: events logged while many readers ran are of later days.
        return f"start={when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z&end={END}"

    def terms(field):
        return [f"{PATH}/_aggregate?terms={field}&{start()}" for _ in range(count)]

    def found(field, values):
        return [f"{PATH}/_find?sort_order=desc&filter={field}:{rng.choice(values)}&{start()}" for _ in range(count)]

    return [
        Question("24 h: number of each severity", terms("annals.severity")),
        Question("24 h: a page of one severity", found("annals.severity", ("warning", "error", "informational"))),
        Question("24 h: a page of one level", found("log.level", events.LEVELS)),
        Question("24 h: terms of event.action", terms("event.action")),
        Question("24 h: terms of user.name", terms("user.name")),
        # Fields without a column in SQLite: few events have the first, all have the second.
        Question("24 h: terms of host.name", terms("host.name")),
        Question("24 h: terms of kibana.version", terms("kibana.version")),
    ]


def of_everything(count):
    def terms(field):
        return Question(f"all: terms of {field}", [f"{PATH}/_aggregate?terms={field}"] * count, is_bounded=False)

    return [terms("annals.severity"), terms("event.action"), terms("host.name")]


def all_of_them(world, identities, count, seed):
    """Returns all queries; `identities` are ids of existing events."""
    rng = random.Random(seed)
    by_id = [f"{PATH}/events/{rng.choice(identities)}" for _ in range(count)]
    return [
        *of_objects(rng, world, count),
        Question("an event by its id", by_id),
        *of_the_last_day(rng, count),
        *of_everything(max(2, count // 50)),
    ]
