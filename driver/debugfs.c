// SPDX-License-Identifier: GPL-2.0
/*
 * debugfs.c - /sys/kernel/debug/speckv/speckvN/: who holds what, and are the tables sound. For
 * people and tests; no interface that anything may rely on. Takes region->lock.
 */
#include <linux/debugfs.h>
#include <linux/seq_file.h>
#include <linux/string_helpers.h>

#include "speckv.h"

static const char *const role_names[] = {
	[SPECKV_ROLE_CONTROL] = "control",
	[SPECKV_ROLE_EXPORT_READ] = "export-read",
	[SPECKV_ROLE_EXPORT_WRITE] = "export-write",
};

/* A process gives itself any name: what could end a line or a word is shown as its number. */
static void show_who(struct seq_file *seq, const struct speckv_account *who)
{
	seq_printf(seq, "pid=%d uid=%u comm=", who->pid, from_kuid_munged(&init_user_ns, who->uid));
	seq_escape_mem(seq, who->comm, strnlen(who->comm, sizeof(who->comm)),
		       ESCAPE_NAP | ESCAPE_APPEND | ESCAPE_HEX, " \\");
}

static int files_show(struct seq_file *seq, void *unused)
{
	struct speckv_region *region = seq->private;
	struct speckv_file *file;

	mutex_lock(&region->lock);
	list_for_each_entry(file, &region->files, in_region) {
		struct speckv_account *account = file->account;

		seq_printf(seq, "%s ", role_names[file->role]);
		show_who(seq, account);
		seq_printf(seq, " extents=%llu held=%llu pinned=%llu exports=%u", file->extents,
			   file->held_bytes, account->pinned_bytes, account->exports);
		seq_printf(seq, " huge=%lld zero=%lld\n", atomic64_read(&file->faults_huge),
			   atomic64_read(&file->faults_zero));
	}
	mutex_unlock(&region->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(files);

/*
 * Each extent once: those in use, and those of which a granule is not clean yet; with who owns it,
 * or is charged for what is pinned of it.
 */
static int extents_show(struct seq_file *seq, void *unused)
{
	struct speckv_region *region = seq->private;
	struct speckv_extent *last = NULL;
	u32 granule;

	mutex_lock(&region->lock);
	for (granule = 0; granule < region->space.granules; granule++) {
		struct speckv_extent *extent = region->extent_of[granule];

		if (extent && extent != last) {
			struct speckv_account *who =
				extent->retired ? extent->charge : extent->owner;

			seq_printf(seq, "%#llx granule=%u count=%u %s ", extent->handle,
				   extent->first, extent->count,
				   extent->retired ? "retired" : "held");
			show_who(seq, who);
			seq_printf(seq, " pinned=%llu cookie=%#llx\n", who->pinned_bytes,
				   extent->cookie);
		}
		last = extent;
	}
	mutex_unlock(&region->lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(extents);

/* "sound" or "broken": space_check.c over all tables, and the accounts against them. */
static int sound_show(struct seq_file *seq, void *unused)
{
	struct speckv_region *region = seq->private;
	u32 used = 0, granule;
	bool sound;

	mutex_lock(&region->lock);
	sound = speckv_space_is_sound(&region->space);
	for (granule = 0; granule < region->space.granules; granule++)
		used += region->extent_of[granule] && !region->extent_of[granule]->retired;
	sound = sound && used == region->space.counts[SPECKV_GRANULE_USED];
	mutex_unlock(&region->lock);
	seq_puts(seq, sound ? "sound\n" : "broken\n");
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(sound);

void speckv_debugfs_add(struct speckv_region *region)
{
	region->debug = debugfs_create_dir(dev_name(&region->dev), speckv_debug_root);
	debugfs_create_file("files", 0400, region->debug, region, &files_fops);
	debugfs_create_file("extents", 0400, region->debug, region, &extents_fops);
	debugfs_create_file("sound", 0400, region->debug, region, &sound_fops);
}
