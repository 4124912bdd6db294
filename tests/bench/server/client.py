# SPDX-License-Identifier: Apache-2.0
"""client.py - clients of a llama-server over HTTP that stream their answers, several in flight.

ask() is one request; run_turns() a whole workload. A client notes when each token arrived: the
first one's delay is TTFT, the gaps between the others are the inter-token latency. Nothing here
knows which arm it measures."""

import collections
import dataclasses
import http.client
import json
import threading
import time

TIMEOUT = 600  # seconds; only a bound


@dataclasses.dataclass
class Sample:
    """One request. Times in seconds, tokens in counts."""

    session: int
    round: int
    ttft: float
    total: float
    gaps: list
    reused: int  # tokens of the prompt that the server did not compute
    prompt: list
    answer: list


def ask(port, prompt, count, session=0, turn=0, **more):
    """prompt: token ids. count: tokens of the answer, 0: the prompt is computed alone. more: what
    else the server is told, as `cache_prompt` or `id_slot`. Raises: OSError, ValueError."""
    asked = {
        "cache_prompt": True,
        **more,
        "prompt": prompt,
        "n_predict": count,
        "temperature": 0,
        "ignore_eos": True,
        "return_tokens": True,
        "stream": True,
    }
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    begin = time.monotonic()
    line.request("POST", "/completion", json.dumps(asked), {"Content-Type": "application/json"})
    reply = line.getresponse()
    if reply.status != 200:
        raise ValueError(f"HTTP {reply.status}: {reply.read()[:300]!r}")
    answer, arrivals, last = [], [], {}
    for raw in reply:
        if not raw.startswith(b"data: "):
            continue
        last = json.loads(raw[6:])
        if last.get("tokens") and not last.get("stop"):
            answer += last["tokens"]
            arrivals.append(time.monotonic())
    end = time.monotonic()
    line.close()
    if len(answer) < count:
        raise ValueError(f"{len(answer)} tokens came, {count} were asked for: {last}")
    first = arrivals[0] if arrivals else end
    gaps = [later - earlier for earlier, later in zip(arrivals, arrivals[1:])]
    reused = last["timings"]["cache_n"]
    return Sample(session, turn, first - begin, end - begin, gaps, reused, prompt, answer)


def in_parallel(count, jobs, work):
    """Calls work(job) for each job, in order, on so many threads. Raises what the first that
    failed raised."""
    waiting = collections.deque(jobs)
    failed = []

    def loop():
        while not failed:
            try:
                job = waiting.popleft()
            except IndexError:
                return
            try:
                work(job)
            except (OSError, ValueError, http.client.HTTPException) as error:
                failed.append(error)

    threads = [threading.Thread(target=loop) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]


def load_documents(load, port, more_of):
    """Every document once, before the clock starts. more_of(session): see ask()."""
    in_parallel(
        load.in_flight,
        range(load.sessions),
        lambda session: ask(port, load.documents[session], 0, **more_of(session)),
    )


def run_turns(load, port, more_of, on_sample):
    """All turns, in order, load.in_flight at once. Each resends what was said in its session, the
    answers among it. Returns: the samples, and the seconds from the first request to the last
    answer."""
    said = [list(document) for document in load.documents]
    done = [threading.Event() for _ in load.turns]
    before = {}
    samples = []

    def turn(number):
        session, round_ = load.turns[number]
        earlier = before.get((session, round_ - 1))
        if earlier is not None:
            done[earlier].wait()
        prompt = said[session] + load.questions[round_]
        try:
            sample = ask(port, prompt, load.answer_tokens, session, round_, **more_of(session))
            said[session] = prompt + sample.answer[: load.answer_tokens]
            samples.append(sample)
            on_sample(sample)
        finally:
            done[number].set()

    for number, key in enumerate(load.turns):
        before[key] = number
    begin = time.monotonic()
    in_parallel(load.in_flight, range(len(load.turns)), turn)
    return samples, time.monotonic() - begin
