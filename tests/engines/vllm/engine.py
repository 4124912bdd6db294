# SPDX-License-Identifier: Apache-2.0
"""engine.py FD [FOLDER ...] - one vLLM engine as a process of its own, told what to do over a
socket. FOLDERs: where modules are looked for that are nowhere else.

Messages are pickled: first the arguments of vllm.LLM, then (name, arguments) of a method of Serving
below; each is answered by its result, or by the exception's text. What vLLM prints goes to its
standard output. Ends when the socket does. Started by engines.py.
"""

import multiprocessing.connection
import os
import sys
import time

sys.path += sys.argv[2:]

from vllm import LLM, SamplingParams
from vllm.inputs import TokensPrompt


class Serving:
    def __init__(self, arguments):
        self.llm = LLM(**arguments)

    def generate(self, prompts, max_tokens=16, together=False, salt=None, lora=None):
        """prompts: lists of token ids. One after the other, or all in one batch. Returns for each:
        (token ids of the answer, tokens that were not computed)."""
        asked = [TokensPrompt(prompt_token_ids=prompt, **({"cache_salt": salt} if salt else {}))
                 for prompt in prompts]
        how = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
        batches = [asked] if together else [[each] for each in asked]
        answers = []
        for batch in batches:
            answers += self.llm.generate(batch, how, use_tqdm=False, lora_request=lora)
        return [(list(answer.outputs[0].token_ids), answer.num_cached_tokens)
                for answer in answers]

    def timed(self, prompt, max_tokens):
        """One prompt. Returns: its answer, and seconds: all, to its first token, between tokens."""
        how = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
        begun = time.monotonic()
        answer, = self.llm.generate(TokensPrompt(prompt_token_ids=prompt), how, use_tqdm=False)
        times = answer.metrics
        return {"tokens": list(answer.outputs[0].token_ids), "cached": answer.num_cached_tokens,
                "seconds": time.monotonic() - begun, "first": times.first_token_latency,
                "between": (times.last_token_ts - times.first_token_ts) / max(1, max_tokens - 1)}

    def cpu_seconds(self):
        """Of this process: of all of the engine, where it is in one."""
        return time.process_time()

    def abort_after_a_step(self, prompts, max_tokens=16):
        """Adds requests, lets the engine do one step, and aborts them."""
        engine = self.llm.llm_engine
        how = SamplingParams(max_tokens=max_tokens, temperature=0, ignore_eos=True)
        names = [f"aborted-{i}" for i in range(len(prompts))]
        for name, prompt in zip(names, prompts):
            engine.add_request(name, TokensPrompt(prompt_token_ids=prompt), how)
        engine.step()
        engine.abort_request(names)
        while engine.has_unfinished_requests():
            engine.step()

    def reset(self, connector=False):
        """Empties the engine's own prefix cache; or what the connector finds, too."""
        return self.llm.reset_prefix_cache(reset_connector=connector)

    def end(self):
        """Ends the engine as vLLM does. Returns: what its offloading left in /dev/shm."""
        self.llm.llm_engine.engine_core.shutdown()
        return [name for name in os.listdir("/dev/shm") if name.startswith("vllm_offload")]

    def metrics(self):
        """Counters by name, without `vllm:`."""
        return {metric.name.removeprefix("vllm:"): metric.value for metric in self.llm.get_metrics()
                if hasattr(metric, "value")}


def main():
    peer = multiprocessing.connection.Connection(int(sys.argv[1]))
    try:
        serving = Serving(peer.recv())
        peer.send((True, None))
    except Exception as error:
        peer.send((False, f"{type(error).__name__}: {error}"))
        return
    while True:
        try:
            name, arguments = peer.recv()
        except EOFError:
            break
        try:
            peer.send((True, getattr(serving, name)(**arguments)))
        except Exception as error:
            peer.send((False, f"{type(error).__name__}: {error}"))
    sys.stdout.flush()
    os._exit(0)  # its engine core ends with it


if __name__ == "__main__":
    main()
