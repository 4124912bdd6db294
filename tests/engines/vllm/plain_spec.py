# SPDX-License-Identifier: Apache-2.0
"""plain_spec.py - vLLM's CPU tier with SpeckvSpec's copying worker and nothing below it: a peer."""

import speckv_vllm


class PlainSpec(speckv_vllm.SpeckvSpec):
    def __init__(self, config):
        super().__init__(config)
        self.secondary_tier_configs = []
