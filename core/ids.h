/*
 * core/ids.h - session, transaction and attempt identifiers, R 10.1.
 *
 * An S id is a 56-bit-and-more counter of qmgr's with the `id` of the smtps section as its last
 * byte; inside the programs it is one number: counter << 8 | section. Counters stay below 2^56.
 */
#ifndef CORE_IDS_H
#define CORE_IDS_H
#include "core/span.h"

enum { ID_TEXT_MAX = 24, ID_BLOCK_COUNT = 16384 };

/* "S" + 16 hex digits + 2 hex digits; returns 19. dst holds ID_TEXT_MAX. */
size_t id_text(uint64_t id, char *dst);
/* -EINVAL unless s is exactly such a text. */
int id_parse(struct span s, uint64_t *id);
/* "C" + 2 (process) + 8 (counter) + 8 (worker) hex digits; returns 19. */
size_t id_client_text(uint8_t process, uint32_t counter, uint32_t worker, char *dst);

static inline uint64_t id_make(uint64_t counter, uint8_t section)
{
	return counter << 8 | section;
}

#endif
