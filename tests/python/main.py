# SPDX-License-Identifier: Apache-2.0
"""main.py [NAME ...] - runs the *_test.py of this folder; prints "N passed, N failed" last."""

import pathlib
import sys
import unittest


def main():
    here = pathlib.Path(__file__).parent
    loader = unittest.TestLoader()
    loader.testNamePatterns = [f"*{name}*" for name in sys.argv[1:]] or None
    suite = loader.discover(str(here), "*_test.py")
    result = unittest.TextTestRunner(verbosity=2).run(suite)
    failed = len(result.failures) + len(result.errors)
    passed = result.testsRun - failed - len(result.skipped)
    skipped = f", {len(result.skipped)} skipped" if result.skipped else ""
    print(f"{passed} passed, {failed} failed{skipped}")
    return failed != 0 or passed == 0


if __name__ == "__main__":
    sys.exit(main())
