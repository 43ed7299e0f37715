#include "queue/listing.h"

#include "core/ids.h"
#include "core/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

static const char *state_name(uint8_t state)
{
	static const char *const name[] = { "active", "deferred", "failed", "done" };

	return state < sizeof name / sizeof name[0] ? name[state] : "?";
}

static int put_encoded(struct buf *out, struct span s)
{
	char text[3100];

	log_encode(span_head(s, 1024), text, sizeof text);
	return buf_add_span(out, span_str(text));
}

int listing_text(struct ta *ta, struct buf *out)
{
	char id[ID_TEXT_MAX], when[64];
	time_t sec = (time_t)(ta->env.wall_arrival / USEC_PER_SEC);
	struct tm tm;

	localtime_r(&sec, &tm);
	strftime(when, sizeof when, "%a %b %e %H:%M:%S", &tm);
	id_text(ta->id, id);
	int rc = buf_printf(out, "%-20s %8" PRIu64 " %s <", id, ta->ref.len, when);
	if (!rc)
		rc = put_encoded(out, ta->env.sender);
	if (!rc)
		rc = buf_printf(out, ">\n");
	for (uint32_t i = 0; i < ta->env.rcpt_count && !rc; i++) {
		struct span reply = aq_rcpt_last(&ta->rcpt[i]);

		if (atomic_load(&ta->rcpt[i].state) == RCPT_DONE)
			continue;
		if (reply.n) {
			rc = buf_printf(out, "%21s(", "");
			if (!rc)
				rc = put_encoded(out, reply);
			if (!rc)
				rc = buf_printf(out, ")\n");
		}
		if (!rc)
			rc = buf_printf(out, "%30s<", "");
		if (!rc)
			rc = put_encoded(out, ta->env.rcpt[i].addr);
		if (!rc)
			rc = buf_printf(out, ">\n");
	}
	return rc;
}

static int put_json(struct buf *out, struct span s)
{
	int rc = buf_add(out, "\"", 1);

	for (size_t i = 0; i < s.n && !rc; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"' || c == '\\')
			rc = buf_printf(out, "\\%c", c);
		else if (c < 32 || c > 126)
			rc = buf_printf(out, "\\u%04x", c);
		else
			rc = buf_add(out, &c, 1);
	}
	return rc ? rc : buf_add(out, "\"", 1);
}

static int put_rcpt(struct ta *ta, uint32_t i, bool first, struct buf *out)
{
	struct rcpt *r = &ta->rcpt[i];
	int rc = buf_printf(out, "%s{\"address\":", first ? "" : ",");

	if (!rc)
		rc = put_json(out, ta->env.rcpt[i].addr);
	if (!rc)
		rc = buf_printf(out, ",\"state\":\"%s\",\"attempts\":%u,\"last_reply\":",
				state_name(atomic_load(&r->state)), r->attempts);
	if (!rc)
		rc = put_json(out, aq_rcpt_last(r));
	return rc ? rc : buf_add(out, "}", 1);
}

int listing_json(struct ta *ta, struct buf *out)
{
	char id[ID_TEXT_MAX];
	bool first = true;

	id_text(ta->id, id);
	int rc = buf_printf(out, "{\"id\":\"%s\",\"size\":%" PRIu64 ",\"arrival\":%" PRId64 ",\"sender\":", id, ta->ref.len,
			    ta->env.wall_arrival / USEC_PER_SEC);
	if (!rc)
		rc = put_json(out, ta->env.sender);
	if (!rc)
		rc = buf_add_span(out, SPAN(",\"recipients\":["));
	for (uint32_t i = 0; i < ta->env.rcpt_count && !rc; i++) {
		if (atomic_load(&ta->rcpt[i].state) == RCPT_DONE)
			continue;
		rc = put_rcpt(ta, i, first, out);
		first = false;
	}
	return rc ? rc : buf_add_span(out, SPAN("]}\n"));
}
