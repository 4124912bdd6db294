/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fault.h - put device memory into a page table, as each kernel wants it. Only mmap.c includes it.
 *
 * 6.12 marks such entries as "devmap" and does not count them; 7.x counts a mapping as a reference
 * to the folio.
 */
#ifndef SPECKV_COMPAT_FAULT_H
#define SPECKV_COMPAT_FAULT_H

#include <linux/mm.h>
#include <linux/version.h>

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#include <linux/pfn_t.h>

static inline vm_fault_t speckv_insert_huge(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	pfn_t entry = phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV | PFN_MAP);

	return vmf_insert_pfn_pmd(vmf, entry, write);
}

static inline vm_fault_t speckv_insert_small(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	pfn_t entry = phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV | PFN_MAP);

	/* A shared mapping's protection makes the entry writable where the mapping is. */
	return vmf_insert_mixed(vmf->vma, vmf->address, entry);
}

/* What a mapping needs for speckv_insert_zero(): the core may not set it in a fault. */
#define SPECKV_VM_FLAGS VM_MIXEDMAP

static inline vm_fault_t speckv_insert_zero(struct vm_fault *vmf, struct page *page)
{
	return vmf_insert_page(vmf->vma, vmf->address, page);
}
#else
static inline vm_fault_t speckv_insert_huge(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_folio_pmd(vmf, page_folio(pfn_to_page(pfn)), write);
}

static inline vm_fault_t speckv_insert_small(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_page_mkwrite(vmf, pfn_to_page(pfn), write);
}

#define SPECKV_VM_FLAGS 0

static inline vm_fault_t speckv_insert_zero(struct vm_fault *vmf, struct page *page)
{
	return vmf_insert_page_mkwrite(vmf, page, false);
}
#endif

#endif /* SPECKV_COMPAT_FAULT_H */
