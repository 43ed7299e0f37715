/*
 * proto/smtps_links.h - the upstream of one event loop: its links to qmgr and smar, requests in
 * flight, ids, credits.
 *
 * Owner:  the loop. The functions about segments are called by the content writer, in its notify
 *         loop.
 * Memory: requests belong to those who asked; lists here, oldest first.
 * Life:   while a link is down its requests wait: those to smar up to wait_for_smar in all, those
 *         to qmgr SMTPS_QMGR_DOWN_USEC. When it is up again all of them are sent again, after what
 *         this loop has open.
 * Limits: an answer of qmgr that takes longer than SMTPS_QMGR_ANSWER_USEC counts as none.
 */
#ifndef PROTO_SMTPS_LINKS_H
#define PROTO_SMTPS_LINKS_H
#include "core/link.h"
#include "proto/smtps_host.h"

enum { SMTPS_QMGR_DOWN_USEC = 4 * USEC_PER_SEC, SMTPS_QMGR_ANSWER_USEC = 60 * USEC_PER_SEC };

struct smtps_links;

struct smtps_links_setup {
	struct loop *loop;
	struct smtps_host *host;
	struct link_hello hello; /* with the number of this loop */
	/* The credit has changed, sessions may be accepted or not. */
	void (*credit)(void *ctx);
	void *ctx;
};

/* NULL without memory. Connects at once and for ever. Sets host->up. */
struct smtps_links *smtps_links_new(const struct smtps_links_setup *s);
void smtps_links_free(struct smtps_links *k);

/* For struct cdb_writer_setup, ctx is the struct smtps_links of the notify loop. */
void smtps_links_segment(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes_or_end, bool sealed);
void smtps_links_spare(void *ctx, uint64_t seg, uint64_t gen, uint64_t bytes);
void smtps_links_punched(void *ctx, uint64_t seg, uint64_t gen, int error, uint64_t left);

#endif
