# SPDX-License-Identifier: Apache-2.0
"""refusals_test.py ENGINE SPECKVD LIBRARY PROGRAM - proves that what cannot be stored is not,
that one line says so, and that the server then answers as one without the library.

How: for each case a stock server is asked the same requests in the same order. Files that no small
model here has are random (tiny_gguf.py); sound and a control vector are left out."""
import base64
import re
import subprocess

import tiny_gguf

from servers import FLAGS, HELPER, LIBRARY, MODEL, TEXT, Daemon, Process, Server, check, run_test

A, B = TEXT[:600], TEXT[4000:4600]
USED = "the server's own prompt cache is used"


# Four prompts of two sessions, each in a slot that another had.
PROMPTS = (A, B, A + " So", B + " So")


def refused(folder, place, name, line, *flags, prompts=PROMPTS, more=({}, {}, {}, {}), **of_server):
    """Returns: the answers."""
    answers, logs = [], []
    for preload in ([], [LIBRARY]):
        server = Server(folder, *FLAGS, *flags, preload=preload, **place, **of_server)
        answers.append([server.answer(each, 8, **extra) for each, extra in zip(prompts, more)])
        server.stop()
        logs.append(server.log())
    ours = [each for each in logs[1].splitlines() if each.startswith("speckv:")]
    named = [each for each in ours if line in each]
    check(len(named) == 1, f"{name}: one line says it: {named or ours}")
    check(answers[0] == answers[1], f"{name}: the server goes on as without the library")
    bad = [tokens for tokens, _ in answers[0] if not isinstance(tokens, list)]
    check(not bad, f"{name}: all is answered: {bad}")
    return [tokens for tokens, _ in answers[0]]


def other_build(folder, place):
    program = Process([HELPER], folder / "other.log", LD_PRELOAD=str(LIBRARY), **place)
    status = program.process.wait(timeout=60)
    lines = [line for line in program.log().splitlines() if line.startswith("speckv:")]
    good = status == 1 and len(lines) == 1 and "build 10360" in lines[0]
    check(good, f"another build is not started: {status} {lines}")


def lora(folder, place):
    adapter = tiny_gguf.lora(folder / "lora.gguf")
    line = "a LoRA adapter is active"
    refused(folder, place, "a LoRA adapter", line, "--lora", adapter)
    loaded = [{"lora": [{"id": 0, "scale": scale}]} for scale in (1.0, 1.0, 0.0, 1.0)]
    flags = ["--lora", adapter, "--lora-init-without-apply"]
    refused(folder, place, "one that requests switch", line, *flags, more=loaded)


def images(folder, place):
    """What a key is made of are tokens, and those of two images are alike."""
    one, other = (base64.b64encode(tiny_gguf.image(seed)).decode() for seed in (1, 2))

    def seen(image, end):
        return {"prompt_string": A + " <__media__> " + B + end, "multimodal_data": [image]}

    prompts = (seen(one, ""), seen(other, ""), seen(one, " So"), seen(other, " So"))
    flags = ["--mmproj", tiny_gguf.projector(folder / "projector.gguf")]
    line = "images or sound"
    marked = {"LLAMA_MEDIA_MARKER": "<__media__>"}
    answers = refused(folder, place, "images", line, *flags, prompts=prompts, **marked)
    check(answers[0] != answers[1], f"another image, another answer: {answers[:2]}")
    refused(folder, place, "text where images may come", line, *flags)


def slot_files(folder, place):
    """A state from a file, of which nobody can tell how it came about."""
    flags = [*FLAGS, "--slots", "--slot-save-path", folder]
    server = Server(folder, *flags, preload=[LIBRARY], SPECKV_SALT="files", **place)
    server.answer(A, 8, id_slot=0)
    server.ask("/slots/0?action=save", {"filename": "slot"})
    server.ask("/slots/0?action=erase", {})
    server.ask("/slots/0?action=restore", {"filename": "slot"})
    for each in (B, B + " So"):
        server.answer(each, 8, id_slot=1)
    saved = re.findall(r"speckv: slot 0: \d+ blocks saved", server.log())
    check(saved == [], f"a slot that was read from a file is not stored: {saved}")
    server.stop()


def moved(folder, place):
    """What a shift of the context, or of reused chunks, left behind is not stored."""
    flags = ["-np", "1", "-c", "512", "-sps", "0", "--context-shift"]
    server = Server(folder, *flags, preload=[LIBRARY], SPECKV_SALT="shift", **place)
    ids = server.ids(TEXT[:3000])[:450]
    answer = server.answer(ids, 120)[0]
    server.answer(B, 8)
    good = len(answer) == 120 and server.saved() == []
    check(good, f"after a shift of the context nothing is stored: {len(answer)} {server.saved()}")
    server.stop()

    flags = ["-np", "1", "-c", "2048", "-sps", "0", "--cache-reuse", "32"]
    server = Server(folder, *flags, preload=[LIBRARY], SPECKV_SALT="reuse", **place)
    ids = server.ids(TEXT[:3000])
    server.answer(ids[:600], 1)
    joined = ids[:130] + ids[260:600]
    reused = server.answer(joined, 1)[1]
    check(reused > 400, f"--cache-reuse works: {reused} of {len(joined)} tokens")
    server.answer(B, 1)  # saves
    at_most = server.answer(joined, 1)[1]
    check(at_most == 128, f"and tokens before the first moved one are stored: {at_most}")
    server.stop()


def main(folder):
    daemon = Daemon(folder)
    place = {"SPECKV_SOCKET": daemon.socket}
    other_build(folder, place)
    lora(folder, place)
    images(folder, place)
    draft = ["-md", MODEL, "--spec-type", "draft-simple"]
    refused(folder, place, "a draft model", "there is a draft model", *draft)
    windows = folder / "gemma3.gguf"
    tiny = HELPER.parent / "speckv-tiny-model"
    subprocess.run([tiny, "gemma3", MODEL, windows], check=True)
    refused(folder, place, "sliding windows", USED, model=windows)
    quantized = ["-ctk", "q8_0", "-ctv", "q8_0", "-fa", "on"]
    refused(folder, place, "a KV of q8_0", USED, *quantized)
    refused(folder, place, "no prompt cache", "--cache-ram 0", "--cache-ram", "0")
    slot_files(folder, place)
    moved(folder, place)


run_test(main)
