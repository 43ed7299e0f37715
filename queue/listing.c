#include "queue/listing.h"

#include "core/ids.h"
#include "core/log_text.h"
#include "core/msg.h"
#include "queue/park.h"
#include "queue/qrow.h"
#include "queue/route_text.h"
#include "queue/suspend.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

enum { TEXT_MAX = 1024 };

/* "active", "deferred", "held", "failed", "done". */
static const char *state_name(uint8_t state)
{
	static const char *const name[] = { [RCPT_ACTIVE] = "active",
					    [RCPT_DEFERRED] = "deferred",
					    [RCPT_FAILED] = "failed",
					    [RCPT_DONE] = "done",
					    [RCPT_HELD] = "held" };

	return state < sizeof name / sizeof name[0] ? name[state] : "?";
}

int listing_harmless(struct span s, struct buf *out)
{
	char text[3 * TEXT_MAX];

	s = span_head(s, TEXT_MAX);
	return buf_add(out, text, log_text_encode(&s, true, text, sizeof text));
}

static int put_addr(struct span addr, struct buf *out)
{
	int rc = buf_add(out, "<", 1);

	if (!rc)
		rc = listing_harmless(addr, out);
	return rc ? rc : buf_add(out, ">", 1);
}

int listing_json_string(struct span s, struct buf *out)
{
	int rc = buf_add(out, "\"", 1);

	while (s.n && !rc) {
		char part[512];
		size_t n = log_text_escape(&s, part, sizeof part);

		rc = n ? buf_add(out, part, n) : -EINVAL;
	}
	return rc ? rc : buf_add(out, "\"", 1);
}

