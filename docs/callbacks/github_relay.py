#!/usr/bin/env python3
"""A relay from semad's callbacks to GitHub, which takes a repository_dispatch in a shape of its own.

    HOOK_SECRET=whsec_... GITHUB_TOKEN=... github_relay.py --repository OWNER/NAME [--event TYPE]
        [--listen HOST:PORT] [--started FOLDER]

It verifies each callback, and starts the workflows of `on: repository_dispatch: types: [TYPE]` with what the callback
says of the lease in `client_payload`. The token needs "Contents: read and write" on the repository.

Needs Python 3.6 and nothing else, and receiver.py beside it. For https, put a proxy before it.
"""
import argparse
import json
import os
import re
import sys
import urllib.error
import urllib.request

import receiver

# semad waits 15 s for our answer.
PATIENCE = 10
# GitHub takes ten at most.
KEYS = ("lease", "position", "positions", "fence", "slots", "granted_at_unix", "expires_at_unix", "body")


class NotTaken(OSError):
    """GitHub did not take it. `headers` are for our own answer."""

    def __init__(self, text, headers=()):
        super().__init__(text)
        self.headers = headers


class Relay(receiver.Receiver):
    url = ""
    token = ""
    event = ""

    def start(self, lease, body):
        told = json.loads(body)
        payload = {key: told[key] for key in KEYS if key in told}
        request = urllib.request.Request(
            self.url,
            data=json.dumps({"event_type": self.event, "client_payload": payload}).encode(),
            headers={
                "Accept": "application/vnd.github+json",
                "Authorization": "Bearer " + self.token,
                "Content-Type": "application/json",
                "User-Agent": "sema-github-relay",
                "X-GitHub-Api-Version": "2022-11-28",
            },
        )
        try:
            urllib.request.urlopen(request, timeout=PATIENCE).close()
        except urllib.error.HTTPError as error:
            # What GitHub says of its limits is meant for whoever tries again, which is semad.
            wait = error.headers.get("retry-after")
            raise NotTaken("GitHub answers {}".format(error.code), [("retry-after", wait)] if wait else ())


def main():
    parser = argparse.ArgumentParser(description="Starts workflows of GitHub for callbacks of semad's.")
    parser.add_argument("--repository", required=True, metavar="OWNER/NAME")
    parser.add_argument("--event", default="sema", metavar="TYPE", help="the event_type of the workflows (sema)")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT")
    parser.add_argument("--started", default="started", metavar="FOLDER", help="remembers what was started")
    options = parser.parse_args()
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", options.repository):
        parser.error("--repository takes OWNER/NAME")
    Relay.token = os.environ.pop("GITHUB_TOKEN", "")
    if not Relay.token:
        sys.exit("GITHUB_TOKEN is not set")
    # An Enterprise Server has its API at https://HOST/api/v3.
    api = os.environ.get("GITHUB_API_URL", "https://api.github.com").rstrip("/")
    Relay.url = "{}/repos/{}/dispatches".format(api, options.repository)
    Relay.event = options.event
    receiver.serve(Relay, options)


if __name__ == "__main__":
    main()
