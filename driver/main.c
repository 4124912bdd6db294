// SPDX-License-Identifier: GPL-2.0
/*
 * main.c - the module: class, device numbers, workqueue, and the order in which its parts come
 * and go.
 *
 * A region (one per DAX device) comes with dax.c's probe, never from here.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/idr.h>
#include <linux/module.h>

#include "speckv.h"

static dev_t speckv_first_devt;
DEFINE_IDA(speckv_ids);
DEFINE_IDA(speckv_minors);
struct dentry *speckv_debug_root;
struct workqueue_struct *speckv_workqueue;
struct page *speckv_zeros;

struct class speckv_class = {
	.name = "speckv",
	.dev_groups = speckv_groups,
};

int speckv_number_get(struct ida *ida)
{
	return ida_alloc_max(ida, SPECKV_MINORS - 1, GFP_KERNEL);
}

dev_t speckv_devt(int minor)
{
	return MKDEV(MAJOR(speckv_first_devt), MINOR(speckv_first_devt) + minor);
}

static int __init speckv_init(void)
{
	int rc;

	/* The kernel's own huge page of zeros is not for modules. */
	speckv_zeros = alloc_pages(GFP_KERNEL | __GFP_ZERO | __GFP_COMP, PMD_ORDER);
	if (!speckv_zeros) {
		pr_err("needs 2 MiB of memory in one piece; free some, load it anew\n");
		return -ENOMEM;
	}
	rc = alloc_chrdev_region(&speckv_first_devt, 0, SPECKV_MINORS, "speckv");
	if (rc)
		goto out_zeros;
	rc = -ENOMEM;
	speckv_workqueue = alloc_workqueue("speckv", WQ_UNBOUND, 0);
	if (!speckv_workqueue)
		goto out_chrdev;
	rc = class_register(&speckv_class);
	if (rc)
		goto out_workqueue;
	speckv_debug_root = debugfs_create_dir("speckv", NULL);
	rc = speckv_pci_register();
	if (rc)
		goto out_class;
	rc = speckv_dax_register();
	if (rc)
		goto out_pci;
	return 0;

out_pci:
	speckv_pci_unregister();
out_class:
	debugfs_remove(speckv_debug_root);
	class_unregister(&speckv_class);
out_workqueue:
	destroy_workqueue(speckv_workqueue);
out_chrdev:
	unregister_chrdev_region(speckv_first_devt, SPECKV_MINORS);
out_zeros:
	__free_pages(speckv_zeros, PMD_ORDER);
	return rc;
}

static void __exit speckv_exit(void)
{
	speckv_dax_unregister();
	speckv_pci_unregister();
	debugfs_remove(speckv_debug_root);
	class_unregister(&speckv_class);
	destroy_workqueue(speckv_workqueue);
	unregister_chrdev_region(speckv_first_devt, SPECKV_MINORS);
	ida_destroy(&speckv_minors);
	ida_destroy(&speckv_ids);
	speckv_poisoned_pfns_forget();
	__free_pages(speckv_zeros, PMD_ORDER);
}

module_init(speckv_init);
module_exit(speckv_exit);

MODULE_AUTHOR("The speckv authors");
MODULE_DESCRIPTION("Isolated extents of a CXL memory region");
MODULE_LICENSE("GPL");
