# SPDX-License-Identifier: Apache-2.0
"""check.py - are the answers right?

A server on an `exact` pool is asked session by session, so that each prompt comes back from the
pool; a stock server with one slot is given as many tokens of the prompt as were reused, and then
the prompt: how a prompt is split changes the rounding, so that only equal splits can be compared.
The answers must be equal, and with every restored K and V zeroed they must differ: a check that
cannot fail says nothing."""

import client
from arms import Arm
from processes import LlamaServer

ANSWER = 16  # tokens
TOKENS = 700  # of each prompt
SESSIONS = 3


def prompts_of(load):
    documents = [document[:TOKENS] for document in load.documents[:SESSIONS]]
    return [
        document + [token for question in load.questions[: turn + 1] for token in question]
        for turn in range(2)
        for document in documents
    ]


def answers(load, place, preload=()):
    arm = Arm("check", ("-sps", "0"), preset="exact", slots=2)
    daemon = place.daemon(arm, load)
    server = place.server(arm, load, daemon, kind="-zeroed" if preload else "", preload=preload)
    told = [client.ask(server.port, prompt, ANSWER) for prompt in prompts_of(load)]
    server.stop()
    daemon.stop()
    return told


def engines_own(server, sample):
    """The engine's answer where it reuses as many tokens of the prompt itself."""
    server.ask("/slots/0?action=erase", {})
    if sample.reused:
        client.ask(server.port, sample.prompt[: sample.reused], 0)
    own = client.ask(server.port, sample.prompt, ANSWER)
    return own.answer if own.reused == sample.reused else None


def check_answers(load, place):
    """Returns: counts, as summary.json gives them."""
    ours = answers(load, place)
    zeroed = answers(load, place, preload=[place.build / "lib/libzeroed_get.so"])
    flags = ["-np", 1, "-c", 2048, "--slots", "--slot-save-path", place.out, "--cache-ram", 0]
    log = place.out / "server-reference.log"
    reference = LlamaServer(place.engine, load.model, log, flags)
    restored = [number for number, sample in enumerate(ours) if sample.reused]
    equal = sum(engines_own(reference, ours[at]) == ours[at].answer for at in restored)
    differs = sum(zeroed[at].answer != ours[at].answer for at in restored)
    reference.stop()
    return {
        "prompts_restored": len(restored),
        "prompts_equal": equal,
        "prompts_zeroed_differ": differs,
    }


def passed(counts):
    """The zeroed control may by chance give one answer alike: it must differ in most."""
    restored = counts["prompts_restored"]
    return (
        restored >= SESSIONS
        and counts["prompts_equal"] == restored
        and 2 * counts["prompts_zeroed_differ"] > restored
    )
