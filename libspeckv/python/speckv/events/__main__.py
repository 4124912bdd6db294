# SPDX-License-Identifier: Apache-2.0
"""python -m speckv.events: publishes KV events of one namespace until it is ended (docs/events.md).
Waits for the daemon at start, and finds it again by itself."""

import argparse
import contextlib
import sys
import time

from ..session import Session
from .publisher import KEPT_BATCHES, Publisher


def arguments():
    parser = argparse.ArgumentParser(prog="python -m speckv.events", description=__doc__)
    parser.add_argument("--namespace", help="default: default")
    parser.add_argument("--socket", help="of the daemon; default: $SPECKV_SOCKET")
    parser.add_argument("--endpoint", default="tcp://*:5557", help="where events are published")
    parser.add_argument("--replay", help="where missed events can be had, e.g. tcp://*:5558")
    parser.add_argument("--tell", required=True,
                        help="where engines tell what they call blocks, e.g. ipc:///run/kv.tell")
    parser.add_argument("--told", metavar="FILE", help="keeps what was told over a restart")
    parser.add_argument("--topic", default="", help="first frame of each message")
    parser.add_argument("--rank", type=int, default=0, help="data parallel rank in each batch")
    parser.add_argument("--known-max", type=int, default=1 << 20, help="blocks remembered")
    parser.add_argument("--kept-batches", type=int, default=KEPT_BATCHES, help="for replay")
    parser.add_argument("--interval", type=float, default=0.02, help="seconds between two looks")
    return parser.parse_args()


def open_session(options):
    said = False
    while True:
        try:
            return Session(options.namespace, options.socket, arena_bytes=64 << 10)
        except (FileNotFoundError, ConnectionError, TimeoutError) as error:
            if not said:
                print(f"speckv.events: waiting for the daemon: {error}", file=sys.stderr)
            said = True
            time.sleep(0.5)


def main():
    options = arguments()
    with open_session(options) as session:
        publisher = Publisher(session, options.endpoint, options.replay, options.tell,
                              options.topic, options.rank, options.told, options.known_max,
                              options.kept_batches)
        print(f"speckv.events: {len(publisher.announcer.tree)} blocks known, publishing at "
              f"{options.endpoint}", file=sys.stderr, flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            publisher.run(options.interval)
        publisher.close()


if __name__ == "__main__":
    main()
