"""Audit events as an identity system logs them: varied, and the same for the same seed."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

PROVIDER = "bench"
ACTIONS = ("run", "sign-in", "sign-out", "create", "modify", "delete", "read", "export")
BATCH = 500
START = datetime(2026, 1, 1, tzinfo=UTC)

FIRST = "aino eero helmi ilmari kaisa lauri maria niko oona petri riikka sami tuuli veikko ada ben carla dmitri".split()
LAST = "korhonen virtanen nieminen laine heikkinen koskinen garcia novak schmidt rossi tanaka okafor singh".split()
OBJECTS = "user group policy role contract client namespace directory rule dashboard".split()
HOSTS = [f"idp-{zone}-{number:02}" for zone in ("a", "b", "c") for number in range(1, 9)]
SERVICES = "sign-in directory self-service admin-api gateway provisioning".split()
LEVELS = ("info", "info", "info", "warn", "error", "debug")
CATEGORIES = {
    "run": ("process", "start"),
    "sign-in": ("authentication", "start"),
    "sign-out": ("authentication", "end"),
    "create": ("iam", "creation"),
    "modify": ("iam", "change"),
    "delete": ("iam", "deletion"),
    "read": ("database", "access"),
    "export": ("file", "access"),
}
REASONS = (
    "within the agreed change window",
    "requested by the service desk",
    "the policy allows it for this role",
    "second factor confirmed by hardware key",
    "session renewed without interaction",
    "nightly synchronisation with the directory",
    "the quota of the tenant was not exceeded",
    "approved by two administrators",
)


def hex_id(rng, digits):
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


def optional_members(rng, action):
    """Returns optional members in random order: (the object it belongs to or None, the member as JSON text)."""
    category, kind = CATEGORIES[action]
    trace = hex_id(rng, 32)
    members = [
        ("event", f'"category":["{category}"],"type":["{kind}"]'),
        ("event", f'"duration":"{rng.randrange(10_000, 900_000_000)}"'),
        (None, f'"host":{{"name":"{rng.choice(HOSTS)}"}}'),
        (None, f'"service":{{"name":"{rng.choice(SERVICES)}","id":"{hex_id(rng, 8)}"}}'),
        (None, f'"trace":{{"id":"{trace}"}}'),
        (None, f'"transaction":{{"id":"{trace[:16]}"}}'),
        (None, f'"log":{{"level":"{rng.choice(LEVELS)}","logger":"audit.{rng.choice(SERVICES)}"}}'),
        (None, f'"labels":{{"release":"2026.{rng.randrange(1, 13)}","region":"eu-{rng.randrange(1, 4)}"}}'),
        (None, f'"tags":["audit","{rng.choice(SERVICES)}"]'),
        (None, f'"url":{{"path":"/api/{rng.choice(OBJECTS)}s/{hex_id(rng, 12)}"}}'),
    ]
    rng.shuffle(members)
    return members


@dataclass(frozen=True)
class World:
    """Times and objects of events: each a moment after the one before, about an object of its own."""

    millis: int = 7

    def when(self, rng, number):
        return START + timedelta(milliseconds=self.millis * number + rng.randrange(self.millis))

    def target(self, rng):
        return rng.choice(OBJECTS), hex_id(rng, 16)

    def level(self, rng):
        """Returns the level of every event; `None` if only some have one."""
        return None


@dataclass(frozen=True)
class History(World):
    """Events about a limited set of objects: of 10,000, the first has a hundredth of all events."""

    objects: int = 10_000

    def level(self, rng):
        return rng.choice(LEVELS)

    @classmethod
    def over(cls, span, count):
        return cls(max(1, round(span / timedelta(milliseconds=1) / count)))

    def target(self, rng):
        rank = int(self.objects * rng.random() ** 2)
        return OBJECTS[rank % len(OBJECTS)], f"{rank * 0x9E3779B97F4A7C15 % (1 << 64):016x}"


def event(rng, number, size, world=World()):
    """One event of about `size` bytes (at least some 300) as JSON without spaces or line breaks."""
    action = rng.choice(ACTIONS)
    person = f"{rng.choice(FIRST)}.{rng.choice(LAST)}"
    target, target_id = world.target(rng)
    outcome = "failure" if rng.random() < 0.06 else "success"
    when = world.when(rng, number)
    members = {"event": f'"provider":"{PROVIDER}","action":"{action}","outcome":"{outcome}"'}
    rest = (
        f'"user":{{"id":"u-{rng.randrange(40_000):05}","name":"{person}"}},'
        f'"source":{{"ip":"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"}},'
        f'"kibana":{{"saved_objects":[{{"rel":"primary","type":"{target}","id":"{target_id}"}}]}}'
    )
    stamp = f"{when:%Y-%m-%dT%H:%M:%S}.{when.microsecond // 1000:03}Z"
    message = f"{person}: {action} of {target} {target_id[:8]}, {outcome}"
    left = size * rng.uniform(0.85, 1.15) - len(members["event"]) - len(rest) - len(message) - 70
    if left > 25:
        message += ", " + rng.choice(REASONS)
        left -= 40
    level = world.level(rng)
    if level:
        rest += f',"log":{{"level":"{level}"}}'
    for parent, member in optional_members(rng, action):
        if level and member.startswith('"log"'):
            continue
        if left < len(member):
            break
        if parent:
            members[parent] += "," + member
        else:
            rest += "," + member
        left -= len(member) + 1
    return f'{{"@timestamp":"{stamp}","event":{{{members["event"]}}},{rest},"message":"{message}"}}'


def bodies(count, size, seed=1, world=World(), start=0):
    """`count` events as NDJSON bodies of `BATCH` events each, numbered from `start`; the last may be shorter."""
    rng = random.Random(seed)
    for first in range(start, start + count, BATCH):
        lines = [event(rng, number, size, world) for number in range(first, min(first + BATCH, start + count))]
        yield len(lines), ("\n".join(lines) + "\n").encode()