int listing_duration(usec_t usec, struct buf *out)
{
	static const struct {
		uint32_t sec;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	uint64_t sec = usec > 0 ? (uint64_t)usec / USEC_PER_SEC : 0;
	unsigned u = 0;

	while (u < 3 && sec < units[u].sec)
		u++;
	int rc = buf_printf(out, "%" PRIu64 "%c", sec / units[u].sec, units[u].unit);
	sec %= units[u].sec;
	if (!rc && u < 3 && sec / units[u + 1].sec)
		rc = buf_printf(out, "%" PRIu64 "%c", sec / units[u + 1].sec, units[u + 1].unit);
	return rc;
}

/* ---- like sendmail */

int listing_head(struct buf *out)
{
	return buf_add_span(
		out,
		SPAN("------Queue id------ --Size-- ------Arrival------ -Sender, recipients-------------\n"));
}

/* * for what is being tried or waits for its turn, ! for what is held, as Postfix has it. */
static char mark_of(const struct ta *ta, const uint32_t *idx, unsigned count)
{
	bool all_held = true;

	for (unsigned i = 0; i < count; i++) {
		uint8_t state = atomic_load(&ta->rcpt[idx[i]].state);

		if (state == RCPT_ACTIVE)
			return '*';
		all_held = all_held && state == RCPT_HELD;
	}
	return all_held ? '!' : ' ';
}

/* The address that the client gave when it is another one; empty: it is not. */
static struct span original_of(const struct ta *ta, uint32_t idx, char dst[static ENV_ADDR_MAX])
{
	struct span s = qrow_original(ta->env.rcpt[idx].orcpt, dst);

	return span_caseeq(s, ta->env.rcpt[idx].addr) ? SPAN("") : s;
}

static int put_rcpt_line(const struct ta *ta, uint32_t idx, struct buf *out)
{
	char text[ENV_ADDR_MAX];
	struct span original = original_of(ta, idx, text);
	int rc = buf_printf(out, "%50s", "");

	if (!rc)
		rc = put_addr(ta->env.rcpt[idx].addr, out);
	if (!rc && original.n) {
		rc = buf_add_span(out, SPAN(" (for "));
		if (!rc)
			rc = put_addr(original, out);
		if (!rc)
			rc = buf_add_span(out, SPAN(")"));
	}
	return rc ? rc : buf_add(out, "\n", 1);
}

/* Why nothing happens to it, beside what the last host said. */
static int put_reason(const struct ta *ta, uint32_t idx, struct buf *out)
{
	struct span reply = aq_rcpt_last(&ta->rcpt[idx]), bytes = aq_rcpt_route(ta, idx, NULL);
	struct route route;
	uint64_t suspended =
		bytes.n && !route_decode(bytes, &route) ? suspend_number(ta, idx, &route) : 0;
	int rc = 0;

	if (suspended)
		rc = buf_printf(out, "%21s(suspension %" PRIu64 ")\n", "", suspended);
	if (rc || !reply.n)
		return rc;
	rc = buf_printf(out, "%21s(", "");
	if (!rc)
		rc = listing_harmless(reply, out);
	return rc ? rc : buf_printf(out, ")\n");
}

int listing_text(const struct ta *ta, const uint32_t *idx, unsigned count, struct buf *out)
{
	char id[ID_TEXT_MAX], when[64];
	time_t sec = (time_t)(clock_steady_to_wall(ta->env.wall_arrival) / USEC_PER_SEC);
	struct tm tm;

	localtime_r(&sec, &tm);
	strftime(when, sizeof when, "%a %b %e %H:%M:%S", &tm);
	id_text(ta->id, id);
	int rc = buf_printf(out, "%s%c %8" PRIu64 " %s ", id, mark_of(ta, idx, count),
			    qrow_size(ta), when);
	if (!rc)
		rc = put_addr(ta->env.sender, out);
	if (!rc)
		rc = buf_add(out, "\n", 1);
	for (unsigned i = 0; i < count && !rc; i++) {
		rc = put_reason(ta, idx[i], out);
		if (!rc)
			rc = put_rcpt_line(ta, idx[i], out);
	}
	return rc;
}

/* ---- JSON */

static int put_member(const char *name, struct span value, struct buf *out)
{
	int rc = buf_printf(out, ",\"%s\":", name);

	return rc ? rc : listing_json_string(value, out);
}

static int put_time(const char *name, usec_t wall, struct buf *out)
{
	return wall ? buf_printf(out, ",\"%s\":%" PRId64, name,
				 clock_steady_to_wall(wall) / USEC_PER_SEC)
		    : 0;
}

static int put_route_member(const struct ta *ta, uint32_t idx, struct buf *out)
{
	struct buf text = { 0 };
	struct route route;
	bool forced;
	struct span bytes = aq_rcpt_route(ta, idx, &forced);

	if (!bytes.n || route_decode(bytes, &route))
		return 0;
	int rc = route_text_put(&route, &text);
	if (!rc)
		rc = put_member("route", buf_span(&text), out);
	if (!rc && forced)
		rc = buf_printf(out, ",\"rerouted\":true");
	if (!rc && suspend_number(ta, idx, &route))
		rc = buf_printf(out, ",\"suspended\":%" PRIu64, suspend_number(ta, idx, &route));
	buf_release(&text);
	return rc;
}

/* What only members of aliases and lists have. */
static int put_alias_members(const struct ta *ta, uint32_t idx, struct buf *out)
{
	static const char *const kind[] = { "", "alias", "list" };
	const struct env_rcpt *e = &ta->env.rcpt[idx];
	char text[ENV_ADDR_MAX];
	struct span original = original_of(ta, idx, text);
	int rc = original.n ? put_member("original", original, out) : 0;

	if (!rc && e->owner)
		rc = put_member("owner", envelope_sender(&ta->env, idx), out);
	return rc || !e->kind ? rc : put_member("kind", span_str(kind[e->kind]), out);
}

/* A parked one waits for its destination. */
static int put_next(const struct rcpt *r, struct buf *out)
{
	usec_t next;
	const char *parked = park_of(r, &next);

	if (!parked)
		return put_time("next_attempt", atomic_load(&r->wall_next), out);
	int rc = put_member("parked", span_str(parked), out);
	return rc ? rc : put_time("next_attempt", next, out);
}

static int put_rcpt(const struct ta *ta, uint32_t idx, struct buf *out)
{
	struct rcpt *r = &ta->rcpt[idx];
	struct span reply = aq_rcpt_last(r);
	uint8_t state = atomic_load(&r->state);
	int rc = buf_add_span(out, SPAN("{\"address\":"));

	if (!rc)
		rc = listing_json_string(ta->env.rcpt[idx].addr, out);
	if (!rc)
		rc = put_alias_members(ta, idx, out);
	if (!rc)
		rc = buf_printf(out, ",\"state\":\"%s\",\"attempts\":%u", state_name(state),
				atomic_load(&r->attempts));
	if (!rc)
		rc = put_member("last_reply", reply, out);
	if (!rc && reply.n)
		rc = put_member("stage", span_str(msg_stage_name(atomic_load(&r->stage))), out);
	if (!rc)
		rc = put_time("last_attempt", atomic_load(&r->wall_last), out);
	if (!rc && state == RCPT_DEFERRED)
		rc = put_next(r, out);
	if (!rc)
		rc = put_route_member(ta, idx, out);
	return rc ? rc : buf_add(out, "}", 1);
}

int listing_json(const struct ta *ta, const uint32_t *idx, unsigned count, struct buf *out)
{
	char id[ID_TEXT_MAX], client[ADDR_TEXT_MAX];

	id_text(ta->id, id);
	addr_text(&ta->env.client, client);
	int rc = buf_printf(out, "{\"id\":\"%s\",\"size\":%" PRIu64 ",\"arrival\":%" PRId64, id,
			    qrow_size(ta),
			    clock_steady_to_wall(ta->env.wall_arrival) / USEC_PER_SEC);
	if (!rc)
		rc = put_member("sender", ta->env.sender, out);
	if (!rc)
		rc = put_member("client", span_str(client), out);
	if (!rc && ta->env.envid.n)
		rc = put_member("envid", ta->env.envid, out);
	if (!rc)
		rc = buf_add_span(out, SPAN(",\"recipients\":["));
	for (unsigned i = 0; i < count && !rc; i++) {
		rc = i ? buf_add(out, ",", 1) : 0;
		if (!rc)
			rc = put_rcpt(ta, idx[i], out);
	}
	return rc ? rc : buf_add_span(out, SPAN("]}\n"));
}

/* ---- all that is known */

static int put_when(const char *name, usec_t wall, struct buf *out)
{
	usec_t now = clock_steady();
	char date[64];

	clock_rfc5322(clock_steady_to_wall(wall), date, sizeof date);
	int rc = buf_printf(out, "%s%s (%s", name, date, wall > now ? "in " : "");
	if (!rc)
		rc = listing_duration(wall > now ? wall - now : now - wall, out);
	return rc ? rc : buf_printf(out, "%s)\n", wall > now ? "" : " ago");
}

static int show_route(const struct ta *ta, uint32_t idx, struct buf *out)
{
	struct route route;
	bool forced;
	struct span bytes = aq_rcpt_route(ta, idx, &forced);
	bool known = bytes.n && !route_decode(bytes, &route);
	int rc = buf_add_span(out, SPAN("  route:    "));

	if (!rc)
		rc = known ? route_text_put(&route, out) : buf_add_span(out, SPAN("not known"));
	if (!rc && forced)
		rc = buf_add_span(out, SPAN(" (set by reroute)"));
	if (!rc && known && suspend_number(ta, idx, &route))
		rc = buf_printf(out, " (suspension %" PRIu64 ")", suspend_number(ta, idx, &route));
	return rc ? rc : buf_add(out, "\n", 1);
}

static int show_notify(uint8_t notify, struct buf *out)
{
	if (!notify)
		return 0;
	return buf_printf(out, "  notify:  %s%s%s%s\n", notify & ENV_NOTIFY_NEVER ? " never" : "",
			  notify & ENV_NOTIFY_SUCCESS ? " success" : "",
			  notify & ENV_NOTIFY_FAILURE ? " failure" : "",
			  notify & ENV_NOTIFY_DELAY ? " delay" : "");
}

static int show_addr(const char *name, struct span addr, struct buf *out)
{
	int rc = buf_printf(out, "%s", name);

	if (!rc)
		rc = put_addr(addr, out);
	return rc ? rc : buf_add(out, "\n", 1);
}

static int show_alias(const struct ta *ta, uint32_t idx, struct buf *out)
{
	static const char *const kind[] = {
		"", "  kind:     alias, its members stand beside it\n",
		"  kind:     list with an owner, its members stand beside it\n"
	};
	const struct env_rcpt *e = &ta->env.rcpt[idx];
	char text[ENV_ADDR_MAX];
	struct span original = original_of(ta, idx, text);
	int rc = original.n ? show_addr("  original: ", original, out) : 0;

	if (!rc && e->owner)
		rc = show_addr("  owner:    ", envelope_sender(&ta->env, idx), out);
	return rc ? rc : buf_add_span(out, span_str(kind[e->kind]));
}

static int show_rcpt(const struct ta *ta, uint32_t idx, struct buf *out)
{
	struct rcpt *r = &ta->rcpt[idx];
	struct span reply = aq_rcpt_last(r);
	uint8_t state = atomic_load(&r->state);
	usec_t last = atomic_load(&r->wall_last), next;
	const char *parked = park_of(r, &next);
	int rc = show_addr("recipient:  ", ta->env.rcpt[idx].addr, out);

	if (!rc)
		rc = show_alias(ta, idx, out);
	if (!rc)
		rc = buf_printf(out, "  state:    %s\n  attempts: %u\n", state_name(state),
				atomic_load(&r->attempts));
	if (!rc && last)
		rc = put_when("  last:     ", last, out);
	if (!parked)
		next = atomic_load(&r->wall_next);
	else if (!rc)
		rc = buf_printf(out, "  parked:   %s\n", parked);
	if (!rc && state == RCPT_DEFERRED && next)
		rc = put_when("  next:     ", next, out);
	if (!rc && reply.n) {
		rc = buf_printf(out, "  reply:    ");
		if (!rc)
			rc = listing_harmless(reply, out);
		if (!rc)
			rc = buf_printf(out, " (at %s)\n", msg_stage_name(atomic_load(&r->stage)));
	}
	if (!rc)
		rc = show_route(ta, idx, out);
	return rc ? rc : show_notify(ta->env.rcpt[idx].notify, out);
}

static int show_place(const struct ta *ta, struct buf *out)
{
	if (!ta->ref.seg)
		return buf_printf(out, "content:    a file of its own\n");
	return buf_printf(out, "content:    segment G%016" PRIX64 ", offset %" PRIu64 "\n",
			  ta->ref.seg, ta->ref.off);
}

static int show_options(const struct envelope *e, struct buf *out)
{
	static const char *const body[] = { "7BIT", "8BITMIME", "BINARYMIME" };
	int rc = buf_printf(out, "options:    BODY=%s%s%s%s%s", e->body < 3 ? body[e->body] : "?",
			    e->flags & ENV_SMTPUTF8 ? " SMTPUTF8" : "",
			    e->ret == ENV_RET_FULL ? " RET=FULL" : "",
			    e->ret == ENV_RET_HDRS ? " RET=HDRS" : "",
			    e->flags & ENV_DSN ? " (a notice of our own)" : "");

	if (!rc && e->envid.n)
		rc = buf_printf(out, " ENVID=");
	if (!rc && e->envid.n)
		rc = listing_harmless(e->envid, out);
	return rc ? rc : buf_add(out, "\n", 1);
}

static int show_head(const struct ta *ta, struct buf *out)
{
	char id[ID_TEXT_MAX], client[ADDR_TEXT_MAX];

	id_text(ta->id, id);
	addr_text(&ta->env.client, client);
	int rc = buf_printf(out, "message:    %s\nsize:       %" PRIu64 " bytes\n", id,
			    qrow_size(ta));
	if (!rc)
		rc = put_when("arrival:    ", ta->env.wall_arrival, out);
	if (!rc)
		rc = show_addr("sender:     ", ta->env.sender, out);
	if (!rc)
		rc = buf_printf(out, "client:     [%s]\n", client);
	if (!rc)
		rc = show_options(&ta->env, out);
	return rc ? rc : show_place(ta, out);
}

int listing_show(const struct ta *ta, const uint32_t *idx, unsigned count, struct buf *out)
{
	int rc = show_head(ta, out);

	for (unsigned i = 0; i < count && !rc; i++)
		rc = show_rcpt(ta, idx[i], out);
	return rc;
}

int listing_envelope(const struct ta *ta, struct buf *out)
{
	int rc = show_head(ta, out);

	for (uint32_t i = 0; i < ta->env.rcpt_count && !rc; i++) {
		rc = show_addr("recipient:  ", ta->env.rcpt[i].addr, out);
		if (!rc)
			rc = show_alias(ta, i, out);
		if (!rc)
			rc = show_route(ta, i, out);
		if (!rc)
			rc = show_notify(ta->env.rcpt[i].notify, out);
	}
	return rc;
}
