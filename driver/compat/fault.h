/* SPDX-License-Identifier: GPL-2.0 */
/*
 * fault.h - put 2 MiB into a page table, as each kernel wants it. Only mmap.c includes it.
 *
 * The region's memory: 6.12 marks such entries as "devmap" and does not count them; 7.x counts a
 * mapping as a reference to the folio. Zeros are "special" entries on both: not counted, and no
 * part of a process's resident memory, as the kernel's own zero page is not.
 */
#ifndef SPECKV_COMPAT_FAULT_H
#define SPECKV_COMPAT_FAULT_H

#include <linux/huge_mm.h>
#include <linux/mm.h>
#include <linux/version.h>

/* Elsewhere the insertion allocates, and we do it under a lock. */
static_assert(!arch_needs_pgtable_deposit());

/* What a mapping needs for speckv_insert_zeros(): the core may not set it in a fault. */
#define SPECKV_VM_FLAGS_ZEROS VM_MIXEDMAP

#if LINUX_VERSION_CODE < KERNEL_VERSION(7, 0, 0)
#include <linux/pfn_t.h>

static inline vm_fault_t speckv_insert_memory(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_pfn_pmd(vmf, phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV | PFN_MAP), write);
}

static inline vm_fault_t speckv_insert_zeros(struct vm_fault *vmf, unsigned long pfn)
{
	return vmf_insert_pfn_pmd(vmf, phys_to_pfn_t(PFN_PHYS(pfn), PFN_DEV), false);
}
#else
static inline vm_fault_t speckv_insert_memory(struct vm_fault *vmf, unsigned long pfn, bool write)
{
	return vmf_insert_folio_pmd(vmf, page_folio(pfn_to_page(pfn)), write);
}

static inline vm_fault_t speckv_insert_zeros(struct vm_fault *vmf, unsigned long pfn)
{
	return vmf_insert_pfn_pmd(vmf, pfn, false);
}
#endif

#endif /* SPECKV_COMPAT_FAULT_H */
