# SPDX-License-Identifier: Apache-2.0
"""bench_l2.py - `lmcache bench l2` on SpeckvClient and a real speckvd, with its verification on.

Once by bytes and once by a layout, in sizes that fill their class and that do not. A run counts as
passed when LMCache verified the round trip and every store and load succeeded. Prints LMCache's
rates, which are of this machine at this moment; last line: "N passed, N failed".
"""

import json
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))

import daemon

LAYOUT = {"dtype": "bf16", "layers": 8, "kv_heads": 2, "head_dim": 64, "tokens": 256,
          "preset": "exact"}  # 1 MiB
RUNS = [("bytes, 4 KiB", 4, {}), ("bytes, 256 KiB", 256, {}), ("bytes, 1000 KiB", 1000, {}),
        ("bytes, 1 MiB", 1024, {}), ("layout, 1 MiB", 1024, {"layout": LAYOUT})]
KEYS, IN_FLIGHT = 32, 2
CONNECTED_S = 60  # a bound alone: a busy machine takes long over an arena


def passes(server, name, kib, parameters):
    adapter = {"type": "native_plugin", "module_path": "speckv_lmcache",
               "class_name": "SpeckvClient",
               "adapter_params": {"socket": server.socket, "variant": name,
                                  "timeout": CONNECTED_S, **parameters}}
    command = [str(pathlib.Path(sys.executable).parent / "lmcache"), "bench", "l2",
               "--no-skip-verify", "--num-keys", str(KEYS), "--in-flight", str(IN_FLIGHT),
               "--rounds", "3", "--data-size-kb", str(kib), "--lookup-max-hit-rate", "0.5",
               "--l2-adapter", json.dumps(adapter)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    text = ran.stdout + ran.stderr
    done = {op: [int(n) for n in re.findall(rf"Operation: +{op}.*?Total keys: +(\d+).*?"
                                            r"Total success: +(\d+)", text, re.S)[0]]
            for op in ("Store", "Lookup", "Load") if re.search(rf"Operation: +{op}", text)}
    rates = re.findall(r"Throughput avg \(MB/s\): +([\d.]+)", text)
    good = (ran.returncode == 0 and re.search(r"\[Verify\].*(PASS|OK|passed)", text) is not None
            and all(done.get(op, [0, 1])[0] == done.get(op, [0, 1])[1] > 0
                    for op in ("Store", "Load"))
            and done["Lookup"][1] * 2 == done["Lookup"][0])
    print(f"{name:18} {'passed' if good else 'FAILED'}  {done}  MB/s {rates}", flush=True)
    if not good:
        print(text[-4000:])
    return good


def main():
    server = daemon.Daemon(pool="1GiB")
    try:
        results = [passes(server, *run) for run in RUNS]
    finally:
        server.close()
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return not all(results)


if __name__ == "__main__":
    sys.exit(main())
