// SPDX-License-Identifier: GPL-2.0
/*
 * mmap.c - mappings and their faults: the place where isolation is decided.
 *
 * One rule for every mapping: a fault at region offset X shows memory only if the mapped file
 * holds X's granule at that moment, and the granule is sound and the region alive. All of it is
 * looked at under map_lock, which is not let go before the entry is in the page table.
 *
 * Called by the core mm. Never allocates, sleeps or takes region->lock in a fault. Every entry is
 * of 2 MiB: mappings are made of whole granules, and where a reader has zeros it has 2 MiB of them,
 * so that what comes there later is huge as well.
 */
#include <linux/pagemap.h>
#include <linux/writeback.h>

#include "compat/fault.h"
#include "speckv.h"
#include "trace.h"

const struct address_space_operations speckv_aops = {
	.dirty_folio = noop_dirty_folio, /* 7.x calls it when an entry goes */
};

enum speckv_view {
	SPECKV_VIEW_MEMORY,  /* the granule itself */
	SPECKV_VIEW_NOTHING, /* not held, or the region is gone */
	SPECKV_VIEW_POISON,
};

/* map_lock held. */
static enum speckv_view view_of(struct speckv_file *file, u32 granule)
{
	struct speckv_region *region = file->region;

	if (region->dead || granule >= region->space.granules || !xa_load(&file->holds, granule))
		return SPECKV_VIEW_NOTHING;
	if (speckv_space_is_poisoned(&region->space, granule))
		return SPECKV_VIEW_POISON;
	return SPECKV_VIEW_MEMORY;
}

/* map_lock held. */
static vm_fault_t show(struct speckv_file *file, struct vm_fault *vmf, u32 granule)
{
	enum speckv_view view = view_of(file, granule);

	if (view == SPECKV_VIEW_MEMORY) {
		atomic64_inc(&file->faults_huge);
		return speckv_insert_memory(vmf, speckv_granule_pfn(file->region, granule),
					    vmf->flags & FAULT_FLAG_WRITE);
	}
	if (file->role == SPECKV_ROLE_EXPORT_READ) {
		atomic64_inc(&file->faults_zero);
		return speckv_insert_zeros(vmf, page_to_pfn(speckv_zeros));
	}
	return view == SPECKV_VIEW_POISON ? VM_FAULT_HWPOISON : VM_FAULT_SIGBUS;
}

/*
 * No way is known to a page table where our entries go (userfaultfd, which would make one for its
 * markers, refuses VM_DONTEXPAND). Where there was one our entry has no place, and the process is
 * to get SIGBUS and not the same fault for ever.
 */
static bool has_page_table(struct vm_fault *vmf)
{
	pmd_t entry = pmdp_get_lockless(vmf->pmd);

	return !pmd_none(entry) && !pmd_leaf(entry);
}

static vm_fault_t speckv_huge_fault(struct vm_fault *vmf, unsigned int order)
{
	struct vm_area_struct *vma = vmf->vma;
	struct speckv_file *file = vma->vm_file->private_data;
	struct speckv_region *region = file->region;
	unsigned long address = vmf->address & PMD_MASK;
	pgoff_t pgoff = linear_page_index(vma, address);
	vm_fault_t rc;

	if (order && order != PMD_ORDER)
		return VM_FAULT_FALLBACK;
	/* The raster of mappings, see below, leaves nothing else. */
	if (WARN_ON_ONCE(address < vma->vm_start || address + PMD_SIZE > vma->vm_end ||
			 pgoff % SPECKV_GRANULE_PAGES))
		return VM_FAULT_SIGBUS;
	read_lock(&region->map_lock);
	rc = show(file, vmf, pgoff / SPECKV_GRANULE_PAGES);
	read_unlock(&region->map_lock);
	if (rc == VM_FAULT_NOPAGE && has_page_table(vmf))
		rc = VM_FAULT_SIGBUS;
	trace_speckv_fault(region->id, vmf->pgoff, order, (__force unsigned int)rc);
	return rc;
}

/* Where the process forbids huge pages for itself the core asks here; our answer is the same. */
static vm_fault_t speckv_fault(struct vm_fault *vmf)
{
	return speckv_huge_fault(vmf, 0);
}

/* Mappings stay made of whole granules: a partial munmap or a move off the raster is refused. */
static int speckv_may_split(struct vm_area_struct *vma, unsigned long address)
{
	return IS_ALIGNED(address, PMD_SIZE) ? 0 : -EINVAL;
}

static int speckv_mremap(struct vm_area_struct *vma)
{
	return IS_ALIGNED(vma->vm_start, PMD_SIZE) ? 0 : -EINVAL;
}

static unsigned long speckv_pagesize(struct vm_area_struct *vma)
{
	return PMD_SIZE;
}

static const struct vm_operations_struct speckv_vm_ops = {
	.fault = speckv_fault,
	.huge_fault = speckv_huge_fault,
	.may_split = speckv_may_split,
	.mremap = speckv_mremap,
	.pagesize = speckv_pagesize,
};

/* Who maps an export is who will be named when its memory stays pinned. */
static int note_mapper(struct speckv_file *file)
{
	struct speckv_account *account = file->account;
	int rc = 0;

	if (mutex_lock_killable(&file->region->lock))
		return -EINTR;
	if (file->region->dead) {
		rc = -ENODEV;
	} else if (file->role != SPECKV_ROLE_CONTROL) {
		account->pid = task_tgid_nr(current);
		account->uid = current_uid();
		get_task_comm(account->comm, current);
	}
	mutex_unlock(&file->region->lock);
	return rc;
}

int speckv_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct speckv_file *file = filp->private_data;
	u64 pages = file->region->bytes >> PAGE_SHIFT;
	vm_flags_t zeros = file->role == SPECKV_ROLE_EXPORT_READ ? SPECKV_VM_FLAGS_ZEROS : 0;
	int rc;

	/* A private mapping would copy on write, and count as anonymous memory. */
	if (!(vma->vm_flags & VM_MAYSHARE))
		return -EINVAL;
	if (!IS_ALIGNED(vma->vm_start | vma->vm_end, PMD_SIZE) ||
	    vma->vm_pgoff % SPECKV_GRANULE_PAGES)
		return -EINVAL;
	if (vma->vm_pgoff >= pages || vma_pages(vma) > pages - vma->vm_pgoff)
		return -EINVAL;
	if (vma->vm_flags & VM_EXEC)
		return -EACCES;
	rc = note_mapper(file);
	if (rc)
		return rc;
	vm_flags_mod(vma, VM_HUGEPAGE | VM_DONTEXPAND | VM_DONTDUMP | zeros, VM_MAYEXEC);
	vma->vm_ops = &speckv_vm_ops;
	return 0;
}
