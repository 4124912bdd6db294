# SPDX-License-Identifier: Apache-2.0
"""options.py - what kv_connector_extra_config may say. Imports nothing of vLLM."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Options:
    """Times are seconds. docs/vllm.md explains each."""

    namespace: str | None = None
    socket: str | None = None
    preset: str = "daemon"
    variant: str = ""
    weights_digest: str = ""  # hex; of the model's files where it is empty
    arena_bytes: int = 0  # 0: what a full step may save
    timeout: float = 10.0  # of the handshake, with the arena's allocation
    daemon_uid: int = -1
    hold: float = 10.0  # how long a looked-up block waits for its load
    hold_timeout: float = 0.05
    wait: float = 0.2  # for what lies in a tier below the pool; 0: nobody looks there
    save_timeout: float = 0.05
    load_threads: int = 1
    events_tell: str = ""  # --tell of a publisher
    events_told: str = ""  # file; for the engine's own stream

    @classmethod
    def of(cls, extra_config):
        """Raises ValueError with a sentence for a name that is none."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in extra_config or {}:
            if name not in names:
                raise ValueError(f"kv_connector_extra_config: {name!r} is none of "
                                 f"{', '.join(names)}")
        return cls(**(extra_config or {}))
