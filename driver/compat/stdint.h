/* SPDX-License-Identifier: GPL-2.0 */
/*
 * stdint.h - for include/hw, which the device process and benches share: the kernel has the same
 * types under another name.
 */
#ifndef SPECKV_COMPAT_STDINT_H
#define SPECKV_COMPAT_STDINT_H

#include <linux/types.h>

#endif /* SPECKV_COMPAT_STDINT_H */
