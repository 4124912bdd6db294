// SPDX-License-Identifier: Apache-2.0
/*
 * test_ioctl.c - every call's every rejection, field by field, and that a rejected call changed
 * nothing. A table row is one field set to one bad value in an otherwise good argument.
 */
#include "harness.h"

struct bad_field {
	const char *what;
	size_t offset;
	size_t bytes;
	uint64_t value;
};

#define BAD(type, field, value_)                                                                   \
	{                                                                                          \
#field "=" #value_, offsetof(type, field), sizeof(((type *)0)->field), value_      \
	}

/* One call per row; each must be EINVAL. */
static void refuse_all(int fd, unsigned long command, const void *good, size_t bytes,
		       const struct bad_field *rows, size_t count)
{
	char argument[256];

	for (size_t i = 0; i < count; i++) {
		memcpy(argument, good, bytes);
		memcpy(argument + rows[i].offset, &rows[i].value, rows[i].bytes);
		if (ioctl(fd, command, argument) != -1 || errno != EINVAL) {
			printf("# %s was not refused\n", rows[i].what);
			EXPECT_EQ(errno, EINVAL);
		}
	}
}

#define REFUSE(fd, command, good, rows)                                                            \
	refuse_all(fd, command, &(good), sizeof(good), rows, sizeof(rows) / sizeof(rows[0]))

TEST(ioctl, info_tells_what_the_device_is)
{
	struct speckv_info info = { 0 };
	int control = control_open();

	EXPECT_EQ(ioctl(control, SPECKV_IOC_INFO, &info), 0);
	EXPECT_EQ(info.abi_version, SPECKV_ABI_VERSION);
	EXPECT_EQ(info.granule_bytes, GRANULE);
	EXPECT_EQ(info.device_bytes % GRANULE, 0);
	EXPECT_EQ(info.limit_bytes, info.device_bytes);
	EXPECT_EQ(info.role, SPECKV_ROLE_CONTROL);
	EXPECT_EQ(info.features,
		  SPECKV_FEATURE_ZERO_FALLBACK | SPECKV_FEATURE_PINNABLE | SPECKV_FEATURE_ENGINE);
	for (int i = 0; i < 4; i++)
		EXPECT_EQ(info.reserved[i], 0);
}

TEST(ioctl, info_refuses_each_field)
{
	struct speckv_info good = { 0 };
	const struct bad_field rows[] = {
		BAD(struct speckv_info, flags, 1),	  BAD(struct speckv_info, abi_version, 1),
		BAD(struct speckv_info, device_bytes, 1), BAD(struct speckv_info, granule_bytes, 1),
		BAD(struct speckv_info, features, 1),	  BAD(struct speckv_info, limit_bytes, 1),
		BAD(struct speckv_info, role, 1),	  BAD(struct speckv_info, numa_node, 1),
		BAD(struct speckv_info, reserved[0], 1),  BAD(struct speckv_info, reserved[3], 1),
	};

	REFUSE(control_open(), SPECKV_IOC_INFO, good, rows);
}

TEST(ioctl, unknown_commands_are_enotty)
{
	uint64_t argument[32] = { 0 };
	int control = control_open();

	EXPECT_ERRNO(ioctl(control, _IO(SPECKV_IOC_MAGIC, 0x07), argument), ENOTTY);
	EXPECT_ERRNO(ioctl(control, _IOWR('x', 0, struct speckv_info), argument), ENOTTY);
	EXPECT_ERRNO(ioctl(control, _IOWR(SPECKV_IOC_MAGIC, 1, uint64_t), argument), ENOTTY);
	EXPECT_ERRNO(ioctl(control, _IOR(SPECKV_IOC_MAGIC, 0, struct speckv_info), argument),
		     ENOTTY);
}

TEST(ioctl, bad_pointers_are_efault)
{
	void *nowhere = (void *)8;
	int control = control_open();

	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_INFO, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_FREE, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_STAT, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_LIST, nowhere), EFAULT);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_POISON, NULL), EFAULT);
}

