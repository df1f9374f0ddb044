#!/usr/bin/env python3
"""An example of a receiver of semad's callbacks: it starts a job for each lease that it is told of.

    HOOK_SECRET=whsec_... receiver.py [--listen HOST:PORT] [--started FOLDER] -- CMD ARG...

CMD runs once for each callback, with the lease's UUID in SEMA_LEASE and all of the body on its standard input.
It is best a `semactl run POOL --lease env:SEMA_LEASE -- ...`, which renews the lease and returns it.

Needs Python 3.6 and nothing else. For https, put a proxy before it.
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time

LARGEST_BODY = 1024 * 1024
# A callback that was recorded may be sent again by somebody else; one that is older than this is refused.
TOLERANCE = 5 * 60


class Refused(Exception):
    """The request is none that semad signed for us, lately."""


def verify(secrets, headers, body, now=None):
    """Raises Refused unless one of the secrets signed the body: Standard Webhooks 1.0.

    `secrets` may have several, with spaces between, while one takes another's place.
    `body` is what came, byte for byte: JSON that was parsed and written again is another text.
    """
    identifier = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not identifier or not re.fullmatch("[0-9]{1,12}", timestamp):
        raise Refused("webhook-id or webhook-timestamp is missing")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE:
        raise Refused("webhook-timestamp is too far from the time here")
    signed = "{}.{}.".format(identifier, timestamp).encode() + body
    # One for each secret that the borrower gave, as `v1,BASE64`.
    given = [part[3:] for part in headers.get("webhook-signature", "").split() if part.startswith("v1,")]
    for secret in secrets.split():
        key = base64.b64decode(secret[len("whsec_"):] if secret.startswith("whsec_") else secret)
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
        # All of them, in a time that says nothing of how much of one was right.
        if any([hmac.compare_digest(expected, one.encode()) for one in given]):
            return
    raise Refused("webhook-signature is of none of the secrets")


class Receiver(http.server.BaseHTTPRequestHandler):
    secrets = ""
    started = pathlib.Path()
    # Not `command`, which is what the base class calls the request's method.
    job = []

    # A connection that says nothing does not stay.
    timeout = 30

    def do_POST(self):
        length = self.headers.get("content-length", "")
        if not length.isdigit() or int(length) > LARGEST_BODY:
            return self.answer(413, "a body of at most 1 MiB, with its length, is taken")
        body = self.rfile.read(int(length))
        try:
            verify(self.secrets, self.headers, body)
        except Refused as why:
            return self.answer(401, str(why))
        try:
            lease = json.loads(body)["lease"]
        except (ValueError, KeyError, TypeError):
            return self.answer(400, "the body has no lease")
        # The same callback may come twice, as when our first answer was lost: it has the same id then.
        mark = self.started / hashlib.sha256(self.headers["webhook-id"].encode()).hexdigest()
        try:
            mark.open("x").close()
        except FileExistsError:
            return self.answer(200, "started before")
        except OSError as why:
            return self.answer(503, "cannot note what is started: {}".format(why))
        try:
            self.start(lease, body)
        except OSError as why:
            # semad tries again.
            mark.unlink()
            return self.answer(503, "cannot start the job: {}".format(why), getattr(why, "headers", ()))
        self.answer(202, "started")

    def start(self, lease, body):
        # A file holds more than a pipe that the job reads late, or not at all.
        with tempfile.TemporaryFile() as given:
            given.write(body)
            given.seek(0)
            started = subprocess.Popen(self.job, stdin=given, env=dict(os.environ, SEMA_LEASE=str(lease)))
        # Somebody has to take note of its end.
        threading.Thread(target=started.wait, daemon=True).start()

    def answer(self, status, text, headers=()):
        body = (json.dumps({"result": text}) + "\n").encode()
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def serve(handler, options):
    handler.secrets = os.environ.pop("HOOK_SECRET", "")
    if not handler.secrets.split():
        sys.exit("HOOK_SECRET is not set: without a secret, anybody could start jobs")
    handler.started = pathlib.Path(options.started)
    handler.started.mkdir(parents=True, exist_ok=True)
    host, _, port = options.listen.rpartition(":")
    server = Server((host, int(port)), handler)
    print("listening on http://{}:{}".format(*server.server_address), flush=True)
    server.serve_forever()


def main():
    parser = argparse.ArgumentParser(description="Starts a job for each callback of semad's.")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT")
    parser.add_argument("--started", default="started", metavar="FOLDER", help="remembers what was started")
    parser.add_argument("command", nargs="+", metavar="CMD")
    options = parser.parse_args()
    Receiver.job = options.command
    serve(Receiver, options)


if __name__ == "__main__":
    main()
