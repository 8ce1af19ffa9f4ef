"""241 sessions, 33 units, callbacks that throw and callbacks that never return: `python forum.py`.

Everybody leaves without a word. On the real clock: exits with 1 unless all units are free within one second.
"""

import logging
import sys
import threading
import time

import libsession as ls

IDLE = 0.5  # seconds

logging.getLogger("libsession").setLevel(logging.CRITICAL)  # What fails here is meant to.
never = threading.Event()
manager = ls.Manager(
    applications={"forum": ls.Application(idle_timeout=IDLE, event_classes=["thrower", "hanger", "vetoer"])},
    pools={"users": ls.Pool(capacity=33)},
    callback_deadline=0.2,
)


@manager.event_class("thrower")
class Thrower:
    def on_end(self, event: ls.Event) -> None:
        raise RuntimeError("the mail server is down")


@manager.event_class("hanger")
class Hanger:
    def on_timeout(self, event: ls.Event) -> None:
        never.wait()


@manager.event_class("vetoer")
class Vetoer:
    def on_expiring(self, event: ls.Event) -> ls.Verdict:
        return ls.Extend(3600)


tokens = []
for number in range(241):
    user = f"user{number % 32}" if number < 240 else "user32"
    with manager.begin_new("forum", client=ls.Client(address=f"192.0.2.{number % 250}")) as session:
        tokens.append(session.login(user).token)
started = time.monotonic()
usage = manager.usage("users")
print(f"{manager.count()} sessions of {len(usage.holders)} users hold {usage.in_use} of {usage.capacity} units")
try:
    manager.create("forum")
except ls.LicenseDenied as denied:
    print(f"one more is refused: {denied.reason}")

held = max(usage.holders, key=lambda holder: holder.connections)
id = manager.list(holder=held.holder, limit=1).sessions[0].id
explained = manager.explain(id)
print(f"{held.holder} has {held.connections} sessions; of {id} explain says:")
print("\n".join(f"    {line}" for line in str(explained).splitlines()))

print("everybody leaves")
while manager.usage("users").in_use and time.monotonic() - started < 10:
    never.wait(0.01)
took = time.monotonic() - started
free = manager.usage("users").available
stats = manager.stats()
print(f"{free} of 33 units are free, {stats.live} sessions left; {stats.ended[ls.EndReason.IDLE_TIMEOUT]} timed out")
print(f"worst lateness {stats.lateness_max.total_seconds() * 1000:.0f} ms, p99 {stats.lateness_p99.total_seconds() * 1000:.0f} ms")
while manager.stats().stuck_workers == 0 and time.monotonic() - started < 10:
    never.wait(0.01)
stats = manager.stats()
print(f"meanwhile {stats.stuck_workers} callback threads hang and {stats.callbacks_failed} callbacks failed: nobody noticed")
audit = manager.audit("users")
print(f"audit: counted {audit.counted}, recounted {audit.recounted}; check: {manager.check() or 'nothing wrong'}")
try:
    manager.touch(tokens[0])
except ls.Gone as gone:
    print(f"gone: {gone.reason}")
manager.create("forum")
print("a new session is welcome")
never.set()

ok = free == 33 and stats.live == 0 and took < IDLE + 1 and not audit.differences
print("the forum is free again" if ok else f"NOT as said: {free} units free after {took:.2f} s")
sys.exit(0 if ok else 1)
