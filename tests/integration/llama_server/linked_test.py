# SPDX-License-Identifier: Apache-2.0
"""linked_test.py ENGINE SPECKVD LIBRARY LINKED - proves that a llama-server that was linked with
libspeckv_llama_server.so keeps its prompts in the pool without LD_PRELOAD, and that a preloaded one
finds them.

How: a linked server answers, is killed, and a preloaded one answers again; what the pool gave is
counted, and the answers are the same."""
from servers import FLAGS, HELPER, LIBRARY, TEXT, Daemon, Server, check, run_test


def main(folder):
    place = {"SPECKV_SOCKET": Daemon(folder).socket}
    prompts = [TEXT[at : at + 900] for at in (0, 4000, 8000)]
    linked = Server(folder, *FLAGS, program=HELPER, **place)
    for prompt in prompts:
        linked.answer(prompt)
    first = [linked.answer(prompt) for prompt in prompts]
    check(len(linked.restored()) >= 1, f"a slot of another prompt is filled: {linked.restored()}")
    linked.stop("kill")
    preloaded = Server(folder, *FLAGS, preload=[LIBRARY], **place)
    again = [preloaded.answer(prompt) for prompt in prompts[:2]]
    check(len(preloaded.restored()) == 2, f"a preloaded one finds them: {preloaded.restored()}")
    same = [one == other for one, other in zip(first, again) if one[1] == other[1]]
    check(same and all(same), "answers to equal splits are equal")


run_test(main)
