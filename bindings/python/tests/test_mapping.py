"""The data of a session: a mapping, tracking lists and dicts, and the tree."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator, Mapping, MutableMapping
from decimal import Decimal

import pytest

import libsession as ls


@pytest.fixture
def session(manager: ls.Manager) -> Iterator[ls.Session]:
    with manager.begin_new("shop") as session:
        yield session


def test_it_is_a_mutable_mapping(session: ls.Session) -> None:
    assert isinstance(session, MutableMapping)
    assert isinstance(session, Mapping)
    assert not session
    assert len(session) == 0
    session["b"] = 2
    session["a"] = 1
    assert session
    assert list(session) == ["a", "b"]
    assert list(session.keys()) == ["a", "b"]
    assert list(session.values()) == [1, 2]
    assert list(session.items()) == [("a", 1), ("b", 2)]
    assert dict(session) == {"a": 1, "b": 2}
    assert {**session} == {"a": 1, "b": 2}
    assert session == {"a": 1, "b": 2}
    assert session != {"a": 1}
    assert session != 1
    assert "a" in session
    assert "c" not in session
    with pytest.raises(TypeError):
        hash(session)


def test_missing_keys_are_key_errors_that_name_the_key(session: ls.Session) -> None:
    for call in (lambda: session["no"], lambda: session.pop("no"), lambda: session.__delitem__("no")):
        with pytest.raises(KeyError) as error:
            call()
        assert error.value.args == ("no",)
        assert not isinstance(error.value, ls.SessionError)
    assert session.get("no") is None
    assert session.get("no", 3) == 3
    assert session.pop("no", 4) == 4
    with pytest.raises(KeyError):
        session.popitem()


def test_the_mutators_of_a_mapping(session: ls.Session) -> None:
    session.update({"a": 1}, b=2)
    session.update([("c", 3)])
    session |= {"d": 4}
    assert dict(session) == {"a": 1, "b": 2, "c": 3, "d": 4}
    assert session.setdefault("a", 9) == 1
    assert session.setdefault("e", []) == []
    session.setdefault("e", []).append(1)
    assert session["e"] == [1]
    assert session.popitem() == ("e", [1])
    assert session.pop("d") == 4
    del session["c"]
    assert list(session) == ["a", "b"]
    session.clear()
    assert not session
    with pytest.raises(TypeError):
        session.update({}, {})  # type: ignore[call-overload]


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, -(2**63), 2**63 - 1, 1.5, -0.0, "", "ä😀\0", b"", b"\x00\xff", [], {}, [[], {}], {"a": [1, {"b": None}]}],
)
def test_every_kind_of_value_survives(manager: ls.Manager, value: object) -> None:
    created = manager.create("shop")
    with manager.begin(created.token) as session:
        session["x"] = value
    with manager.begin(created.token) as session:
        found = session["x"]
        assert found == value
        assert repr(found) == repr(value)
        assert isinstance(found, type(value))


def test_tuples_become_lists_and_bytearrays_bytes(session: ls.Session) -> None:
    session["x"] = (1, (2,))
    assert session["x"] == [1, [2]]
    session["x"] = bytearray(b"a")
    assert session["x"] == b"a"


def test_what_has_no_place_is_invalid_and_named(session: ls.Session) -> None:
    deep: list[object] = []
    for _ in range(300):
        deep = [deep]
    circle: list[object] = []
    circle.append(circle)
    for value in (object(), {1}, {1: 2}, 2**63, "\ud800", 1j, Decimal(1), deep, circle):
        with pytest.raises((ls.Invalid, ls.QuotaExceeded)):
            session["x"] = value
    with pytest.raises(ls.Invalid, match="set"):
        session["x"] = {1}
    assert "x" not in session


def test_quotas_change_nothing(session: ls.Session) -> None:
    session["x"] = "old"
    with pytest.raises(ls.QuotaExceeded, match="65536"):
        session["x"] = "x" * 70_000
    with pytest.raises(ls.QuotaExceeded):
        session["k" * 300] = 1
    assert dict(session) == {"x": "old"}


def test_a_nested_change_is_a_change_of_the_session(manager: ls.Manager) -> None:
    created = manager.create("shop")
    with manager.begin(created.token) as session:
        session["cart"] = ["tea"]
        session["cart"].append({"count": 1})
        session["cart"][1]["count"] += 1
        session["cart"] += ["milk"]
        session["user"] = {"name": {"first": "Ada"}}
        session["user"]["name"]["last"] = "L"
        session["user"] |= {"age": 36}
        name = session["user"]["name"]
        name.update(first="Ida")
        name.setdefault("tags", []).extend(("a", "b"))
    with manager.begin(created.token) as session:
        assert session["cart"] == ["tea", {"count": 2}, "milk"]
        assert session["user"] == {"name": {"first": "Ida", "last": "L", "tags": ["a", "b"]}, "age": 36}


def test_every_mutator_of_a_tracking_list_writes_through(session: ls.Session) -> None:
    plain = [3, 1, 2]
    session["x"] = plain
    tracked = session["x"]
    for change in (
        lambda it: it.append(5), lambda it: it.extend([7, 6]), lambda it: it.insert(0, 9), lambda it: it.remove(9),
        lambda it: it.pop(), lambda it: it.pop(0), lambda it: it.sort(), lambda it: it.sort(key=lambda n: -n),
        lambda it: it.reverse(), lambda it: it.__setitem__(0, 4), lambda it: it.__setitem__(slice(0, 1), [8, 8]),
        lambda it: it.__delitem__(0), lambda it: it.__delitem__(slice(0, 1)), lambda it: it.__iadd__([1]),
        lambda it: it.__imul__(2), lambda it: it.clear(),
    ):  # fmt: skip
        change(plain)
        change(tracked)
        assert tracked == plain
        assert session.as_dict()["x"] == plain


def test_every_mutator_of_a_tracking_dict_writes_through(session: ls.Session) -> None:
    plain: dict[str, object] = {"a": 1, "b": 2}
    session["x"] = plain
    tracked = session["x"]
    for change in (
        lambda it: it.__setitem__("c", 3), lambda it: it.__delitem__("a"), lambda it: it.update(d=4),
        lambda it: it.update({"e": [5]}), lambda it: it.setdefault("f", {}), lambda it: it.pop("b"),
        lambda it: it.pop("no", None), lambda it: it.popitem(), lambda it: it.__ior__({"g": 1}), lambda it: it.clear(),
    ):  # fmt: skip
        change(plain)
        change(tracked)
        assert tracked == plain
        assert session.as_dict()["x"] == plain


def test_tracking_containers_are_real_ones(session: ls.Session) -> None:
    session["x"] = {"a": [1, {"b": 2}]}
    tracked = session["x"]
    assert json.loads(json.dumps(tracked)) == {"a": [1, {"b": 2}]}
    for copied in (pickle.loads(pickle.dumps(tracked)), copy.deepcopy(tracked)):
        assert type(copied) is dict
        assert type(copied["a"]) is list
        assert copied == tracked
    assert session["x"] is tracked
    other = session["x"]
    other["c"] = 1
    tracked["d"] = 2
    assert session.as_dict()["x"] == {"a": [1, {"b": 2}], "c": 1, "d": 2}


def test_a_container_that_was_replaced_writes_no_more(session: ls.Session) -> None:
    session["x"] = [1]
    old = session["x"]
    session["x"] = [2]
    old.append(3)
    assert session["x"] == [2]
    old = session["x"]
    del session["x"]
    old.append(3)
    assert "x" not in session
    session["x"] = [4]
    session.save()
    old = session["x"]
    session.discard()
    old.append(5)
    assert session["x"] == [4]


def test_a_refused_nested_change_shows_nothing(session: ls.Session) -> None:
    session["x"] = ["a"]
    tracked = session["x"]
    with pytest.raises(ls.QuotaExceeded):
        tracked.append("x" * 70_000)
    assert tracked == ["a"]
    with pytest.raises(ls.Invalid):
        tracked.append(object())
    assert tracked == ["a"]


def test_a_tracking_list_shows_what_another_request_committed(manager: ls.Manager) -> None:
    created = manager.create("shop", data={"x": [1]})
    with manager.begin(created.token, lock="shared") as one, manager.begin(created.token, lock="shared") as two:
        seen = one["x"]
        two["x"].append(2)
        two.save()
        assert one["x"] == [1, 2]
        assert seen == [1, 2]


def test_no_update_of_a_nested_container_is_lost(manager: ls.Manager) -> None:
    created = manager.create("shop", data={"x": [1], "y": [1]})
    with manager.begin(created.token, lock="shared") as one, manager.begin(created.token, lock="shared") as two:
        mine = one["x"]
        two["x"].append(2)
        two.save()
        with pytest.raises(ls.Conflict) as error:
            mine.append(3)
        assert error.value.keys == ("x",)
        assert mine == [1, 2]
        mine.append(3)
        two["y"].append(2)
        two.save()
        one["x"].append(4)
        two["x"].append(5)
        one.save()
        with pytest.raises(ls.Conflict):
            two.save()
        two.discard()
        two["x"].append(5)
    with manager.begin(created.token) as session:
        assert session == {"x": [1, 2, 3, 4, 5], "y": [1, 2]}


def test_paths_reach_the_whole_tree(session: ls.Session) -> None:
    session["m", 1] = "one"
    session.set(("m", 2.5), "two and a half")
    session.set(("m", "k", "deep"), [1])
    session[("m",)] = "own"
    assert session["m"] == "own"
    assert session.get(("m", 1.0)) == "one"
    assert ("m", 2.5) in session
    assert session.defined("m") == 11
    assert session.defined(("m", "k")) == 10
    assert session.defined(("m", 1)) == 1
    assert session.defined("no") == 0
    assert session.next("m") == 1
    assert session.next("m", 1) == 2.5
    assert session.next("m", 2.5) == "k"
    assert session.next("m", "k") is None
    assert session.next("m", backward=True) == "k"
    assert session.next() == "m"
    assert session.entries("m") == [((), "own"), ((1,), "one"), ((2.5,), "two and a half"), (("k", "deep"), [1])]
    assert session.count() == 4
    assert session.bytes_used() > 0
    assert session.as_dict() == {"m": {"": "own", 1: "one", 2.5: "two and a half", "k": {"deep": [1]}}}
    session["m", "k", "deep"].append(2)
    assert session.get(("m", "k", "deep")) == [1, 2]
    session.merge("m", {(1,): "uno", ("n",): None})
    session.merge("m", [("o", 1)])
    assert session["m", 1] == "uno"
    assert session["m", "n"] is None
    assert session.pop(("m", 1)) == "uno"
    assert session.kill(("m", "k"))
    assert not session.kill(("m", "k"))
    assert session.kill()
    assert session.entries() == []


def test_children_without_a_value_are_a_live_mapping(session: ls.Session) -> None:
    session["u", "name"] = "Ada"
    node = session["u"]
    node["age"] = 36
    node[1] = "n"
    assert dict(session["u"]) == {1: "n", "age": 36, "name": "Ada"}
    assert len(node) == 3
    del node["age"]
    assert session.defined(("u", "age")) == 0
    assert "Ada" in repr(node)


def test_subscripts_are_numbers_or_texts(session: ls.Session) -> None:
    session["n", 1] = "a"
    assert session["n", 1.0] == "a"
    assert session["n", Decimal("1.00")] == "a"
    assert session.get(("n", "1")) is None
    exact = Decimal("0.123456789012345678")
    session["n", exact] = "b"
    assert session.next("n") == exact
    for bad in (True, None, float("nan"), float("inf"), 10**18 + 1, b"x", "\ud800"):
        with pytest.raises(ls.Invalid):
            session.get(("n", bad))  # type: ignore[arg-type]


def test_compare_and_set_commits_at_once(manager: ls.Manager) -> None:
    created = manager.create("shop")
    with manager.begin(created.token, lock="shared") as one, manager.begin(created.token, lock="shared") as two:
        one.compare_and_set("n", ls.MISSING, None)
        assert two.get("n", 1) is None
        one.compare_and_set("n", None, 1)
        assert two["n"] == 1
        with pytest.raises(ls.Conflict):
            two.compare_and_set("n", 5, 6)
        two.compare_and_set("n", 1, ls.MISSING)
        assert "n" not in one


def test_a_versioned_read_conflicts_and_names_the_key(manager: ls.Manager) -> None:
    created = manager.create("shop", data={"n": 1})
    with manager.begin(created.token, lock="shared") as one:
        value, version = one.get_versioned("n")
        assert value == 1
        with manager.begin(created.token, lock="shared") as two:
            two["n"] = 2
        one["n"] = value + 1
        with pytest.raises(ls.Conflict) as error:
            one.save()
        assert error.value.keys == ("n",)
        one.discard()
        assert one["n"] == 2
    with manager.begin(created.token, lock="shared") as three:
        three.expect_version("n", version)
        three["n"] = 9
        with pytest.raises(ls.Conflict):
            three.finish()


def test_attachments_live_as_long_as_the_session(manager: ls.Manager) -> None:
    class Thing:
        gone = False

        def __del__(self) -> None:
            Thing.gone = True

    session = manager.begin_new("shop")
    thing = Thing()
    assert session.attach("db", thing) is None
    assert session.attachment("db") is thing
    assert session.attachment("no") is None
    assert session.attach("db", 1) is thing
    assert session.detach("db") == 1
    session.attach("db", thing)
    del thing
    assert not Thing.gone
    session.end()
    assert manager.drain(5)
    manager.count()
    assert Thing.gone