TEST(ioctl, alloc_refuses_each_field)
{
	struct speckv_alloc good = { .bytes = GRANULE };
	int control = control_open();
	const struct bad_field rows[] = {
		BAD(struct speckv_alloc, bytes, 0),
		BAD(struct speckv_alloc, bytes, 1),
		BAD(struct speckv_alloc, bytes, 4096),
		BAD(struct speckv_alloc, bytes, GRANULE + 1),
		BAD(struct speckv_alloc, bytes, device_bytes + GRANULE),
		BAD(struct speckv_alloc, bytes, 1ULL << 63),
		BAD(struct speckv_alloc, bytes, -GRANULE),
		BAD(struct speckv_alloc, bytes, ~0ULL),
		BAD(struct speckv_alloc, flags, 2),
		BAD(struct speckv_alloc, flags, 1U << 31),
		BAD(struct speckv_alloc, timeout_ms, SPECKV_TIMEOUT_MS_MAX + 1),
		BAD(struct speckv_alloc, handle, 1),
		BAD(struct speckv_alloc, offset, GRANULE),
		BAD(struct speckv_alloc, reserved[0], 1),
		BAD(struct speckv_alloc, reserved[1], 1),
	};

	REFUSE(control, SPECKV_IOC_ALLOC, good, rows);
	EXPECT_EQ(stat_of(control, -1).extents, 0);
}

TEST(ioctl, alloc_undone_when_the_answer_cannot_be_written)
{
	struct speckv_alloc *request =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int control = control_open();

	request->bytes = GRANULE;
	request->timeout_ms = 60000;
	EXPECT_EQ(mprotect(request, 4096, PROT_READ), 0);
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_ALLOC, request), EFAULT);
	EXPECT_EQ(stat_of(control, -1).extents, 0);
}

TEST(ioctl, free_refuses_each_field)
{
	int control = control_open();
	struct speckv_free good = { .handle = alloc_extent(control, GRANULE).handle };
	const struct bad_field rows[] = {
		BAD(struct speckv_free, flags, 1),
		BAD(struct speckv_free, pad, 1),
		BAD(struct speckv_free, reserved[0], 1),
		BAD(struct speckv_free, reserved[1], 1),
	};

	REFUSE(control, SPECKV_IOC_FREE, good, rows);
	free_extent(control, good.handle);
}

TEST(ioctl, foreign_and_invented_handles_are_the_same_enoent)
{
	int mine = control_open(), other = control_open();
	uint64_t theirs = alloc_extent(other, GRANULE).handle;
	uint64_t freed = alloc_extent(mine, GRANULE).handle;
	uint64_t tries[] = { theirs, freed, 0, 1, theirs + 1, theirs + (1ULL << 32), ~0ULL };

	free_extent(mine, freed);
	for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		struct speckv_free request = { .handle = tries[i] };
		struct speckv_export export = {
			.flags = SPECKV_EXPORT_NEW,
			.fd = -1,
			.handles = (uintptr_t)&tries[i],
			.count = 1,
		};

		EXPECT_ERRNO(ioctl(mine, SPECKV_IOC_FREE, &request), ENOENT);
		EXPECT_ERRNO(ioctl(mine, SPECKV_IOC_EXPORT, &export), ENOENT);
	}
	EXPECT_EQ(stat_of(other, -1).extents, 1);
	EXPECT_EQ(stat_of(mine, -1).exports, 0);
}

