# SPDX-License-Identifier: Apache-2.0
"""seam.py - picks the seam of the vLLM that is installed: seam_0_32.py for 0.32. Everything that
this package needs of vLLM has its name there, and nothing else imports vLLM. A version that is not
known is refused: its connector contract may mean something else by the same names."""

import vllm

KNOWN = ("0.32",)

if ".".join(vllm.__version__.split(".")[:2]) not in KNOWN:
    raise ImportError(f"speckv_vllm: vLLM {vllm.__version__} is not known to this version; "
                      f"expected {' or '.join(version + '.x' for version in KNOWN)}")

from .seam_0_32 import *  # noqa: E402,F401,F403
