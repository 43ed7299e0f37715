#include "proto/smtps_chunk.h"

#include "proto/param.h"
#include "proto/smtps_data.h"
#include "proto/smtps_log.h"
#include "proto/smtps_verbs.h"

#include <errno.h>

/* The chunk is complete, or there is nothing in it. */
static void chunk_end(struct smtps_session *s)
{
	bool last = s->flags & SMTPS_SE_CHUNK_LAST;

	s->input = SMTPS_IN_LINE;
	s->host->command = SPAN("BDAT"); /* the line itself may be gone */
	if (!s->ta || s->phase != SMTPS_PH_CHUNK) {
		smtps_verbs_in_vain(s, s->ta ? SMTPS_R_NEED_RCPT : SMTPS_R_NEED_MAIL);
		return;
	}
	if (last || smtps_data_error(s)) {
		if (last && !smtps_data_error(s)) {
			struct span end = dots_finish(&s->ta->content->dots);

			if (end.n)
				smtps_data_keep(s, end);
		}
		/* After a failed chunk the transaction is over; chunks behind it get 503. */
		smtps_session_phase(s, smtps_data_end(s));
		return;
	}
	smtps_reply(s, SMTPS_R_CHUNK_OK);
}

enum smtps_phase smtps_chunk_verb(struct smtps_session *s, struct span args)
{
	uint64_t size;
	bool last;

	if (!(s->host->conf->offer.caps & EHLO_CHUNKING)) {
		smtps_verbs_bad(s, SMTPS_R_UNKNOWN);
		return s->phase;
	}
	int rc = param_chunk(args, &size, &last);
	if (rc) {
		enum smtps_reply r = rc == -ERANGE ? SMTPS_R_CHUNK_SIZE : SMTPS_R_CHUNK_SYNTAX;

		/* How many octets follow is not known, so nothing after this can be understood. */
		smtps_log_command(s, s->host->command, r);
		smtps_reply_end(s, r);
		return s->phase;
	}
	/* A chunk with nothing in it that ends nothing leads nowhere. */
	if (s->phase != SMTPS_PH_CHUNK)
		smtps_session_content(s);
	if (!size && !last && smtps_verbs_idle(s, false))
		return s->phase;
	s->chunk_left = size;
	s->flags =
		last ? s->flags | SMTPS_SE_CHUNK_LAST : s->flags & ~(uint32_t)SMTPS_SE_CHUNK_LAST;
	s->input = SMTPS_IN_CHUNK;
	if (s->phase != SMTPS_PH_RCPT)
		return s->phase;
	if (!smtps_data_begin(s, s->ta->body == ENV_BODY_BINARYMIME ? DOTS_RAW : DOTS_CHUNK)) {
		smtps_session_kill(s, "memory");
		return s->phase;
	}
	return SMTPS_PH_CHUNK;
}

bool smtps_chunk_take(struct smtps_session *s, struct span *in)
{
	struct span piece, octets = span_head(*in, s->chunk_left);

	*in = span_from(*in, octets.n);
	s->chunk_left -= octets.n;
	s->content_bytes += octets.n;
	if (s->ta && s->phase == SMTPS_PH_CHUNK)
		while (dots_next(&s->ta->content->dots, &octets, &piece) == DOTS_PIECE)
			smtps_data_keep(s, piece);
	if (s->chunk_left && smtps_session_flooded(s)) {
		if (s->ta && s->phase == SMTPS_PH_CHUNK)
			smtps_data_end(s);
		else
			smtps_reply(s, SMTPS_R_CHUNK_SIZE);
		smtps_session_end(s);
		return true;
	}
	if (s->chunk_left)
		return false;
	chunk_end(s);
	return true;
}
