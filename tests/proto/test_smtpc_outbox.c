#include "proto/smtpc_outbox.h"

#include "proto/smtpc_limits.h"
#include "tests/tap.h"

#include <stdio.h>

struct sink {
	int count, stop_at;
	char last[64], first[64];
};

static int take(void *ctx, struct span body)
{
	struct sink *s = ctx;

	if (s->stop_at && s->count == s->stop_at)
		return -1;
	span_cstr(body, s->count++ ? s->last : s->first, sizeof s->last);
	return 0;
}

static void sent(struct smtpc_outbox *o, usec_t now, const char *text)
{
	buf_add_span(smtpc_outbox_recent(o, now), span_str(text));
}

int main(void)
{
	struct smtpc_outbox *o = smtpc_outbox_new();
	struct sink s = { 0 };
	usec_t t = SMTPC_SEC(100);
	char text[32];

	is_int(smtpc_outbox_replay(o, 0, t, take, &s), 0, "nothing at first");
	sent(o, t, "old");
	sent(o, t + 10, "young");
	smtpc_outbox_keep(o, SPAN("kept one"));
	smtpc_outbox_keep(o, SPAN("kept two"));
	is_int(smtpc_outbox_replay(o, t + 1, t + 20, take, &s), 3,
	       "what is too old is not said again");
	is_str(s.first, "young", "first what was sent");
	is_str(s.last, "kept two", "then what was kept");
	s = (struct sink){ 0 };
	is_int(smtpc_outbox_replay(o, t + 15, t + 30, take, &s), 1, "kept ones are said once");
	is_str(s.first, "young", "what was said again counts as sent then");
	s = (struct sink){ 0 };
	is_int(smtpc_outbox_replay(o, t + 31, t + 40, take, &s), 0, "then all is forgotten");
	for (int i = 0; i < SMTPC_RECENT_RESULTS + 10; i++) {
		snprintf(text, sizeof text, "r%d", i);
		sent(o, t, text);
	}
	is_int(smtpc_outbox_replay(o, 0, t, take, &s), SMTPC_RECENT_RESULTS, "the ring is bounded");
	is_str(s.first, "r10", "it holds the last ones");
	smtpc_outbox_recent(o, t);
	s = (struct sink){ 0 };
	is_int(smtpc_outbox_replay(o, 0, t, take, &s), SMTPC_RECENT_RESULTS - 1,
	       "an empty one is no result");
	t += SMTPC_SEC(10);
	for (int i = 0; i < 5; i++) {
		snprintf(text, sizeof text, "k%d", i);
		smtpc_outbox_keep(o, span_str(text));
	}
	s = (struct sink){ .stop_at = 2 };
	is_int(smtpc_outbox_replay(o, t, t, take, &s), 2, "the link broke again");
	s = (struct sink){ 0 };
	is_int(smtpc_outbox_replay(o, t, t, take, &s), 3, "the rest was kept");
	is_str(s.first, "k2", "in order");
	for (int i = 0; i < SMTPC_UNSENT_RESULTS + 5; i++) {
		snprintf(text, sizeof text, "u%d", i);
		smtpc_outbox_keep(o, span_str(text));
	}
	s = (struct sink){ 0 };
	is_int(smtpc_outbox_replay(o, t, t, take, &s), SMTPC_UNSENT_RESULTS,
	       "unsent ones are bounded");
	is_str(s.first, "u5", "the oldest were dropped");
	smtpc_outbox_keep(o, SPAN("left"));
	smtpc_outbox_free(o);
	return plan_done();
}
