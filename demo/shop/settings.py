"""What all servers of the shop agree on. settings.c and settings.mjs say the same: a store refuses a process that differs."""

import os
from datetime import timedelta

import libsession as ls

STORE = os.environ.get("SHOP_STORE", "file:/tmp/libsession-shop")
COOKIE = "shop_session"
APPLICATION = "shop"
POOL = "users"


def open_manager() -> ls.Manager:
    return ls.Manager(
        store=STORE,
        profile="iris",
        applications={
            APPLICATION: ls.Application(
                idle_timeout=timedelta(seconds=3), extension_cap=timedelta(seconds=1), event_classes=["mailer"]
            )
        },
        pools={POOL: ls.Pool(capacity=6, queue=10)},
        callback_deadline=timedelta(milliseconds=500),
        retries=2,
        debug=True,
    )
