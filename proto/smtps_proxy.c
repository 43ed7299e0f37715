#include "proto/smtps_proxy.h"

#include "proto/proxyhdr.h"
#include "proto/smtps_greet.h"
#include "proto/smtps_log.h"
#include "proto/smtps_reply.h"
#include "proto/smtps_stats.h"

bool smtps_proxy_take(struct smtps_session *s, struct span *in)
{
	switch (proxyhdr_take(in, &s->client)) {
	case PROXYHDR_MORE:
		return false;
	case PROXYHDR_BAD:
		stats_add(SMTPS_ST_sessions_refused, 1);
		smtps_log_client(s, 421, smtps_reply_text_of(SMTPS_R_PROXY));
		smtps_reply_end(s, SMTPS_R_PROXY);
		return true;
	case PROXYHDR_ADDR:
		s->flags &= ~(uint32_t)SMTPS_SE_LOCAL;
		break;
	case PROXYHDR_SAME:
		break;
	}
	if (in->n)
		s->flags |= SMTPS_SE_EARLY;
	smtps_greet_start(s);
	return true;
}
