# SPDX-License-Identifier: Apache-2.0
"""server_clients_test.py - the clients, figures and page of tests/bench/server.

Asked is a server that streams made-up tokens: histories are resent whole and in order, as many
requests are in flight as asked, and figures are those of the samples."""

import http.server
import json
import pathlib
import sys
import tempfile
import threading
import time
import types
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "bench/server"))
import arms
import client
import figures
import report
import workload


class Streams(http.server.BaseHTTPRequestHandler):
    """Answers with the prompt's length, its length + 1, ..., and says that half was there."""

    seen, now, most, lock, meet, delay = [], 0, 0, threading.Lock(), None, 0.0

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = asked["prompt"]
        with Streams.lock:
            Streams.seen.append(prompt)
            Streams.now += 1
            Streams.most = max(Streams.most, Streams.now)
        if Streams.meet:
            Streams.meet.wait(30)
        time.sleep(Streams.delay)
        self.send_response(200 if prompt != [404] else 400)
        self.end_headers()
        for token in range(asked["n_predict"] - (prompt == [1])):
            self.say({"tokens": [len(prompt) + token], "stop": False})
        with Streams.lock:
            Streams.now -= 1
        self.say({"tokens": [], "stop": True, "timings": {"cache_n": len(prompt) // 2}})

    def say(self, told):
        self.wfile.write(b"data: " + json.dumps(told).encode() + b"\n\n")

    def log_message(self, *_):
        pass


def small_load(sessions=4, rounds=3, in_flight=1):
    load = types.SimpleNamespace(sessions=sessions, rounds=rounds, in_flight=in_flight)
    load.documents = [[1000 * session] * 10 for session in range(sessions)]
    load.questions = [[7 + turn] for turn in range(rounds)]
    load.turns = workload.make_turns(sessions, rounds, 1)
    load.answer_tokens = 2
    return load


class ClientsTest(unittest.TestCase):
    def setUp(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Streams)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.port = self.server.server_address[1]
        Streams.seen, Streams.most, Streams.meet, Streams.delay = [], 0, None, 0.0

    def tearDown(self):
        self.server.shutdown()
        self.server.server_close()

    def test_histories_are_resent_whole(self):
        load = small_load()
        samples, seconds = client.run_turns(load, self.port, lambda _: {}, lambda _: None)
        self.assertEqual(len(samples), 12)
        self.assertGreater(seconds, 0)
        last = next(s for s in samples if (s.session, s.round) == (2, 2))
        self.assertEqual(last.prompt, [2000] * 10 + [7, 11, 12] + [8, 14, 15] + [9])
        self.assertEqual(last.reused, 8)
        self.assertEqual(len(last.gaps), 1)

    def test_a_round_waits_for_its_session(self):
        load = small_load(sessions=3, rounds=4, in_flight=3)
        Streams.delay = 0.02  # answers are still under way when the next round could begin
        samples, _ = client.run_turns(load, self.port, lambda _: {}, lambda _: None)
        self.assertEqual({len(s.prompt) for s in samples if s.round == 3}, {10 + 3 * 3 + 1})

    def test_as_many_are_in_flight_as_asked(self):
        Streams.meet = threading.Barrier(3)
        load = small_load(sessions=6, rounds=2, in_flight=3)
        client.run_turns(load, self.port, lambda _: {}, lambda _: None)
        self.assertEqual(Streams.most, 3)

    def test_a_refusal_is_raised(self):
        load = small_load()
        load.documents[1] = [404]
        load.questions = [[]] * load.rounds
        with self.assertRaisesRegex(ValueError, "HTTP 400"):
            client.run_turns(load, self.port, lambda _: {}, lambda _: None)

    def test_an_answer_that_ends_early_is_an_error(self):
        with self.assertRaisesRegex(ValueError, "were asked for"):
            client.ask(self.port, [1], 2)


def sample(session, turn, ttft, reused=0):
    return client.Sample(session, turn, ttft, ttft + 1, [0.01, 0.03], reused, [0] * 10, [1])


class FiguresTest(unittest.TestCase):
    def rows(self):
        names = [arms.ALONE, arms.OWN_CACHE, arms.BOUND, arms.speckv_name(arms.DEFAULT)]
        rows = []
        for at, name in enumerate(names):
            preset = arms.DEFAULT if at == 3 else ""
            status = {"raw_bytes": 4 << 20, "stored_bytes": 2 << 20, "evicted_blocks": 1}
            runs = [
                types.SimpleNamespace(
                    samples=[sample(0, 0, 0.5, 5), sample(1, 1, 1.5, 6)],
                    seconds=seconds / (at + 1),
                    server_cpu=3.0,
                    daemon_cpu=1.0,
                    status=status,
                )
                for seconds in (1, 2, 4)
            ]
            cost = dict(kld_mean=0.1, kld_se=0.01, top1_same=0.9, top1_se=0.1, positions=3)
            arm = arms.Arm(name, preset=preset)
            rows.append(figures.row_of(arm, runs, 2, {arms.DEFAULT: cost}))
        return rows

    def test_a_row(self):
        row = self.rows()[3]
        self.assertEqual(row.rate, 4.0)
        self.assertEqual(row.cpu, 2.0 * 3 / 3)
        self.assertEqual(row.reused, 11)
        self.assertEqual(row.ttft_by_round, [500, 1500])
        self.assertEqual(row.ratio, 2.0)
        self.assertEqual(figures.spread(row), 100 * (8 - 2) / 4)

    def test_goals(self):
        rows = {row.name: row for row in self.rows()}
        fresh = {
            arms.ALONE: [types.SimpleNamespace(fresh=(1, 3.0), second=None)],
            arms.speckv_name(arms.DEFAULT): [
                types.SimpleNamespace(fresh=(1, 4.0), second=([10, 10], [10, 8]))
            ],
        }
        goals = figures.goals_of(rows, fresh)
        values = [round(goal.value, 3) for goal in goals]
        self.assertEqual(values, [4.0, 1.333, 2.0, 0.9, 0.75])
        self.assertEqual([goal.reached for goal in goals], [True, True, True, True, False])

    def test_the_page_is_whole(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "report.html"
            report.write(path, self.rows(), [], (("asked", "placed"), "right"), True)
            text = path.read_text()
        self.assertIn("answers 4.0 times as many requests as alone", text)
        self.assertEqual(text.count("<svg"), text.count("</svg>"))
        self.assertNotIn("<script", text)


if __name__ == "__main__":
    unittest.main()
