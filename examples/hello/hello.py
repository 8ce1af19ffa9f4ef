"""The story of examples/README.md in Python: `python hello.py`."""

import libsession as ls

with ls.ManualClock() as clock:  # Stands still until it is told.
    manager = ls.Manager(
        applications={"shop": ls.Application(idle_timeout=15 * 60, event_classes=["greeter"])},
        pools={"users": ls.Pool(capacity=1)},
    )

    @manager.event_class("greeter")
    class Greeter:
        def on_end(self, event: ls.Event) -> None:
            print(f"ended: {event.reason}")

    created = manager.create("shop")
    with manager.begin(created.token) as session:
        session["product"] = "tea"
        token = session.login("ada").token  # A new token for the client.
        print(f"hello {session.user}, {session['product']} is in the cart")

    try:
        manager.create("shop")
    except ls.LicenseDenied as denied:
        print(f"no unit left: {denied.reason}")

    clock.advance(minutes=15)
    try:
        manager.begin(token)
    except ls.Gone as gone:
        print(f"gone: {gone.reason}")
    print(f"units in use: {manager.usage('users').in_use}")
