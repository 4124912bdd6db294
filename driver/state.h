/* SPDX-License-Identifier: GPL-2.0 */
/*
 * state.h - which states of an engine follow on which. Pure; the one who asks is
 * speckv_engine_enter() in reset.c, and unit tests.
 */
#ifndef SPECKV_STATE_H
#define SPECKV_STATE_H

#include "shim.h"
#include <uapi/linux/speckv.h>

static inline bool speckv_state_may_follow(enum speckv_engine_state now,
					   enum speckv_engine_state next)
{
	switch (next) {
	case SPECKV_ENGINE_LIVE:
		return now == SPECKV_ENGINE_NEW || now == SPECKV_ENGINE_RESETTING;
	case SPECKV_ENGINE_RESETTING:
		return now == SPECKV_ENGINE_LIVE;
	case SPECKV_ENGINE_DEAD:
		return now != SPECKV_ENGINE_DEAD;
	default:
		return false;
	}
}

#endif /* SPECKV_STATE_H */
