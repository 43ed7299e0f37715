#include "proto/smtps_host.h"

#include "proto/smtps_content.h"
#include "proto/smtps_data.h"
#include "proto/smtps_greet.h"
#include "proto/smtps_session.h"
#include "proto/smtps_slot.h"

#include <errno.h>
#include <stdlib.h>

/* In use at most: 16 MB of small, 16 MB of middle and 32 MB of large blocks per loop. */
static const size_t block_max[SMTPS_BLOCK_KINDS] = { 4096, 1024, 512 };

int smtps_host_init(struct smtps_host *h, struct smtps_conf *conf, size_t max_sessions)
{
	pool_init(&h->sessions, sizeof(struct smtps_session), max_sessions);
	pool_init(&h->slots, sizeof(struct smtps_slot), max_sessions * SMTPS_SLOTS_MAX);
	pool_init(&h->greets, sizeof(struct smtps_greet), max_sessions);
	pool_init(&h->commits, sizeof(struct smtps_sending), max_sessions * 2);
	for (unsigned i = 0; i < SMTPS_BLOCK_KINDS; i++)
		pool_init(&h->blocks[i], smtps_content_block_bytes[i], block_max[i]);
	h->input = malloc(SMTPS_INPUT_BYTES);
	if (!h->input)
		return -ENOMEM;
	h->conf = smtps_conf_get(conf);
	h->credit = (struct smtps_credit){ UINT32_MAX, UINT32_MAX, 0, false };
	return 0;
}

void smtps_host_free(struct smtps_host *h)
{
	pool_free(&h->sessions);
	pool_free(&h->slots);
	pool_free(&h->greets);
	pool_free(&h->commits);
	for (unsigned i = 0; i < SMTPS_BLOCK_KINDS; i++)
		pool_free(&h->blocks[i]);
	free(h->input);
	buf_release(&h->scratch);
	smtps_conf_put(h->conf);
	h->conf = NULL;
}
