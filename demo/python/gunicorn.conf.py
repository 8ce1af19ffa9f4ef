"""One worker with threads: a manager on the memory table belongs to one process, and is made in it (no preload)."""

import os

bind = "127.0.0.1:" + os.environ.get("PORT", "0")
worker_class = "gthread"
workers = 1
threads = 16
graceful_timeout = 2
accesslog = None
loglevel = "warning"


def when_ready(server):
    host, port = server.LISTENERS[0].sock.getsockname()
    print(f"listening at http://{host}:{port}/", flush=True)


def worker_exit(server, worker):
    import app

    app.close()
