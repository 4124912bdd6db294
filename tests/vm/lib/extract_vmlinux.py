# SPDX-License-Identifier: Apache-2.0
"""extract_vmlinux.py BZIMAGE OUT - write the ELF kernel that a bzImage carries.

Called by tests/vm/lib/image.sh. Finds the payload by the compressor's magic number, tries each
hit, and accepts only an ELF file; exit 1 where there is none. zstd has no decoder in Python's
library, so its tool is called.
"""
import lzma
import subprocess
import sys
import zlib


def unzstd(data):
    return subprocess.run(["zstd", "-dqc"], input=data, capture_output=True, check=False).stdout


def unxz(data):
    return lzma.LZMADecompressor().decompress(data)


def ungzip(data):
    return zlib.decompressobj(31).decompress(data)


PACKERS = ((b"\x28\xb5\x2f\xfd", unzstd), (b"\xfd7zXZ\0", unxz), (b"\x1f\x8b\x08", ungzip))


def payload(image):
    for magic, unpack in PACKERS:
        at = image.find(magic)
        while at >= 0:
            try:
                kernel = unpack(image[at:])
            except (lzma.LZMAError, zlib.error):
                kernel = b""
            if kernel[:4] == b"\x7fELF":
                return kernel
            at = image.find(magic, at + 1)
    return None


def main():
    with open(sys.argv[1], "rb") as source:
        kernel = payload(source.read())
    if kernel is None:
        sys.exit(f"{sys.argv[1]}: no ELF kernel inside, packed by zstd, xz or gzip")
    with open(sys.argv[2], "wb") as out:
        out.write(kernel)


if __name__ == "__main__":
    main()