TEST(ioctl, export_refuses_each_field)
{
	int control = control_open();
	uint64_t handle = alloc_extent(control, GRANULE).handle;
	struct speckv_export good = {
		.flags = SPECKV_EXPORT_NEW,
		.fd = -1,
		.handles = (uintptr_t)&handle,
		.count = 1,
	};
	const struct bad_field rows[] = {
		BAD(struct speckv_export, flags, 0),
		BAD(struct speckv_export, flags, 1U << 4),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_NEW | 1U << 31),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_NEW | SPECKV_EXPORT_ADD),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_NEW | SPECKV_EXPORT_DROP),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_ADD | SPECKV_EXPORT_DROP),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_WRITE),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_ADD),
		BAD(struct speckv_export, fd, 0),
		BAD(struct speckv_export, fd, -2),
		BAD(struct speckv_export, handles, 0),
		BAD(struct speckv_export, count, 0),
		BAD(struct speckv_export, count, SPECKV_CALL_MAX + 1),
		BAD(struct speckv_export, count, ~0U),
		BAD(struct speckv_export, pad, 1),
		BAD(struct speckv_export, reserved[0], 1),
		BAD(struct speckv_export, reserved[1], 1),
	};

	REFUSE(control, SPECKV_IOC_EXPORT, good, rows);
	int export = export_new(control, 0, NULL, 0);
	struct speckv_export add = {
		.flags = SPECKV_EXPORT_ADD,
		.fd = export,
		.handles = (uintptr_t)&handle,
		.count = 1,
	};
	const struct bad_field more[] = {
		BAD(struct speckv_export, flags, SPECKV_EXPORT_ADD | SPECKV_EXPORT_WRITE),
		BAD(struct speckv_export, flags, SPECKV_EXPORT_DROP | SPECKV_EXPORT_WRITE),
		BAD(struct speckv_export, fd, -1),
		BAD(struct speckv_export, count, 0),
	};

	REFUSE(control, SPECKV_IOC_EXPORT, add, more);
	EXPECT_EQ(stat_of(control, export).extents, 0);
}

TEST(ioctl, export_is_all_or_nothing)
{
	int control = control_open();
	uint64_t a = alloc_extent(control, GRANULE).handle,
		 b = alloc_extent(control, GRANULE).handle;
	uint64_t lists[][2] = { { a, a }, { b, 1 }, { 1, b } };
	int export = export_new(control, 0, &a, 1);

	for (int i = 0; i < 3; i++) {
		struct speckv_export request = {
			.flags = SPECKV_EXPORT_ADD,
			.fd = export,
			.handles = (uintptr_t)lists[i],
			.count = 2,
		};

		EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, &request), i ? ENOENT : EINVAL);
	}
	uint64_t both[] = { b, a }; /* a is there already */
	struct speckv_export request = {
		.flags = SPECKV_EXPORT_ADD,
		.fd = export,
		.handles = (uintptr_t)both,
		.count = 2,
	};

	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, &request), EEXIST);
	EXPECT_EQ(stat_of(control, export).extents, 1);
	request.flags = SPECKV_EXPORT_DROP; /* b is not there */
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, &request), ENOENT);
	EXPECT_EQ(stat_of(control, export).extents, 1);
	request.handles = 8;
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, &request), EFAULT);
}

TEST(ioctl, export_takes_only_exports_of_its_own)
{
	int control = control_open(), other = control_open();
	uint64_t mine = alloc_extent(control, GRANULE).handle;
	int theirs = export_new(other, 0, NULL, 0);
	int null = open("/dev/null", O_RDONLY);

	EXPECT_ERRNO(export_change(control, theirs, SPECKV_EXPORT_ADD, mine), EBADF);
	EXPECT_ERRNO(export_change(control, control, SPECKV_EXPORT_ADD, mine), EBADF);
	EXPECT_ERRNO(export_change(control, null, SPECKV_EXPORT_ADD, mine), EBADF);
	EXPECT_ERRNO(export_change(control, 999, SPECKV_EXPORT_ADD, mine), EBADF);
	struct speckv_stat stat = { .fd = theirs };

	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_STAT, &stat), EBADF);
	stat = (struct speckv_stat){ .fd = null };
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_STAT, &stat), EBADF);
}

TEST(ioctl, export_without_a_free_descriptor_is_undone)
{
	int control = control_open(), fd;
	struct speckv_export request = { .flags = SPECKV_EXPORT_NEW, .fd = -1 };

	while ((fd = dup(control)) >= 0)
		;
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_EXPORT, &request), EMFILE);
	close(control + 1);
	EXPECT_EQ(ioctl(control, SPECKV_IOC_EXPORT, &request), 0);
	EXPECT_EQ(stat_of(control, -1).exports, 1);
	EXPECT_EQ(fcntl(request.fd, F_GETFD), FD_CLOEXEC);
}

