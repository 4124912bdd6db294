/* SPDX-License-Identifier: GPL-2.0 */
/* kunit_suites.h - the suites of this module: the granule allocator, and command validation. */
#ifndef SPECKV_KUNIT_SUITES_H
#define SPECKV_KUNIT_SUITES_H

#include <kunit/test.h>

extern struct kunit_suite speckv_space_suite;
extern struct kunit_suite speckv_check_suite;

#endif /* SPECKV_KUNIT_SUITES_H */
