"""Lists and dicts of a session that write through: `session["cart"].append(1)` is a change of the session.

A tracking list or dict is a real `list` or `dict`: it compares, prints and serialises like one. A change writes its
whole value at its path. Once something else was put there (or the writes were discarded) it is a plain list or dict
that changes nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

if TYPE_CHECKING:
    from ._native import Session


class _Place:
    """Where the outermost list or dict is written to."""

    __slots__ = ("path", "session")

    def __init__(self, session: Session, path: tuple[Any, ...]) -> None:
        self.session = session
        self.path = path


def track(session: Session, path: tuple[Any, ...], plain: list[Any] | dict[str, Any]) -> Tracked:
    """A tracking list or dict of this content, for what is at this path."""
    place = _Place(session, path)
    return TrackedDict(plain, place=place) if isinstance(plain, dict) else TrackedList(plain, place=place)


def refresh(tracked: Tracked, plain: object) -> bool:
    """Makes a tracking list or dict show this content without writing it; False if it is of the other kind."""
    if isinstance(tracked, TrackedList) and isinstance(plain, list):
        list.__setitem__(tracked, slice(None), [tracked._nested(item) for item in plain])
        return True
    if isinstance(tracked, TrackedDict) and isinstance(plain, dict):
        dict.clear(tracked)
        dict.update(tracked, {key: tracked._nested(item) for key, item in plain.items()})
        return True
    return False


class _Tracking:
    """What both have in common: the way to the outermost one, which is written as a whole."""

    _place: _Place | None
    _outermost: Tracked | None

    def _nested(self, value: Any) -> Any:
        outermost = self._outermost or self
        if isinstance(value, dict):
            return TrackedDict(value, outermost=outermost)
        if isinstance(value, (list, tuple)):
            return TrackedList(value, outermost=outermost)
        return value

    def _write(self) -> None:
        outermost: Any = self._outermost or self
        place: _Place = outermost._place
        try:
            place.session._write(place.path, outermost)
        except BaseException:
            # Nothing was changed in the session: show that.
            refresh(outermost, place.session._read(place.path))
            raise


class TrackedList(_Tracking, list[Any]):
    """A list of a session; every change is written through."""

    def __init__(
        self, items: Iterable[Any] = (), *, place: _Place | None = None, outermost: Any = None
    ) -> None:
        self._place = place
        self._outermost = outermost
        super().__init__(items)
        for index, item in enumerate(self):
            if isinstance(item, (dict, list, tuple)):
                list.__setitem__(self, index, self._nested(item))

    def append(self, item: Any, /) -> None:
        super().append(self._nested(item))
        self._write()

    def extend(self, items: Iterable[Any], /) -> None:
        super().extend([self._nested(item) for item in items])
        self._write()

    def insert(self, index: SupportsIndex, item: Any, /) -> None:
        super().insert(index, self._nested(item))
        self._write()

    def remove(self, item: Any, /) -> None:
        super().remove(item)
        self._write()

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        item = super().pop(index)
        self._write()
        return item

    def clear(self) -> None:
        super().clear()
        self._write()

    def sort(self, *, key: Callable[[Any], Any] | None = None, reverse: bool = False) -> None:
        super().sort(key=key, reverse=reverse)  # type: ignore[type-var, arg-type, unused-ignore]
        self._write()

    def reverse(self) -> None:
        super().reverse()
        self._write()

    def __setitem__(self, index: Any, item: Any, /) -> None:
        if isinstance(index, slice):
            super().__setitem__(index, [self._nested(one) for one in item])
        else:
            super().__setitem__(index, self._nested(item))
        self._write()

    def __delitem__(self, index: SupportsIndex | slice, /) -> None:
        super().__delitem__(index)
        self._write()

    def __iadd__(self, items: Iterable[Any], /) -> Self:  # type: ignore[misc]
        self.extend(items)
        return self

    def __imul__(self, times: SupportsIndex, /) -> Self:
        list.__setitem__(self, slice(None), [self._nested(item) for item in list.__mul__(self, times)])
        self._write()
        return self

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        return list, (list(self),)


class TrackedDict(_Tracking, dict[str, Any]):
    """A dict of a session; every change is written through."""

    def __init__(
        self, items: dict[str, Any] | None = None, *, place: _Place | None = None, outermost: Any = None
    ) -> None:
        self._place = place
        self._outermost = outermost
        super().__init__(items or {})
        for key, item in self.items():
            if isinstance(item, (dict, list, tuple)):
                dict.__setitem__(self, key, self._nested(item))

    def __setitem__(self, key: str, item: Any, /) -> None:
        super().__setitem__(key, self._nested(item))
        self._write()

    def __delitem__(self, key: str, /) -> None:
        super().__delitem__(key)
        self._write()

    def clear(self) -> None:
        super().clear()
        self._write()

    def pop(self, key: str, /, *default: Any) -> Any:
        item = super().pop(key, *default)
        self._write()
        return item

    def popitem(self) -> tuple[str, Any]:
        item = super().popitem()
        self._write()
        return item

    def setdefault(self, key: str, default: Any = None, /) -> Any:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Any, **items: Any) -> None:
        changes: dict[str, Any] = dict(*others, **items)
        super().update({key: self._nested(item) for key, item in changes.items()})
        self._write()

    def __ior__(self, other: Any, /) -> Self:  # type: ignore[override, misc]
        self.update(other)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex, /) -> tuple[Any, ...]:
        return dict, (dict(self),)


Tracked = TrackedList | TrackedDict


class Node(MutableMapping[Any, Any]):
    """The children of a node of a session's tree: a live mapping by subscript, in collation order."""

    __slots__ = ("_path", "_session")

    def __init__(self, session: Session, path: tuple[Any, ...]) -> None:
        self._session = session
        self._path = path

    def __getitem__(self, subscript: Any) -> Any:
        return self._session[(*self._path, subscript)]

    def __setitem__(self, subscript: Any, value: Any) -> None:
        self._session[(*self._path, subscript)] = value

    def __delitem__(self, subscript: Any) -> None:
        del self._session[(*self._path, subscript)]

    def __iter__(self) -> Iterator[Any]:
        subscript = self._session.next(self._path)
        while subscript is not None:
            yield subscript
            subscript = self._session.next(self._path, subscript)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Node({dict(self)!r})"