TEST(ioctl, an_export_may_only_ask_about_itself)
{
	int control = control_open();
	uint64_t handle = alloc_extent(control, GRANULE).handle;
	int export = export_new(control, SPECKV_EXPORT_WRITE, &handle, 1);
	struct speckv_info info = { 0 };
	struct speckv_alloc alloc = { .bytes = GRANULE };
	struct speckv_free free_request = { .handle = handle };
	struct speckv_export more = { .flags = SPECKV_EXPORT_NEW, .fd = -1 };
	struct speckv_extent_entry entry;
	struct speckv_list list = { .count = 1, .entries = (uintptr_t)&entry };
	struct speckv_poison poison = { .flags = SPECKV_POISON_MARK, .bytes = 1 };
	struct speckv_stat stat = { .fd = export };

	EXPECT_EQ(ioctl(export, SPECKV_IOC_INFO, &info), 0);
	EXPECT_EQ(info.role, SPECKV_ROLE_EXPORT_WRITE);
	EXPECT_EQ(info.limit_bytes, 0);
	EXPECT_ERRNO(ioctl(export, SPECKV_IOC_ALLOC, &alloc), EACCES);
	EXPECT_ERRNO(ioctl(export, SPECKV_IOC_FREE, &free_request), EACCES);
	EXPECT_ERRNO(ioctl(export, SPECKV_IOC_EXPORT, &more), EACCES);
	EXPECT_ERRNO(ioctl(export, SPECKV_IOC_LIST, &list), EACCES);
	EXPECT_ERRNO(ioctl(export, SPECKV_IOC_POISON, &poison), EACCES);
	EXPECT_ERRNO(ioctl(export, SPECKV_IOC_STAT, &stat), EBADF);
	stat = stat_of(export, -1);
	EXPECT_EQ(stat.held_bytes, GRANULE);
	EXPECT_EQ(stat.free_bytes + stat.used_bytes + stat.dirty_bytes + stat.poisoned_bytes, 0);
}

TEST(ioctl, a_read_only_open_may_only_look)
{
	int looker = open("/dev/speckv0", O_RDONLY);
	struct speckv_alloc alloc = { .bytes = GRANULE };
	struct speckv_export export = { .flags = SPECKV_EXPORT_NEW, .fd = -1 };

	stat_of(looker, -1);
	EXPECT_ERRNO(ioctl(looker, SPECKV_IOC_ALLOC, &alloc), EBADF);
	EXPECT_ERRNO(ioctl(looker, SPECKV_IOC_EXPORT, &export), EBADF);
}

TEST(ioctl, stat_refuses_each_field)
{
	struct speckv_stat good = { .fd = -1 };
	const struct bad_field rows[] = {
		BAD(struct speckv_stat, flags, 1),
		BAD(struct speckv_stat, fd, -2),
		BAD(struct speckv_stat, held_bytes, 1),
		BAD(struct speckv_stat, pinned_bytes, 1),
		BAD(struct speckv_stat, extents, 1),
		BAD(struct speckv_stat, exports, 1),
		BAD(struct speckv_stat, faults_huge, 1),
		BAD(struct speckv_stat, longest_bytes, 1),
		BAD(struct speckv_stat, pinner_bytes, 1),
		BAD(struct speckv_stat, pinner_uid, 1),
		BAD(struct speckv_stat, faults_zero, 1),
		BAD(struct speckv_stat, free_bytes, 1),
		BAD(struct speckv_stat, used_bytes, 1),
		BAD(struct speckv_stat, dirty_bytes, 1),
		BAD(struct speckv_stat, quarantined_bytes, 1),
		BAD(struct speckv_stat, poisoned_bytes, 1),
		BAD(struct speckv_stat, reserved[3], 1),
	};

	REFUSE(control_open(), SPECKV_IOC_STAT, good, rows);
}

