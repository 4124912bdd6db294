#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""lstm.py TRACE - the predictor that CXL-SpecKV's paper describes, as one more arm: a trained LSTM
of about 128 K parameters, two layers, over the last 16 requests of a session. It is asked what
daemon/predict/return_hazard.hpp is asked: a session has been silent for so long by now; is it back
within ten minutes?

It learns on all sessions but each fifth and is scored on each fifth, which it has not seen. Beside
it stand, on the same questions, counts by silence and kind as return_hazard keeps them, and the
share of all that come back. Prints a row each: log loss (less is better), area under the ROC curve,
how many questions were answered "soon" (chance of one half or more), how often that was right, how
many of those that came back were so found.

Called by hand with an interpreter that has torch (Debian: python3-torch); never by a test. Fixed
seed; no weights are kept.
"""
import json
import math
import sys

import torch

HIDDEN, STEPS, FEATURES = 102, 16, 6
EPOCHS, BATCH, RATE, SEED = 6, 256, 0.002, 7
HORIZON_S = 600.0
SILENT_S = (30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 2400.0)
KINDS = 4


def questions_of(session):
    """Yields (last requests, silence in s, kind, 1.0 if it is back in time)."""
    requests, history, longest = session["requests"], [], 0.0
    for i, request in enumerate(requests):
        api = request.get("api", 0.0)
        gap = max(request["t"] - requests[i - 1]["t"], 0.0) if i else 0.0
        longest = max(longest, gap)
        history.append([math.log1p(gap), math.log1p(api), math.log1p(request["in"]),
                        math.log1p(request["out"]), float(request["keep"] > 0), math.log1p(i)])
        last = requests[i + 1]["t"] - request["t"] - api if i + 1 < len(requests) else math.inf
        window = [[0.0] * FEATURES] * (STEPS - len(history)) + history[-STEPS:]
        kind = 0 if i == 0 else 3 if longest >= 1200 else 2 if gap >= 30 else 1
        for silent in SILENT_S:
            if last <= silent:
                break
            yield window, silent, kind, float(last <= silent + HORIZON_S)


def questions(sessions):
    """Returns: requests (n, STEPS, FEATURES), silence (n,), kind (n,), answer (n,)."""
    windows, silences, kinds, answers = zip(*(q for s in sessions for q in questions_of(s)))
    return (torch.tensor(windows), torch.tensor(silences), torch.tensor(kinds),
            torch.tensor(answers))


class Lstm(torch.nn.Module):
    """The silence is an input of each step."""

    def __init__(self, mean, spread):
        super().__init__()
        self.mean, self.spread = mean, spread
        self.layers = torch.nn.LSTM(FEATURES + 1, HIDDEN, num_layers=2, batch_first=True)
        self.head = torch.nn.Linear(HIDDEN, 1)

    def forward(self, x, silence):
        told = (silence.log() - 5)[:, None, None].expand(-1, STEPS, 1)
        outputs, _ = self.layers(torch.cat([(x - self.mean) / self.spread, told], 2))
        return self.head(outputs[:, -1])[:, 0]


def trained(x, silence, answer):
    torch.manual_seed(SEED)
    lstm = Lstm(x.mean((0, 1)), x.std((0, 1)) + 1e-6)
    optimizer = torch.optim.Adam(lstm.parameters(), RATE)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(answer)).split(BATCH):
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                lstm(x[batch], silence[batch]), answer[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        print(f"epoch {epoch + 1}/{EPOCHS}: loss {total / len(answer):.4f}", file=sys.stderr)
    return lstm


def counted(silence, kind, answer, asked_silence, asked_kind):
    """As return_hazard: by kind and silence; all kinds stand in where few were seen."""
    said = torch.zeros(len(asked_silence))
    for silent in SILENT_S:
        of_all = answer[silence == silent]
        prior = of_all.sum() / (len(of_all) + 16)
        for k in range(KINDS):
            of_kind = answer[(silence == silent) & (kind == k)]
            chance = (of_kind.sum() + 16 * prior) / (len(of_kind) + 16)
            said[(asked_silence == silent) & (asked_kind == k)] = chance
    return said


def row(name, said, answer, note):
    soon = said >= 0.5
    loss = torch.nn.functional.binary_cross_entropy(said, answer).item()
    order = said.argsort(stable=True)
    ranks = torch.empty(len(said))
    ranks[order] = torch.arange(len(said), dtype=torch.float32)
    back = answer > 0
    area = (ranks[back].double().mean() - (back.sum() - 1) / 2) / max(1, int((~back).sum()))
    right = 100 * answer[soon].mean().item() if soon.any() else math.nan
    print(f"{name:<24} {loss:9.4f} {area:8.3f} {100 * soon.float().mean():9.1f} {right:9.1f} "
          f"{100 * answer[soon].sum() / answer.sum():9.1f}  {note}")


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1]) as trace:
        sessions = [json.loads(line) for line in trace]
    held = sessions[::5]
    taught = [s for i, s in enumerate(sessions) if i % 5]
    x, silence, kind, answer = questions(taught)
    held_x, held_silence, held_kind, held_answer = questions(held)
    lstm = trained(x, silence, answer)
    with torch.no_grad():
        said = torch.sigmoid(lstm(held_x, held_silence))
    print(f"{len(taught)} sessions taught, {len(held)} held out: {len(answer)} and "
          f"{len(held_answer)} questions, {100 * held_answer.mean():.1f} % come back in time")
    print(f"{'':<24} {'log loss':>9} {'ROC':>8} {'soon %':>9} {'right %':>9} {'found %':>9}")
    row("share of all", torch.full((len(held_answer),), answer.mean().item()), held_answer, "")
    row("counts, as return_hazard", counted(silence, kind, answer, held_silence, held_kind),
        held_answer, f"{KINDS} kinds x {len(SILENT_S)} silences")
    parameters = sum(p.numel() for p in lstm.parameters())
    row("LSTM", said, held_answer, f"{parameters} parameters, {EPOCHS} epochs")


if __name__ == "__main__":
    main()
