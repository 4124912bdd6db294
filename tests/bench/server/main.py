# SPDX-License-Identifier: Apache-2.0
"""main.py ENGINE BUILD WORKLOAD quick|full OUT TABLES - the real llama-server over HTTP, with and
without speckv: answers checked, every arm measured, build/run/summary.json and report.html written,
the table printed. Called by ./run after the build, which has left OUT/quality.json.

Ends with 0, 1 when something could not run, 3 when answers are wrong."""

import json
import pathlib
import random
import sys

import arms
import check
import figures
import measure
import report
from processes import LlamaServer, processors, stop_all
from workload import Workload


def load_workload(engine, file, scale, out):
    """The texts are turned into tokens by the server itself."""
    load = Workload(file, scale)
    flags = ["-np", 1, "-c", 512, "--cache-ram", 0]
    server = LlamaServer(engine, load.model, out / "server-tokens.log", flags)
    load.load_texts(engine / "texts", server.tokenize)
    server.stop()
    return load


def measure_all(load, place):
    """Returns: runs by the arm's name. Every repeat takes the arms in another order, so that a
    machine that grows slower meanwhile is nobody's loss."""
    every = arms.all_arms(load)
    runs = {arm.name: [] for arm in every}
    chance = random.Random(load.toml["load"]["seed"])
    for repeat in range(load.repeats):
        order = list(every)
        chance.shuffle(order)
        for number, arm in enumerate(order):
            words = f"repeat {repeat + 1}/{load.repeats}, arm {number + 1}/{len(order)}: {arm.name}"
            is_default = arm.preset == arms.DEFAULT
            with_fresh = load.fresh_prompts > 0 and (is_default or arm.name == arms.ALONE)
            runs[arm.name].append(measure.run_arm(arm, load, place, words, with_fresh, is_default))
    return runs


def cpu_name():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return "unknown CPU"


def setting_of(load, runs, judged):
    status, daemon = next(
        (run.status, run.daemon) for each in runs.values() for run in each if run.status
    )
    emulated = ", emulated" if daemon["emulated"] else ""
    return {
        "scale": load.name,
        "model": load.model,
        "quality_model": load.toml["quality"]["model"],
        "server": "llama-server over HTTP, stock, libspeckv_llama_server.so preloaded for speckv",
        "cpu": cpu_name(),
        "threads": len(processors()[0]),
        "library": judged["library"],
        "medium": f"pool on medium {daemon['medium']}{emulated} (DRAM stands in for CXL memory), "
        f"pages of {status['pool_page_bytes'] // 1024} KiB",
        "flash_attention": True,
        "sessions": load.sessions,
        "rounds": load.rounds,
        "in_flight": load.in_flight,
        "slots": load.slots,
        "repeats": load.repeats,
        "document_tokens": load.document_tokens,
        "answer_tokens": load.answer_tokens,
        "input_tokens": load.input_tokens(),
        "output_tokens": load.output_tokens(),
        "seed": load.toml["load"]["seed"],
        "pool_bytes": load.pool_bytes(),
        "kv_bytes": load.kv_bytes(),
        "documents_loaded_before": True,
    }


def sentence_of(counts, good):
    return (
        f"{'right' if good else 'WRONG'}: over HTTP {counts['prompts_equal']} of "
        f"{counts['prompts_restored']} restored prompts answered as by the engine alone, "
        f"{counts['prompts_zeroed_differ']} otherwise when zeroed; in one process "
        f"{counts['bytes_equal']} of {counts['sequences']} histories back byte for byte, "
        f"{counts['answers_equal']} answered alike, {counts['control_differs']} otherwise when "
        "zeroed"
    )


def run(engine, build, file, scale, out, tables):
    judged = json.loads((out / "quality.json").read_text())
    load = load_workload(engine, file, scale, out)
    place = measure.Place(engine, build, out, tables)
    print("checking answers over HTTP", file=sys.stderr)
    counts = {**judged["check"], **check.check_answers(load, place)}
    good = judged["check"]["passed"] and check.passed(counts)
    counts["passed"] = good
    runs = measure_all(load, place)
    setting = setting_of(load, runs, judged)
    rows = [
        figures.row_of(arm, runs[arm.name], load.rounds, judged["quality"])
        for arm in arms.all_arms(load)
    ]
    goals = figures.goals_of({row.name: row for row in rows}, runs)
    print("\n" + "\n".join(figures.words_of(load, setting)) + "\n")
    print("\n".join(figures.table(rows)))
    print("\n" + sentence_of(counts, good))
    for goal in goals:
        state = "reached" if goal.reached else "SHORT"
        print(f"{state}: {goal.name} {goal.value:.2f}, goal {goal.goal:.2f}")
    figures.write_summary(out / "summary.json", rows, goals, counts, setting)
    story = figures.words_of(load, setting), sentence_of(counts, good)
    report.write(out / "report.html", rows, goals, story, good)
    return 0 if good else 3


def main(words):
    engine, build, file, scale, out, tables = words
    try:
        paths = [pathlib.Path(word).resolve() for word in (engine, build, file)]
        return run(*paths, scale, pathlib.Path(out).resolve(), pathlib.Path(tables).resolve())
    finally:
        stop_all()


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError) as error:
        sys.exit(f"run: {error}")