TEST(ioctl, list_refuses_each_field)
{
	struct speckv_extent_entry entry;
	struct speckv_list good = { .count = 1, .entries = (uintptr_t)&entry };
	int control = control_open();
	const struct bad_field rows[] = {
		BAD(struct speckv_list, flags, 1),
		BAD(struct speckv_list, count, 0),
		BAD(struct speckv_list, count, SPECKV_CALL_MAX + 1),
		BAD(struct speckv_list, entries, 0),
		BAD(struct speckv_list, reserved[0], 1),
		BAD(struct speckv_list, reserved[1], 1),
	};

	REFUSE(control, SPECKV_IOC_LIST, good, rows);
	alloc_extent(control, GRANULE);
	good.entries = 8;
	EXPECT_ERRNO(ioctl(control, SPECKV_IOC_LIST, &good), EFAULT);
}

TEST(ioctl, list_finds_every_extent_in_order)
{
	enum { COUNT = 9 };
	int control = control_open();
	struct speckv_extent_entry entries[2];
	struct speckv_list list = { 0 };
	uint64_t cookies = 0, last = 0, seen = 0;

	for (uint64_t i = 0; i < COUNT; i++) {
		struct speckv_alloc request = {
			.bytes = (1 + i % 3) * GRANULE,
			.cookie = 1ULL << i,
			.timeout_ms = 60000,
		};

		EXPECT_EQ(ioctl(control, SPECKV_IOC_ALLOC, &request), 0);
	}
	do {
		list.count = 2;
		list.entries = (uintptr_t)entries;
		EXPECT_EQ(ioctl(control, SPECKV_IOC_LIST, &list), 0);
		for (uint32_t i = 0; i < list.count; i++, seen++) {
			EXPECT(!seen || entries[i].offset >= last);
			last = entries[i].offset + entries[i].bytes;
			cookies |= entries[i].cookie;
			EXPECT_EQ(entries[i].poisoned_bytes, 0);
		}
	} while (list.count);
	EXPECT_EQ(seen, COUNT);
	EXPECT_EQ(cookies, (1 << COUNT) - 1);
	list = (struct speckv_list){ .count = 1,
				     .entries = (uintptr_t)entries,
				     .start_offset = ~0ULL };
	EXPECT_EQ(ioctl(control, SPECKV_IOC_LIST, &list), 0);
	EXPECT_EQ(list.count, 0);
}

TEST(ioctl, poison_refuses_each_field)
{
	uint64_t offset;
	int control = control_open();
	struct speckv_poison mark = { .flags = SPECKV_POISON_MARK, .bytes = 1 };
	struct speckv_poison list = {
		.flags = SPECKV_POISON_LIST,
		.count = 1,
		.entries = (uintptr_t)&offset,
	};
	const struct bad_field mark_rows[] = {
		BAD(struct speckv_poison, flags, 0),
		BAD(struct speckv_poison, flags, 3),
		BAD(struct speckv_poison, flags, 4),
		BAD(struct speckv_poison, count, 1),
		BAD(struct speckv_poison, bytes, 0),
		BAD(struct speckv_poison, bytes, ~0ULL),
		BAD(struct speckv_poison, bytes, device_bytes + 1),
		BAD(struct speckv_poison, offset, device_bytes),
		BAD(struct speckv_poison, offset, ~0ULL),
		BAD(struct speckv_poison, entries, 8),
		BAD(struct speckv_poison, reserved[0], 1),
		BAD(struct speckv_poison, reserved[1], 1),
	};
	const struct bad_field list_rows[] = {
		BAD(struct speckv_poison, count, 0),
		BAD(struct speckv_poison, count, SPECKV_CALL_MAX + 1),
		BAD(struct speckv_poison, bytes, 1),
		BAD(struct speckv_poison, entries, 0),
	};
	uint64_t before = stat_of(control, -1).poisoned_bytes;

	REFUSE(control, SPECKV_IOC_POISON, mark, mark_rows);
	REFUSE(control, SPECKV_IOC_POISON, list, list_rows);
	EXPECT_EQ(stat_of(control, -1).poisoned_bytes, before);
	list.offset = ~0ULL;
	EXPECT_EQ(ioctl(control, SPECKV_IOC_POISON, &list), 0);
	EXPECT_EQ(list.count, 0);
}
