"""Two workers with threads. They have one store, so that either may answer any request."""

import os

wsgi_app = "app:app"
pythonpath = "../shop"  # settings.py
bind = "127.0.0.1:" + os.environ.get("PORT", "0")
worker_class = "gthread"
workers = 2
threads = 16
graceful_timeout = 5
loglevel = "warning"


def when_ready(server):
    host, port = server.LISTENERS[0].sock.getsockname()
    print(f"listening at http://{host}:{port}/", flush=True)
