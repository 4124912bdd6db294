// SPDX-License-Identifier: Apache-2.0
/*
 * harness.c - runs the registered tests of the groups named on the command line and prints TAP.
 *
 * `vmtests GROUP[:NAME]...`, exit 0 if all passed. `vmtests --list` names groups and tests;
 * `vmtests --plug` asks QEMU to put the card back; `vmtests --hold-node N` keeps a page of that
 * node from moving until it is killed. See harness.h.
 */
#include "harness.h"

/*
 * Guest time; generous, since guest time runs as it likes under TCG. A kernel that watches its own
 * locks takes several times as long for everything.
 */
#define TEST_SECONDS 240
#define TEST_SECONDS_DEBUG 1200

static struct test *first_test;
static struct test **last_test = &first_test;

void test_register(struct test *test)
{
	*last_test = test;
	last_test = &test->next;
}

void fail_at(const char *file, int line, const char *what, long long is, long long wanted)
{
	printf("# %s:%d: %s: is %lld (%#llx), expected %lld (%#llx)\n", strrchr(file, '/') + 1,
	       line, what, is, is, wanted, wanted);
	fflush(stdout);
	_exit(1);
}

static bool is_sound(void)
{
	char text[16] = "";

	read_file("/sys/kernel/debug/speckv/speckv0/sound", text, sizeof(text));
	return !strncmp(text, "sound", 5);
}

/* In a process of its own, so that a failed expectation ends only this. */
static void check_balance(void *unused)
{
	struct speckv_stat stat;
	int control = control_open();

	(void)unused;
	wait_until_clean(control);
	stat = stat_of(control, -1);
	EXPECT_EQ(stat.used_bytes, 0);
	EXPECT_EQ(stat.quarantined_bytes, 0);
	EXPECT_EQ(stat.free_bytes + stat.poisoned_bytes, device_bytes);
	EXPECT(is_sound());
	_exit(0);
}

static void run_body(void *argument)
{
	struct test *test = argument;

	alarm(access("/proc/lockdep", F_OK) ? TEST_SECONDS : TEST_SECONDS_DEBUG);
	test->run();
	_exit(0);
}

static bool run_one(struct test *test)
{
	bool passed = reap(spawn(run_body, test)) == 0;

	if (passed && test->balance == BALANCE_WHOLE && reap(spawn(check_balance, NULL))) {
		printf("# the region is not whole after the test\n");
		passed = false;
	}
	if (test->balance == BALANCE_NONE && region_ensure()) {
		printf("# the region cannot be bound again after the test\n");
		passed = false;
	}
	return passed;
}

/* GROUP or GROUP:NAME. */
static bool is_wanted(const struct test *test, const char *want)
{
	size_t length = strlen(test->group);

	return !strncmp(want, test->group, length) &&
	       (!want[length] || (want[length] == ':' && !strcmp(want + length + 1, test->name)));
}

static int list(void)
{
	for (struct test *test = first_test; test; test = test->next)
		printf("%s %s\n", test->group, test->name);
	return 0;
}

/* In the order of the command line: a group that ends the region for good comes last. */
int main(int argc, char **argv)
{
	int number = 0, failed = 0;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc > 1 && !strcmp(argv[1], "--list"))
		return list();
	if (argc > 1 && !strcmp(argv[1], "--plug"))
		return !card_plug();
	if (argc > 2 && !strcmp(argv[1], "--hold-node"))
		return hold_node(atoi(argv[2]));
	for (int i = 1; i < argc; i++) {
		int before = number;

		for (struct test *test = first_test; test; test = test->next) {
			if (!is_wanted(test, argv[i]))
				continue;
			bool passed = run_one(test);

			failed += !passed;
			printf("%sok %d - %s: %s\n", passed ? "" : "not ", ++number, test->group,
			       test->name);
		}
		if (number == before) {
			printf("not ok %d - %s: no such test\n", ++number, argv[i]);
			failed++;
		}
	}
	printf("1..%d\n", number);
	return failed || !number;
}
