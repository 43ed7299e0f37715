#include "queue/qrow.h"

/* The bit of enum select_state for a state of aq.h; 0: it is done. */
static uint8_t state_bit(uint8_t rcpt_state)
{
	static const uint8_t bit[] = { [RCPT_ACTIVE] = SELECT_ACTIVE,
				       [RCPT_DEFERRED] = SELECT_DEFERRED,
				       [RCPT_FAILED] = SELECT_FAILED,
				       [RCPT_DONE] = 0,
				       [RCPT_HELD] = SELECT_HELD };

	return rcpt_state < sizeof bit ? bit[rcpt_state] : 0;
}

uint64_t qrow_size(const struct ta *ta)
{
	uint64_t other = CDB_HEAD + ta->blob.n;

	return ta->ref.len > other ? ta->ref.len - other : 0;
}

void qrow(const struct ta *ta, uint32_t idx, const struct route *route, usec_t wall_now,
	  struct select_row *out)
{
	struct rcpt *r = &ta->rcpt[idx];
	uint8_t state = atomic_load(&r->state);

	*out = (struct select_row){ .id = ta->id,
				    .sender = envelope_sender(&ta->env, idx),
				    .rcpt = ta->env.rcpt[idx].addr,
				    .orcpt = ta->env.rcpt[idx].orcpt,
				    .route = route,
				    .client = ta->env.client,
				    .age_usec = wall_now - ta->env.wall_arrival,
				    .size_bytes = qrow_size(ta),
				    .reply = aq_rcpt_last(r),
				    .state = state_bit(state),
				    .parked = state == RCPT_DEFERRED && atomic_load(&r->park),
				    .attempts = atomic_load(&r->attempts) };
}

void qrow_with_route(const struct ta *ta, uint32_t idx, usec_t wall_now, struct route *space,
		     struct select_row *out)
{
	struct span bytes = aq_rcpt_route(ta, idx, NULL);

	qrow(ta, idx, bytes.n && !route_decode(bytes, space) ? space : NULL, wall_now, out);
}

static int hex(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

struct span qrow_original(struct span orcpt, char dst[static ENV_ADDR_MAX])
{
	size_t n = 0;

	if (!span_casestartswith(orcpt, SPAN("rfc822;")))
		return SPAN("");
	struct span s = span_from(orcpt, 7);
	if (span_chr(s, '+') == s.n)
		return s;
	s = span_head(s, ENV_ADDR_MAX);
	for (size_t i = 0; i < s.n; i++) {
		int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1,
		    low = i + 2 < s.n ? hex(s.p[i + 2]) : -1;
		bool coded = s.p[i] == '+' && high >= 0 && low >= 0;

		dst[n++] = coded ? (char)(high << 4 | low) : s.p[i];
		i += coded ? 2 : 0;
	}
	return span_of(dst, n);
}
