// SPDX-License-Identifier: GPL-2.0
/* kunit_main.c - registers the two suites; loading the module runs them. */
#include <kunit/test.h>

#include "kunit_suites.h"

kunit_test_suites(&speckv_space_suite, &speckv_check_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit suites of the speckv driver");
