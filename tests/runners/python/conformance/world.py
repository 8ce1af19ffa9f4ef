"""What a running script knows: labels, deliveries, hanging callbacks, the lifecycle log so far."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import libsession as ls

from . import answer
from .line import Script, text_of
from .setup import Setup

NOBODY = "-"
# How long anything may take to wait or return, in real time.
PATIENCE = 20.0
NIL = "A" * 22


@dataclass
class Delivery:
    """One delivery to a scripted callback: `CLASS.KIND@MS:REASON#ATTEMPT!`, and what its actions noted."""

    what: str
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.what}({';'.join(self.notes)})" if self.notes else self.what


@dataclass
class Started:
    """A line on a thread of its own."""

    thread: threading.Thread
    result: list[Any] = field(default_factory=list)


class World:
    """The state of one running script."""

    def __init__(self, table: str) -> None:
        self.clock = ls.ManualClock()
        self.setup = Setup(table, self.clock)
        self.lock = threading.RLock()
        self.order: list[str] = []
        self.ids: dict[str, str] = {}
        self.labels: dict[str, str] = {}
        self.tokens: dict[str, str] = {}
        self.requests: dict[str, tuple[ls.Session, str]] = {}
        self.versions: dict[str, int] = {}
        self.tickets: dict[str, ls.Ticket] = defaultdict(ls.Ticket)
        self.asked: list[str] = []
        self.making: str | None = None
        self.told: dict[Any, int] = defaultdict(int)
        self.started: dict[str, Started] = {}
        self.hung = 0
        self.opened: ls.Manager | None = None
        self._deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self._calls: dict[tuple[str, str], int] = defaultdict(int)
        self._lifecycle: list[ls.LogEntry] = []
        self._bell = threading.Condition()
        self._released_all = 0
        self._released: dict[str, int] = defaultdict(int)
        self._hanging: dict[str, int] = defaultdict(int)
        self._over = False

    @property
    def manager(self) -> ls.Manager:
        """The manager; it opens at its first use."""
        if self.opened is None:
            manager, classes = self.setup.open(self)
            self.opened = manager
            for event_class in classes:
                manager.register(event_class)
        return self.opened

    def settle(self) -> None:
        """Delivers what the last line caused, and reads the lifecycle log as far as it got."""
        if self.opened is None:
            return
        try:
            self.clock.advance()
        except ls.Reentrant:
            pass  # inside of a callback, where nothing is to be settled
        with self.lock:
            while True:
                after = self._lifecycle[-1].seq if self._lifecycle else 0
                try:
                    more = self.opened.lifecycle(after=after)
                except ls.SessionError:
                    return  # a closed manager tells nothing any more
                if not more:
                    return
                self._lifecycle += more

    def creating(self, label: str) -> None:
        """Issues a label for a session that is about to be made."""
        with self.lock:
            if label not in self.order:
                self.order.append(label)
            self.making = label

    def created(self, label: str, id: str, token: str) -> None:
        """A session was made."""
        with self.lock:
            self.ids[label] = id
            self.labels[id] = label
            self.tokens[label] = token

    def label_of(self, id: str) -> str:
        """The label of an id, or `-`."""
        with self.lock:
            return self.labels.get(id, NOBODY)

    def id(self, label: str) -> str:
        """The id of a session label."""
        with self.lock:
            if label not in self.ids:
                raise Script(f"there is no session '{label}'")
            return self.ids[label]

    def token(self, word: str) -> str:
        """The text of the token that a word means."""
        if word.startswith('"'):
            return text_of(word)
        if word.startswith("id:"):
            return self.id(word[3:])
        if word not in self.tokens:
            raise Script(f"there is no token '{word}'")
        return self.tokens[word]

    def request(self, label: str) -> tuple[ls.Session, str]:
        """A request, and the label of its session."""
        with self.lock:
            if label not in self.requests:
                raise Script(f"there is no request '{label}'")
            return self.requests[label]

    def with_labels(self, text: str) -> str:
        """Ids inside of a text become labels."""
        with self.lock:
            for id, label in self.labels.items():
                text = text.replace(id, label)
        return text

    def delivered(self, session: str, name: str, kind: str, what: str) -> tuple[str, Delivery]:
        """A delivery begins; its label and itself."""
        with self.lock:
            if session != NIL and session not in self.labels and self.making is not None:
                self.ids[self.making] = session
                self.labels[session] = self.making
            label = NOBODY if kind.startswith("on_pool") else self.labels.get(session, NOBODY)
            self._calls[name, kind] += 1
            delivery = Delivery(what)
            self._deliveries[label].append(delivery)
            return label, delivery

    def dropped(self, session: str, what: str) -> None:
        """An attached object was dropped."""
        with self.lock:
            self._deliveries[self.label_of(session)].append(Delivery(what))

    def calls(self, name: str, kind: str) -> int:
        """How often a callback was called."""
        with self.lock:
            return self._calls[name, kind]

    def deliveries(self, label: str, start: int) -> list[str]:
        """Deliveries about a session from one place on."""
        with self.lock:
            texts = [str(delivery) for delivery in self._deliveries[label][start:]]
        return [self.with_labels(text) for text in texts]

    def entries(self, start: int) -> list[tuple[str, str]]:
        """Lifecycle entries from one place on, with their sessions' labels."""
        with self.lock:
            return [(self.label_of(one.session_id), answer.entry(self, one)) for one in self._lifecycle[start:]]

    def hang(self, name: str, say: Callable[[], None]) -> None:
        """Says so, and hangs until a `release` that comes after that."""
        with self._bell:
            self._hanging[name] += 1
            before = self._released_all, self._released[name]
        say()
        with self._bell:
            self.hung += 1
            self._bell.wait_for(lambda: self._over or (self._released_all, self._released[name]) != before)

    def release(self, name: str | None) -> None:
        """Lets hanging callbacks go on; returns when no more run than those that still hang."""
        with self._bell:
            if name is None:
                self._released_all += 1
                self._hanging.clear()
            else:
                self._released[name] += 1
                self._hanging.pop(name, None)
            self._bell.notify_all()
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until and self.opened is not None and not self.opened.is_closed:
            try:
                running = self.clock.advance()
            except ls.Reentrant:
                running = 0
            with self._bell:
                if running <= sum(self._hanging.values()):
                    return
                self._bell.wait(0.001)

    def log(self) -> str:
        """The event log of the script."""
        # A close hides its own ends: whether one could still be read is a matter of luck.
        lines = [f"log {text}\n" for _, text in self.entries(0) if ".ended@" not in text or ":shutdown" not in text]
        for label in [*self.order, NOBODY]:
            lines += [f"call {label} {delivery}\n" for delivery in self.deliveries(label, 0)]
        return "".join(lines)

    def over(self) -> None:
        """Ends the script: nothing hangs any more, and the manager is closed."""
        with self._bell:
            self._over = True
            self._bell.notify_all()
        if self.opened is not None:
            self.opened.close(grace=0)
        self.requests.clear()
        for started in self.started.values():
            started.thread.join()
