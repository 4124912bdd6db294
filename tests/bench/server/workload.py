# SPDX-License-Identifier: Apache-2.0
"""workload.py - what the clients ask, frozen in tests/bench/qa.toml: documents and questions as
token ids, turns in their shuffled order, the answers' length, the pool's bytes.

Deterministic: the same file, model and texts give the same workload. Never measures, and never
speaks with a server but to turn texts into tokens."""

import hashlib
import random
import sys
import tomllib


class Workload:
    """sessions, rounds, in_flight, slots: counts. documents, questions: lists of token ids, one a
    session and one a round. turns: (session, round). answer_tokens: of every answer, so that
    input:output is as asked. kv_bytes: of all sessions at the end, uncompressed."""

    def __init__(self, file, scale):
        self.file = file
        with open(file, "rb") as opened:
            self.toml = tomllib.load(opened)
        self.name = scale
        table = self.toml["server"]
        for key, value in {**table, **table[scale]}.items():
            setattr(self, key, value)
        self.model = self.toml["model"]["file"]
        self.turns = make_turns(self.sessions, self.rounds, self.toml["load"]["seed"])
        if self.sessions <= self.in_flight or self.sessions > len(self.toml["document"]):
            sys.exit(
                f"{file}: [server.{scale}] sessions is {self.sessions}, expected more than "
                f"in_flight ({self.in_flight}) and a [[document]] each"
            )

    def load_texts(self, folder, tokenize):
        """tokenize(text, is_first) -> token ids, as the server's /tokenize gives them."""
        wanted = self.document_tokens
        spare = []
        self.documents = []
        for entry in self.toml["document"]:
            ids = tokenize(read_text(folder / entry["file"], entry["sha256"]), True)
            if len(self.documents) < self.sessions and len(ids) >= wanted:
                self.documents.append(ids[:wanted])
                ids = ids[wanted:]
            spare += ids
        if len(self.documents) < self.sessions:
            sys.exit(
                f"{self.file}: {self.sessions} documents of {wanted} tokens are needed, "
                f"{len(self.documents)} are that long"
            )
        if len(spare) < self.fresh_prompts * wanted:
            sys.exit(
                f"{self.file}: the documents are too short for {self.fresh_prompts} fresh "
                "prompts"
            )
        self.fresh = [spare[i * wanted : (i + 1) * wanted] for i in range(self.fresh_prompts)]
        asked = self.toml["load"]["questions"]
        self.questions = [
            tokenize(f"\n\nQuestion: {asked[turn % len(asked)]}\nAnswer:", False)
            for turn in range(self.rounds)
        ]
        self.fit_answer(self.toml["load"]["input_per_output"])

    def fit_answer(self, ratio):
        """The length whose total is nearest to input / ratio; the input holds earlier answers."""

        def miss(tokens):
            self.answer_tokens = tokens
            return abs(self.input_tokens() / self.output_tokens() - ratio)

        self.answer_tokens = min(range(2, 513), key=miss)

    def prompt_tokens(self, turn):
        said = sum(len(question) for question in self.questions[: turn + 1])
        return self.document_tokens + turn * self.answer_tokens + said

    def input_tokens(self):
        return self.sessions * sum(self.prompt_tokens(turn) for turn in range(self.rounds))

    def output_tokens(self):
        return len(self.turns) * self.answer_tokens

    def tokens_max(self):
        return self.prompt_tokens(self.rounds - 1) + self.answer_tokens

    def kv_bytes(self):
        return self.sessions * self.tokens_max() * self.toml["server"]["token_bytes"]

    def pool_bytes(self):
        unit = 2 << 20  # a namespace comes in whole slabs
        return int(self.kv_bytes() * self.toml["load"]["pool_share"]) // unit * unit


def make_turns(sessions, rounds, seed):
    """Each round asks every session once, in shuffled order."""
    chance = random.Random(seed)
    turns = []
    for turn in range(rounds):
        order = list(range(sessions))
        chance.shuffle(order)
        turns += [(session, turn) for session in order]
    return turns


def read_text(path, sha256):
    text = path.read_bytes()
    if hashlib.sha256(text).hexdigest() != sha256:
        sys.exit(f"{path} is not the text that tests/bench/qa.toml names: other bytes")
    return text.decode()
