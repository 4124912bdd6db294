# SPDX-License-Identifier: Apache-2.0
"""below_test.py ENGINE SPECKVD LIBRARY HELPER - proves that prompts which a small pool has sent to
the tier below come back from there, with the engine's own answers, and are not put once more.

How: more documents than the pool holds, asked for twice in turn, with nothing guessed ahead. The
second time each is restored; with SPECKV_WAIT_MS=0, which means the pool alone, few are."""
import time

from servers import FLAGS, HELPER, LIBRARY, TEXT, Daemon, Server, check, run_test

DOCUMENTS = 12
POOL = "32MiB"  # 20 blocks of 1.4 MiB; a document has 4 or 5


def main(folder):
    assert HELPER.exists()
    more = f'spill_path = "{folder}/below"\nspill_bytes = "512MiB"\nspeculation = false\n'
    place = {"SPECKV_SOCKET": Daemon(folder, POOL, more).socket}
    documents = [TEXT[at : at + 1100] for at in range(0, 1100 * DOCUMENTS, 1100)]
    server = Server(folder, *FLAGS, preload=[LIBRARY], **place)
    for document in documents:
        server.answer(document)
        time.sleep(0.2)  # the disk keeps up
    saved = sum(server.saved())
    check(saved > 40, f"{saved} blocks were saved, more than the pool has room for")
    answers = [server.answer(document + "\n\nIn short:") for document in documents[:-2]]
    counts = [reused for _, reused in answers]
    check(sum(count >= 192 for count in counts) >= 9, f"they come back from below: {counts}")
    again = sum(server.saved()) - saved
    check(again < 20, f"what lies below is not put again: {again} blocks saved since")
    server.stop()

    reference = Server(folder, "-np", "1", "-c", "2048", "--slots", "--slot-save-path", folder)
    wanted = [reference.split(document + "\n\nIn short:", reused)
              for document, (_, reused) in zip(documents, answers)]
    check([answer for answer, _ in answers] == wanted, "with the engine's own answers")
    reference.stop()

    hasty = Server(folder, *FLAGS, preload=[LIBRARY], SPECKV_WAIT_MS="0", **place)
    counts = [hasty.answer(document)[1] for document in documents[:-2]]
    check(sum(count >= 192 for count in counts) <= 5, f"nobody waits who must not: {counts}")


run_test(main)
