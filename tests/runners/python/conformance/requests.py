"""Verbs on requests: data, locks, users, event classes, attachments."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import libsession as ls

from . import answer, jsontext
from .line import Script, Words, json_of, text_of

if TYPE_CHECKING:
    from .world import World


def path(word: str) -> tuple[Any, ...]:
    """A path: a JSON list of subscripts, or a word."""
    if not word.startswith("["):
        return (text_of(word),)
    found = json_of(word)
    if not isinstance(found, list):
        raise Script("a path is a JSON list")
    return tuple(found)


def none_or(word: str) -> Any:
    return ls.MISSING if word == "none" else json_of(word)


# --- data ---


def get(session: ls.Session, words: Words) -> str:
    # A node with children and no value is a dict in Python; the script asks for its value.
    if session.defined(path(words.at(1))) in (0, 10):
        return "none"
    return answer.value_or_none(session.get(path(words.at(1)), ls.MISSING))


def pop(session: ls.Session, words: Words) -> str:
    return answer.value_or_none(session.pop(path(words.at(1)), ls.MISSING))


def set_(session: ls.Session, words: Words) -> str:
    session.set(path(words.at(1)), json_of(words.at(2)))
    return "ok"


def merge(session: ls.Session, words: Words) -> str:
    tree = json_of(words.at(2))
    session.merge(path(words.at(1)), [(tuple(at), value) for at, value in tree])  # type: ignore[attr-defined]
    return "ok"


def cas(session: ls.Session, words: Words) -> str:
    session.compare_and_set(path(words.at(1)), none_or(words.at(2)), none_or(words.at(3)))
    return "ok"


def next_(session: ls.Session, words: Words) -> str:
    after: Any = json_of(words.named["after"]) if "after" in words.named else None
    found = session.next(path(words.at(1)), after, backward="back" in words.plain)
    return "none" if found is None else jsontext.subscript(found)


# --- scope, lock, users ---


def unlock(session: ls.Session, words: Words) -> str:
    session.unlock(save="save" in words.plain)
    return "ok"


def lock(session: ls.Session, words: Words) -> str:
    mode: Any = words.at(1)
    session.lock(mode, words.duration("timeout_ms"))
    return "ok"


def request_end(session: ls.Session, words: Words) -> str:
    session.request_end("false" not in words.plain)
    return "ok"


def done(call: Callable[[ls.Session], object]) -> Callable[[ls.Session, Words], str]:
    def verb(session: ls.Session, words: Words) -> str:
        call(session)
        return "ok"

    return verb


def groups(words: Words) -> list[str] | None:
    given = words.text("groups")
    return None if given is None else [group for group in given.split(",") if group]


def queue_options(world: World, words: Words) -> dict[str, Any]:
    """What `wait_ms= priority= ticket=` say of who waits for units."""
    return {
        "wait": words.duration("wait_ms"),
        "priority": words.number("priority"),
        "ticket": world.tickets[words.named["ticket"]] if "ticket" in words.named else None,
    }


def trade(world: World, words: Words) -> str:
    session, _ = world.request(words.at(0))
    session.trade(groups=groups(words), **queue_options(world, words))
    return "ok"


# --- features ---


def take(world: World, words: Words) -> str:
    session, _ = world.request(words.at(0))
    count = words.number("count")
    options = queue_options(world, words)
    session.take_feature(words.text_at(1), 1 if count is None else count, groups=groups(words), **options)
    return "ok"


def give_back(session: ls.Session, words: Words) -> str:
    count = words.number("count")
    return str(session.return_feature(words.text_at(1), 1 if count is None else count))


def features(session: ls.Session, words: Words) -> str:
    taken = session.features()
    return answer.join((f"{one.pool}:{one.count}:{one.holder}@{one.since_ms}" for one in taken), ",")


# --- event classes ---


def class_add(session: ls.Session, words: Words) -> str:
    words.only("namespace")
    session.event_class_add(words.text_at(1), words.text("namespace"))
    return "ok"


def event_class(session: ls.Session, words: Words) -> str:
    session.event_class = words.text_at(1)
    return "ok"


def class_remove(session: ls.Session, words: Words) -> str:
    words.only("namespace")
    name = words.text_at(1) if len(words.plain) > 1 else None
    return answer.truth(session.event_class_remove(name, words.text("namespace")))


def class_exists(session: ls.Session, words: Words) -> str:
    words.only("namespace")
    return answer.truth(session.event_class_exists(words.text_at(1), words.text("namespace")))


def classes(session: ls.Session, words: Words) -> str:
    return answer.join((answer.class_name(namespace, name) for namespace, name in session.event_class_list()), " ")


SIMPLE: dict[str, Callable[[ls.Session, Words], str]] = {
    "finish": done(ls.Session.finish),
    "save": done(ls.Session.save),
    "discard": done(ls.Session.discard),
    "give_back": give_back,
    "features": features,
    "class_clear": done(ls.Session.event_class_clear),
    "unlock": unlock,
    "lock": lock,
    "lock_mode": lambda session, words: session.lock_mode or "free",
    "request_end": request_end,
    "get": get,
    "pop": pop,
    "set": set_,
    "merge": merge,
    "cas": cas,
    "kill": lambda session, words: answer.truth(session.kill(path(words.at(1)))),
    "defined": lambda session, words: str(session.defined(path(words.at(1)))),
    "next": next_,
    "entries": lambda session, words: jsontext.dump_tree(session.entries(path(words.at(1)))),
    "count": lambda session, words: str(session.count()),
    "bytes": lambda session, words: str(session.bytes_used()),
    "class_add": class_add,
    "event_class": event_class,
    "class_remove": class_remove,
    "class_exists": class_exists,
    "classes": classes,
}


def simple(verb: str) -> Callable[[World, Words], str]:
    return lambda world, words: str(SIMPLE[verb](world.request(words.at(0))[0], words))


# --- those that change what the script knows ---


def get_versioned(world: World, words: Words) -> str:
    session, _ = world.request(words.at(0))
    value, version = session.get_versioned(path(words.at(1)), ls.MISSING)
    if len(words.plain) > 2:
        world.versions[words.at(2)] = version
    return answer.value_or_none(value)


def expect(world: World, words: Words) -> str:
    session, _ = world.request(words.at(0))
    session.expect_version(path(words.at(1))[0], world.versions[words.at(2)])
    return "ok"


def rotate(world: World, words: Words) -> str:
    session, label = world.request(words.at(0))
    world.tokens[label] = session.rotate()
    return "ok"


def login(world: World, words: Words) -> str:
    session, label = world.request(words.at(0))
    login = session.login(words.text_at(1), groups=groups(words), **queue_options(world, words))
    world.tokens[label] = login.token
    if isinstance(login.trade_denied, ls.LicenseDenied):
        return f"ok trade_denied {login.trade_denied.reason}"
    return "ok"


def logout(world: World, words: Words) -> str:
    session, label = world.request(words.at(0))
    logout = session.logout("force" in words.plain)
    if logout.ended is not None:
        return f"ended {logout.ended.reason}"
    if logout.token is not None:
        world.tokens[label] = logout.token
    return "ok"


class Attached:
    """What is attached: its end is a delivery."""

    def __init__(self, world: World, session: str, name: str) -> None:
        self.world, self.session, self.name = world, session, name

    def __del__(self) -> None:
        self.world.dropped(self.session, f"drop.{self.name}@{self.world.clock.now_ms}")


def attach(world: World, words: Words) -> str:
    session, label = world.request(words.at(0))
    name = words.text_at(1)
    session.attach(name, Attached(world, world.id(label), name))
    return "ok"


REQUESTS: dict[str, Callable[[World, Words], str]] = {
    **{verb: simple(verb) for verb in SIMPLE},
    "get_versioned": get_versioned,
    "expect": expect,
    "rotate": rotate,
    "trade": trade,
    "take": take,
    "login": login,
    "logout": logout,
    "attach": attach,
    "attachment": lambda world, words: answer.truth(
        world.request(words.at(0))[0].attachment(words.text_at(1)) is not None
    ),
    "detach": lambda world, words: answer.truth(world.request(words.at(0))[0].detach(words.text_at(1)) is not None),
}
