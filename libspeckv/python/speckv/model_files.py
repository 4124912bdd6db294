# SPDX-License-Identifier: Apache-2.0
"""model_files.py - the digest of a Hugging Face model's weights: what a layout says of them, and
what a calibration table is found by. Used by the adapters and by calibrate_hf.py."""

import pathlib

from ._core import files_digest

WEIGHTS = ("model.safetensors.index.json", "*.safetensors", "*.gguf", "*.bin")


def model_digest(path):
    """SHA-256 (bytes of 32) of the weights of a model: a folder, a file, or the name of one in
    Hugging Face's cache. All files of a split model count, in their order (speckv_files_digest(3)).
    Raises ValueError where there are no weights."""
    folder = pathlib.Path(path)
    if not folder.exists():
        from huggingface_hub import snapshot_download

        folder = pathlib.Path(snapshot_download(path, local_files_only=True))
    if folder.is_file():
        return files_digest([str(folder)])
    for pattern in WEIGHTS:
        if files := sorted(folder.glob(pattern)):
            return files_digest([str(file) for file in files])
    raise ValueError(f"no weights in {folder}: expected one of {', '.join(WEIGHTS)}; or give "
                     "weights_digest")
