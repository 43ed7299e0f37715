#include "resolver/access.h"

#include "resolver/lookup.h"

#include "core/err.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

struct access {
	atomic_uint refs;
	struct map *map;
	char delimiter;
	struct lookup_nets client_nets;
};

#define TAG_CLIENT SPAN("cltaddr:")
#define TAG_FROM   SPAN("from:")
#define TAG_TO     SPAN("to:")

/* ---- values */

/* "5.7.1 ": three numbers and white space. */
static bool has_enhanced_code(struct span s)
{
	unsigned dots = 0, digits = 0;
	size_t i = 0;

	for (; i < s.n && s.p[i] != ' '; i++) {
		if (ascii_isdigit(s.p[i]) && digits < 3) {
			digits++;
		} else if (s.p[i] == '.' && digits && dots < 2) {
			dots++;
			digits = 0;
		} else {
			return false;
		}
	}
	return dots == 2 && digits;
}

/* "XYZ A.B.C text" */
static int parse_error(struct span s, struct access_value *out)
{
	s = span_trim(s);
	if (s.n < 5 || s.n > ACCESS_TEXT_MAX || (s.p[0] != '4' && s.p[0] != '5') || s.p[1] < '0' ||
	    s.p[1] > '5' || !ascii_isdigit(s.p[2]) || s.p[3] != ' ')
		return -EINVAL;
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return -EINVAL;
	struct span rest = span_from(s, 4);
	out->bare = !has_enhanced_code(rest);
	/* RFC 2034 4: the classes of both codes are the same. */
	if (!out->bare && rest.p[0] != s.p[0])
		return -EINVAL;
	out->action = MSG_ACT_ERROR;
	out->text = s;
	return 0;
}

int access_parse_value(struct span value, struct access_value *out)
{
	static const struct {
		struct span word;
		enum msg_action action;
	} words[] = {
		{ { "relay", 5 }, MSG_ACT_RELAY },  { { "ok", 2 }, MSG_ACT_OK },
		{ { "reject", 6 }, MSG_ACT_ERROR }, { { "discard", 7 }, MSG_ACT_DISCARD },
		{ { "cont", 4 }, MSG_ACT_CONT },
	};
	struct span s = span_trim(value);

	*out = (struct access_value){ .quick = span_casestartswith(s, SPAN("quick:")) };
	if (out->quick)
		s = span_trim(span_from(s, 6));
	if (span_casestartswith(s, SPAN("error:")))
		return parse_error(span_from(s, 6), out);
	for (unsigned i = 0; i < sizeof words / sizeof *words; i++) {
		if (!span_caseeq(s, words[i].word))
			continue;
		out->action = words[i].action;
		if (out->action == MSG_ACT_ERROR)
			out->text = SPAN("550 5.7.0 Rejected.");
		return 0;
	}
	return -EINVAL;
}

struct span access_reply(const struct access_value *v, char dst[static ACCESS_TEXT_MAX + 8])
{
	if (!v->bare)
		return v->text;
	int n = snprintf(dst, ACCESS_TEXT_MAX + 8, "%.3s %c.7.0 %.*s", v->text.p, v->text.p[0],
			 (int)v->text.n - 4, v->text.p + 4);
	return span_of(dst, (size_t)n);
}

/* ---- the map */

struct check {
	struct access *access;
	struct report *report;
};

static int check_entry(void *ctx, struct span key, struct span value)
{
	struct check *c = ctx;
	const char *file = map_file(c->access->map);
	bool client = span_casestartswith(key, TAG_CLIENT),
	     from = span_casestartswith(key, TAG_FROM);
	char token[REPORT_TOKEN_MAX];
	struct access_value v;

	/* Other tags may have values of their own. */
	if (!client && !from && !span_casestartswith(key, TAG_TO))
		return 0;
	report_token(key, token);
	if (access_parse_value(value, &v))
		report_warning(
			c->report, file, 0,
			"entry \"%s\": expected [quick:] relay, ok, reject, discard, cont or error:XYZ A.B.C text; "
			"what it applies to gets a temporary error",
			token);
	else if (from && v.action == MSG_ACT_RELAY)
		report_warning(c->report, file, 0, "entry \"%s\": relay counts as ok for a sender",
			       token);
	if (client && lookup_nets_add(&c->access->client_nets, span_from(key, TAG_CLIENT.n)))
		report_warning(
			c->report, file, 0,
			"entry \"%s\" never matches: expected a net such as 10.1.0.0/16 or IPv6:2001:db8::/32",
			token);
	return 0;
}

struct access *access_new(struct map *own, char delimiter, struct report *r)
{
	struct access *a = xcalloc(1, sizeof *a);
	struct check c = { a, r };

	atomic_init(&a->refs, 1);
	a->map = own;
	a->delimiter = delimiter;
	int rc = map_walk(own, SPAN(""), check_entry, &c);
	if (!rc)
		return a;
	report_error(r, map_file(own), 0, "cannot read the map: %s", strerror(-rc));
	access_put_ref(a);
	return NULL;
}

struct access *access_get_ref(struct access *a)
{
	atomic_fetch_add(&a->refs, 1);
	return a;
}

void access_put_ref(struct access *a)
{
	if (!a || atomic_fetch_sub(&a->refs, 1) != 1)
		return;
	map_put_ref(a->map);
	free(a);
}

/* ---- looking up */

static int first_match(const struct access *a, struct lookup *l, struct access_value *out)
{
	struct span key, value = { NULL, 0 };
	int rc = -ENOENT;

	while (rc == -ENOENT && lookup_next(l, &key))
		rc = map_get(a->map, key, &value);
	return rc ? rc : access_parse_value(value, out);
}

int access_client(const struct access *a, const struct addr *client, struct access_value *out)
{
	struct lookup l;

	if (map_is_empty(a->map))
		return -ENOENT;
	lookup_addr(&l, TAG_CLIENT, client, &a->client_nets);
	return first_match(a, &l, out);
}

int access_mailbox(const struct access *a, enum access_tag tag, const struct address *box,
		   struct access_value *out)
{
	struct lookup l;

	if (map_is_empty(a->map))
		return -ENOENT;
	/* An odd local part may hold an @: alone it would look like another address. */
	lookup_mailbox(&l, tag == ACCESS_TO ? TAG_TO : TAG_FROM, box->local, box->domain,
		       a->delimiter, box->odd ? 0 : LOOKUP_LOCAL_PART);
	int rc = first_match(a, &l, out);
	if (!rc && tag == ACCESS_FROM && out->action == MSG_ACT_RELAY)
		out->action = MSG_ACT_OK;
	return rc;
}
