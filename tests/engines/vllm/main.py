# SPDX-License-Identifier: Apache-2.0
"""main.py [NAME ...] - runs the *_test.py of this folder; prints "N passed, N failed" last."""

import pathlib
import sys
import unittest


def main():
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]] or None
    suite = loader.discover(str(pathlib.Path(__file__).parent), "*_test.py")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    print(f"{max(0, result.testsRun - failed - len(result.skipped))} passed, {failed} failed")
    return failed != 0 or result.testsRun == 0


if __name__ == "__main__":
    sys.exit(main())
