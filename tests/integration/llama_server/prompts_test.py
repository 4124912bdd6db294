# SPDX-License-Identifier: Apache-2.0
"""prompts_test.py ENGINE SPECKVD LIBRARY ZEROED - proves that the stock llama-server, with
libspeckv_llama_server.so preloaded, answers token by token as the engine does when it reuses as
much of the prompt itself, from a pool that outlives it and that several servers share.

How: a real daemon, real servers, HTTP. Sessions come back in turn, so that each meets a slot of
another one. For each answer a stock server with one slot is given as many tokens of the prompt as
were reused, and then the prompt: how a prompt is split changes the rounding, so that only equal
splits can be compared. The control: with every restored K and V zeroed, answers must change."""
import threading

from servers import FLAGS, HELPER, LIBRARY, TEXT, Daemon, Server, check, run_test

BLOCK = 64  # tokens, of the library


def prompts(book=0):
    """Three sessions of two rounds, in an order in which slots change hands. book: of other
    texts."""
    documents = [TEXT[at : at + 600] for at in range(book * 1000, book * 1000 + 12000, 4000)]
    rounds = []
    for turn in range(2):
        for document in documents:
            rounds.append(document + "\n\nQuestion: what is this about?" * (turn + 1))
    return rounds


def run(server, book=0):
    return [server.answer(prompt) for prompt in prompts(book)]


def counts(answers):
    return [reused for _, reused in answers]


class Reference:
    """What the engine answers by itself, for each prompt and each split."""

    def __init__(self, folder):
        flags = ["-np", "1", "-c", "2048", "--slots", "--slot-save-path", folder]
        self.server = Server(folder, *flags)
        self.known = {}

    def agrees(self, answers, book=0):
        return all(self.wanted(*each) == each[1][0] for each in zip(prompts(book), answers))

    def wanted(self, prompt, answer):
        key = prompt, answer[1]
        if key not in self.known:
            self.known[key] = self.server.split(*key)
            if isinstance(self.known[key], str):
                print("reference:", self.known[key], flush=True)
        return self.known[key]


def one_after_another(folder, place, reference):
    first = Server(folder, *FLAGS, preload=[LIBRARY], **place)
    answers = run(first)
    check(reference.agrees(answers), f"answers are the engine's own: {counts(answers)}")
    check(len(first.restored()) >= 3, f"second rounds come from the pool: {first.restored()}")
    first.stop("kill")

    second = Server(folder, *FLAGS, preload=[LIBRARY], **place)
    again = run(second)
    check(reference.agrees(again), f"a second server answers as the engine: {counts(again)}")
    check(again[0][1] >= 128, "what the first one saved, from its first request on")
    whole = second.ids(prompts()[0])[: 2 * BLOCK]  # nothing of it is left to compute
    answer = second.answer(whole)
    check(answer[1] == len(whole) - 1, "of a prompt of whole blocks all but the last token")
    check(reference.server.split(whole, answer[1]) == answer[0], "which gives the engine's answer")
    second.stop()


def at_the_same_time(folder, place, reference):
    """Both put the same blocks, of which the pool has none, and take none from each other."""
    place = {**place, "SPECKV_SALT": "two"}
    servers = [Server(folder, *FLAGS, preload=[LIBRARY], **place) for _ in range(2)]
    answers = [None, None]

    def ask(number):
        answers[number] = run(servers[number])

    threads = [threading.Thread(target=ask, args=[number]) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(2):
        good = reference.agrees(answers[number])
        check(good, f"server {number} of two at once: {counts(answers[number])}")
    third = [run(server) for server in servers]
    check(all(reference.agrees(each) for each in third), "and so once more, one after the other")
    least = [min(counts(each)) for each in third]
    check(min(least) >= 2 * BLOCK, f"where every prompt is found by both: {least}")
    for server in servers:
        server.stop()


def other_settings(folder, place, reference):
    zeroed = Server(folder, *FLAGS, preload=[HELPER, LIBRARY], **place)
    answers = run(zeroed)
    check(not reference.agrees(answers), "zeroed KV answers otherwise: the test can fail")
    check(zeroed.restored()[:1] == [128], "though as much was restored")
    zeroed.stop()

    other = Server(folder, *FLAGS, "--rope-freq-scale", "0.5", preload=[LIBRARY], **place)
    check(other.answer(prompts()[0])[1] == 0, "another RoPE scale finds nothing")
    other.stop()

    unified = Server(folder, "-c", "4096", "-np", "4", "-kvu", preload=[LIBRARY], **place)
    run(unified)
    check(len(unified.restored()) >= 3, f"with a unified KV, too: {unified.restored()}")
    check("not saved" not in unified.log(), "where every slot was saved")
    unified.stop()


def without_daemon(folder, daemon, reference):
    """The daemon dies under a server, and another takes its place. What was stored can still be
    read until the library meets that; so each step has texts of its own. Where the server's own
    cache serves, a stock server is the reference: tokens of an answer may be among those reused."""
    stock = Server(folder, *FLAGS)
    wanted = run(stock, book=1)
    stock.stop()
    server = Server(folder, *FLAGS, preload=[LIBRARY], SPECKV_SOCKET=daemon.socket)
    run(server)
    daemon.stop("kill")
    from_pool = len(server.restored())
    answers = run(server, book=1)
    good = answers == wanted and len(server.restored()) == from_pool
    check(good, f"the daemon killed: as a server without the library: {counts(answers)}")
    check(all(counts(answers[3:])), "whose own cache serves")
    check(server.log().count("no daemon now") == 1, "which the log says once")
    daemon = Daemon(folder)
    answers = run(server, book=2)
    check(reference.agrees(answers, book=2), f"another daemon: {counts(answers)}")
    check(len(server.restored()) > from_pool, "prompts go to the new pool")
    server.stop()

    daemon.stop("kill")
    alone = Server(folder, *FLAGS, preload=[LIBRARY], SPECKV_SOCKET=daemon.socket)
    own = counts(run(alone))
    check(all(own[3:]), f"started without a daemon the server's own cache serves: {own}")
    check(alone.log().count("no pool") == 1, "which the log says once")
    alone.stop()


def main(folder):
    reference = Reference(folder)
    daemon = Daemon(folder)
    place = {"SPECKV_SOCKET": daemon.socket}
    one_after_another(folder, place, reference)
    at_the_same_time(folder, place, reference)
    other_settings(folder, place, reference)
    without_daemon(folder, daemon, reference)


run_test(main)
