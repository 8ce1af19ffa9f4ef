"""A floating-license server in Python, a request a line: `python license_pool.py < story.txt`."""

import asyncio
import json
import sys
from dataclasses import asdict

import libsession as ls


async def main(clock: ls.ManualClock) -> None:
    minute = 60
    manager = ls.Manager(
        # No seat before a login. Who does not poll for ten minutes is gone.
        applications={"desktop": ls.Application(pool="cad", license_class="lazy", idle_timeout=10 * minute)},
        pools={
            # reclaim=True: a seat that lingers goes to who waits, at once. RESERVE is reservations=; BORROW: none.
            "cad": ls.Pool(capacity=2, queue=10, linger=2 * minute, reclaim=False),
            "render": ls.Pool(capacity=1, unit_rule="session"),
        },
    )
    tokens: dict[str, str] = {}  # The clients' secrets.
    starting: list[tuple[ls.Ticket, asyncio.Task[None]]] = []

    def say(text: str) -> None:
        print(f"{clock.now_ms // 60_000:2} min: {text}")

    async def start(user: str, ticket: ls.Ticket) -> None:
        with manager.begin_new("desktop") as session:
            login = asyncio.create_task(session.alogin(user, wait=30 * minute, ticket=ticket))
            await asyncio.sleep(0)
            if ticket.waits:
                say(f"{user} waits at position {ticket.position}")
            try:
                tokens[user] = (await login).token
                say(f"{user} has a seat")
            except ls.LicenseDenied:
                session.end()
                say(f"{user} gets no seat")

    for line in sys.stdin:
        words = line.split()
        try:
            match words:
                case ["start", user]:
                    starting.append((ticket := ls.Ticket(), asyncio.create_task(start(user, ticket))))
                case ["poll", user]:
                    manager.touch(tokens[user])
                case ["take", user, feature]:
                    with manager.begin(tokens[user]) as session:
                        session.take_feature(feature)
                    say(f"{user} takes {feature}")
                case ["close", user]:
                    manager.begin(tokens[user]).end()
                    say(f"{user} closes the window")
                case ["advance", minutes]:
                    await clock.aadvance(minutes=int(minutes))
                case ["usage", pool]:
                    use = manager.usage(pool)
                    say(f"{pool} has {use.in_use} of {use.capacity} seats, {use.lingering} linger, {use.waiting} wait")
                case ["explain", pool, user]:
                    print(manager.explain_unit(pool, user) or "", end="")
                case ["audit", pool]:
                    print(json.dumps(asdict(manager.audit(pool)), separators=(",", ":")))
                case _:
                    print(*words)
        except ls.Gone as gone:
            say(f"{words[1]} is gone: {gone.reason}")
        except KeyError:  # Or libsession's, which is one.
            say(f"{words[1]} is absent")
        except ls.LicenseDenied as denied:
            say(f"{words[1]} is denied: {denied.reason}")
        while not all(ticket.waits or task.done() for ticket, task in starting):
            await asyncio.sleep(0)
    manager.close(0)


with ls.ManualClock() as clock:  # Stands still until it is told; without it, the time is the machine's.
    asyncio.run(main(clock))
